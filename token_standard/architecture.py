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

_NOT_COUNTS = {"attention", "experts", "windows", "sparse", "linear", "kind", "gated", "output_gate"}
_MAY_BE_ZERO = {
    "Architecture": {"intermediate", "adapter_weights"},
    "Experts": {"shared"},
    "LatentAttention": {"q_rank"},
    "LinearAttention": {"convolution"},
}
# Younger than the first cards, whose digests must not change: absent where unused, also inside the attention.
_LEFT_OUT_WHEN_UNUSED = ("sparse", "adapter_weights", "linear", "output_gate")
# FLOP of one token per element of a head's state. Decay 1, outer product 2, read by the query 2; the delta rule
# first reads what the state holds under the key, 2 more.
_STATE_FLOPS = {"lightning": 5, "gated_delta": 7}


class InvalidArchitecture(TokenStandardError):
    code = "invalid_architecture"


@dataclass(frozen=True)
class GroupedAttention:
    """Multi-head attention; fewer key/value heads than heads makes it grouped-query."""

    heads: int
    kv_heads: int
    head_dim: int
    kind: Literal["grouped"] = "grouped"
    output_gate: bool = False  # a matrix as large as the queries' gates what the heads give out (Qwen3-Next)

    def weights(self, hidden: int) -> int:
        """Elements of the query, output, gate, key and value matrices of one layer."""
        of_heads = 3 if self.output_gate else 2
        return of_heads * hidden * self.heads * self.head_dim + 2 * hidden * self.kv_heads * self.head_dim

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
    q_rank: int  # 0: queries come straight from the hidden state
    kv_rank: int
    nope_dim: int
    rope_dim: int
    value_dim: int
    kind: Literal["latent"] = "latent"

    def weights(self, hidden: int) -> int:
        """Elements of the projections of one layer."""
        query_dim = self.heads * (self.nope_dim + self.rope_dim)
        queries = (hidden + query_dim) * self.q_rank if self.q_rank else hidden * query_dim
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
class Sparse:
    """Every layer attends to the ``top_k`` positions that a small indexer picks out of all (DeepSeek's DSA)."""

    top_k: int
    index_heads: int
    index_dim: int

    def weights(self, hidden: int, q_rank: int) -> int:
        """Elements of one layer's indexer: queries from the compressed query, one key, one weight a head."""
        return (q_rank or hidden) * self.index_heads * self.index_dim + hidden * (self.index_dim + self.index_heads)

    @property
    def index_flops(self) -> int:
        """FLOP per (query, key) pair and layer, over all positions."""
        return 2 * self.index_heads * self.index_dim


@dataclass(frozen=True)
class LinearAttention:
    """``layers`` that keep a state of fixed size instead of keys and values: nothing in them grows with the context.

    Each value head has a state of ``key_dim`` × ``value_dim``. ``gated_delta`` is the gated delta rule (Qwen3-Next),
    whose queries, keys and values pass a short ``convolution`` of so many taps (0: none) and which computes decay and
    step size of each head from the token; ``lightning`` (MiniMax-01) decays at a fixed rate. Both gate their output.
    """

    layers: int
    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    kind: Literal["gated_delta", "lightning"]
    convolution: int = 0

    def weights(self, hidden: int) -> int:
        """Elements of one layer: queries, keys, values, gate, output, and of the delta rule two numbers a head."""
        keys, values = self.key_heads * self.key_dim, self.value_heads * self.value_dim
        per_head = 2 * self.value_heads if self.kind == "gated_delta" else 0
        return hidden * (2 * keys + 3 * values + per_head) + self.convolution * self._channels

    @property
    def state_flops(self) -> int:
        """FLOP per token and layer that bring the state up to date and read it, by the recurrence."""
        return _STATE_FLOPS[self.kind] * self._matrix_elements

    @property
    def state_elements(self) -> int:
        """Elements kept per sequence and layer: the heads' states, and the inputs that the convolution still needs."""
        return self._matrix_elements + max(self.convolution - 1, 0) * self._channels

    @property
    def _matrix_elements(self) -> int:
        return self.value_heads * self.key_dim * self.value_dim

    @property
    def _channels(self) -> int:
        return 2 * self.key_heads * self.key_dim + self.value_heads * self.value_dim


