"""What the market and the ledger refuse, in the reader's words, with what to do next and a legal value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts.kernel import formats
from accounts.kernel.errors import DomainError
from market.kernel.errors import OutsideCollar
from market.kernel.orders import MOST_CHOICES, Choice
from market.kernel.text import price_text
from market.kernel.windows import WINDOW
from market.web import labels


@dataclass(frozen=True)
class Refusal:
    """The field it belongs to ("" for the whole form), the sentence, and a value of that field that would do."""

    field: str
    text: str
    suggest: str = ""


def explain(error: DomainError, *, limit_micros: int = 0, quantity_st: int = 0) -> Refusal:
    """The refusal to show for an error; with the limit or quantity that was asked for, the nearest one that would do."""
    details, field = error.details, _FIELDS.get(error.code, "")
    text = _numbered(error) or _sentence(error) or str(error)
    suggest = ""
    if error.code == "outside_collar":
        bound = details.get("highest_micros", details.get("lowest_micros"))
        suggest = price_text(bound) if bound else ""
    elif error.code == "off_tick" and limit_micros:
        suggest = price_text(_nearest(limit_micros, details.get("tick_micros", 1)))
    elif error.code == "off_lot" and quantity_st:
        suggest = price_text(_nearest(quantity_st, details.get("lot_st", 1)))  # millionths: ST as million ST
    return Refusal(field, text, suggest)


def explain_choice(error: OutsideCollar, choice: Choice, own_grade: str) -> Refusal:
    """The refusal of a limit in one of the other products that a bid accepts."""
    words = {
        "hour": formats.window(choice.window_start, choice.window_start + WINDOW, get_language() or "en"),
        "grade": labels.grade(choice.grade),
        **_price(error.details["highest_micros"]),
    }
    if choice.grade and choice.grade != own_grade:
        text = _(
            "%(grade)s, hour %(hour)s: the highest limit taken now is %(price)s. Leave it out, or lower the limit."
        )
        return Refusal("or_better", text % words)
    text = _("In the hour %(hour)s the highest limit taken now is %(price)s. Leave it out, or lower the limit.")
    return Refusal("hours", text % words)


_FIELDS = {
    "outside_collar": "price",
    "off_tick": "price",
    "off_lot": "quantity",
    "below_filled": "quantity",
    "budget_too_small": "quantity",
    "beyond_context": "quantity",
    "order_too_large": "quantity",
    "bad_expiry": "validity",
    "bad_minimum": "least",
}


def _nearest(value: int, step: int) -> int:
    """The nearest positive multiple of a step, the smaller of two."""
    return max(1, (value + (step - 1) // 2) // step) * step


def _price(micros: int | None) -> dict[str, str]:
    return {"price": formats.unit_price_per_million(micros, get_language() or "en", unit="st")}


def _amount(micros: int) -> dict[str, str]:
    return {"amount": formats.amount_micros(micros, get_language() or "en", exact=True)}


def _count(name: str) -> Callable[[int], dict[str, str]]:
    return lambda count: {name: formats.tokens_exact(int(count))}


def _numbered(error: DomainError) -> str:
    """The sentence of an error whose details have a number or a reason; empty where it is another one."""
    if error.code in {"line_halted", "organisation_halted"} and "reason" in error.details:
        return f"{_sentence(error)} {_halt(error)}"
    sentences: dict[tuple[str, str], tuple[str, Callable[[int], dict[str, str]]]] = {
        ("outside_collar", "highest_micros"): (_("The highest limit taken now is %(price)s."), _price),
        ("outside_collar", "lowest_micros"): (_("The lowest limit taken now is %(price)s."), _price),
        ("off_tick", "tick_micros"): (_("Prices go in steps of %(price)s."), _price),
        ("off_lot", "lot_st"): (_("Quantities go in steps of %(lot)s ST."), _count("lot")),
        ("bad_minimum", "lot_st"): (
            _("The least quantity goes in steps of %(lot)s ST and is at most the quantity."),
            _count("lot"),
        ),
        ("below_filled", "filled_st"): (
            _("%(filled)s ST are filled already. Ask for more than that, or cancel the rest."),
            _count("filled"),
        ),
        ("budget_too_small", "least_micros"): (
            _("One lot costs %(amount)s at this limit. Pay at least that, or lower the limit."),
            _amount,
        ),
        ("beyond_context", "context_limit"): (
            _("A request of this model has at most %(count)s tokens. Ask for shorter requests, and more of them."),
            _count("count"),
        ),
        ("order_too_large", "most_micros"): (
            _("One order costs at most %(amount)s. Lower the quantity, or place several."),
            _amount,
        ),
    }
    for (code, name), (text, words) in sentences.items():
        if code == error.code and name in error.details:
            return text % words(error.details[name])
    return ""


def _halt(error: DomainError) -> str:
    """Why it is halted, and until when where that is known."""
    words = {"reason": error.details["reason"]}
    if "until" not in error.details:
        return _("The operator's reason: %(reason)s.") % words
    until = datetime.fromisoformat(error.details["until"])
    words["until"] = formats.instant(until, get_language() or "en")
    return _("The operator's reason: %(reason)s. It lasts until %(until)s.") % words


def _sentence(error: DomainError) -> str:
    """The sentence of a code alone; empty of an unknown one."""
    sentences = {
        "insufficient_funds": _(
            "Your wallet does not cover the worst case. Lower the quantity or the limit, or top up."
        ),
        "bad_model": _("This model cannot be read or counted. Correct its file and send it again."),
        "digest_differs": _("The card has another digest. Take the card that you expect."),
        "no_cache": _("This file has no key/value cache: leave cached and output tokens at 0, or export it with one."),
        "busy": _("Other files are being counted. Send yours again in a moment."),
        "rate_error": _("There is no such rate. Choose a token of the table and a day on which it is valid."),
        "self_trade": _("This bid would trade with an open offer of your own organisation. Cancel that one first."),
        "window_closed": _("This hour is over. Choose a later one."),
        "unknown_window": _("This hour is not open for trading. Choose another one."),
        "unknown_line": _("There is no such model line. Choose one on the market page."),
        "unknown_grade": _("This grade is not traded. Choose another one."),
        "off_tick": _("The limit does not stand on the tick. Round it."),
        "off_lot": _("The quantity is not in whole lots. Round it."),
        "outside_collar": _("The limit is beyond the collar. Choose one inside of it."),
        "budget_too_small": _("The budget does not pay for one lot at this limit. Raise it, or lower the limit."),
        "beyond_context": _("A request is longer than the model takes. Ask for shorter ones."),
        "below_filled": _("So much is filled already. Ask for more than that, or cancel the rest."),
        "market_halted": _("The market is halted. Nothing was placed; open orders may be cancelled."),
        "line_halted": _("This model line is halted. Nothing was placed; open orders may be cancelled."),
        "organisation_halted": _("Your organisation is halted. Nothing was placed; open orders may be cancelled."),
        "product_parked": _(
            "This hour could not be cleared and waits for the operator. Nothing was placed; choose another hour."
        ),
        "not_amendable": _("This order cannot be changed. Cancel it, and place another one."),
        "not_supported": _(
            "The market does not take this kind of order. Make fewer choices: at most %(count)s products."
        )
        % {"count": MOST_CHOICES},
        "not_tried": _("The order was not tried, since others before it took too long. Send it again."),
        "not_found": _("There is no such thing any more. Go back to the list."),
        "no_supply": _("No capacity is declared behind this offer, or it is sold. Declare more, or offer less."),
        "no_allocation": _("Nothing that you bought covers this request. Buy more of this hour first."),
        "bad_minimum": _("The least quantity does not fit the quantity. Lower it."),
        "bad_scope": _("Nothing that can be bought fits these choices. Tick others, or none."),
        "order_too_large": _("This is more than the market takes in one order. Place several."),
        "bad_expiry": _("The order must stay valid for some time to come. Choose a later time."),
        "duplicate_client_order_id": _("This client order id was used before for another order. Choose a new one."),
        "order_ended": _("This order is not open any more. Place another one."),
        "too_fast": _("This is faster than what you bought may be drawn. Wait a little."),
        "window_open": _("This hour has begun: what is bought is bought."),
        "round_running": _("A round is being cleared with this order. Try again in a moment."),
        "idempotency_in_flight": _("This order is being placed right now. Wait a moment, then look at your orders."),
        "idempotency_payload_differs": _("This form was sent before with other values. Review the order again."),
        "ledger_busy": _("The accounts are busy. Nothing was placed; try again."),
        "no_market": _("The market is not set up yet. Come back later."),
    }
    return sentences.get(error.code, "")
