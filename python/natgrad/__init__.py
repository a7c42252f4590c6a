"""natgrad: a model and an optimizer as one XLA program per training step."""

from . import _trial
from ._data import Data, data, fetch
from ._errors import Error, ModelError
from ._model import export
from ._natgrad import __version__
from ._noise import noise
from ._posterior import Posterior, Prediction
from ._report import Report
from ._rules import Adam, AdamW, Blr, Ivon, RmsProp, Rule, Sgd, Vadam, Vogn, Von
from ._step import Metrics, State, Step, compile
from ._torch import TorchModel, from_torch

_trial.prepare()

__all__ = [
    "Adam",
    "AdamW",
    "Blr",
    "Data",
    "Error",
    "Ivon",
    "Metrics",
    "ModelError",
    "Posterior",
    "Prediction",
    "Report",
    "RmsProp",
    "Rule",
    "Sgd",
    "State",
    "Step",
    "TorchModel",
    "Vadam",
    "Vogn",
    "Von",
    "__version__",
    "compile",
    "data",
    "export",
    "fetch",
    "from_torch",
    "noise",
]
