import pytest

from ledger import selectors, services
from ledger.kernel.kinds import NORMAL_SIDES
from tests.ledger.books import Books, draft, new_organisation, post

pytestmark = pytest.mark.django_db


class TestOpenAccount:
    def test_gives_the_same_account_again(self) -> None:
        owner = new_organisation()

        first = services.open_account(organisation_id=owner, kind="wallet")

        assert services.open_account(organisation_id=owner, kind="wallet") == first

    def test_keeps_one_platform_account_a_kind(self) -> None:
        first = services.open_account(organisation_id=None, kind="rounding")

        assert services.open_account(organisation_id=None, kind="rounding") == first
        assert services.open_account(organisation_id=None, kind="rounding", currency="XTS") != first

    @pytest.mark.parametrize("kind", NORMAL_SIDES)
    def test_opens_every_kind(self, kind: str) -> None:
        account = services.open_account(organisation_id=new_organisation(), kind=kind)

        assert selectors.account_facts([account])[account].normal_side == NORMAL_SIDES[kind]

    def test_refuses_a_kind_nobody_knows(self) -> None:
        with pytest.raises(services.UnknownAccount):
            services.open_account(organisation_id=None, kind="piggy_bank")

    @pytest.mark.parametrize(("kind", "limit"), [("wallet", -1), ("wallet", 2**62), ("fee_revenue", 1)])
    def test_refuses_a_limit_that_means_nothing(self, kind: str, limit: int) -> None:
        with pytest.raises(services.BadAmount):
            services.open_account(organisation_id=None, kind=kind, credit_limit_micros=limit)

    def test_keeps_the_limit_of_an_account_that_is_there(self) -> None:
        owner = new_organisation()
        account = services.open_account(organisation_id=owner, kind="wallet", credit_limit_micros=50)

        services.open_account(organisation_id=owner, kind="wallet")

        assert selectors.balance(account).available_micros == 50


class TestBalance:
    def test_of_a_stored_account_is_its_total(self, books: Books) -> None:
        books.top_up(100)
        books.use(30)
        books.hold(20)

        found = selectors.balance(books.wallet)

        assert (found.posted_micros, found.held_micros, found.available_micros) == (70, 20, 50)

    def test_of_a_platform_account_is_the_sum_of_its_entries(self, books: Books) -> None:
        books.top_up(100)
        books.top_up(11)
        post(draft(books.wallet, books.cash, 1))

        assert selectors.balance(books.cash).posted_micros == 110

    def test_of_no_account_is_refused(self, books: Books) -> None:
        with pytest.raises(services.UnknownAccount):
            selectors.balance(books.buyer)

    def test_of_a_wallet_that_was_never_opened_is_nothing(self) -> None:
        assert selectors.wallet(new_organisation()) == selectors.Balance(None, 0, 0, 0)

    def test_of_a_wallet_is_that_of_its_currency(self, books: Books) -> None:
        books.top_up(100)

        assert selectors.wallet(books.buyer).available_micros == 100
        assert selectors.wallet(books.buyer, "XTS").available_micros == 0
