"""What metering does: take records in, settle what has become quiet."""

from metering_ingest.services.ingest import (
    IngestResult,
    Outcome,
    Submission,
    Taken,
    ingest,
    ingest_records,
    sender_of,
    take,
)
from metering_ingest.services.partitions import make_partitions
from metering_ingest.services.resolving import reject, release
from metering_ingest.services.rows import Sender
from metering_ingest.services.settle import settle

__all__ = [
    "IngestResult",
    "Outcome",
    "Sender",
    "Submission",
    "Taken",
    "ingest",
    "ingest_records",
    "make_partitions",
    "reject",
    "release",
    "sender_of",
    "settle",
    "take",
]
