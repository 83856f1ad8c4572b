from datetime import timedelta

import pytest
from django.db import transaction

from accounts.kernel import ids
from ledger import selectors, services
from ledger.services import HoldChange, HoldDraft
from tests.ledger.books import NOW, Books, change, draft, new_key, post, rest, sql

pytestmark = pytest.mark.django_db


@pytest.fixture
def funded(books: Books) -> Books:
    books.top_up(100)
    return books


class TestPlaceHolds:
    def test_sets_money_aside(self, funded: Books) -> None:
        hold = funded.hold(60)

        assert funded.totals() == (100, 60)
        assert rest(hold) == 60

    def test_never_holds_more_than_there_is(self, funded: Books) -> None:
        funded.hold(60)

        with pytest.raises(services.InsufficientFunds) as caught:
            funded.hold(41)

        assert caught.value.details == {
            "account_id": str(funded.wallet), "available_micros": 40, "needed_micros": 41,
        }  # fmt: skip
        assert funded.totals() == (100, 60)

    def test_places_all_or_none(self, funded: Books) -> None:
        with pytest.raises(services.InsufficientFunds):
            services.place_holds([HoldDraft(new_key(), funded.wallet, 51) for _ in range(2)], now=NOW)

        assert funded.totals() == (100, 0)

    def test_same_key_is_one_hold(self, funded: Books) -> None:
        drafts = [HoldDraft("k", funded.wallet, 60, NOW)] * 2

        first = services.place_holds(drafts, now=NOW)

        assert first[0] == first[1]
        assert services.place_holds(drafts, now=NOW) == first
        assert funded.totals() == (100, 60)

    @pytest.mark.parametrize(("amount", "later"), [(61, 0), (60, 1)])
    def test_same_key_with_other_content_is_a_conflict(self, funded: Books, amount: int, later: int) -> None:
        funded.hold(60, key="k", expires_at=NOW)

        with pytest.raises(services.KeyConflict):
            funded.hold(amount, key="k", expires_at=NOW + timedelta(seconds=later))

    def test_same_key_on_another_account_is_a_conflict(self, funded: Books) -> None:
        other = Books()
        other.top_up(100)
        funded.hold(60, key="k")

        with pytest.raises(services.KeyConflict):
            other.hold(60, key="k")

    def test_needs_an_account_with_a_total(self, funded: Books) -> None:
        with pytest.raises(services.NotHoldable):
            services.place_holds([HoldDraft("k", funded.cash, 1)], now=NOW)
        with pytest.raises(services.UnknownAccount):
            services.place_holds([HoldDraft("k", funded.buyer, 1)], now=NOW)
        with pytest.raises(services.BadAmount):
            services.place_holds([HoldDraft("k", funded.wallet, 0)], now=NOW)


