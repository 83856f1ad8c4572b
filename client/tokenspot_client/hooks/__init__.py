"""Metering library: hooks that count what a model in one's own process computes.

`torch_hooks.TorchMeter` and `onnx_hooks.OnnxMeter` import their framework on first use only.
"""

from tokenspot_client.hooks.calls import LayerRow, MissingExtra, NotCounted, Request, Totals
from tokenspot_client.hooks.events import CachedUnknown, usage_event
from tokenspot_client.hooks.onnx_hooks import OnnxMeter
from tokenspot_client.hooks.otel import TokenUsage
from tokenspot_client.hooks.torch_hooks import TorchMeter, UnknownModule
from tokenspot_client.hooks.work import CallShape, CardMismatch

__all__ = [
    "CachedUnknown",
    "CallShape",
    "CardMismatch",
    "LayerRow",
    "MissingExtra",
    "NotCounted",
    "OnnxMeter",
    "Request",
    "TokenUsage",
    "TorchMeter",
    "Totals",
    "UnknownModule",
    "usage_event",
]
