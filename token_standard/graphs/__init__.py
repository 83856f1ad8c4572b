"""Work counted out of model files: ONNX graphs and StableHLO text. What cannot be counted is refused, never skipped."""

from token_standard.graphs.errors import GraphError
from token_standard.graphs.onnx_work import Counted, count_onnx
from token_standard.graphs.stablehlo import Program, count_stablehlo

__all__ = ["Counted", "GraphError", "Program", "count_onnx", "count_stablehlo"]
