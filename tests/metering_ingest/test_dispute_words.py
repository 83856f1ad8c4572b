"""Every state, cause, rule, step and refusal has words in both languages; every address asks for its right."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from django.test import Client
from django.utils import translation
from django.utils.functional import Promise

from accounts.kernel import ids
from accounts.kernel.errors import DomainError
from accounts.selectors import organisations
from metering_ingest.kernel import comparing, work
from metering_ingest.kernel import dispute_rules as rules
from metering_ingest.kernel.events import UsageEvent
from metering_ingest.models import Backfill, Conflict
from metering_ingest.reconciliation_models import DisputeEvent
from metering_ingest.services import backfills, disputes, receipts, resolving
from metering_ingest.web import forms, labels
from tests.metering_ingest.scene import Bought, build
from tests.metering_ingest.test_dispute_pages import api

CHINESE = re.compile(r"[\u4e00-\u9fff]")
_ID = ids.encode("dsp", ids.new())
# Method, address, the scope that it asks for.
RIGHTS = [
    ("get", "reconciliation", "usage:read"),
    ("post", "receipts", "usage:write"),
    ("get", "disputes", "usage:read"),
    ("post", "disputes", "disputes:write"),
    ("get", f"disputes/{_ID}", "usage:read"),
    ("get", f"disputes/{_ID}/evidence", "usage:read"),
    *(
        ("get", path, "usage:read")
        for path in ("usage-records/x", "metering/conflicts", "metering/quarantine", "metering/gaps")
    ),
    *(
        ("get", f"metering/{path}", "usage:read")
        for path in ("backfills", "backfills/x", "backfills/x/results", "witnesses")
    ),
    *(("post", f"metering/quarantine/x/{action}", "usage:write") for action in ("release", "reject")),
    ("post", "metering/backfills", "usage:write"),
    ("post", "otlp/v1/metrics", "usage:write"),
    *(("post", f"disputes/{_ID}/{action}", "disputes:write") for action in ("reply", "accept", "escalate", "decide")),
]
# Why `classify` sets a record aside.
REASONS = (
    "unknown_allocation", "unknown_card", "future_time", "too_late", "outside_window", "aggregate_not_billable", "beyond_belief"
)  # fmt: skip
_SCOPES = {"usage:read", "usage:write", "disputes:write", "billing:write"}


@pytest.fixture
def bought(db: None) -> Bought:
    return build()


def in_both(word: str | Promise) -> tuple[str, str]:
    with translation.override("en"):
        english = str(word)
    with translation.override("zh-hans"):
        return english, str(word)


class TestWords:
    @pytest.mark.parametrize(
        ("known", "words"),
        [
            (labels.STATES, comparing.STATES),
            (labels.CAUSES, (*comparing.CAUSES, rules.WORK)),
            (labels.DISPUTE_STATES, rules.STATES),
            (labels.SIDES, (rules.RULE, *rules.PARTIES, rules.OPERATOR)),
            (labels.EVENTS, tuple(DisputeEvent.Kind.values)),
            (labels.RULES, (rules.GATEWAY_STANDS, rules.WITNESSES_AGREE, rules.RECOMPUTED, rules.SIGNED_COUNTS)),
            (labels.WORK_STATES, (work.WITHIN, work.SOFT, work.HARD)),
            (labels.QUARANTINE, REASONS),
            (labels.CONFLICTS, tuple(Conflict.Kind.values)),
            (labels.BACKFILL_STATES, tuple(Backfill.State.values)),
            (labels.RESULTS, ("accepted", "replayed", "conflict", "quarantined", "rejected")),
            (labels.FIELDS, tuple(name for name in UsageEvent.__struct_fields__ if name != "type")),
        ],
    )
    def test_stand_for_everything_there_is(self, known: Mapping[str, object], words: tuple[str, ...]) -> None:
        assert set(known) == set(words)
        for said in known.values():
            english, chinese = in_both(said[0] if isinstance(said, tuple) else said)  # type: ignore[arg-type]
            assert english and not CHINESE.search(english)
            assert CHINESE.search(chinese)

    def test_refusals_have_a_sentence(self) -> None:
        errors = [
            one for module in (disputes, receipts, resolving, backfills, organisations) for one in vars(module).values()
            if isinstance(one, type) and issubclass(one, DomainError) and one is not DomainError
        ]  # fmt: skip
        # A 404 is a page of its own, and a bad file is told by its line.
        codes = {one.code for one in errors} - {"not_found", "bad_receipts", "bad_file"}

        assert codes == set(labels.REFUSALS)
        for word in labels.REFUSALS.values():
            english, chinese = in_both(word)
            assert english.endswith(".") and CHINESE.search(chinese)

    def test_a_bad_file_names_its_line(self) -> None:
        form = forms.ReceiptsForm({}, {})
        form.full_clean()
        form.refuse(receipts.RefusedReceipts("x", line=7, field="time"))

        assert "7" in str(form.errors["file"]) and "time" in str(form.errors["file"])


class TestRights:
    @pytest.mark.parametrize(("method", "address", "scope"), RIGHTS)
    def test_each_address_asks_for_its_scope(self, bought: Bought, method: str, address: str, scope: str) -> None:
        def answer(client: Client) -> int:
            sent = {"content_type": "text/csv"} if address == "receipts" else {"content_type": "application/json"}
            more = {} if method == "get" else {"data": "", **sent, "headers": {"idempotency-key": "k"}}
            return int(getattr(client, method)(f"/api/v1/{address}", **more).status_code)

        assert answer(Client()) == 401
        assert answer(api(bought.buyer, *sorted(_SCOPES - {scope}))) == 403
        assert answer(api(bought.buyer, scope)) in {200, 400, 404}
