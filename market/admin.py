"""Staff halt and resume the market here, retire lines and keep list prices; what was traded is only read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from accounts.selectors import clock
from market import services
from market.models import Halt, ListPrice, Market, ModelLine, Order, ProductFault, Round


class _Read(ModelAdmin):
    """Rows that only services write."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def _each(self, request: HttpRequest, chosen: QuerySet[Any], change: Callable[[Any, Any, datetime], None]) -> None:
        actor = getattr(request, "actor", None)
        if actor is None or not request.user.is_superuser:
            self.message_user(request, "Only staff of the operator may do this.", messages.ERROR)
            return
        now = clock.now()
        for one in chosen:
            change(one, actor, now)


@admin.register(Market)
class MarketAdmin(_Read):
    list_display = ["name", "currency", "state", "state_reason", "round_number", "next_close_at"]
    # The seed of the open round is nobody's to see.
    fields = ["slug", "name", "operator", "currency", "tick_seconds", "fee_bps", "settlement_mode", "state",
              "state_reason", "round_number", "next_close_at"]  # fmt: skip
    actions = ["halt", "resume"]

    @admin.action(description="Halt: no orders, no rounds; cancelling goes on", permissions=["view"])
    def halt(self, request: HttpRequest, chosen: QuerySet[Market]) -> None:
        """Pull the switch."""
        self._each(request, chosen, lambda market, actor, now: services.markets.halt(
            market.id, reason="halted by staff", actor=actor, now=now
        ))  # fmt: skip

    @admin.action(description="Resume", permissions=["view"])
    def resume(self, request: HttpRequest, chosen: QuerySet[Market]) -> None:
        """Go on."""
        self._each(request, chosen, lambda market, actor, now: services.markets.resume(market.id, actor=actor, now=now))


@admin.register(Halt)
class HaltAdmin(_Read):
    """A line or an organisation sits out, with the reason and from when to when; lifted by an action, kept for ever."""

    list_display = ["halted", "reason", "starts_at", "ends_at"]
    list_select_related = ["line", "organisation"]
    ordering = ["-id"]
    fields = ["line", "organisation", "reason", "starts_at", "ends_at"]
    autocomplete_fields = ["line", "organisation"]
    actions = ["lift"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser and getattr(request, "actor", None))

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"starts_at": clock.now()}

    def save_model(self, request: HttpRequest, obj: Halt, form: Any, change: bool) -> None:
        obj.id = services.halts.impose(
            line_id=obj.line_id,
            organisation_id=obj.organisation_id,
            reason=obj.reason,
            starts_at=obj.starts_at,
            ends_at=obj.ends_at,
            actor=request.actor,  # type: ignore[attr-defined]  # set by ActorMiddleware; who may add has one
            now=clock.now(),
        )

    @admin.action(description="Lift: orders are taken and cleared again", permissions=["view"])
    def lift(self, request: HttpRequest, chosen: QuerySet[Halt]) -> None:
        """End these halts now."""
        self._each(request, chosen, lambda halt, actor, now: services.halts.lift(halt.id, actor=actor, now=now))

    @admin.display(description="of")
    def halted(self, obj: Halt) -> str:
        if obj.line:
            return obj.line.display_name
        assert obj.organisation, "a halt is of one or the other"
        return obj.organisation.name


@admin.register(ProductFault)
class ProductFaultAdmin(_Read):
    """Products that could not be cleared; a parked one waits here until somebody lets it try again."""

    list_display = ["product", "failures", "reason", "round_number", "parked_at"]
    fields = list_display
    actions = ["retry"]

    @admin.action(description="Try again: it takes part in the next round", permissions=["view"])
    def retry(self, request: HttpRequest, chosen: QuerySet[ProductFault]) -> None:
        """Forget the failures of these products."""
        self._each(request, chosen, lambda row, actor, now: services.faults.retry(row.product_id, actor=actor, now=now))


@admin.register(ModelLine)
class ModelLineAdmin(ModelAdmin):
    """A line's card is what its tokens are counted by, so it never changes; a line is retired, not deleted."""

    list_display = ["display_name", "slug", "publisher", "card_name", "card_format", "provisional", "state"]
    list_filter = ["state", "provisional"]
    search_fields = ["slug", "display_name"]
    fields = ["slug", "publisher", "model", "display_name", "card_name", "card_format", "card_digest", "context_limit",
              "reference_context", "tokenizer", "provisional", "owner", "state"]  # fmt: skip
    readonly_fields = [name for name in fields if name not in {"display_name", "state"}]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(ListPrice)
class ListPriceAdmin(ModelAdmin):
    """Published prices with date and source: a new price is a new row."""

    list_display = ["line_name", "grade", "price_micros", "valid_from", "source"]
    list_filter = ["grade"]
    list_select_related = ["line"]
    fields = ["line", "grade", "price_micros", "valid_from", "source"]
    autocomplete_fields = ["line"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="line")
    def line_name(self, obj: ListPrice) -> str:
        return obj.line.display_name


@admin.register(Round)
class RoundAdmin(_Read):
    list_display = ["number", "state", "orders", "products", "fills", "volume_st", "closed_at", "engine_micros"]
    list_filter = ["state"]
    ordering = ["-number"]
    fields = ["market", "number", "state", "opened_at", "closed_at", "cleared_at", "orders", "products", "fills",
              "volume_st", "engine_micros"]  # fmt: skip


@admin.register(Order)
class OrderAdmin(_Read):
    list_display = ["id", "side", "quantity_st", "limit_micros", "time_in_force", "created_at"]
    list_filter = ["side", "time_in_force"]
    ordering = ["-id"]
    show_full_result_count = False
    fields = ["id", "organisation", "product_id", "side", "quantity_st", "limit_micros", "time_in_force", "expires_at",
              "created_at"]  # fmt: skip
