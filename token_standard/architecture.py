"""A model's structure as integers, and what one token of it computes and moves.

FLOPs count 2 per multiply-add; norms, rotary embedding and softmax are left out (below 1 %), and so are embedding
rows and activations. Everything here is independent of the device and of the number format: weights and key/value
*elements* are counted, bytes are the card's affair. Source: README.md, "Formulas".
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Literal

from token_standard.errors import TokenStandardError

FLOPS_PER_WEIGHT = 2  # one multiply, one add
GATED_MATRICES = 3  # gate, up, down
PLAIN_MATRICES = 2  # up, down

_NOT_COUNTS = {"attention", "experts", "windows", "kind", "gated"}


class InvalidArchitecture(TokenStandardError):
    code = "invalid_architecture"


@dataclass(frozen=True)
class GroupedAttention:
    """Multi-head attention; fewer key/value heads than heads makes it grouped-query."""

    heads: int
    kv_heads: int
    head_dim: int
    kind: Literal["grouped"] = "grouped"

    def weights(self, hidden: int) -> int:
        """Elements of the query, output, key and value matrices of one layer."""
        return 2 * hidden * self.heads * self.head_dim + 2 * hidden * self.kv_heads * self.head_dim

    @property
    def prefill_flops(self) -> int:
        """FLOP per (query, key) pair and layer while reading a prompt: scores and weighted values."""
        return 4 * self.heads * self.head_dim

    @property
    def decode_flops(self) -> int:
        """FLOP per (query, key) pair and layer while generating."""
        return self.prefill_flops

    @property
    def kv_elements(self) -> int:
        """Elements kept per position and layer."""
        return 2 * self.kv_heads * self.head_dim


@dataclass(frozen=True)
class LatentAttention:
    """Multi-head latent attention (DeepSeek): one compressed key/value vector for all heads."""

    heads: int
    q_rank: int
    kv_rank: int
    nope_dim: int
    rope_dim: int
    value_dim: int
    kind: Literal["latent"] = "latent"

    def weights(self, hidden: int) -> int:
        """Elements of the projections of one layer."""
        queries = hidden * self.q_rank + self.q_rank * self.heads * (self.nope_dim + self.rope_dim)
        keys_values = hidden * (self.kv_rank + self.rope_dim)
        keys_values += self.kv_rank * self.heads * (self.nope_dim + self.value_dim)
        return queries + keys_values + self.heads * self.value_dim * hidden

    @property
    def prefill_flops(self) -> int:
        """FLOP per (query, key) pair and layer while reading a prompt, heads expanded."""
        return 2 * self.heads * (self.nope_dim + self.rope_dim + self.value_dim)

    @property
    def decode_flops(self) -> int:
        """FLOP per (query, key) pair and layer while generating, projections absorbed into the query."""
        return 2 * self.heads * (2 * self.kv_rank + self.rope_dim)

    @property
    def kv_elements(self) -> int:
        """Elements kept per position and layer."""
        return self.kv_rank + self.rope_dim


@dataclass(frozen=True)
class Experts:
    """Routed experts, in ``layers`` of the model's layers; the others are dense."""

    layers: int
    count: int
    top_k: int
    intermediate: int
    shared: int = 0  # experts of the same size that every token passes through

    def touched(self, tokens: int) -> Fraction:
        """Experts of a layer that a batch of ``tokens`` reads on average, routing taken as uniform."""
        return self.count * (1 - (1 - Fraction(self.top_k, self.count)) ** tokens)


@dataclass(frozen=True)
class Window:
    """``layers`` that attend to the last ``width`` positions only, the token itself included."""

    layers: int
    width: int


