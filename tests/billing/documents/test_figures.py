import hashlib
import json
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

import msgspec
import pytest

from billing.documents.figures import UnusableHeader, freeze, from_dict
from billing.kernel import invoice
from tests.billing.documents import sample


class TestFreeze:
    def test_writes_every_number_once_and_exactly(self):
        figures = sample.document(120)

        assert len(figures.lines) == 120
        assert Decimal(figures.exact_amount) == Decimal(figures.total) + Decimal(figures.rounding)
        assert Decimal(figures.exact_amount) == sum(Decimal(line.exact_amount) for line in figures.lines)
        assert Decimal(figures.total) == sum(Decimal(line.amount) for line in figures.lines)
        assert Decimal(figures.total) == Decimal(figures.net) + Decimal(figures.tax)
        assert Decimal(figures.total) == sum(Decimal(tax.gross) for tax in figures.taxes)
        for line in figures.lines:
            assert Decimal(line.amount) == Decimal(line.amount_fen) / 100
            assert Decimal(line.quantity_million_st) * 10**12 == line.micro_st
            assert Decimal(line.price_per_st) * 10**6 == Decimal(line.price_per_million_st)

    def test_names_the_days_of_the_market_and_the_instants_of_utc(self):
        figures = sample.document()

        assert (figures.period_start, figures.period_end) == ("2026-10-31T16:00:00Z", "2026-11-30T16:00:00Z")
        assert (figures.first_date, figures.last_date, figures.issue_date) == ("2026-11-01", "2026-11-30", "2026-12-04")

    def test_survives_storage_as_json(self):
        figures = sample.document(12)

        stored = json.loads(json.dumps(figures.as_dict()))

        assert from_dict(stored) == figures
        assert from_dict(stored).digest == figures.digest

    def test_refuses_a_stored_set_with_something_missing(self):
        stored = sample.document().as_dict()
        del stored["total"]

        with pytest.raises(msgspec.ValidationError):
            from_dict(stored)

    def test_has_a_digest_that_anybody_can_recompute_and_one_fen_changes(self):
        figures = sample.document()
        text = json.dumps(figures.as_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

        assert hashlib.sha256(text.encode()).hexdigest() == figures.digest
        assert figures.verification_code.replace("-", "") == figures.digest[:20]
        assert replace(figures, total_fen=figures.total_fen + 1).digest != figures.digest

    @pytest.mark.parametrize(
        "changes",
        [
            {"due_fen": 1},
            {"due_date": date(2026, 12, 20)},
            {"due_fen": 10**15, "due_date": date(2026, 12, 20)},
            {"due_fen": -1, "due_date": date(2026, 12, 20)},
            {"settled_micros": -1},
            {"issued_at": datetime(2026, 12, 4)},
            {"link": "javascript:alert(1)"},
        ],
    )
    def test_refuses_a_header_that_contradicts_the_figures(self, changes):
        figures = invoice.figures(sample.rated(2))

        with pytest.raises(UnusableHeader):
            freeze(replace(sample.HEADER, **changes), figures)
