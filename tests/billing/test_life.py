"""What became of an order: its page's second half, and the same over REST."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.kernel import ids
from billing import selectors
from billing.web import life
from tests.billing.scene import issue, keyed, signed_in, use
from tests.metering_ingest.scene import HOUR, Bought

pytestmark = pytest.mark.django_db


def order_of(bought: Bought, index: int = 0) -> str:
    return ids.encode("ord", bought.allocations[index].buy_order_id)


def states(bought: Bought, after: timedelta) -> list[str]:
    usage = selectors.order_usage(bought.allocations[0].buy_order_id, bought.buyer)
    return [state for state, *_ in life.events(usage, now=HOUR + after)]


def test_the_line_goes_from_delivery_to_the_invoice(bought: Bought) -> None:
    before, within, over = timedelta(minutes=-5), timedelta(minutes=5), timedelta(hours=2)
    assert states(bought, before) == ["todo", "todo", "todo"]
    assert states(bought, within) == ["now", "todo", "todo"]
    use(bought, 4_000, 2_000, times=5)
    assert states(bought, within) == ["now", "now", "now"]
    assert states(bought, over) == ["done", "done", "now"]
    issue(bought)
    assert states(bought, over) == ["done", "done", "done"]


def test_the_page_shows_figures_and_the_invoice(bought: Bought) -> None:
    use(bought, 4_000, 2_000, times=5)
    invoice = issue(bought)
    page = signed_in(bought.buyer).get(f"/orders/{order_of(bought)}/life/")
    text = page.content.decode()
    assert page.status_code == 200
    assert f"/billing/invoices/{ids.encode('inv', invoice.id)}/" in text
    assert invoice.figures["number"] in text
    assert "5 requests" in text


def test_a_fragment_is_only_the_line(bought: Bought) -> None:
    answer = signed_in(bought.buyer).get(f"/orders/{order_of(bought)}/life/", headers={"HX-Request": "true"})
    assert answer.content.decode().startswith("<ol")


def test_a_member_who_may_not_read_bills_gets_no_invoice(bought: Bought) -> None:
    use(bought, 4_000, 2_000, times=5)
    issue(bought)
    page = signed_in(bought.buyer, "viewer").get(f"/orders/{order_of(bought)}/life/")
    assert "/billing/invoices/inv" not in page.content.decode()


@pytest.mark.parametrize("path", ["/orders/{}/life/", "/api/v1/orders/{}/usage"])
@pytest.mark.parametrize("known", [True, False])
def test_a_strangers_order_does_not_exist(bought: Bought, path: str, known: bool) -> None:
    client = keyed(bought.stranger, "usage:read") if path.startswith("/api") else signed_in(bought.stranger)
    assert client.get(path.format(order_of(bought) if known else "ord_nothing")).status_code == 404


def test_the_seller_sees_the_use_of_what_it_sold_and_no_invoice(bought: Bought) -> None:
    use(bought, 4_000, 2_000, times=5)
    issue(bought)
    sold = ids.encode("ord", bought.allocations[0].sell_order_id)
    body = keyed(bought.provider, "usage:read").get(f"/api/v1/orders/{sold}/usage").json()
    assert body["requests"] == "5"
    assert body["metered_micro_st"] == body["billed_micro_st"] != "0"
    assert body["invoices"] == []


def test_the_api_adds_up(bought: Bought) -> None:
    use(bought, 4_000, 2_000, times=5)
    invoice = issue(bought)
    first = keyed(bought.buyer, "usage:read", "billing:read").get(f"/api/v1/orders/{order_of(bought)}/usage").json()
    other = keyed(bought.buyer, "usage:read").get(f"/api/v1/orders/{order_of(bought, 1)}/usage").json()
    assert first["bought_st"] == "20000"
    assert first["metered_micro_st"] == first["billed_micro_st"]
    assert first["invoices"] == [{"id": ids.encode("inv", invoice.id), "number": invoice.figures["number"]}]
    assert (other["bought_st"], other["requests"], other["billed"]) == ("10000", "0", "0.000000")
