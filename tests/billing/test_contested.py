"""Money of disputes: frozen once, given to whoever is right, in every order of freezing, closing and settling."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from billing import selectors, services
from billing.models import AllocationPosting, ContestedAmount, DayClose
from ledger import selectors as ledger
from ledger import services as accounts
from metering_ingest import selectors as metering_checks
from metering_ingest import services as metering
from metering_ingest.kernel.events import Voided
from metering_ingest.reconciliation_models import Dispute
from metering_ingest.services import disputes
from metering_ingest.services.reconcile import reconcile_due
from tests.billing.scene import LATER, drain, issue
from tests.metering_ingest.meters import OVER, send
from tests.metering_ingest.scene import Bought, event

SIZE = {"prompt": 9_000, "generated": 1_000}
DECIDED = LATER + timedelta(days=1)


def contest(bought: Bought, *, seen_by_agent: int = 1) -> Dispute:
    """Three requests are metered and rated; the agent knows some of them, and the rule has opened a dispute."""
    send(bought, "gateway", range(3), **SIZE)
    metering.settle(now=OVER, quiet_seconds=0)
    services.rate_settled(now=OVER)
    if seen_by_agent:
        send(bought, "agent", range(seen_by_agent), **SIZE)
    else:
        send(bought, "agent", [40], **SIZE)
    reconcile_due(now=OVER, quiet_seconds=0)
    return Dispute.objects.get(freeze_micro_st__gt=0)


def decide(bought: Bought, dispute: Dispute, credited: int) -> None:
    disputes.decide(
        dispute.id, credited_micro_st=credited, amend=False, reason="Seen.", actor=bought.operator, now=DECIDED
    )


def balance(kind: str, organisation_id: object = None) -> int:
    account = accounts.open_account(organisation_id=organisation_id, kind=kind)  # type: ignore[arg-type]
    return ledger.balance(account).posted_micros


def whole() -> None:
    assert [*selectors.verify(), *ledger.verify(), *metering_checks.verify()] == []


def worth(bought: Bought, micro_st: int) -> int:
    return micro_st * bought.allocations[0].price_micros // 10**12


class TestFreezing:
    def test_takes_an_open_days_money_out_of_unbilled(self, bought: Bought) -> None:
        dispute = contest(bought)
        seller, buyer = bought.provider.organisation_id, bought.buyer.organisation_id
        before = balance("unbilled", buyer)

        assert services.contested.move(now=OVER) == 1

        frozen = worth(bought, dispute.freeze_micro_st)
        assert frozen > 0
        assert balance("suspense", seller) == frozen
        assert balance("unbilled", buyer) == before - frozen
        row = ContestedAmount.objects.get()
        assert (row.unbilled_micros, row.payable_micros, row.settled_at) == (frozen, 0, None)
        whole()

    def test_of_one_that_the_ledger_refuses_holds_up_no_other(
        self, bought: Bought, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        contest(bought)
        post = services.contested.ledger.post

        def refuse(*_: object, **__: object) -> None:
            raise accounts.InsufficientFunds("Gone meanwhile.")

        monkeypatch.setattr(services.contested.ledger, "post", refuse)
        assert services.contested.move(now=OVER) == 0
        monkeypatch.setattr(services.contested.ledger, "post", post)
        assert services.contested.move(now=OVER) == 1
        whole()

    def test_happens_once(self, bought: Bought) -> None:
        contest(bought)
        assert [services.contested.move(now=OVER) for _ in range(3)] == [1, 0, 0]

    def test_leaves_the_contested_part_out_of_the_days_close(self, bought: Bought) -> None:
        dispute = contest(bought)
        services.contested.move(now=OVER)
        services.close_days(now=LATER)

        posted = AllocationPosting.objects.get().posted_micros
        assert DayClose.objects.get().gross_micros == posted - worth(bought, dispute.freeze_micro_st)
        assert services.close_days(now=LATER) == 0
        whole()

    def test_takes_a_closed_days_money_out_of_what_the_seller_is_held(self, bought: Bought) -> None:
        dispute = contest(bought)
        services.close_days(now=LATER)
        held = balance("payable_held", bought.provider.organisation_id)

        services.contested.move(now=LATER)

        row = ContestedAmount.objects.get()
        gross = row.payable_micros + row.fee_micros + row.tax_micros
        assert (row.unbilled_micros, gross) == (0, worth(bought, dispute.freeze_micro_st))
        assert row.held_micros == row.payable_micros == balance("suspense", bought.provider.organisation_id)
        assert balance("payable_held", bought.provider.organisation_id) == held - row.payable_micros
        whole()

    def test_waits_for_usage_that_is_not_rated_yet(self, bought: Bought) -> None:
        send(bought, "gateway", range(3), **SIZE)
        send(bought, "agent", range(1), **SIZE)
        reconcile_due(now=OVER, quiet_seconds=0)

        assert services.contested.move(now=OVER) == 0
        metering.settle(now=OVER, quiet_seconds=0)
        services.rate_settled(now=OVER)
        assert services.contested.move(now=OVER) == 1
        whole()

    def test_waits_until_all_of_it_is_rated_so_that_none_is_missing_for_good(self, bought: Bought) -> None:
        send(bought, "gateway", [0], **SIZE)
        metering.settle(now=OVER, quiet_seconds=0)
        services.rate_settled(now=OVER)
        send(bought, "gateway", [1, 2], **SIZE)
        send(bought, "agent", [0], **SIZE)
        reconcile_due(now=OVER, quiet_seconds=0)
        dispute = Dispute.objects.get()

        assert services.contested.move(now=OVER) == 0
        metering.settle(now=OVER, quiet_seconds=0)
        services.rate_settled(now=OVER)
        assert services.contested.move(now=OVER) == 1
        assert ContestedAmount.objects.get().unbilled_micros == worth(bought, dispute.freeze_micro_st)
        whole()

    def test_takes_what_there_is_once_the_day_may_be_closed(self, bought: Bought) -> None:
        send(bought, "gateway", [0], **SIZE)
        metering.settle(now=OVER, quiet_seconds=0)
        services.rate_settled(now=OVER)
        send(bought, "gateway", [1, 2], **SIZE)
        send(bought, "agent", [0], **SIZE)
        reconcile_due(now=OVER, quiet_seconds=0)

        assert services.contested.move(now=LATER) == 1
        assert ContestedAmount.objects.get().unbilled_micros == AllocationPosting.objects.get().posted_micros
        whole()


class TestSettling:
    @pytest.mark.parametrize("closed_first", [True, False])
    @pytest.mark.parametrize("invoiced", [True, False])
    def test_for_the_buyer_gives_all_of_it_back(self, bought: Bought, closed_first: bool, invoiced: bool) -> None:
        dispute = contest(bought)
        if closed_first:
            services.close_days(now=LATER)
        services.contested.move(now=LATER)
        if invoiced:
            issue(bought)
        wallet = ledger.wallet(bought.buyer.organisation_id).posted_micros
        decide(bought, dispute, dispute.freeze_micro_st)

        assert [services.contested.move(now=DECIDED) for _ in range(2)] == [1, 0]

        due = worth(bought, dispute.freeze_micro_st)
        assert ledger.wallet(bought.buyer.organisation_id).posted_micros == wallet + due
        assert balance("suspense", bought.provider.organisation_id) == 0
        services.close_days(now=DECIDED)
        closed = DayClose.objects.all()
        gross = sum(one.gross_micros for one in closed)
        given_back = sum(getattr(ContestedAmount.objects.get(), f"{name}_micros") for name in ("payable", "fee", "tax"))
        assert gross - given_back == AllocationPosting.objects.get().posted_micros - due
        assert (
            balance("payable_held", bought.provider.organisation_id)
            == sum(one.payable_micros for one in closed) - ContestedAmount.objects.get().payable_micros
        )
        whole()

    @pytest.mark.parametrize("closed_first", [True, False])
    def test_for_the_seller_puts_all_of_it_back(self, bought: Bought, closed_first: bool) -> None:
        dispute = contest(bought)
        if closed_first:
            services.close_days(now=LATER)
        services.contested.move(now=LATER)
        wallet = ledger.wallet(bought.buyer.organisation_id).posted_micros
        decide(bought, dispute, 0)
        services.contested.move(now=DECIDED)
        services.close_days(now=DECIDED)

        assert ledger.wallet(bought.buyer.organisation_id).posted_micros == wallet
        assert sum(one.gross_micros for one in DayClose.objects.all()) == AllocationPosting.objects.get().posted_micros
        assert balance("payable_held", bought.provider.organisation_id) == sum(
            one.payable_micros for one in DayClose.objects.all()
        )
        whole()

    def test_in_parts_rounds_down_for_the_buyer(self, bought: Bought) -> None:
        dispute = contest(bought)
        services.close_days(now=LATER)
        services.contested.move(now=LATER)
        wallet = ledger.wallet(bought.buyer.organisation_id).posted_micros
        third = dispute.freeze_micro_st // 3
        decide(bought, dispute, third)
        services.contested.move(now=DECIDED)

        assert ledger.wallet(bought.buyer.organisation_id).posted_micros == wallet + worth(bought, third)
        whole()

    def test_what_the_seller_no_longer_has_stays_owed_until_it_has(self, bought: Bought) -> None:
        dispute = contest(bought)
        services.close_days(now=LATER)
        seller = bought.provider.organisation_id
        held = accounts.open_account(organisation_id=seller, kind="payable_held")
        available = accounts.open_account(organisation_id=seller, kind="payable_available")
        away = ledger.balance(held).posted_micros
        move(held, available, away, "paid")
        drain_account(available, away)
        services.contested.move(now=LATER)
        assert ContestedAmount.objects.get().held_micros == 0
        decide(bought, dispute, dispute.freeze_micro_st)
        services.contested.move(now=DECIDED)

        row = ContestedAmount.objects.get()
        assert row.credited_micros == worth(bought, dispute.freeze_micro_st)
        assert row.paid_micros == row.fee_micros + row.tax_micros
        assert services.contested.move(now=DECIDED) == 0
        cash = accounts.open_account(organisation_id=None, kind="cash_clearing")
        move(cash, available, row.payable_micros, "earned")

        assert [services.contested.move(now=DECIDED) for _ in range(2)] == [1, 0]
        row.refresh_from_db()
        assert row.paid_micros == row.credited_micros
        assert ledger.verify() == []
        assert not [one for one in selectors.verify() if "dispute" in one.rule or "suspense" in one.rule]

    def test_two_disputes_of_one_allocation_never_take_more_than_was_posted(self, bought: Bought) -> None:
        first = contest(bought, seen_by_agent=0)
        send(bought, "gateway", range(9, 13), now=OVER, **SIZE)
        metering.settle(now=OVER, quiet_seconds=0)
        services.rate_settled(now=OVER)
        for hours in (7, 8):
            reconcile_due(now=OVER + timedelta(hours=hours), quiet_seconds=0)
        services.contested.move(now=OVER)

        frozen = sum(row.unbilled_micros for row in ContestedAmount.objects.all())
        assert ContestedAmount.objects.count() == 2
        assert frozen <= AllocationPosting.objects.get().posted_micros
        decide(bought, first, first.freeze_micro_st)
        services.contested.move(now=DECIDED)
        services.close_days(now=DECIDED)
        whole()


class TestRows:
    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE billing_contestedamount SET unbilled_micros = unbilled_micros + 1",
            "UPDATE billing_contestedamount SET credited_micros = NULL, settled_at = NULL, paid_micros = 0",
            "UPDATE billing_contestedamount SET credited_micros = credited_micros - 1, paid_micros = paid_micros - 1",
            "UPDATE billing_contestedamount SET paid_micros = paid_micros + 1",
            "UPDATE billing_contestedamount SET held_micros = payable_micros + 1",
            "DELETE FROM billing_contestedamount",
        ],
    )
    def test_a_settled_amount_never_changes(self, bought: Bought, change: str) -> None:
        dispute = contest(bought)
        services.contested.move(now=LATER)
        decide(bought, dispute, dispute.freeze_micro_st)
        services.contested.move(now=DECIDED)

        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(change)


class TestCorrections:
    def test_that_lower_usage_give_money_back_before_the_close(self, bought: Bought) -> None:
        send(bought, "gateway", range(3), **SIZE)
        metering.settle(now=OVER, quiet_seconds=0)
        services.rate_settled(now=OVER)
        wallet, posted = ledger.wallet(bought.buyer.organisation_id), AllocationPosting.objects.get().posted_micros
        void(bought, 0)

        assert AllocationPosting.objects.get().posted_micros < posted
        back = posted - AllocationPosting.objects.get().posted_micros
        assert ledger.wallet(bought.buyer.organisation_id).posted_micros == wallet.posted_micros + back
        for number in (1, 2):
            void(bought, number)
        assert AllocationPosting.objects.get().posted_micros == 0
        assert balance("unbilled", bought.buyer.organisation_id) == 0
        whole()

    def test_that_lower_usage_forgive_a_debt_first(self, bought: Bought) -> None:
        accounts.expire_holds(now=LATER, limit=100)
        drain(bought.buyer, ledger.wallet(bought.buyer.organisation_id).available_micros)
        send(bought, "gateway", range(3), **SIZE)
        metering.settle(now=OVER, quiet_seconds=0)
        services.rate_settled(now=OVER)
        before = AllocationPosting.objects.get()
        assert before.owed_micros == before.posted_micros > 0
        void(bought, 0)

        after = AllocationPosting.objects.get()
        assert after.owed_micros == after.posted_micros < before.owed_micros
        assert ledger.wallet(bought.buyer.organisation_id).posted_micros == 0
        assert balance("receivable", bought.buyer.organisation_id) == after.owed_micros
        whole()

    def test_below_a_closed_day_are_parked_and_change_nothing(self, bought: Bought) -> None:
        send(bought, "gateway", range(3), **SIZE)
        metering.settle(now=OVER, quiet_seconds=0)
        services.rate_settled(now=OVER)
        services.close_days(now=LATER)
        posted = AllocationPosting.objects.get().posted_micros
        void(bought, 0)

        assert AllocationPosting.objects.get().posted_micros == posted
        assert [one.reason for one in selectors.exceptions()] == ["below_closed"]
        whole()

    @pytest.mark.parametrize("settled", [True, False])
    def test_of_a_record_that_a_dispute_gave_back_pay_nothing_twice(self, bought: Bought, settled: bool) -> None:
        dispute = contest(bought)
        services.contested.move(now=OVER)
        if settled:
            decide(bought, dispute, dispute.freeze_micro_st)
            services.contested.move(now=DECIDED)
        wallet = ledger.wallet(bought.buyer.organisation_id).posted_micros
        void(bought, 2)

        assert ledger.wallet(bought.buyer.organisation_id).posted_micros == wallet
        assert [one.reason for one in selectors.exceptions()] == ["below_closed"]
        whole()


@given(st.lists(st.sampled_from(["freeze", "close", "invoice", "credit", "refuse", "half", "late"]), max_size=7))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_order_of_steps_keeps_every_rule(bought: Bought, steps: list[str]) -> None:
    undo = transaction.savepoint()
    dispute = contest(bought)
    decided = False
    for number, step in enumerate(steps):
        if step in {"credit", "refuse", "half"}:
            if decided:
                continue
            decided = True
            part = {"credit": 1, "refuse": 0, "half": 2}[step]
            decide(bought, dispute, dispute.freeze_micro_st // part if part else 0)
        elif step == "close":
            services.close_days(now=LATER)
        elif step == "invoice":
            if selectors.waiting(bought.buyer.organisation_id).exact >= 10**16:
                issue(bought)
        elif step == "late":
            send(bought, "gateway", [20 + number], now=OVER, **SIZE)
            metering.settle(now=LATER, quiet_seconds=0)
            services.rate_settled(now=LATER)
        else:
            services.contested.move(now=DECIDED)
        whole()
    transaction.savepoint_rollback(undo)


def void(bought: Bought, number: int) -> None:
    """The gateway takes one of its records back; metering settles, billing rates."""
    taken = Voided("gateway/test", f"r0-{number}")
    record = replace(event(bought.allocations[0], f"void-{number}", prompt=0, generated=0), voids=taken)
    assert metering.ingest_records([record], sender=bought.operator, now=LATER).accepted == 1
    metering.settle(now=LATER, quiet_seconds=0)
    services.rate_settled(now=LATER)


def move(debit: object, credit: object, micros: int, name: str) -> None:
    legs = (accounts.Leg(debit, "debit", micros), accounts.Leg(credit, "credit", micros))  # type: ignore[arg-type]
    accounts.post([accounts.TransferDraft(key=f"test:{name}", kind="top_up", legs=legs)], now=LATER)


def drain_account(account: object, micros: int) -> None:
    cash = accounts.open_account(organisation_id=None, kind="cash_clearing")
    move(account, cash, micros, "drained")
