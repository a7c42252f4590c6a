"""natgrad: a model and an optimizer as one XLA program per training step."""

from ._errors import Error, ModelError
from ._model import export

__all__ = ["Error", "ModelError", "export"]
