"""From an engine's text to a snapshot."""

from __future__ import annotations

from collections.abc import Mapping

from tokenspot_client.engines import exposition, llamacpp, mindie, sglang, tgi, triton, vllm
from tokenspot_client.engines.snapshot import Names, Snapshot, UnknownEngine, build, known_families

ENGINES: Mapping[str, Names] = {
    module.NAMES.engine: module.NAMES for module in (vllm, sglang, tgi, llamacpp, mindie, triton)
}


def read(
    text: str, *, engine: str | None = None, model: str | None = None, process_start: float | None = None
) -> Snapshot:
    """Read what ``/metrics`` answered.

    :param engine: one of :data:`ENGINES`; without it the names tell.
    :param model: count only this model's series; without it all of the server's.
    :param process_start: seconds since 1970, for engines that say it elsewhere (llama.cpp: in a header).
    :raises MalformedMetrics: not metrics, cut short, or a number that cannot be; names the line.
    :raises UnknownEngine: no known names, or those of several engines.
    :raises MissingCounters: a counter that this engine always has is not there.
    """
    parsed = exposition.parse(text)
    names = _detect(parsed) if engine is None else _named(engine)
    others = frozenset().union(*(known_families(other) for other in ENGINES.values() if other is not names))
    return build(names, parsed, model=model, process_start=process_start, also_known=others)


def _named(engine: str) -> Names:
    if engine not in ENGINES:
        raise UnknownEngine(f"unknown engine {engine!r}; known: {', '.join(ENGINES)}")
    return ENGINES[engine]


def _detect(parsed: exposition.Exposition) -> Names:
    spelled = {*parsed.samples, *parsed.types}
    found = [names for names in ENGINES.values() if any(name.startswith(names.prefixes) for name in spelled)]
    if len(found) != 1:
        told = " and ".join(names.engine for names in found) or "no known engine"
        raise UnknownEngine(f"these are metrics of {told}: name the engine")
    return found[0]
