"""Every refusal has a sentence of its own on the pages, in both languages, and a legal value where there is one."""

import re

import pytest
from django.utils import translation

from accounts.kernel.errors import DomainError
from ledger.services import InsufficientFunds
from market import consumers, services, web  # noqa: F401  (errors that stand beside what raises them)
from market.kernel import errors
from market.web.refusals import explain

CHINESE = re.compile(r"[\u4e00-\u9fff]")


def every(base):
    found = []
    for one in base.__subclasses__():
        found += [one, *every(one)]
    return found


DETAILS = {
    "outside_collar": {"highest_micros": 2_400_000}, "off_tick": {"tick_micros": 10_000}, "off_lot": {"lot_st": 1_000},
    "bad_minimum": {"lot_st": 1_000}, "below_filled": {"filled_st": 3_000}, "budget_too_small": {"least_micros": 1_800},
    "beyond_context": {"context_limit": 8_192}, "order_too_large": {"most_micros": 10**15},
    "line_halted": {"reason": "drill", "until": "2026-11-24T16:00:00+00:00"}, "organisation_halted": {"reason": "drill"},
}  # fmt: skip


class TestEveryRefusal:
    @pytest.mark.parametrize("error", [*every(errors.MarketError), InsufficientFunds], ids=lambda one: one.code)
    @pytest.mark.parametrize("detailed", [False, True])
    def test_has_a_sentence_in_both_languages(self, error, detailed):
        raised = error("what the service says", **(DETAILS.get(error.code, {}) if detailed else {}))
        with translation.override("en"):
            english = explain(raised).text
        with translation.override("zh-hans"):
            chinese = explain(raised).text

        assert "what the service says" not in english
        assert english.endswith(".")
        assert not CHINESE.search(english)
        assert CHINESE.search(chinese)

    def test_has_a_code_of_its_own(self):
        codes = [one.code for one in every(errors.MarketError)]
        assert len(codes) == len(set(codes))
        assert "error" not in codes

    def test_says_what_the_service_says_of_a_code_that_is_none_of_these(self):
        assert explain(DomainError("something new")).text == "something new"


class TestALegalValue:
    @pytest.mark.parametrize(
        ("error", "asked", "value"),
        [
            (errors.OutsideCollar("", highest_micros=2_400_000), {}, "2.40"),
            (errors.OutsideCollar("", lowest_micros=1_600_000), {}, "1.60"),
            (errors.OffTick("", tick_micros=10_000), {"limit_micros": 1_804_000}, "1.80"),
            (errors.OffTick("", tick_micros=10_000), {"limit_micros": 1_806_000}, "1.81"),
            (errors.OffTick("", tick_micros=10_000), {"limit_micros": 1_805_000}, "1.80"),
            (errors.OffTick("", tick_micros=10_000), {"limit_micros": 1}, "0.01"),
            (errors.OffLot("", lot_st=1_000), {"quantity_st": 1_499}, "0.001"),
            (errors.OffLot("", lot_st=1_000), {"quantity_st": 2_000_600}, "2.001"),
            (errors.OffLot("", lot_st=1_000), {}, ""),
        ],
    )
    def test_is_the_nearest(self, error, asked, value):
        assert explain(error, **asked).suggest == value

    def test_says_why_something_is_halted_and_until_when(self):
        with translation.override("en"):
            text = explain(errors.LineHalted("", **DETAILS["line_halted"])).text
        assert "drill" in text
        assert "25 Nov" in text
