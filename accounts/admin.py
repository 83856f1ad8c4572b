"""Staff admit organisations and people here; keys and the audit log are only read."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts.models import ApiKey, AuditEvent, Member, Organisation, User
from accounts.selectors import clock


class _Kept(ModelAdmin):
    """Rows that others hang on are never deleted; the time of making is the database's."""

    readonly_fields = ["created_at"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            obj.created_at = clock.now()
        super().save_model(request, obj, form, change)


@admin.register(Organisation)
class OrganisationAdmin(_Kept):
    list_display = ["name", "kind", "state"]
    list_filter = ["kind", "state"]
    search_fields = ["name", "legal_name"]
    exclude = ["id"]


@admin.register(Member)
class MemberAdmin(_Kept):
    list_display = ["person", "party", "role"]
    list_filter = ["role"]
    list_select_related = ["user", "organisation"]
    exclude = ["id"]
    autocomplete_fields = ["user", "organisation"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)  # nothing hangs on a membership

    @admin.display(description="user")
    def person(self, obj: Member) -> str:
        return obj.user.email

    @admin.display(description="organisation")
    def party(self, obj: Member) -> str:
        return obj.organisation.name


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    ordering = ["email"]
    list_display = ["email", "name", "is_active", "is_staff"]
    list_filter = ["is_active", "is_staff"]
    search_fields = ["email", "name"]
    readonly_fields = ["last_login"]
    filter_horizontal = []
    fieldsets = [
        (None, {"fields": ["email", "name", "password", "is_active", "is_staff", "is_superuser", "last_login"]})
    ]
    add_fieldsets = [(None, {"fields": ["email", "name", "password1", "password2"]})]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class _ReadOnly(ModelAdmin):
    """Rows change by services only, or never."""

    list_select_related = ["organisation"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="organisation")
    def party(self, obj: Any) -> str:
        return str(obj.organisation.name)


@admin.register(ApiKey)
class ApiKeyAdmin(_ReadOnly):
    list_display = ["prefix", "party", "name", "created_at", "last_used_at", "revoked_at"]
    search_fields = ["prefix", "name"]
    exclude = ["secret_hash"]


@admin.register(AuditEvent)
class AuditEventAdmin(_ReadOnly):
    list_display = ["at", "party", "action", "subject"]
    list_filter = ["action"]
    search_fields = ["subject"]
