"""Names of the metering tasks."""

SETTLE = "metering_ingest.settle"
PARTITIONS = "metering_ingest.partitions"