@dataclass(frozen=True)
class Reach:
    """Layers that attend equally far, summed: what one attended position costs. ``width`` None is all positions."""

    width: int | None
    prefill_flops: int
    decode_flops: int
    cached_elements: int  # read once from the cache when an uncached prompt goes on from it
    read_elements: int  # read for each generated token


@dataclass(frozen=True)
class Work:
    """All that a conversion needs to know of a model. The first reach is the one without a width."""

    active_weights: Fraction  # elements that one token uses, the output matrix not among them
    total_weights: int  # elements of all layers
    dense_weights: int  # elements that every token uses
    head_weights: int  # elements of the output matrix
    expert_read: Fraction  # routed experts' elements read per generated token, at the version's expert batch
    kv_elements: int  # written per token
    reaches: tuple[Reach, ...]
    state_flops: int = 0  # per token, of layers with linear attention
    state_moved: int = 0  # elements of their states, read and written: for each generated token, and each prompt chunk


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
    sparse: Sparse | None = None
    adapter_weights: int = 0  # elements of LoRA adapters that every token passes through, all layers
    linear: LinearAttention | None = None  # its layers are among ``layers``

    def __post_init__(self) -> None:
        for part in (self, self.attention, self.experts, self.sparse, self.linear, *self.windows):
            if part is not None:
                _check_counts(part)
        self._check_linear()
        if sum(window.layers for window in self.windows) > self.layers:
            raise InvalidArchitecture("more windowed layers than layers")
        if self.windows and self.sparse:
            raise InvalidArchitecture("sparse attention is of all layers: no windows beside it")
        if isinstance(self.attention, GroupedAttention) and self.attention.heads % self.attention.kv_heads:
            raise InvalidArchitecture("heads must be a multiple of kv_heads")
        if self.experts and (self.experts.layers > self.layers or self.experts.top_k > self.experts.count):
            raise InvalidArchitecture("more expert layers than layers, or top_k above the number of experts")
        if (self.dense_layers > 0) != (self.intermediate > 0):
            raise InvalidArchitecture("intermediate belongs to dense layers: give both or neither")

    def _check_linear(self) -> None:
        if self.linear is None:
            return
        if self.linear.kind not in _STATE_FLOPS:
            raise InvalidArchitecture(f"no such linear attention: {self.linear.kind!r}")
        if self.linear.value_heads % self.linear.key_heads:
            raise InvalidArchitecture("value_heads must be a multiple of key_heads")
        if self.sparse:
            raise InvalidArchitecture("sparse attention is of all layers: no linear ones beside it")
        if self.attention_layers < 1 or self.full_layers < 0:
            raise InvalidArchitecture("more linear layers than a hybrid model has beside its others")

    @property
    def attention_layers(self) -> int:
        """Layers that keep keys and values."""
        return self.layers - (self.linear.layers if self.linear else 0)

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
            self.attention_layers * self.attention.weights(self.hidden)
            + (self.linear.layers * self.linear.weights(self.hidden) if self.linear else 0)
            + self.dense_layers * self._matrices * self.hidden * self.intermediate
            + self._always_on_weights
            + self.layers * self._indexer_weights
            + self.adapter_weights
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
        return self.attention_layers * (self.attention.kv_elements + (self.sparse.index_dim if self.sparse else 0))

    @property
    def full_layers(self) -> int:
        """Layers that attend to the whole context."""
        return self.attention_layers - sum(window.layers for window in self.windows)

    @property
    def state_flops(self) -> int:
        """FLOP per token on the states of linear attention, all layers."""
        return self.linear.layers * self.linear.state_flops if self.linear else 0

    @property
    def state_elements(self) -> int:
        """Elements of state kept per sequence, all layers."""
        return self.linear.layers * self.linear.state_elements if self.linear else 0

    def touched_weights(self, tokens: int) -> Fraction:
        """Elements of routed experts that a batch of ``tokens`` reads on average, all layers."""
        return self.experts.touched(tokens) * self.expert_weights if self.experts else Fraction(0)

    def attended(self, context: int) -> int:
        """Sum over layers of the positions that a token at ``context`` (itself included) attends to."""
        if self.sparse:
            return self.layers * min(context, self.sparse.top_k)
        windowed = sum(window.layers * min(context, window.width) for window in self.windows)
        return self.full_layers * context + windowed

    def generation_flops(self, context: int) -> int:
        """FLOP of one generated token that attends to ``context`` positions, before any format's discount."""
        linear = FLOPS_PER_WEIGHT * (self.active_weights + self.head_weights)
        indexing = self.layers * self.sparse.index_flops * context if self.sparse else 0
        return linear + self.attention.decode_flops * self.attended(context) + indexing + self.state_flops

    def work(self, *, expert_batch: int) -> Work:
        """The sums that coefficients are made of, routed experts shared by a batch of ``expert_batch`` tokens."""
        return Work(
            active_weights=Fraction(self.active_weights),
            total_weights=self.total_weights,
            dense_weights=self.dense_weights,
            head_weights=self.head_weights,
            expert_read=self.touched_weights(expert_batch) / expert_batch,
            kv_elements=self.kv_elements,
            reaches=self._sparse_reaches(self.sparse) if self.sparse else self._reaches(),
            state_flops=self.state_flops,
            state_moved=2 * self.state_elements,
        )

    def _reaches(self) -> tuple[Reach, ...]:
        each = self.attention

        def reach(layers: int, width: int | None) -> Reach:
            kept = layers * each.kv_elements
            return Reach(width, layers * each.prefill_flops, layers * each.decode_flops, kept, kept)

        return (reach(self.full_layers, None), *(reach(window.layers, window.width) for window in self.windows))

    def _sparse_reaches(self, sparse: Sparse) -> tuple[Reach, ...]:
        """The indexer sees every position; attention those it picks. Different queries pick different ones, so a
        cached prompt is read whole."""
        each, index = self.attention, self.layers * sparse.index_flops
        return (
            Reach(None, index, index, self.kv_elements, self.layers * sparse.index_dim),
            Reach(
                sparse.top_k,
                self.layers * each.prefill_flops,
                self.layers * each.decode_flops,
                0,
                self.layers * each.kv_elements,
            ),
        )

    @property
    def _indexer_weights(self) -> int:
        if self.sparse is None:
            return 0
        rank = self.attention.q_rank if isinstance(self.attention, LatentAttention) else 0
        return self.sparse.weights(self.hidden, rank)

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
    plain["attention"] = _used(plain["attention"])
    return _used(plain)


def _used(plain: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in plain.items() if value or name not in _LEFT_OUT_WHEN_UNUSED}


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
        values["sparse"] = Sparse(**values["sparse"]) if values.get("sparse") else None
        values["linear"] = LinearAttention(**values["linear"]) if values.get("linear") else None
        return Architecture(**values)
    except (KeyError, TypeError) as error:
        raise InvalidArchitecture(f"not an architecture: {error}") from error


def _check_counts(part: object) -> None:
    """Every count is a whole number above zero, but for a few that say by zero that something is not there."""
    may_be_zero = _MAY_BE_ZERO.get(type(part).__name__, set())
    for name, value in vars(part).items():
        if name in _NOT_COUNTS:
            continue
        lowest = 0 if name in may_be_zero else 1
        if type(value) is not int or value < lowest:
            raise InvalidArchitecture(f"{name} must be a whole number of at least {lowest}, not {value!r}")
