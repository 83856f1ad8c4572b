"""What roles may do."""

from __future__ import annotations

from uuid import uuid4

import pytest

from accounts.kernel.actor import Actor
from accounts.kernel.roles import ROLES, SCOPES


def actor(role: str, kind: str = "buyer") -> Actor:
    return Actor(uuid4(), kind, "O", uuid4(), None, role, ROLES[role])


class TestRoles:
    def test_name_known_scopes_only(self) -> None:
        assert all(scopes <= set(SCOPES) for scopes in ROLES.values())

    def test_let_only_owners_do_everything(self) -> None:
        assert [role for role, scopes in ROLES.items() if scopes == set(SCOPES)] == ["owner"]

    def test_let_viewers_write_nothing(self) -> None:
        assert all(scope.endswith(":read") for scope in ROLES["viewer"])

    def test_let_only_owners_change_members(self) -> None:
        assert [role for role in ROLES if actor(role).can("members:write")] == ["owner"]

    def test_keep_buying_and_offering_apart(self) -> None:
        assert not actor("trader").can("offers:write")
        assert not actor("provider").can("orders:write")


class TestActor:
    @pytest.mark.parametrize(
        ("kind", "buys", "sells"),
        [("buyer", True, False), ("provider", False, True), ("both", True, True), ("operator", False, False)],
    )
    def test_buys_and_sells_by_its_organisation(self, kind: str, buys: bool, sells: bool) -> None:
        one = actor("owner", kind)

        assert (one.is_buyer, one.is_provider) == (buys, sells)

    def test_cannot_be_changed(self) -> None:
        with pytest.raises(AttributeError):
            actor("viewer").scopes = frozenset(SCOPES)  # type: ignore[misc]
