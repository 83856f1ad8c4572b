"""What the pages show, put together from the selectors."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts.kernel import formats, ids
from accounts.kernel.actor import Actor
from accounts.selectors import clock
from market import selectors
from market.kernel.amending import keeps_cohort
from market.kernel.levels import Level
from market.kernel.orders import OrderDraft
from market.kernel.text import price_text
from market.selectors import (
    AllocationView,
    DepthLevel,
    HourPrice,
    LineView,
    MarketState,
    OrderView,
    ProductView,
    RoundPriceView,
)
from market.services import converting
from market.services.preview import Preview
from market.web import bands, cancelling, certificates, labels, vendors, wishes

HISTORY = 60
CHEAPEST = 8


def index(organisation_id: UUID | None, *, now: datetime) -> dict[str, Any]:
    """Every line and grade in the current hour."""
    start = selectors.open_windows(now)[0][0]
    current = [
        one for one in selectors.products(None, now, organisation_id=organisation_id) if one.window_start == start
    ]
    quotes, tops = selectors.quotes(current, now=now), selectors.tops(current, now=now)
    rows = []
    for line in selectors.lines(organisation_id):
        products = sorted(
            (one for one in current if one.line == line.slug), key=lambda one: list(labels.GRADES).index(one.grade)
        )
        offers = [
            {"product": one, "grade": labels.grade(one.grade), "quote": quotes[one.id], "top": tops.get(one.id)}
            for one in products
        ]
        shown = [one for one in offers if one["top"] or one["quote"].reference_micros is not None]
        rows.append({"line": line, "offers": shown or offers[:1]})
    return {"rows": rows, "market": selectors.market_state(), "window": (start, selectors.open_windows(now)[0][1])}


def line_page(
    line: LineView, *, grade: str, window_start: datetime, organisation_id: UUID | None, now: datetime
) -> dict[str, Any]:
    """Everything around one product of a line: choice of window and grade, then what changes with each round."""
    market = selectors.the_market()
    products = {(one.grade, one.window_start): one for one in selectors.products(
        line.slug, now, organisation_id=organisation_id
    )}  # fmt: skip
    product = products.get((grade, window_start))
    offers = selectors.best_offers([one for one in products.values() if one.grade == grade], now=now)
    picker = []
    for start, end in selectors.open_windows(now):
        one = products.get((grade, start))
        offer = offers.get(one.id) if one else None
        picker.append(
            {
                "id": start.isoformat(),
                "start": start,
                "end": end,
                "selected": start == window_start,
                "note": "CN¥" + formats.per_million_number(offer) if offer else "—",
            }
        )
    return {
        "line": line,
        "grade": grade,
        "grades": [(name, label) for name, (label, _hint) in labels.GRADES.items()],
        "grade_hint": labels.GRADES[grade][1],
        "window_start": window_start,
        "windows": picker,
        "market": market,
        "product": product,
        **(live(line, product, market, organisation_id=organisation_id, now=now) if product else {}),
    }


def live(
    line: LineView, product: ProductView, market: MarketState, *, organisation_id: UUID | None, now: datetime
) -> dict[str, Any]:
    """What changes with each round."""
    quote = selectors.quote(product, now=now)
    depth = selectors.depth(product, now=now, organisation_id=organisation_id)
    history = selectors.price_history(product.id, limit=HISTORY, traded_only=True)
    price = quote.last_price_micros or quote.reference_micros
    last = history[0] if history else None
    return {
        "public_id": ids.encode("prd", product.id),
        "market": market,
        "line": line,
        "product": product,
        "quote": quote,
        "price_micros": price,
        "price_is_trade": quote.last_price_micros is not None,
        "token_prices": line.token_prices(price) if price else None,
        "list_token_prices": line.token_prices(quote.list_price.price_micros) if quote.list_price else None,
        "asks": ladder(depth.offers, depth),
        "bids": ladder(depth.bids, depth),
        "depth": depth,
        "history": history[:10],
        "curve": curve_figure(product, last, now=now, depth=depth),
        "prices": price_figure(history),
        "cheapest": cheapest_hours(product, organisation_id, now=now),
        "vendor_prices": vendors.rows(converting.lists_of(line.card_name)),
        "summary": _summary(product, quote.last_price_micros, depth.best_offer_micros),
    }


def cheapest_hours(product: ProductView, organisation_id: UUID | None, *, now: datetime) -> list[dict[str, Any]]:
    """The cheapest open windows of the product's line and grade: by best offer, else by the last trade.

    `percent` is the length of an hour's bar: its price against the dearest of those listed.
    """
    found = selectors.hours_ahead(product.line, product.grade, organisation_id=organisation_id, now=now)
    return hour_rows(found, shown=product.id)


def hour_rows(hours: list[HourPrice], *, shown: UUID | None = None) -> list[dict[str, Any]]:
    """The first of the hours, with the length of their bars."""
    dearest = max((hour.price_micros for hour in hours[:CHEAPEST]), default=1)
    return [
        {
            "product": hour.product,
            "price_micros": hour.price_micros,
            "on_offer": hour.basis == "best_offer",
            "shown": hour.product.id == shown,
            "percent": max(1, hour.price_micros * 100 // dearest),
        }
        for hour in hours[:CHEAPEST]
    ]


def ladder(levels: list[DepthLevel], depth: selectors.Depth) -> list[dict[str, Any]]:
    """Levels with the length of their bars."""
    most = max((one.quantity_st for one in [*depth.bids, *depth.offers]), default=1)
    return [
        {
            "price_micros": one.price_micros,
            "quantity": one.quantity_st,
            "percent": max(1, one.quantity_st * 100 // most),
            "own": one.own,
            "flexible": one.flexible_st,
        }
        for one in levels
    ]


def curve_figure(
    product: ProductView,
    last: RoundPriceView | None,
    *,
    now: datetime,
    depth: selectors.Depth | None = None,
    limits: Mapping[str, Collection[int]] | None = None,
) -> dict[str, Any]:
    """Supply and demand of the last round that traded, else of the open book, as a chart and its table.

    Levels with an own order are banded: those of `depth` in the open book, of a round those of its `limits` (by side).
    """
    own: list[bands.Band] = []
    if last is not None and last.curve:
        demand, supply = ([(price, size) for price, size in last.curve[side]] for side in ("demand", "supply"))
        if limits:
            own = [*bands.of("demand", demand, limits["buy"]), *bands.of("supply", supply, limits["sell"])]
        clearing: dict[str, str] | None = {
            "quantity": _millions(last.volume_st),
            "price": price_text(last.price_micros or 0),
            "text": _price(last.price_micros),
        }
        title = _("Supply and demand in round %(number)s") % {"number": last.number}
        summary = _("%(volume)s ST traded at %(price)s.") % {
            "volume": _tokens(last.volume_st), "price": _price(last.price_micros),
        }  # fmt: skip
    else:
        demand, supply = selectors.book_curve(product, now=now)
        clearing = None
        if depth is not None:
            own = [
                *bands.of("demand", demand, {one.price_micros for one in depth.bids if one.own}),
                *bands.of("supply", supply, {one.price_micros for one in depth.offers if one.own}),
            ]
        title = _("Open supply and demand")
        summary = _("Nothing has traded in this hour yet.")
    names = {"demand": _("Bids"), "supply": _("Offers")}
    return {
        "title": title,
        "summary": summary,
        "empty": not demand and not supply,
        "legend": [
            ("demand", names["demand"]),
            ("supply", names["supply"]),
            *((css, words) for css, words in bands.LEGEND.items() if any(one.css == css for one in own)),
        ],
        "note": bands.told(own),
        "corner": clearing["text"] if clearing else "",
        "headers": [_("Side and price, CN¥/M ST"), _("Cumulative quantity, ST")],
        "rows": [
            (bands.row(names[side], side, price, own), formats.tokens_exact(size))
            for side, steps in (("demand", demand), ("supply", supply)) for price, size in steps
        ],
        "data": {
            "x": _("Quantity, M ST"),
            "y": _("CN¥/M ST"),
            "names": names,
            "demand": _steps(demand),
            "supply": _steps(supply),
            "clearing": clearing,
            "own": [one.data for one in own],
        },
    }  # fmt: skip


def price_figure(history: list[RoundPriceView]) -> dict[str, Any] | None:
    """Price and volume of the last rounds that traded; None before the first one."""
    if not history:
        return None
    rounds = history[::-1]
    lang = get_language() or "en"
    return {
        "title": _("Price and volume by round"),
        "summary": _("The last %(count)s rounds that traded.") % {"count": len(rounds)},
        "headers": [_("Round"), _("Price, CN¥/M ST"), _("Volume, ST")],
        "rows": [
            (one.number, formats.per_million_number(one.price_micros), formats.tokens_exact(one.volume_st)) for one in history
        ],
        "data": {
            "y": _("CN¥/M ST"),
            "y2": _("M ST"),
            "names": {"price": _("Price"), "volume": _("Volume"), "offpeak": _("Off-peak")},
            "points": [
                [
                    str(one.number),
                    price_text(one.price_micros or 0),
                    _millions(one.volume_st),
                    f"{formats.instant(one.closed_at, lang, seconds=True)} · {_price(one.price_micros)} · "
                    f"{_tokens(one.volume_st)} ST",
                ]
                for one in rounds
            ],
            "offpeak": [],
        },
    }  # fmt: skip


def preview(found: Preview, draft: OrderDraft) -> dict[str, Any]:
    """A bid before it is placed: what it accepts, what would fill of each product, what it costs."""
    expected = [{"fill": one, "grade": labels.grade(one.product.grade)} for one in found.expected]
    return {"draft": draft, "preview": found, "expected": expected, "accepts": wishes.of_draft(draft)}


def order_row(view: OrderView) -> dict[str, Any]:
    """An order with its public id and words."""
    return {
        "view": view,
        "public_id": ids.encode("ord", view.id),
        "side": labels.SIDES[view.side],
        "grade": labels.grade(view.grade),
        "validity": labels.VALIDITY[view.time_in_force],
    }


def order_page(view: OrderView, actor: Actor) -> dict[str, Any]:
    """One order: how it stands, what it accepts, what it bought or sold, and its life so far."""
    now = clock.now()
    allocations = [
        {"view": one, "public_id": ids.encode("alc", one.id), "cancel": cancelling.offered(one, actor, now)}
        for one in selectors.of_order(view.id, actor)
    ]
    return {
        "order": order_row(view),
        "accepts": wishes.of_order(view) if view.is_flexible else None,
        "allocations": allocations,
        "life": life_line(view, allocations),
    }


def life_line(view: OrderView, allocations: list[dict[str, Any]]) -> list[tuple[str, str, datetime | None, str]]:
    """Placed → held → changed and matched; billing adds what comes after (`billing.web.life`)."""
    lang = get_language() or "en"
    events: list[tuple[str, str, datetime | None, str]] = [("done", _("Placed"), view.created_at, "")]
    if view.side == "buy":
        worst = formats.amount_micros(view.placed.limit_micros * view.placed.quantity_st // 10**6, lang)
        events.append(("done", _("Worst case held"), view.created_at, worst))
    happened = [*_changes(view), *(_match(one["view"]) for one in allocations)]
    events += [("done", title, at, text) for at, title, text in sorted(happened, key=itemgetter(0))]
    if view.status == "pending_cancel":
        events.append(("now", _("Being cancelled: its round is cleared first"), None, ""))
    elif view.is_open:
        events.append(("now", _("Waits for the next round"), None, ""))
    elif view.status == "cancelled":
        events.append(("failed", _("Rest cancelled, its hold given back"), view.ended_at, ""))
    elif view.status == "expired":
        events.append(("failed", _("Rest expired, its hold given back"), view.ended_at, ""))
    if view.is_open and not allocations:
        events.append(("todo", _("Delivered, metered and billed"), None, ""))
    return events


def _match(found: AllocationView) -> tuple[datetime, str, str]:
    text = _("Round %(number)s: %(quantity)s ST at %(price)s") % {
        "number": found.round_number, "quantity": _tokens(found.quantity_st), "price": _price(found.price_micros),
    }  # fmt: skip
    return found.created_at, _("Matched"), text


def _changes(view: OrderView) -> list[tuple[datetime, str, str]]:
    """Every change of an order: what it asked before and since, and its place."""
    lang = get_language() or "en"
    told, before = [], view.placed
    for one in selectors.amendments(view.id):
        after, parts = one.asked, []
        if after.limit_micros != before.limit_micros:
            words = {"before": _price(before.limit_micros), "after": _price(after.limit_micros)}
            parts.append(_("Limit: %(before)s → %(after)s.") % words)
        if after.quantity_st != before.quantity_st:
            words = {"before": _tokens(before.quantity_st), "after": _tokens(after.quantity_st)}
            parts.append(_("Quantity: %(before)s → %(after)s ST.") % words)
        if after.expires_at != before.expires_at:
            words = {"before": _until(before.expires_at, lang), "after": _until(after.expires_at, lang)}
            parts.append(_("Valid until: %(before)s → %(after)s.") % words)
        kept = keeps_cohort(before, after)
        parts.append(_("It kept its place.") if kept else _("It ranks as a new order."))
        told.append((one.created_at, _("Changed"), " ".join(parts)))
        before = after
    return told


def _until(at: datetime, lang: str) -> str:
    return formats.instant(at, lang, seconds=True)


def round_page(number: int, organisation_id: UUID | None) -> dict[str, Any]:
    """How the prices of one round were made.

    :raises NotFound: it is not cleared, or was never held.
    """
    market = selectors.the_market()
    view = selectors.round(number, market_id=market.id)
    visible = {one.slug for one in selectors.lines(organisation_id)}
    prices = [one for one in selectors.round_prices(view.id) if one.product.line in visible]
    traded = [{"view": one, "grade": labels.grade(one.product.grade)} for one in prices if one.volume_st]
    own = certificates.own(view, organisation_id)
    drawn = [one["view"] for one in traded if one["view"].curve]
    mine = {part.product_id for one in own for part in one.parts}
    shown = next((one for one in drawn if one.product.id in mine), drawn[0] if drawn else None)
    return {
        "market": market,
        "round": view,
        "traded": traded,
        "untraded": [{"view": one, "grade": labels.grade(one.product.grade)} for one in prices if not one.volume_st],
        "shown": shown,
        "curve": curve_figure(shown.product, shown, now=view.closed_at, limits=bands.limits(own, shown.product.id))
        if shown
        else None,
        "own": bands.rows(own),
        "previous": number - 1 if number > 1 else None,
        "following": number + 1 if number < market.round_number else None,
    }


def _steps(steps: list[Level]) -> list[list[str]]:
    return [[_millions(size), price_text(price), f"{_price(price)} · {_tokens(size)} ST"] for price, size in steps]


def _millions(quantity_st: int) -> str:
    return price_text(quantity_st)  # millionths as a plain decimal


def _price(micros: int | None) -> str:
    return formats.unit_price_per_million(micros, get_language() or "en", unit="st")


def _tokens(count: int) -> str:
    return formats.tokens_compact(count, get_language() or "en")


def _summary(product: ProductView, last: int | None, best_offer: int | None) -> str:
    """One sentence that is read out at most every ten seconds."""
    return _("%(line)s: last price %(last)s, best offer %(offer)s.") % {
        "line": product.line_name, "last": _price(last), "offer": _price(best_offer),
    }  # fmt: skip
