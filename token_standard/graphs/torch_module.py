"""A second opinion on a dense model: what PyTorch itself multiplies in one prompt, with tensors that hold no numbers.

Every operation that runs is seen. One that multiplies is counted by PyTorch's own formula, one of a known list costs
nothing worth counting, and any other is refused by name: a fused kernel that nobody counts would make a model look
cheap. PyTorch is imported only here.
"""

from __future__ import annotations

import importlib
from collections import Counter
from dataclasses import dataclass
from math import prod
from typing import Any

from token_standard.errors import TokenStandardError
from token_standard.graphs.errors import GraphError

# Operations without multiply-adds worth counting that PyTorch tags neither as pointwise nor as views.
_FREE = {
    "_assert_async", "_local_scalar_dense", "_softmax", "_to_copy", "_unsafe_view", "alias", "any", "all",
    "amax", "amin", "arange", "argmax", "cat", "clone", "constant_pad_nd", "contiguous", "copy_", "cumsum",
    "detach", "embedding", "empty", "empty_like", "empty_strided", "eye", "fill_", "full", "full_like",
    "gather", "index", "index_put_", "index_select", "isin", "lift", "lift_fresh", "linspace", "max", "mean",
    "min", "native_dropout", "native_layer_norm", "new_empty", "new_full", "new_ones", "new_zeros", "norm",
    "normal_", "ones", "ones_like", "rand", "repeat", "resize_", "roll", "rsqrt", "scalar_tensor", "scatter",
    "select_scatter", "set_", "slice_scatter", "sort", "split_with_sizes_copy", "stack", "sum", "topk", "tril",
    "triu", "uniform_", "var_mean", "zero_", "zeros", "zeros_like",
}  # fmt: skip
# Attention kernels that PyTorch's own table leaves out: queries (batch, heads, positions, size) against all keys.
_ATTENTION = {"_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_fused_attention_overrideable"}
_BETWEEN_ACTIVATIONS = {"bmm", "baddbmm"}


class NoTorch(TokenStandardError):
    """PyTorch, or transformers, is not installed."""

    code = "torch_missing"


@dataclass(frozen=True)
class ModuleWork:
    """One forward pass: FLOPs with weights, FLOPs between activations (attention), and how often each was seen."""

    linear_flops: int
    attention_flops: int
    operations: dict[str, int]


def count_module(module: Any, *args: Any, **kwargs: Any) -> ModuleWork:
    """Run a PyTorch module once and count what it multiplies; under fake tensors nothing is computed.

    Attention is counted as the kernels do it, over the whole square of positions where they do not know the mask.

    :raises GraphError: an operation that may multiply and whose work is not known, by name.
    :raises NoTorch: PyTorch is not installed.
    """
    torch = _load("torch")
    counter = _counter()
    with counter, torch.no_grad():
        module(*args, **kwargs)
    return ModuleWork(counter.linear, counter.attention, dict(counter.seen))


def count_configuration(config: dict[str, Any], *, tokens: int) -> ModuleWork:
    """The work of a prompt of so many tokens through the model that transformers builds of a ``config.json``.

    No weights are read or made: the tensors are fake.

    :raises GraphError: transformers knows no such model, or it does what cannot be counted (routed experts).
    :raises NoTorch: PyTorch or transformers is not installed.
    """
    torch, transformers = _load("torch"), _load("transformers")
    fake = _load("torch._subclasses.fake_tensor")
    settings = {name: value for name, value in config.items() if name not in {"model_type", "quantization_config"}}
    try:
        made = transformers.AutoConfig.for_model(config.get("model_type", ""), **settings)
        made._attn_implementation = "eager"
        with fake.FakeTensorMode():
            model = transformers.AutoModelForCausalLM.from_config(made)
            return count_module(model, input_ids=torch.zeros((1, tokens), dtype=torch.int64), use_cache=False)
    except GraphError:
        raise
    except (ValueError, KeyError) as error:
        raise GraphError(f"transformers builds no such model: {error}") from None
    except (fake.DynamicOutputShapeException, fake.DataDependentOutputException) as error:
        raise GraphError(f"what it computes depends on its data (as routed experts do): {error}") from None


def _load(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise NoTorch(f"{name} is not installed; a second opinion needs torch and transformers") from None


def _counter() -> Any:
    """A dispatch mode that sees every operation; made here, because its base class is PyTorch's."""
    torch, modes = _load("torch"), _load("torch.utils._python_dispatch")
    formulas = _load("torch.utils.flop_counter").flop_registry

    class CountingMode(modes.TorchDispatchMode):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.linear = self.attention = 0
            self.seen: Counter[str] = Counter()

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            packet = func._overloadpacket
            name = packet.__name__
            if name in _ATTENTION:
                self.attention += _attention_flops(args)
            elif packet in formulas:
                flops = formulas[packet](*args, **(kwargs or {}), out_val=out)
                if name in _BETWEEN_ACTIVATIONS or "attention" in name:
                    self.attention += flops
                else:
                    self.linear += flops
            elif not (func.is_view or torch.Tag.pointwise in func.tags or name in _FREE or func.namespace == "prim"):
                raise GraphError(f"the operation {func} is not known: its work cannot be counted")
            else:
                return out
            self.seen[name] += 1
            return out

    return CountingMode()


def _attention_flops(args: tuple[Any, ...]) -> int:
    query, key, value = (tuple(each.shape) for each in args[:3])
    pairs = prod(query[:-1]) * key[-2]
    flops: int = 2 * pairs * (query[-1] + value[-1])
    return flops
