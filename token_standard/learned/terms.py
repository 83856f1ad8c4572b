"""The physics: how many seconds each resource of a deployment would take at its data sheet's figures.

Every term is at least 0 and a fitted coefficient multiplies it, so an estimate is a sum of named parts and a better
device never makes a part larger. Three kinds of measurement have terms of their own:

- ``decode``: one generated token of every sequence, of a server with continuous batching or of a static batch;
- ``prefill``: the time to the first token;
- ``layer``: one transformer layer without attention, for a batch of tokens.
"""

from dataclasses import dataclass

from token_standard.architecture import FLOPS_PER_WEIGHT, Architecture, GroupedAttention, LatentAttention, Window
from token_standard.errors import TokenStandardError
from token_standard.learned.devices import Device
from token_standard.learned.formats import ServedFormat

MICROSECOND = 1e-6
ACTIVATION_BYTES = 2  # activations between layers stay 16 bit wide
REDUCTIONS = 2  # of a layer under tensor parallelism: after attention, after the feed-forward part
PLAIN_ENGINE = "other"


class InvalidDeployment(TokenStandardError):
    code = "invalid_deployment"


@dataclass(frozen=True)
class Deployment:
    """A model on devices: ``tensor_parallel`` of them hold one copy of the attention part.

    More devices than that are copies of a dense model, which share the load; of a model with routed experts they
    share the experts and split the sequences ("attention data parallel").

    :raises InvalidDeployment: devices that are not a multiple of ``tensor_parallel``.
    """

    device: Device
    format: ServedFormat
    tensor_parallel: int = 1
    devices: int = 0  # 0: as many as tensor_parallel
    engine: str = PLAIN_ENGINE  # vllm, sglang, trtllm; anything else counts as "other"

    def __post_init__(self) -> None:
        if self.tensor_parallel < 1 or self.devices < 0 or self.devices % self.tensor_parallel:
            raise InvalidDeployment("devices must be a multiple of tensor_parallel, both at least 1")

    @property
    def groups(self) -> int:
        """Copies of the attention part."""
        return max(1, self.devices // self.tensor_parallel)


@dataclass(frozen=True)
class Load:
    """``concurrency`` sequences at a time, each of ``input`` prompt and ``output`` generated tokens.

    ``static``: they start and end together, so no prompt is read while tokens are generated.

    :raises InvalidDeployment: a number that is not above zero.
    """

    concurrency: float
    input: float
    output: float
    static: bool = False

    def __post_init__(self) -> None:
        if not all(0 < number < float("inf") for number in (self.concurrency, self.input, self.output)):
            raise InvalidDeployment("concurrency, input and output must be numbers above zero")


DECODE = (
    "weights",  # reading dense weights and output matrix
    "experts",  # reading the routed experts that the batch touches
    "kv",  # reading keys and values of all positions
    "matrices",  # arithmetic of the weight matrices
    "expert matrices",  # the same in a model with routed experts, whose matrices are narrow
    "attention",  # arithmetic of attention
    "interference",  # prompts read between the steps
    "expert interference",  # the same in a model with routed experts
    "layers",  # launches and waits, per layer
    "expert layers",  # the same in a model with routed experts
    "sync",  # per layer that devices wait for each other
    "exchange",  # bytes between devices
    "sequences",  # host work per sequence
)
PREFILL = (
    "matrices",
    "attention",
    "weights",
    "layers",
    "sync",
    "exchange",
    "waiting",  # the prompts of the others
)
LAYER = ("matrices", "weights", "activations", "constant")


def decode(deployment: Deployment, shape: Architecture, load: Load) -> tuple[float, ...]:
    """Seconds per generated token of each part, in the order of :data:`DECODE`."""
    place = _place(deployment, shape, load)
    context = load.input + load.output / 2
    kv_elements = shape.attention.kv_elements * _attended(shape, context)
    linear = FLOPS_PER_WEIGHT * (shape.active_weights + shape.head_weights) * place.step
    prompts = 0.0 if load.static else _prompt_seconds(place, shape, load.input) * place.step / load.output
    return (
        place.w * (shape.dense_weights + shape.head_weights) / place.tp / place.bandwidth,
        place.w * _touched(shape, place.step) / place.world / place.bandwidth,
        place.v * kv_elements * place.local / _kv_shards(shape, place.tp) / place.bandwidth,
        *_by_kind(shape, linear / place.world / place.flops),
        shape.attention.decode_flops * _attended(shape, context) * place.local / place.tp / place.flops16,
        *_by_kind(shape, prompts),
        *_by_kind(shape, shape.layers * MICROSECOND),
        shape.layers * MICROSECOND if place.world > 1 else 0.0,
        _exchange(place, shape, place.local),
        place.step * MICROSECOND,
    )


def prefill(deployment: Deployment, shape: Architecture, load: Load) -> tuple[float, ...]:
    """Seconds to the first token of each part, in the order of :data:`PREFILL`."""
    place = _place(deployment, shape, load)
    together = place.local if load.static else 1.0
    linear = FLOPS_PER_WEIGHT * (shape.active_weights * load.input + shape.head_weights) * together
    read = place.w * (shape.dense_weights + shape.head_weights) / place.tp
    read += place.w * _touched(shape, load.input * together) / place.world
    return (
        linear / place.tp / place.flops,
        _prompt_attention(shape, load.input) * together / place.tp / place.flops16,
        read / place.bandwidth,
        shape.layers * MICROSECOND,
        shape.layers * MICROSECOND if place.world > 1 else 0.0,
        _exchange(place, shape, load.input * together),
        0.0 if load.static else _prompt_seconds(place, shape, load.input) * (place.step - 1),
    )


def layer(device: Device, shape: Architecture, *, tokens: int, tensor_parallel: int) -> tuple[float, ...]:
    """Seconds of each part of one layer without attention, in the order of :data:`LAYER`; 16-bit weights."""
    hidden, feed_forward = shape.hidden, shape.intermediate
    weights = (shape.dense_weights / shape.layers) / tensor_parallel
    moved = 8 * hidden + (4 * feed_forward + 3 * hidden) / tensor_parallel
    return (
        FLOPS_PER_WEIGHT * weights * tokens / device.flops("fp16"),
        2 * weights / device.bytes_per_second,
        ACTIVATION_BYTES * tokens * moved / device.bytes_per_second,
        10 * MICROSECOND,
    )


@dataclass(frozen=True)
class _Place:
    """What a load meets on one copy of the model."""

    tp: int
    world: int  # devices that share the experts
    step: float  # sequences in one step of this copy
    local: float  # sequences of one attention group
    w: float
    v: float
    flops: float
    flops16: float
    bandwidth: float
    link: float


def _place(deployment: Deployment, shape: Architecture, load: Load) -> _Place:
    groups, tp = deployment.groups, deployment.tensor_parallel
    shared = shape.experts is not None
    local = max(1.0, load.concurrency / groups)
    device = deployment.device
    return _Place(
        tp=tp,
        world=tp * groups if shared else tp,
        step=max(1.0, load.concurrency) if shared else local,
        local=local,
        w=deployment.format.w,
        v=deployment.format.v,
        flops=device.flops(deployment.format.arithmetic),
        flops16=device.flops("fp16"),
        bandwidth=device.bytes_per_second,
        link=device.link_bytes_per_second,
    )


def _by_kind(shape: Architecture, seconds: float) -> tuple[float, float]:
    """A term of dense models and the same of models with routed experts, of which one is zero."""
    return (seconds, 0.0) if shape.experts is None else (0.0, seconds)


def _attended(shape: Architecture, context: float) -> float:
    if shape.sparse:
        return shape.layers * min(context, shape.sparse.top_k)
    windowed = sum(window.layers * min(context, window.width) for window in shape.windows)
    return shape.full_layers * context + windowed


def _touched(shape: Architecture, tokens: float) -> float:
    """Elements of routed experts that a batch reads on average, all layers."""
    if shape.experts is None:
        return 0.0
    missed: float = (1 - shape.experts.top_k / shape.experts.count) ** tokens
    return shape.experts.count * (1 - missed) * shape.expert_weights


def _kv_shards(shape: Architecture, tp: int) -> int:
    """Devices that keys and values spread over; each keeps a whole latent vector or key/value head."""
    return min(tp, shape.attention.kv_heads) if isinstance(shape.attention, GroupedAttention) else 1


def _prompt_attention(shape: Architecture, tokens: float) -> float:
    """FLOP of attention over a prompt."""
    windows = shape.windows
    if shape.sparse:
        windows = (Window(shape.layers, shape.sparse.top_k),)
    pairs = (shape.attention_layers - sum(window.layers for window in windows)) * tokens * tokens / 2
    for window in windows:
        inside = min(tokens, window.width)
        pairs += window.layers * (inside * inside / 2 + (tokens - inside) * inside)
    return shape.attention.prefill_flops * pairs


def _prompt_seconds(place: _Place, shape: Architecture, tokens: float) -> float:
    linear = FLOPS_PER_WEIGHT * shape.active_weights * tokens / place.flops
    return (linear + _prompt_attention(shape, tokens) / place.flops16) / place.world


def _exchange(place: _Place, shape: Architecture, tokens: float) -> float:
    """Seconds of ring reductions: every device sends and gets (n-1)/n of the activations, twice."""
    sent = 2 * REDUCTIONS * shape.layers * shape.hidden * ACTIVATION_BYTES * tokens
    return sent * (place.tp - 1) / place.tp / place.link


def kv_bytes(deployment: Deployment, shape: Architecture, load: Load) -> float:
    """Bytes of keys and values on each device when every prompt is read."""
    place = _place(deployment, shape, load)
    kept = shape.attention.kv_elements * _attended(shape, load.input)
    return place.v * kept * place.local / _kv_shards(shape, place.tp)


def is_latent(shape: Architecture) -> bool:
    return isinstance(shape.attention, LatentAttention)
