"""Organisations and members can be edited by staff; keys and audit only read."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from accounts.models import ApiKey, AuditEvent, Member, Organisation


@admin.register(Organisation)
class OrganisationAdmin(ModelAdmin):
    list_display = ["name", "kind", "state"]
    search_fields = ["name", "legal_name"]


@admin.register(Member)
class MemberAdmin(ModelAdmin):
    list_display = ["user", "organisation", "role"]


class _ReadOnly(ModelAdmin):
    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def has_delete_permission(self, request, obj=None):
        return False


@admin.register(ApiKey)
class ApiKeyAdmin(_ReadOnly):
    list_display = ["prefix", "organisation", "name", "created_at", "revoked_at"]
    exclude = ["secret_hash"]


@admin.register(AuditEvent)
class AuditEventAdmin(_ReadOnly):
    list_display = ["at", "organisation", "action", "subject"]
    list_filter = ["action"]
