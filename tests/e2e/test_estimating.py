"""What will this cost: from the line's page to the estimate, in both languages and on a narrow screen."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.conftest import Site
from tests.e2e.test_tour import sign_in
from tests.e2e.test_trading import fits, no_problems
from tests.token_standard.kernel import configs

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


class TestEstimate:
    def test_is_found_on_a_line_and_drawn(self, site: Site, browser: Any) -> None:
        page = sign_in(browser, site, "buyer")
        with no_problems(page):
            page.goto(f"{site.url}/market/llama-3-8b/")
            page.locator(".vendor-prices > summary").click()
            page.get_by_role("link", name="Estimate requests").click()
            page.locator("input[name=input]").fill("1200")
            page.locator("input[name=output]").fill("300")
            page.locator("main button.primary").click()
            page.get_by_role("heading", name="Llama 3 8B").wait_for()
            page.locator("#curve svg").wait_for()
            page.locator("#curve summary").click()
            assert page.locator("#curve tbody tr").count() == 8
            assert "input=1200" in page.url

    def test_takes_a_configuration_on_a_narrow_screen(self, site: Site, browser: Any) -> None:
        page = sign_in(browser, site, "buyer")
        page.set_viewport_size({"width": 390, "height": 800})
        with no_problems(page):
            page.goto(f"{site.url}/estimate/")
            page.locator("input[name=input]").fill("1200")
            page.locator("main details > summary").first.click()
            raw = json.dumps(configs.TABLE["qwen3-32b"]).encode()
            page.locator("input[name=model_file]").set_input_files(
                {"name": "config.json", "mimeType": "application/json", "buffer": raw}
            )
            page.locator("main button.primary").click()
            page.get_by_text("No line of the market has this card").wait_for()
            assert fits(page, 390)
            page.goto(f"{site.url}/tokens/convert/?amount=1000&source=deepseek/deepseek-v3/output&target=ST")
            page.get_by_text("by the bounds of the rates").wait_for()
            assert fits(page, 390)