class TestChangeHolds:
    def test_gives_back_all_that_is_left(self, funded: Books) -> None:
        hold = funded.hold(60)

        change(hold, "release", 10)
        change(hold, "release")

        assert (rest(hold), funded.totals()) == (0, (100, 0))

    @pytest.mark.parametrize("action", ["release", "void", "expire"])
    def test_resolves_a_hold_once(self, funded: Books, action: str) -> None:
        hold = funded.hold(60)
        change(hold, action, key="first")

        change(hold, action, key="first")
        with pytest.raises(services.HoldClosed) as caught:
            change(hold, action, key="second")

        assert (caught.value.code, caught.value.status) == ("hold_closed", 409)
        assert funded.totals() == (100, 0)

    def test_adjusts_up_and_down(self, funded: Books) -> None:
        hold = funded.hold(60)

        change(hold, "increase", 40)
        change(hold, "decrease", 75)

        assert (rest(hold), funded.totals()) == (25, (100, 25))

    def test_never_increases_beyond_the_money(self, funded: Books) -> None:
        hold = funded.hold(60)

        with pytest.raises(services.InsufficientFunds):
            change(hold, "increase", 41)

        assert rest(hold) == 60

    def test_never_takes_more_than_is_held(self, funded: Books) -> None:
        hold = funded.hold(60)

        with pytest.raises(services.HoldExhausted) as caught:
            change(hold, "decrease", 61)

        assert caught.value.details["rest_micros"] == 60

    def test_splits_into_a_child_with_the_id_wanted(self, funded: Books) -> None:
        hold, wanted, later = funded.hold(60), ids.new(), NOW + timedelta(hours=1)

        child = change(hold, "split", 45, child_id=wanted, child_expires_at=later)

        assert child == wanted
        assert (rest(hold), rest(wanted), funded.totals()) == (15, 45, (100, 60))
        assert sql("SELECT parent_id, expires_at FROM ledger_hold WHERE id = %s", wanted) == [(hold, later)]

    def test_fills_an_order_of_sixty_at_three_quarters_of_its_limit(self, funded: Books) -> None:
        hold = funded.hold(60)

        first, second, none = services.change_holds(
            [
                HoldChange("fill:1", hold, "split", 30),
                HoldChange("fill:2", hold, "split", 15),
                HoldChange("round:1", hold, "release", 15),
            ],
            now=NOW,
        )

        assert first and second and none is None
        assert (rest(first), rest(second), rest(hold), funded.totals()) == (30, 15, 0, (100, 45))
        assert selectors.verify() == []

    def test_gives_the_child_of_a_replayed_split(self, funded: Books) -> None:
        hold = funded.hold(60)

        first = change(hold, "split", 45, key="fill")

        assert change(hold, "split", 45, key="fill") == first
        assert rest(hold) == 15

    def test_same_key_twice_in_a_call_is_one_change(self, funded: Books) -> None:
        hold = funded.hold(60)

        first, second = services.change_holds([HoldChange("fill", hold, "split", 45)] * 2, now=NOW)

        assert first == second is not None
        assert rest(hold) == 15

    @pytest.mark.parametrize(
        ("action", "amount", "more"),
        [("split", 44, {}), ("release", 45, {}), ("split", 45, {"child_id": ids.new()})],
    )
    def test_same_key_with_other_content_is_a_conflict(
        self, funded: Books, action: str, amount: int, more: dict[str, object]
    ) -> None:
        hold = funded.hold(60)
        change(hold, "split", 45, key="fill")

        with pytest.raises(services.KeyConflict):
            change(hold, action, amount, key="fill", **more)

    def test_a_key_that_was_said_to_be_new_is_refused_where_it_is_not(self, funded: Books) -> None:
        hold = funded.hold(60)
        change(hold, "release", 10, key="again")

        with pytest.raises(services.KeyConflict), transaction.atomic():
            again = services.HoldChange("again", hold, "release", 10)
            services.change_holds([again], now=NOW, keys_are_new=True)
        assert rest(hold) == 50

    def test_refuses_a_childs_id_that_is_taken(self, funded: Books) -> None:
        hold, taken = funded.hold(30), funded.hold(20)

        with pytest.raises(services.KeyConflict):
            change(hold, "split", 5, child_id=taken)

    def test_refuses_what_is_not_there(self, funded: Books) -> None:
        with pytest.raises(services.UnknownHold):
            change(ids.new(), "release")
        with pytest.raises(services.UnknownTransfer):
            change(funded.hold(1), "post", 1)
        with pytest.raises(services.UnknownTransfer):
            change(funded.hold(1), "post", 1, transfer_key="never")

    def test_posts_by_a_transfer_stored_before(self, funded: Books) -> None:
        hold = funded.hold(60)
        funded.use(40, key="usage")

        change(hold, "post", 40, transfer_key="usage")

        assert (rest(hold), funded.totals()) == (20, (60, 20))
        assert selectors.verify() == []


