"""What goes wrong with a model file."""

from token_standard.errors import TokenStandardError


class GraphError(TokenStandardError):
    """The file cannot be read, or has an operation whose work is not known."""

    code = "graph_error"
