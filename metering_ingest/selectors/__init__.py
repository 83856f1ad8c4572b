"""Reads of metering."""

from metering_ingest.selectors.cases import (
    EpochView,
    conflicts,
    conflicts_of,
    epochs_of,
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
    buckets_of,
    last_settled_sequence,
    latest_settled,
    records_of,
    settled_after,
    totals,
)

__all__ = [
    "Breach",
    "BucketView",
    "DisputeView",
    "EpochView",
    "RecordView",
    "SettledBucket",
    "Totals",
    "buckets_of",
    "conflicts",
    "conflicts_of",
    "disputes_many",
    "disputes_wanting_money",
    "epochs_of",
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
]
