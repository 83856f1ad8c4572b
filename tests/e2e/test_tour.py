"""The tour of the README, done as a person and as a program do it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI
from pypdf import PdfReader

from tests.e2e.conftest import Site

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def sign_in(browser: Any, site: Site, role: str, **context: Any) -> Any:
    who = site.sign_in(role)
    page = browser.new_context(viewport={"width": 1440, "height": 900}, **context).new_page()
    page.goto(f"{site.url}/accounts/login/")
    page.fill("input[name=login]", who["email"])
    page.fill("input[name=password]", who["password"])
    page.press("input[name=password]", "Enter")
    page.wait_for_url(f"{site.url}/")
    return page


def eventually(what: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.5)
    return found


def api(site: Site) -> httpx.Client:
    return httpx.Client(
        base_url=f"{site.url}/api/v1", headers={"Authorization": f"Bearer {site.about['buyer_key']}"}, timeout=30
    )


def _review(page: Any, limit: str) -> None:
    """Review the bid at this limit, or at the highest that is taken: the collar follows the price while one types."""
    for _ in range(5):
        page.fill("input[name=price]", limit)
        with page.expect_response(lambda answer: "/review" in answer.url) as reviewed:
            page.get_by_role("button", name="Review the bid").click()
        if reviewed.value.ok:
            return
        offered = re.search(r'data-value="([0-9.]+)"', reviewed.value.text())
        assert offered, "a refused limit comes with the nearest legal one"
        limit = offered[1]
        page.locator(f"[data-value='{limit}']").first.wait_for()


class TestTour:
    def test_buys_tokens_spends_them_and_downloads_the_invoice_that_has_them(self, site: Site, browser: Any) -> None:
        page = sign_in(browser, site, "buyer")
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)

        # Look at the market: rounds clear, and the price strip shows one.
        eventually(lambda: httpx.get(f"{site.url}/healthz").json().get("round", 0) >= 2)
        page.goto(f"{site.url}/market/llama-3-8b/?grade=interactive")
        page.locator("[data-feed-state], .feed, .freshness").first.wait_for()
        page.locator("figure svg").first.wait_for(timeout=30_000)

        # Bid: preview, review, confirm, receipt.
        page.fill("input[name=quantity]", "0.3")
        _review(page, "2.40")
        page.get_by_role("button", name="Place the bid").click()
        page.get_by_text("Your bid is in").wait_for()
        order_id = re.search(r"ord_[0-9a-z]{26}", page.content())
        assert order_id

        # It is filled in one of the next rounds.
        with api(site) as client:
            filled = eventually(lambda: _filled(client, order_id[0]))
        assert filled["quantity_st"] == filled["filled_st"] == "300000"

        # Spend it with OpenAI's own client; streamed text comes back from a provider's engine.
        with OpenAI(base_url=f"{site.url}/v1", api_key=site.about["buyer_key"], max_retries=0) as openai:
            chunks = list(
                openai.chat.completions.create(
                    model="llama-3-8b", stream=True, max_tokens=32, stream_options={"include_usage": True},
                    messages=[{"role": "user", "content": "What is a standard token?"}],
                )
            )  # fmt: skip
        usage = chunks[-1].usage
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert usage and text and 0 < usage.completion_tokens <= 32

        # It is metered, then billed.
        with api(site) as client:
            row = eventually(lambda: _billed(client))
            assert int(row["billed_micro_st"]) > 0
        page.goto(f"{site.url}/usage/")
        page.get_by_text("llama-3-8b · interactive").first.wait_for()

        # The finance member issues the invoice and downloads it.
        finance = sign_in(browser, site, "finance")
        eventually(lambda: _may_issue(finance, site), seconds=90)  # below one fen there is no invoice yet
        finance.get_by_role("button", name="Invoice to date").click()
        finance.get_by_role("heading", name=re.compile("Invoice TS-")).wait_for()
        number = re.search(r"TS-\d{6}", finance.content())
        assert number
        with finance.expect_download() as download:
            finance.get_by_role("link", name="PDF English").click()
        pdf = PdfReader(BytesIO(Path(download.value.path()).read_bytes()))
        printed = "".join(p.extract_text() for p in pdf.pages)
        with finance.expect_download() as download:
            finance.get_by_role("link", name="CSV").click()
        csv = Path(download.value.path()).read_text(encoding="utf-8-sig")

        # Page, PDF, CSV and API say the same.
        with api(site) as client:
            invoice = client.get(f"/invoices/{finance.url.rstrip('/').split('/')[-1]}").json()
        assert invoice["number"] == number[0]
        for line in invoice["figures"]["lines"]:
            assert line["quantity_million_st"] in csv
            assert line["amount"] in printed and line["amount"] in csv and line["amount"] in finance.content()
        assert invoice["total"] in printed and invoice["total"] in csv
        assert not [one for one in problems if "422" not in one], "a refused form is no fault"

    def test_shows_each_page_in_both_languages_themes_and_widths_without_sideways_scroll(
        self, site: Site, browser: Any
    ) -> None:
        paths = {
            "buyer": ["/", "/market/", "/market/llama-3-8b/", "/orders/", "/usage/", "/billing/invoices/", "/developers/",
                      "/developers/keys/", "/settings/", "/rounds/"],
            "provider": ["/", "/provider/offers/", "/provider/offers/new/", "/provider/hardware/", "/usage/",
                         "/provider/agents/", "/provider/metering/", "/metering/quarantine/", "/metering/conflicts/"],
        }  # fmt: skip
        for role, listed in paths.items():
            page = sign_in(browser, site, role)
            state = page.context.storage_state()
            page.context.close()
            for language, theme, width in (("en", "light", 1440), ("zh-hans", "dark", 390)):
                context = browser.new_context(
                    storage_state=state, viewport={"width": width, "height": 900}, color_scheme=theme
                )
                context.add_cookies([{"name": "django_language", "value": language, "url": site.url}])
                page = context.new_page()
                for path in listed:
                    answer = page.goto(site.url + path)
                    assert answer.status == 200, path
                    assert page.locator("h1").count() == 1, path
                    assert page.locator("html").get_attribute("lang") == ("en" if language == "en" else "zh-Hans")
                    assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)
                context.close()


def _filled(client: httpx.Client, order_id: str) -> dict[str, Any] | None:
    order = client.get(f"/orders/{order_id}").json()
    assert order["status"] in {"open", "partially_filled", "filled"}, order
    return order if order["status"] == "filled" else None


def _may_issue(page: Any, site: Site) -> bool:
    page.goto(f"{site.url}/billing/invoices/")
    return page.get_by_role("button", name="Invoice to date").count() == 1


def _billed(client: httpx.Client) -> dict[str, Any] | None:
    rows = client.get("/usage").json()["data"]
    return next((row for row in rows if row["line"] == "llama-3-8b" and int(row["billed_micro_st"])), None)