@dataclass(frozen=True)
class Architecture:
    """The structural integers of a decoder-only transformer.

    :raises InvalidArchitecture: a number that cannot be, such as more windowed layers than layers.
    """

    layers: int
    hidden: int
    vocabulary: int
    attention: GroupedAttention | LatentAttention
    intermediate: int = 0  # of the dense layers; 0 when every layer has experts
    gated: bool = True
    experts: Experts | None = None
    windows: tuple[Window, ...] = ()

    def __post_init__(self) -> None:
        for part in (self, self.attention, self.experts, *self.windows):
            if part is not None:
                _check_counts(part)
        if sum(window.layers for window in self.windows) > self.layers:
            raise InvalidArchitecture("more windowed layers than layers")
        if isinstance(self.attention, GroupedAttention) and self.attention.heads % self.attention.kv_heads:
            raise InvalidArchitecture("heads must be a multiple of kv_heads")
        if self.experts and (self.experts.layers > self.layers or self.experts.top_k > self.experts.count):
            raise InvalidArchitecture("more expert layers than layers, or top_k above the number of experts")
        if (self.dense_layers > 0) != (self.intermediate > 0):
            raise InvalidArchitecture("intermediate belongs to dense layers: give both or neither")

    @property
    def expert_layers(self) -> int:
        return self.experts.layers if self.experts else 0

    @property
    def dense_layers(self) -> int:
        return self.layers - self.expert_layers

    @property
    def head_weights(self) -> int:
        """Elements of the output matrix, used once for each generated token."""
        return self.hidden * self.vocabulary

    @property
    def dense_weights(self) -> int:
        """Elements of all layers that every token uses: attention, dense and shared feed-forward, routers."""
        return (
            self.layers * self.attention.weights(self.hidden)
            + self.dense_layers * self._matrices * self.hidden * self.intermediate
            + self._always_on_weights
        )

    @property
    def expert_weights(self) -> int:
        """Elements of one routed expert, over all expert layers."""
        return self.expert_layers * self._one_expert

    @property
    def active_weights(self) -> int:
        """Elements of all layers that one token uses; the output matrix is not among them."""
        return self.dense_weights + (self.experts.top_k * self.expert_weights if self.experts else 0)

    @property
    def total_weights(self) -> int:
        """Elements of all layers; embedding and output matrix are not among them."""
        return self.dense_weights + (self.experts.count * self.expert_weights if self.experts else 0)

    @property
    def parameters(self) -> int:
        """All elements, with embedding and output matrix counted apart."""
        return self.total_weights + 2 * self.head_weights

    @property
    def active_parameters(self) -> int:
        """Elements that produce one generated token."""
        return self.active_weights + self.head_weights

    @property
    def kv_elements(self) -> int:
        """Key and value elements written per token, all layers."""
        return self.layers * self.attention.kv_elements

    @property
    def full_layers(self) -> int:
        """Layers that attend to the whole context."""
        return self.layers - sum(window.layers for window in self.windows)

    def touched_weights(self, tokens: int) -> Fraction:
        """Elements of routed experts that a batch of ``tokens`` reads on average, all layers."""
        return self.experts.touched(tokens) * self.expert_weights if self.experts else Fraction(0)

    def attended(self, context: int) -> int:
        """Sum over layers of the positions that a token at ``context`` (itself included) attends to."""
        windowed = sum(window.layers * min(context, window.width) for window in self.windows)
        return self.full_layers * context + windowed

    def generation_flops(self, context: int) -> int:
        """FLOP of one generated token that attends to ``context`` positions, before any format's discount."""
        linear = FLOPS_PER_WEIGHT * (self.active_weights + self.head_weights)
        return linear + self.attention.decode_flops * self.attended(context)

    @property
    def _matrices(self) -> int:
        return GATED_MATRICES if self.gated else PLAIN_MATRICES

    @property
    def _one_expert(self) -> int:
        return self._matrices * self.hidden * self.experts.intermediate if self.experts else 0

    @property
    def _always_on_weights(self) -> int:
        if self.experts is None:
            return 0
        return self.experts.layers * (self.experts.shared * self._one_expert + self.hidden * self.experts.count)


def to_json(architecture: Architecture) -> dict[str, Any]:
    """Plain JSON values; :func:`from_json` gives the same architecture back."""
    plain = asdict(architecture)
    plain["windows"] = list(plain["windows"])
    return plain


def from_json(plain: Mapping[str, Any]) -> Architecture:
    """Read what :func:`to_json` wrote; fields with a default may be left out.

    :raises InvalidArchitecture: unknown, missing or impossible fields.
    """
    try:
        values = dict(plain)
        attention = dict(values.pop("attention"))
        kinds = {"grouped": GroupedAttention, "latent": LatentAttention}
        values["attention"] = kinds[attention["kind"]](**attention)
        values["experts"] = Experts(**values["experts"]) if values.get("experts") else None
        values["windows"] = tuple(Window(**window) for window in values.get("windows", ()))
        return Architecture(**values)
    except (KeyError, TypeError) as error:
        raise InvalidArchitecture(f"not an architecture: {error}") from error


def _check_counts(part: object) -> None:
    """Every count is a whole number above zero; only ``shared`` and a model's ``intermediate`` may be zero."""
    may_be_zero = {"intermediate"} if isinstance(part, Architecture) else {"shared"}
    for name, value in vars(part).items():
        if name in _NOT_COUNTS:
            continue
        lowest = 0 if name in may_be_zero else 1
        if type(value) is not int or value < lowest:
            raise InvalidArchitecture(f"{name} must be a whole number of at least {lowest}, not {value!r}")
