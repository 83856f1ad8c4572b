"""Pages of the market: lines, the ticket, orders, rounds."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_lazy, ngettext
from django.views import View

from accounts.http.web import ActorPage, not_found_page
from accounts.kernel import ids
from accounts.kernel.errors import DomainError
from accounts.selectors import clock
from accounts.services import idempotency
from market import selectors, services
from market.kernel import windows
from market.kernel.errors import NoMarket, NotFound, OutsideCollar, UnknownLine
from market.kernel.orders import Choice
from market.kernel.text import price_text
from market.selectors import LineView
from market.web import amending, certificates, exports, figures, labels
from market.web.forms import TicketForm, options
from market.web.refusals import explain, explain_choice

REFUSED = 422
PAGE = 50
ROUNDS_PAGE = 25
DEFAULT_GRADE = "interactive"
_CANCELLED = {
    False: gettext_lazy("The order is cancelled and its hold given back."),
    True: gettext_lazy("The order is being cancelled: what the round being cleared now leaves of it."),
}


def _organisation(request: HttpRequest) -> UUID | None:
    """Whose private lines the reader sees; the market itself is public."""
    actor = getattr(request, "actor", None)
    return actor.organisation_id if actor else None


def _may_buy(request: HttpRequest) -> bool:
    actor = getattr(request, "actor", None)
    return bool(actor and actor.is_buyer and actor.can("orders:write"))


class Index(View):
    """All lines."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Last price, best prices and list price of the current hour."""
        return render(request, "market/index.html", figures.index(_organisation(request), now=clock.now()))


class _LinePage(View):
    """What the pages of one line share."""

    def choice(self, request: HttpRequest, slug: str, now: datetime) -> tuple[LineView, str, datetime]:
        """The line, and the grade and window that the address names, or the nearest ones that exist.

        :raises UnknownLine, NoMarket: there is nothing to show.
        """
        line = selectors.line_for(slug, _organisation(request))
        grades = selectors.grades(selectors.the_market().id)
        grade = request.GET.get("grade", DEFAULT_GRADE)
        window = _instant(request.GET.get("window", ""))
        if window is None or not windows.is_window_start(window) or not windows.is_open(window, now):
            window = windows.current(now)[0]
        return line, grade if grade in grades else next(iter(grades)), window


class Line(_LinePage):
    """One line: prices, curve, ladder, ticket, rules."""

    def get(self, request: HttpRequest, slug: str) -> HttpResponse:
        """The page; the address keeps grade and window."""
        now = clock.now()
        try:
            line, grade, window = self.choice(request, slug, now)
            context = figures.line_page(
                line, grade=grade, window_start=window, organisation_id=_organisation(request), now=now
            )
        except (UnknownLine, NoMarket):
            return not_found_page(request)
        context["form"] = _form(context, request, now)
        context["may_buy"] = _may_buy(request)
        return render(request, "market/line.html", context)


class Live(_LinePage):
    """The part of a line's page that changes with each round."""

    def get(self, request: HttpRequest, slug: str) -> HttpResponse:
        """Strip, charts, ladder, rounds."""
        now = clock.now()
        try:
            line, grade, window = self.choice(request, slug, now)
        except (UnknownLine, NoMarket):
            return not_found_page(request)
        product = selectors.product_at(line.slug, grade, window)
        if product is None:
            return HttpResponse(status=204)
        organisation_id = _organisation(request)
        context = figures.live(line, product, selectors.the_market(), organisation_id=organisation_id, now=now)
        return render(request, "market/live.html", context)


