"""Reads of metering."""

from metering_ingest.selectors import backfills
from metering_ingest.selectors.cases import (
    EpochView,
    conflict_page,
    conflicts,
    conflicts_of,
    contents_of,
    epochs_of,
    last_proof,
    quarantine_page,
    quarantined,
    receipt,
    waiting_of,
)
from metering_ingest.selectors.checks import Breach, verify
from metering_ingest.selectors.disputes import DisputeView, disputes_many, disputes_wanting_money
from metering_ingest.selectors.usage import (
    BucketView,
    RecordView,
    SettledBucket,
    Totals,
    WitnessHour,
    buckets_of,
    last_settled_sequence,
    latest_settled,
    records_of,
    settled_after,
    totals,
    witness_hours,
)

__all__ = [
    "Breach",
    "BucketView",
    "DisputeView",
    "EpochView",
    "RecordView",
    "SettledBucket",
    "Totals",
    "WitnessHour",
    "backfills",
    "buckets_of",
    "conflict_page",
    "conflicts",
    "conflicts_of",
    "contents_of",
    "disputes_many",
    "disputes_wanting_money",
    "epochs_of",
    "last_proof",
    "last_settled_sequence",
    "latest_settled",
    "quarantine_page",
    "quarantined",
    "receipt",
    "records_of",
    "settled_after",
    "totals",
    "verify",
    "waiting_of",
    "witness_hours",
]
