"""Shapes of keys and of the caller."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.http.serializers import StrictSerializer
from accounts.kernel import ids
from accounts.models import ApiKey, Member


class KeyInSerializer(StrictSerializer):
    """A key to make. It can do at most what its maker can."""

    name = serializers.CharField(max_length=80)
    scopes = serializers.ListField(child=serializers.CharField(max_length=20), min_length=1, max_length=20)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)


class KeySerializer(serializers.Serializer):
    """A key without its secret."""

    id = serializers.CharField()
    name = serializers.CharField()
    prefix = serializers.CharField()
    scopes = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)


class KeyPageSerializer(serializers.Serializer):
    """Newest first; `next` is the cursor of the following page."""

    data = KeySerializer(many=True)
    next = serializers.CharField(allow_null=True)


class NewKeySerializer(serializers.Serializer):
    """A key just made; the secret is shown this once."""

    id = serializers.CharField()
    secret = serializers.CharField()


class MemberInSerializer(StrictSerializer):
    """A person to make a member."""

    email = serializers.EmailField(max_length=254)
    role = serializers.CharField(max_length=8, help_text="owner, trader, provider, finance or viewer")


class RoleSerializer(StrictSerializer):
    """Another role for a member."""

    role = serializers.CharField(max_length=8, help_text="owner, trader, provider, finance or viewer")


class MemberSerializer(serializers.Serializer):
    """A member of the organisation."""

    id = serializers.CharField()
    email = serializers.EmailField()
    name = serializers.CharField()
    role = serializers.CharField()
    created_at = serializers.DateTimeField()


class MemberPageSerializer(serializers.Serializer):
    """Newest first; `next` is the cursor of the following page."""

    data = MemberSerializer(many=True)
    next = serializers.CharField(allow_null=True)


def member(row: Member) -> dict[str, Any]:
    """A member as JSON."""
    person = {"email": row.user.email, "name": row.user.name}
    return MemberSerializer(
        {"id": ids.encode("mem", row.id), "role": row.role, "created_at": row.created_at, **person}
    ).data


class MeSerializer(serializers.Serializer):
    """Who the caller is."""

    organisation = serializers.CharField()
    organisation_name = serializers.CharField()
    kind = serializers.CharField()
    role = serializers.CharField(allow_null=True)
    scopes = serializers.ListField(child=serializers.CharField())


def key(row: ApiKey) -> dict[str, Any]:
    """A key as JSON."""
    names = ("name", "prefix", "scopes", "created_at", "expires_at", "revoked_at", "last_used_at")
    return KeySerializer({"id": ids.encode("key", row.id), **{name: getattr(row, name) for name in names}}).data
