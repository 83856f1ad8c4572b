"""Hooks on a PyTorch model: every call at its top module, and its layers in one call of ``every``.

A call that cannot be read never disturbs the model: it is counted as unread,
and its request has no usage until somebody says it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from token_standard.cards import Card
from tokenspot_client.hooks.calls import Books, LayerRow, MissingExtra, Request, Totals
from tokenspot_client.hooks.work import CallPrice, CallShape, Part, Priced, check_against, version_of

CallOf = Callable[[tuple[Any, ...], Mapping[str, Any]], CallShape]
_LAYER_LISTS = ("layers", "h", "blocks")
_CACHES = ("past_key_values", "past_key_value", "cache")
_PROJECTIONS = ("q_proj", "k_proj", "v_proj")
_MATRIX = 2  # dimensions


class UnknownModule(ValueError):
    """A part of the model that this library cannot count, or layers that it cannot find."""

    code = "unknown_module"


class TorchMeter:
    """Meters one model; attach it, or use it as a context.

    :param card: what a token costs; its counts must be the model's.
    :param layers: the layers; without it the longest module list named layers, h or blocks.
    :param head: the output matrix; without it the linear module outside the layers with as many rows as the
        card's vocabulary.
    :param every: layers are timed in one call of so many; 0 never.
    :param call_of: tells a call's shape by its arguments, where :func:`call_shape` cannot.
    :param attention: (heads × head size, key and value elements a position) of a layer whose projections are fused.
    :param settle: called before each reading of the clock in sampled calls, e.g. ``torch.cuda.synchronize``.
    :raises MissingExtra: torch is not installed.
    :raises UnknownModule: a matrix that is in no linear module, such as routed experts; or no layers.
    :raises CardMismatch: the card describes another model.
    """

    def __init__(
        self,
        model: Any,
        *,
        card: Card,
        layers: Sequence[Any] | None = None,
        head: Any = None,
        every: int = 100,
        call_of: CallOf | None = None,
        attention: tuple[int, int] | None = None,
        settle: Callable[[], None] | None = None,
    ) -> None:
        self.model, self.card, self._every = model, card, every
        self._call_of, self._settle = call_of or call_shape, settle
        found = layers if layers is not None else _find_layers(model)
        self._modules = list(found)
        head = head if head is not None else _find_head(model, self._modules, card.architecture.vocabulary)
        parts = [layer_part(f"layer {number}", module, attention) for number, module in enumerate(self._modules)]
        head_part = None if head is None else _linear_part("head", head)
        check_against(card, parts, head_part)
        version = version_of(card)
        self._priced = [Priced(part, card.format, version) for part in parts]
        if head is not None and head_part is not None:
            self._modules.append(head)
            self._priced.append(Priced(head_part, card.format, version, is_head=True))
        self._books, self._local, self._lock = Books(), threading.local(), threading.Lock()
        self._handles: list[Any] = []
        self._price = CallPrice(card)
        self._number = 0
        self._sampling = False

    def attach(self) -> TorchMeter:
        """Put the two hooks on the top module; twice is once."""
        if not self._handles:
            self._handles = [
                self.model.register_forward_pre_hook(self._before, with_kwargs=True),
                self.model.register_forward_hook(self._after, with_kwargs=True, always_call=True),
            ]
        return self

    def detach(self) -> None:
        """Take them off."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def __enter__(self) -> TorchMeter:
        return self.attach()

    def __exit__(self, *_: object) -> None:
        self.detach()

    @property
    def prompt(self) -> Totals:
        """Sums over all calls that read prompts."""
        return self._books.prompt

    @property
    def decode(self) -> Totals:
        """Sums over all calls that generated one token a sequence."""
        return self._books.decode

    def layer_table(self) -> list[LayerRow]:
        """The layers and the output matrix, over the sampled calls."""
        return self._books.table()

    def clear(self) -> None:
        """Forget what was counted."""
        self._books.clear()

    @contextmanager
    def request(self, *, limit: int | None = None) -> Iterator[Request]:
        """Calls inside belong to one request; afterwards ``request.usage`` has its tokens."""
        with self._books.request(limit) as request:
            yield request

    def _before(self, _: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        problem, shape = "", None
        try:
            shape = self._call_of(arguments, named)
        except Exception as error:  # never disturb the model
            problem = f"{type(error).__name__}: {error}"
        sampled: list[Any] = []
        self._number += 1
        if self._every and shape is not None and self._number % self._every == 0:
            sampled = self._sample(shape)
        if sampled and self._settle:
            self._settle()
        self._local.call = (shape, problem, sampled, time.perf_counter())

    def _after(self, _: Any, arguments: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
        call = getattr(self._local, "call", None)
        if call is None:
            return
        shape, problem, sampled, began = call
        if sampled and self._settle:
            self._settle()
        seconds = time.perf_counter() - began
        self._local.call = None
        for handle in sampled:
            handle.remove()
        if sampled:
            self._sampling = False
        with self._lock:
            if output is None:  # the model raised
                self._books.prompt.failed += 1
                return
            self._books.call(shape, seconds, 0.0 if shape is None else self._price(shape), problem)

    def _sample(self, shape: CallShape) -> list[Any]:
        """Hooks on every layer for one call; another thread's call meanwhile goes unsampled."""
        with self._lock:
            if self._sampling:
                return []
            self._sampling = True
        owner, handles = threading.get_ident(), []
        for module, priced in zip(self._modules, self._priced, strict=True):
            timer = _LayerTimer(self, priced, shape, owner)
            handles.append(module.register_forward_pre_hook(timer.before))
            handles.append(module.register_forward_hook(timer.after))
        return handles

    def note(self, priced: Priced, shape: CallShape, seconds: float) -> None:
        """Add a layer's call to its row."""
        row = self._books.layer(priced.part.name)
        row.calls += 1
        row.seconds += seconds
        row.linear_flops += priced.part.linear_flops(shape)
        row.attention_flops += priced.part.attention_flops(shape)
        row.bytes_moved += priced.part.bytes_moved(shape)
        row.work_st += float(priced.work_st(shape))
        row.nominal_st += float(priced.nominal_st(shape))

    def settle(self) -> None:
        if self._settle:
            self._settle()


class _LayerTimer:
    """Times one layer in one call, in the thread that made the call."""

    def __init__(self, meter: TorchMeter, priced: Priced, shape: CallShape, owner: int) -> None:
        self._meter, self._priced, self._shape, self._owner = meter, priced, shape, owner
        self._began = 0.0

    def before(self, *_: Any) -> None:
        if threading.get_ident() == self._owner:
            self._meter.settle()
            self._began = time.perf_counter()

    def after(self, _: Any, arguments: tuple[Any, ...], __: Any) -> None:
        if threading.get_ident() != self._owner:
            return
        self._meter.settle()
        seconds, shape = time.perf_counter() - self._began, self._shape
        if self._priced.is_head and arguments:  # a model may send only the last position through
            rows = arguments[0].numel() // arguments[0].shape[-1]
            shape = CallShape(shape.batch, max(1, rows // shape.batch), shape.past)
        self._meter.note(self._priced, shape, seconds)


def call_shape(arguments: tuple[Any, ...], named: Mapping[str, Any]) -> CallShape:
    """A call's shape by the habits of transformers: input_ids or the first tensor, and the cache's length.

    :raises UnknownModule: the arguments do not tell it.
    """
    candidates = [named.get("input_ids"), named.get("inputs_embeds"), *arguments]
    tokens = next((each for each in candidates if len(getattr(each, "shape", ())) >= _MATRIX), None)
    if tokens is None:
        raise UnknownModule("no argument of batch × positions: give call_of")
    cache = next((named[name] for name in _CACHES if named.get(name) is not None), None)
    return CallShape(int(tokens.shape[0]), int(tokens.shape[1]), _kept(cache))


def _kept(cache: Any) -> int:
    if cache is None:
        return 0
    if hasattr(cache, "get_seq_length"):
        return int(cache.get_seq_length())
    try:  # tuples of (keys, values), positions last but one
        return int(cache[0][0].shape[-2])
    except (TypeError, IndexError, KeyError, AttributeError):
        raise UnknownModule(f"a cache of type {type(cache).__name__}: give call_of") from None


def layer_part(name: str, module: Any, attention: tuple[int, int] | None = None) -> Part:
    """Count one layer: its linear modules, and its attention by the query, key and value projections.

    :raises UnknownModule: a matrix outside a linear module, or attention without known projections.
    """
    linears = _linears(module)
    inside = {id(linear.weight) for linear in linears.values()}
    for path, parameter in module.named_parameters():
        if parameter.dim() >= _MATRIX and id(parameter) not in inside:
            raise UnknownModule(f"{name}: {path} {tuple(parameter.shape)} is in no linear module and is not counted")
    sizes = [_one(linears, projection) for projection in _PROJECTIONS]
    if attention is None:
        if None in sizes:
            raise UnknownModule(f"{name}: no q_proj, k_proj and v_proj: give attention=(heads × size, kv elements)")
        query, key, value = (linear.out_features for linear in sizes if linear is not None)
        attention = (query, key + value)
    element = next(iter(linears.values())).weight.element_size()
    weights = sum(linear.weight.numel() for linear in linears.values())
    weight_bytes = sum(linear.weight.numel() * linear.weight.element_size() for linear in linears.values())
    width, kept = attention
    return Part(name, weights, weight_bytes, width, kept, kept * element)


def _one(linears: Mapping[str, Any], ending: str) -> Any:
    return next((linear for path, linear in linears.items() if path.split(".")[-1] == ending), None)


def _linear_part(name: str, linear: Any) -> Part:
    return Part(name, linear.weight.numel(), linear.weight.numel() * linear.weight.element_size())


def _linears(module: Any) -> dict[str, Any]:
    return {path: each for path, each in module.named_modules() if isinstance(each, _nn().Linear)}


def _find_layers(model: Any) -> Sequence[Any]:
    lists = [
        each
        for path, each in model.named_modules()
        if isinstance(each, _nn().ModuleList) and path.split(".")[-1] in _LAYER_LISTS
    ]
    if not lists:
        raise UnknownModule(f"no module list named {', '.join(_LAYER_LISTS)}: give layers")
    longest: Sequence[Any] = max(lists, key=len)
    return longest


def _find_head(model: Any, layers: Sequence[Any], vocabulary: int) -> Any:
    inside = {id(each) for layer in layers for each in layer.modules()}
    outside = (each for each in _linears(model).values() if id(each) not in inside)
    return next((each for each in outside if each.out_features == vocabulary), None)


def _nn() -> Any:
    try:
        from torch import nn
    except ImportError:
        raise MissingExtra("torch") from None
    return nn
