"""Engine readers: what an inference server counted, and whether its figures agree. Standard library only."""

from tokenspot_client.engines.exposition import MalformedMetrics
from tokenspot_client.engines.reading import ENGINES, read
from tokenspot_client.engines.snapshot import MissingCounters, Snapshot, UnknownEngine
from tokenspot_client.engines.usage import MalformedUsage, NoUsage, Usage, read_answer, read_stream, read_usage
from tokenspot_client.engines.windows import Finding, NotComparable, Verdict, Window, breaches, check, delta

__all__ = [
    "ENGINES",
    "Finding",
    "MalformedMetrics",
    "MalformedUsage",
    "MissingCounters",
    "NoUsage",
    "NotComparable",
    "Snapshot",
    "UnknownEngine",
    "Usage",
    "Verdict",
    "Window",
    "breaches",
    "check",
    "delta",
    "read",
    "read_answer",
    "read_stream",
    "read_usage",
]
