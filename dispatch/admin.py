"""Read-only page of the staff."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from dispatch.models import RequestLog


@admin.register(RequestLog)
class RequestLogAdmin(ModelAdmin):
    """Requests as counts; there is no text to show."""

    list_display = [
        "request_id",
        "organisation_id",
        "line",
        "state",
        "prompt_tokens",
        "completion_tokens",
        "micro_st",
        "opened_at",
    ]
    list_filter = ["state", "stream"]
    search_fields = ["request_id"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
