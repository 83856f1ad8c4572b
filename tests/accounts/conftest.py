"""Two organisations that know nothing of each other. Late imports: kernel tests load this file without Django."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

_numbers = itertools.count()


class House:
    """What tests of accounts act in."""

    def __init__(self, now: datetime) -> None:
        from accounts.selectors import actors
        from accounts.services import organisations

        self.now = now
        self.own_id = organisations.create(name="Harbour", kind="buyer", now=now, legal_name="Harbour Ltd")
        self.other_id = organisations.create(name="Meadow", kind="both", now=now)
        self.owner = actors.of_organisation(self.own_id)
        self.stranger = actors.of_organisation(self.other_id)

    def member(self, role: str, *, organisation_id: uuid.UUID | None = None) -> Any:
        """A new person with a role; gives the user."""
        from accounts.models import User
        from accounts.services import members

        email = f"{role}{next(_numbers)}@example.com"
        user_id = members.add(
            organisation_id=organisation_id or self.own_id, email=email, role=role, now=self.now, password="p" * 14
        )
        return User.objects.get(id=user_id)

    def secret(self, *scopes: str, stranger: bool = False, **more: Any) -> str:
        """A new key's secret."""
        from accounts.services import keys

        actor = self.stranger if stranger else self.owner
        return keys.create(actor=actor, name="test", scopes=scopes or ["market:read"], now=self.now, **more).secret

    def api(self, *scopes: str, stranger: bool = False) -> Any:
        """A client that sends a key with these scopes."""
        from django.test import Client

        return Client(headers={"authorization": f"Bearer {self.secret(*scopes, stranger=stranger)}"})

    def signed_in(self, role: str, *, language: str = "en", **options: Any) -> Any:
        """A browser with a member's session."""
        from django.test import Client

        client = Client(**options)
        client.force_login(self.member(role), backend="allauth.account.auth_backends.AuthenticationBackend")
        client.cookies["django_language"] = language
        return client


@pytest.fixture
def house(db: None) -> House:
    """Inside the test's transaction."""
    from accounts.selectors import clock

    return House(clock.now())


@pytest.fixture
def committed_house(db: None) -> Iterator[House]:
    """Rows that other connections see, made and removed by one; the test's own transaction only reads.

    `db` is what has pytest-django make the test database; without it this would be the site's own.
    """
    from accounts.selectors import clock

    yield committed(lambda: House(clock.now()))
    committed(_remove_everything)


def _remove_everything() -> None:
    """Past the triggers that guard the rows, as the owner can."""
    from django.db import connection

    assert str(connection.settings_dict["NAME"]).startswith("test_")
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        for name in (
            "auditlink",
            "auditevent",
            "idempotencyrow",
            "outboxrow",
            "apikey",
            "member",
            "user",
            "organisation",
        ):
            cursor.execute(f"DELETE FROM accounts_{name}")


def committed(step: Callable[[], Any]) -> Any:
    """Do a step outside of the test's transaction."""
    (result,) = together([step])
    if isinstance(result, BaseException):
        raise result
    return result


def together(steps: list[Callable[[], Any]]) -> list[Any]:
    """Run each step in a thread with a connection of its own, all starting at once; exceptions are results."""
    from django.db import connection, connections

    barrier = threading.Barrier(len(steps))
    results: list[Any] = [None] * len(steps)

    def run(number: int, step: Callable[[], Any]) -> None:
        try:
            connection.ensure_connection()
            barrier.wait(30)
            results[number] = step()
        except Exception as error:
            results[number] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(number, step)) for number, step in enumerate(steps)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results
