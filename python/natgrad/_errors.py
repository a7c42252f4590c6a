"""What natgrad raises."""


class Error(Exception):
    """Any error of natgrad's."""


class ModelError(Error, ValueError):
    """A model, a tree or an array that is not what it must be. The message names the path in the tree, its shape and type."""
