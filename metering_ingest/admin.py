"""Read-only views of what was set aside."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from metering_ingest.models import Conflict, Quarantined


class _ReadOnly(ModelAdmin):
    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def has_delete_permission(self, request, obj=None):
        return False


@admin.register(Conflict)
class ConflictAdmin(_ReadOnly):
    list_display = ["key", "tenant", "received_at"]


@admin.register(Quarantined)
class QuarantinedAdmin(_ReadOnly):
    list_display = ["key", "tenant", "reason", "received_at"]
    list_filter = ["reason"]
