"""What the learned correction looks at: shares of the physics terms, the load, the device, the structure."""

from collections.abc import Sequence
from math import log

from token_standard.architecture import Architecture, GroupedAttention
from token_standard.learned import terms
from token_standard.learned.devices import Device
from token_standard.learned.terms import Deployment, Load

ENGINES = ("vllm", "sglang", "trtllm")
TILE = 128  # tokens that a matrix kernel computes at a time


def decode(deployment: Deployment, shape: Architecture, load: Load, parts: Sequence[float]) -> list[float]:
    """``parts`` are the fitted seconds of each term, of which the shares are taken."""
    return [*_common(deployment, shape, load, parts), log(load.output), log(shape.kv_elements)]


def prefill(deployment: Deployment, shape: Architecture, load: Load, parts: Sequence[float]) -> list[float]:
    return _common(deployment, shape, load, parts)


def unnamed(deployment: Deployment, shape: Architecture, load: Load, parts: Sequence[float]) -> list[float]:
    """What a correction for a model or device that was never measured may look at: nothing that tells them apart.

    That is the shares of the terms, the load, the format, the kind of structure and the engine, without the figures
    of the device, the sizes of the model, and the seconds of the physics.
    """
    return [
        *_shares(parts)[:-1],
        log(load.concurrency),
        log(load.input),
        log(deployment.tensor_parallel),
        log(deployment.groups),
        *_kind(deployment, shape),
    ]


def layer(device: Device, shape: Architecture, tokens: int, tp: int, parts: Sequence[float]) -> list[float]:
    kv_share = (
        shape.attention.kv_heads / shape.attention.heads if isinstance(shape.attention, GroupedAttention) else 1.0
    )
    tiles = -(-tokens // TILE)
    return [
        *_shares(parts),
        log(tokens),
        log(shape.hidden),
        log(shape.intermediate / tp),
        log(tp),
        kv_share,
        float(shape.gated),
        (tiles * TILE - tokens) / TILE,
        float(tiles),
        log(device.balance),
        log(shape.hidden * (1 + 2 * kv_share) / tp),
    ]


def structure(shape: Architecture) -> list[float]:
    """By which a model is told from others."""
    return [log(shape.active_weights), log(shape.total_weights), log(shape.kv_elements)]


def silicon(device: Device) -> list[float]:
    """By which a device is told from others."""
    return [log(device.balance), log(device.gbps)]


def extent(deployment: Deployment, load: Load) -> list[float]:
    """What must lie in the range that was measured: load, and how many devices share it."""
    sizes = (load.concurrency, load.input, deployment.tensor_parallel, deployment.groups)
    return [log(size) for size in sizes]


def _common(deployment: Deployment, shape: Architecture, load: Load, parts: Sequence[float]) -> list[float]:
    return [
        *_shares(parts),
        log(load.concurrency),
        log(load.input),
        log(deployment.tensor_parallel),
        log(deployment.groups),
        *silicon(deployment.device),
        *_kind(deployment, shape),
        *structure(shape)[:2],
    ]


def _kind(deployment: Deployment, shape: Architecture) -> list[float]:
    return [
        deployment.format.w,
        deployment.format.v,
        float(shape.experts is not None),
        float(terms.is_latent(shape)),
        *(float(deployment.engine == engine) for engine in ENGINES),
    ]


def _shares(parts: Sequence[float]) -> list[float]:
    whole = sum(parts)
    return [*(part / whole for part in parts), log(whole)]
