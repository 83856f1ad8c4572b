"""What metering does: take events in, settle what has become quiet."""

from metering_ingest.services.ingest import IngestResult, ingest, ingest_records
from metering_ingest.services.partitions import make_partitions
from metering_ingest.services.settle import settle

__all__ = ["IngestResult", "ingest", "ingest_records", "make_partitions", "settle"]
