"""A finance member pays in through the demo's stand-in for Stripe; coming back without paying changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.conftest import Site
from tests.e2e.test_tour import sign_in

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


class TestPayingIn:
    def test_is_believed_from_stripe_only(self, site: Site, browser: Any) -> None:
        page = sign_in(browser, site, "finance")
        page.goto(f"{site.url}/billing/balance/")
        page.get_by_label("Amount", exact=True).first.fill("321.00")
        page.get_by_role("button", name="Go on", exact=True).click()
        page.get_by_role("link", name="Pay on Stripe's page").click()

        # Back without paying: nothing is booked, and the page still waits.
        page.get_by_role("link", name="Back without paying").click()
        page.get_by_role("link", name="Pay on Stripe's page").wait_for()
        attempt = page.url
        page.goto(f"{attempt.partition('?')[0]}?back=1")
        page.get_by_role("link", name="Pay on Stripe's page").click()

        # A declined card, then Alipay on its own page.
        page.get_by_label("Card").select_option("4000000000000002")
        page.get_by_role("button", name="Pay by card").click()
        page.get_by_text("The card was declined.").wait_for()
        page.get_by_role("button", name="Alipay").click()
        page.get_by_role("button", name="Authorise", exact=True).click()
        page.get_by_text("Paid. The money is booked.").wait_for(timeout=30_000)

        page.goto(f"{site.url}/billing/balance/")
        assert page.get_by_text("Paid in by card or wallet app").count() == 1
