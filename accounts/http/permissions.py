"""What an actor must hold for a method of a view."""

from __future__ import annotations

from typing import Any

from rest_framework import exceptions, permissions
from rest_framework.request import Request

from accounts.kernel.actor import Actor


class ScopeMissing(exceptions.PermissionDenied):
    """The key or role lacks a scope."""

    default_code = "scope_missing"


class ScopePermission(permissions.BasePermission):
    """Looks the method up in the view's `required_scopes`; a method that is not listed is not allowed."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """:raises NotAuthenticated, ScopeMissing: see there."""
        if request.method == "OPTIONS":
            return True
        if not isinstance(request.auth, Actor):
            raise exceptions.NotAuthenticated("An API key or a sign-in is needed.")
        method = "GET" if request.method == "HEAD" else str(request.method)
        if method not in view.required_scopes:
            raise exceptions.MethodNotAllowed(method)
        scope = view.required_scopes[method]
        if scope is not None and not request.auth.can(scope):
            raise ScopeMissing(f"This needs the scope {scope}.")
        return True
