"""What the market and the ledger refuse, in the reader's words, with what to do next and a legal value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts.kernel import formats
from accounts.kernel.errors import DomainError
from market.kernel.errors import OutsideCollar
from market.kernel.text import price_text
from market.kernel.windows import WINDOW


@dataclass(frozen=True)
class Refusal:
    """The field it belongs to ("" for the whole form), the sentence, and a value that would do."""

    field: str
    text: str
    suggest: str = ""


def explain(error: DomainError) -> Refusal:
    """The refusal to show for an error."""
    details = error.details
    if error.code == "outside_collar" and "highest_micros" in details:
        highest = details["highest_micros"]
        return Refusal("price", _("The highest limit taken now is %(price)s.") % _price(highest), price_text(highest))
    if error.code == "outside_collar":
        lowest = details["lowest_micros"]
        return Refusal("price", _("The lowest limit taken now is %(price)s.") % _price(lowest), price_text(lowest))
    if error.code == "off_tick":
        return Refusal("price", _("Prices go in steps of %(price)s.") % _price(details.get("tick_micros")))
    if error.code == "off_lot":
        return Refusal("quantity", _("Quantities go in steps of %(lot)s ST.") % {"lot": details.get("lot_st", "")})
    if error.code == "below_filled":
        filled = {"filled": formats.tokens_exact(int(details["filled_st"]))}
        return Refusal(
            "quantity",
            _("%(filled)s ST are filled already. Ask for more than that, or cancel the rest.") % filled,
        )
    return Refusal(_FIELDS.get(error.code, ""), _sentence(error))


def explain_hour(error: OutsideCollar, start: datetime) -> Refusal:
    """The refusal of a limit in one of the other hours that a bid accepts."""
    words = {
        "hour": formats.window(start, start + WINDOW, get_language() or "en"),
        **_price(error.details["highest_micros"]),
    }
    text = _("In the hour %(hour)s the highest limit taken now is %(price)s. Leave it out, or lower the limit.")
    return Refusal("hours", text % words)


_FIELDS = {
    "order_too_large": "quantity",
    "bad_expiry": "validity",
    "bad_minimum": "all_or_nothing",
}


def _price(micros: int | None) -> dict[str, str]:
    return {"price": formats.unit_price_per_million(micros, get_language() or "en", unit="st")}


def _sentence(error: DomainError) -> str:
    sentences = {
        "insufficient_funds": _(
            "Your wallet does not cover the worst case. Lower the quantity or the limit, or top up."
        ),
        "self_trade": _("This bid would trade with an open offer of your own organisation. Cancel that one first."),
        "window_closed": _("This hour is over. Choose a later one."),
        "unknown_window": _("This hour is not open for trading. Choose another one."),
        "unknown_line": _("There is no such model line."),
        "unknown_grade": _("This grade is not traded."),
        "market_halted": _("The market is halted. Nothing was placed; open orders may be cancelled."),
        "line_halted": _("This model line is halted. Nothing was placed; open orders may be cancelled."),
        "organisation_halted": _("Your organisation is halted. Nothing was placed; open orders may be cancelled."),
        "not_amendable": _("This order cannot be changed. Cancel it, and place another one."),
        "bad_minimum": _("The least quantity does not fit the quantity."),
        "bad_scope": _("Nothing that can be bought fits these choices. Tick others, or none."),
        "order_too_large": _("This is more than the market takes in one order."),
        "bad_expiry": _("The order must stay valid for some time to come."),
        "duplicate_client_order_id": _("This client order id was used before for another order."),
        "order_ended": _("This order is not open any more."),
        "idempotency_in_flight": _("This order is being placed right now. Wait a moment, then look at your orders."),
        "idempotency_payload_differs": _("This form was sent before with other values. Review the order again."),
        "ledger_busy": _("The accounts are busy. Nothing was placed; try again."),
        "no_market": _("The market is not set up yet."),
    }
    return sentences.get(error.code, str(error))
