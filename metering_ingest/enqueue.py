"""Names of the metering tasks."""

SETTLE = "metering_ingest.settle"
PARTITIONS = "metering_ingest.partitions"
RECONCILE = "metering_ingest.reconcile"
DISPUTES = "metering_ingest.disputes"
BACKFILL = "metering_ingest.backfill"
PROVE = "metering_ingest.prove"