class TestCapture:
    def capture(self, books: Books, hold: object, amount: int, takes: int | None = None, key: str = "u") -> None:
        services.capture(
            hold_changes=[HoldChange(f"{key}:hold", hold, "post", amount, transfer_key=key)],  # type: ignore[arg-type]
            drafts=[draft(books.wallet, books.unbilled, takes or amount, key=key, kind="usage")],
            now=NOW,
        )

    def test_takes_money_that_is_held_from_a_wallet_with_nothing_else(self, funded: Books) -> None:
        hold = funded.hold(100)

        self.capture(funded, hold, 70)

        assert (rest(hold), funded.totals()) == (30, (30, 30))
        assert selectors.verify() == []

    def test_takes_the_rest_from_the_wallet(self, funded: Books) -> None:
        hold = funded.hold(50)

        self.capture(funded, hold, 50, takes=80)

        assert funded.totals() == (20, 0)

    def test_never_passes_the_floor(self, funded: Books) -> None:
        hold = funded.hold(50)

        with pytest.raises(services.InsufficientFunds):
            self.capture(funded, hold, 50, takes=101)

        assert (rest(hold), funded.totals()) == (50, (100, 50))

    def test_same_keys_take_nothing_again(self, funded: Books) -> None:
        hold = funded.hold(50)

        for _ in range(3):
            self.capture(funded, hold, 20)

        assert (rest(hold), funded.totals()) == (30, (80, 30))

    def test_never_posts_more_than_is_held(self, funded: Books) -> None:
        hold = funded.hold(50)
        self.capture(funded, hold, 30, key="u1")

        with pytest.raises(services.HoldExhausted):
            self.capture(funded, hold, 21, key="u2")

        assert funded.totals() == (70, 20)

    def test_refuses_a_transfer_that_does_not_take_what_is_posted(self, funded: Books) -> None:
        hold = funded.hold(50)

        with pytest.raises(services.HoldNotCovered):
            self.capture(funded, hold, 50, takes=49)

    def test_never_posts_two_holds_by_money_for_one(self, funded: Books) -> None:
        first, second = funded.hold(50), funded.hold(50)
        self.capture(funded, first, 50)

        with pytest.raises(services.HoldNotCovered):
            services.capture(
                hold_changes=[HoldChange("again", second, "post", 50, transfer_key="u")],
                drafts=[draft(funded.wallet, funded.unbilled, 50, key="u", kind="usage")],
                now=NOW,
            )

        assert funded.totals() == (50, 50)

    def test_refuses_a_transfer_that_pays_into_the_account(self, funded: Books) -> None:
        hold = funded.hold(50)

        with pytest.raises(services.HoldNotCovered):
            services.capture(
                hold_changes=[HoldChange("u:hold", hold, "post", 50, transfer_key="u")],
                drafts=[draft(funded.cash, funded.wallet, 50, key="u")],
                now=NOW,
            )

    def test_captures_many_from_many(self, funded: Books) -> None:
        other = Books()
        other.top_up(10)
        mine, theirs = funded.hold(100), other.hold(10)

        made = services.capture(
            hold_changes=[
                HoldChange("a", mine, "post", 30, transfer_key="ta"),
                HoldChange("b", theirs, "post", 4, transfer_key="tb"),
                HoldChange("c", mine, "post", 20, transfer_key="tc"),
                HoldChange("d", theirs, "release", None),
            ],
            drafts=[
                draft(funded.wallet, funded.unbilled, 30, key="ta"),
                draft(other.wallet, other.unbilled, 4, key="tb"),
                draft(funded.wallet, funded.unbilled, 20, key="tc"),
            ],
            now=NOW,
        )

        assert len(set(made)) == 3
        assert (funded.totals(), other.totals()) == ((50, 50), (6, 0))
        assert selectors.verify() == []


class TestExpireHolds:
    def test_gives_back_what_is_over_oldest_first(self, funded: Books) -> None:
        holds = [funded.hold(10, expires_at=NOW + timedelta(minutes=minutes)) for minutes in (3, 1, 2)]
        kept = funded.hold(10)

        count = services.expire_holds(now=NOW + timedelta(minutes=2), limit=10)

        assert count == 2
        assert [rest(hold) for hold in [*holds, kept]] == [10, 0, 0, 10]
        assert funded.totals() == (100, 20)

    def test_stops_at_its_limit_and_goes_on_from_there(self, funded: Books) -> None:
        for _ in range(5):
            funded.hold(10, expires_at=NOW)

        counts = [services.expire_holds(now=NOW, limit=2) for _ in range(4)]

        assert counts == [2, 2, 1, 0]
        assert funded.totals() == (100, 0)

    def test_leaves_resolved_holds_alone(self, funded: Books) -> None:
        change(funded.hold(10, expires_at=NOW), "release")

        assert services.expire_holds(now=NOW, limit=10) == 0


def test_a_hold_may_be_captured_by_a_transfer_of_three_legs(funded: Books) -> None:
    receivable = services.open_account(organisation_id=funded.buyer, kind="receivable")
    hold = funded.hold(100)
    legs = (
        services.Leg(funded.wallet, "debit", 100),
        services.Leg(receivable, "debit", 20),
        services.Leg(funded.unbilled, "credit", 120),
    )

    services.capture(
        hold_changes=[HoldChange("u:hold", hold, "post", 100, transfer_key="u")],
        drafts=[services.TransferDraft("u", "usage", legs)],
        now=NOW,
    )

    assert funded.totals() == (0, 0)
    assert selectors.balance(receivable).posted_micros == 20
    post(draft(funded.cash, receivable, 20))
    assert selectors.balance(receivable).posted_micros == 0