def _form(context: dict[str, Any], request: HttpRequest, now: datetime) -> TicketForm:
    product = context.get("product")
    quote = context.get("quote")
    depth = context.get("depth")
    price = (depth.best_offer_micros if depth else None) or (quote.reference_micros if quote else None)
    if price and quote and quote.collar:
        price = min(price, quote.collar.high)  # a dearer limit would be refused
    terms = product.terms if product else selectors.terms_of(context["market"].id, context["grade"])
    if price:
        price = max(price // terms.tick_micros, 1) * terms.tick_micros  # a reference price may be a mean
    initial = {
        "grade": context["grade"],
        "window": context["window_start"].isoformat(),
        "price": request.GET.get("price", "") or (price_text(price) if price else ""),
        "quantity": request.GET.get("quantity", ""),
        "unit": request.GET.get("unit", "mst"),
        "validity": request.GET.get("validity", "gtc"),
        **{name: request.GET.getlist(name) for name in ("hours", "vendors", "regions")},
        "tier": request.GET.get("tier", ""),
        **{name: bool(request.GET.get(name, "")) for name in ("or_better", "all_or_nothing")},
        **{name: request.GET.get(name, "") for name in ("data_terms", "least")},
    }
    others = options(context["line"].slug, context["grade"], context["window_start"], now=now)
    return TicketForm(initial=initial, terms=terms, options=others)


class Ticket(ActorPage):
    """The three steps of the ticket; each answers with a fragment, or with a page where there is no script."""

    scope = "orders:write"

    def post(self, request: HttpRequest, slug: str) -> HttpResponse:
        """Read the form, then do the step."""
        now = clock.now()
        try:
            line = selectors.line_for(slug, self.actor.organisation_id)
            terms = selectors.grades(selectors.the_market().id).get(request.POST.get("grade", ""))
        except (UnknownLine, NoMarket):
            return not_found_page(request)
        if terms is None or not self.actor.is_buyer:
            return not_found_page(request)
        others = options(slug, request.POST["grade"], _instant(request.POST.get("window", "")), now=now)
        form = TicketForm(request.POST, terms=terms, options=others)
        context: dict[str, Any] = {"line": line, "form": form, "may_buy": True}
        if not form.is_valid():
            return self.refused(request, context)
        try:
            draft = form.draft(self.actor, slug, now=now)
            return self.step(request, context, draft, now)
        except DomainError as error:
            form.refuse(explain(error, **form.asked))
            return self.refused(request, context)

    def step(
        self, request: HttpRequest, context: dict[str, Any], draft: services.OrderDraft, now: datetime
    ) -> HttpResponse:
        """What this step does with a valid draft."""
        raise NotImplementedError

    def refused(self, request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
        """The form again, with what was typed and what to change."""
        return self.show(request, "market/ticket_form.html", context, status=REFUSED)

    def show(self, request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
        """A fragment for htmx, else a page around it."""
        if request.headers.get("HX-Request") == "true":
            return render(request, template, context, status=status)
        return render(request, "market/ticket_page.html", {**context, "fragment": template}, status=status)


class TicketPreview(Ticket):
    """While typing."""

    def step(
        self, request: HttpRequest, context: dict[str, Any], draft: services.OrderDraft, now: datetime
    ) -> HttpResponse:
        """The figures of the order as it stands in the form."""
        preview = services.orders.preview(draft, now=now)
        return self.show(request, "market/preview.html", {**context, **figures.preview(preview, draft)})

    def refused(self, request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
        """Say what is missing where the figures would stand."""
        return self.show(request, "market/preview.html", {**context, "preview": None})


class TicketReview(Ticket):
    """Before it counts."""

    def step(
        self, request: HttpRequest, context: dict[str, Any], draft: services.OrderDraft, now: datetime
    ) -> HttpResponse:
        """All figures again, to be confirmed. The key makes a second click the same order."""
        preview = services.orders.preview(draft, now=now)
        own = Choice(draft.line, draft.window_start, draft.limit_micros)
        for one in draft.choices or (own,):
            product = selectors.product_at(one.line, one.grade or draft.grade, one.window_start)
            try:
                if product is not None:
                    services.orders.check_collar(draft, selectors.quote(product, now=now))
            except OutsideCollar as error:
                context["form"].refuse(explain(error) if one == own else explain_choice(error, one, draft.grade))
                return self.refused(request, context)
        if preview.short_micros:
            context["short"] = True
        return self.show(
            request,
            "market/review.html",
            {**context, **figures.preview(preview, draft), "key": uuid4().hex,
             "grade_label": labels.grade(draft.grade), "window_end": draft.window_start + windows.WINDOW},
        )  # fmt: skip


class TicketPlace(Ticket):
    """The order itself."""

    def step(
        self, request: HttpRequest, context: dict[str, Any], draft: services.OrderDraft, now: datetime
    ) -> HttpResponse:
        """Place it once, and show the receipt."""
        payload = {name: request.POST.getlist(name) for name in context["form"].fields}

        def effect() -> dict[str, Any]:
            return {"order": ids.encode("ord", services.orders.place(draft, actor=self.actor, now=now).id)}

        once = idempotency.once_durable(
            organisation_id=self.actor.organisation_id,
            key=f"page:{request.POST.get('key', '')[:64] or uuid4().hex}",
            operation="order.place",
            payload={"line": draft.line, **payload},
            now=now,
            effect=effect,
        )
        view = selectors.order(ids.decode("ord", once.body["order"]), self.actor)
        return self.show(request, "market/receipt.html", {**context, "order": figures.order_row(view)})


class Orders(ActorPage):
    """Orders of the organisation."""

    scope = "orders:read"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Newest first, by status and line."""
        status, line = request.GET.get("status", ""), request.GET.get("line", "")
        before = _public_id(request.GET.get("cursor", ""))
        found = selectors.orders(self.actor, **exports.filters(request), before=before, limit=PAGE + 1)
        return render(
            request,
            "market/orders.html",
            {
                "rows": [figures.order_row(one) for one in found[:PAGE]],
                "next": ids.encode("ord", found[PAGE - 1].id) if len(found) > PAGE else None,
                "first_page": before is None,
                "most_rows": exports.MOST,
                "total": selectors.count(self.actor),
                "open_count": selectors.open_count(self.actor),
                "switch_at": selectors.cancel_after(self.actor, now=clock.now()),
                "status": status,
                "statuses": labels.STATUSES,
                "line": line,
                "lines": selectors.lines(self.actor.organisation_id),
                "filtered": bool(status or line),
                "may_cancel": self.actor.can("orders:write"),
            },
        )


class OrderPage(ActorPage):
    """One order."""

    scope = "orders:read"

    def get(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """How it stands, what it got, and its life."""
        try:
            view = selectors.order(ids.decode("ord", public_id), self.actor)
        except (ids.BadId, NotFound):
            return not_found_page(request)
        return amending.order_page(request, view, self.actor)


class CancelOrder(ActorPage):
    """Take what is left of one order out of the market."""

    scope = "orders:write"

    def post(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """Cancel and go back to the order."""
        try:
            view = services.orders.cancel(ids.decode("ord", public_id), actor=self.actor, now=clock.now())
        except (ids.BadId, NotFound):
            return not_found_page(request)
        except DomainError as error:
            messages.error(request, explain(error).text)
        else:
            messages.success(request, _CANCELLED[view.status == "pending_cancel"])
        return redirect("market:order", public_id=public_id)


class CancelAll(ActorPage):
    """Take all open orders out of the market."""

    scope = "orders:write"

    def post(self, request: HttpRequest) -> HttpResponse:
        """Cancel all and say how many."""
        count = services.orders.cancel_all(actor=self.actor, now=clock.now())
        messages.success(
            request,
            ngettext("%(count)d order is cancelled.", "%(count)d orders are cancelled.", count) % {"count": count},
        )
        return redirect("market:orders")


class Rounds(View):
    """Cleared rounds."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Newest first."""
        market = selectors.market_state()
        cursor = request.GET.get("cursor", "")
        before = int(cursor) if cursor.isascii() and cursor.isdigit() and len(cursor) < 16 else None
        found = selectors.recent_rounds(market.id, before=before, limit=ROUNDS_PAGE + 1) if market else []
        context = {
            "market": market,
            "rounds": found[:ROUNDS_PAGE],
            "next": found[ROUNDS_PAGE - 1].number if len(found) > ROUNDS_PAGE else None,
        }
        return render(request, "market/rounds.html", context)


class RoundPage(View):
    """How the prices of a round were made."""

    def get(self, request: HttpRequest, number: str) -> HttpResponse:
        """Prices, intervals, curve, seed and root."""
        if not (number.isascii() and number.isdigit() and len(number) < 16):
            return not_found_page(request)
        try:
            context = figures.round_page(int(number), _organisation(request))
            context["verdict"] = certificates.verdict(context["round"], _organisation(request))
        except (NotFound, NoMarket):
            return not_found_page(request)
        return render(request, "market/round.html", context)


def _instant(text: str) -> datetime | None:
    """An instant with its zone; anything else is none."""
    try:
        at = parse_datetime(text.replace(" ", "+")[:40])
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None else None


def _public_id(text: str) -> UUID | None:
    try:
        return ids.decode("ord", text)
    except ids.BadId:
        return None
