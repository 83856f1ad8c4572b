"""The audit log: the database itself refuses every change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F

from accounts.models import AuditEvent
from accounts.services import audit
from tests.accounts.conftest import House


@pytest.fixture
def event(house: House) -> AuditEvent:
    audit.record(actor=house.owner, action="test.done", subject="s", detail={"a": 1}, now=house.now)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # foreign keys still to be checked would refuse a TRUNCATE too
    return AuditEvent.objects.get()


def sql(statement: str) -> Callable[[], Any]:
    def run() -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)

    return run


CHANGES: dict[str, Callable[[], Any]] = {
    "update": lambda: AuditEvent.objects.update(action="other"),
    "update that changes nothing": lambda: AuditEvent.objects.update(action=F("action")),
    "update of no row": sql("UPDATE accounts_auditevent SET action = 'x' WHERE false"),
    "save": lambda: AuditEvent.objects.get().save(),
    "delete": lambda: AuditEvent.objects.all().delete(),
    "raw delete": sql("DELETE FROM accounts_auditevent"),
    "truncate": sql("TRUNCATE accounts_auditevent"),
    "truncate of what it hangs on": sql("TRUNCATE accounts_organisation CASCADE"),
    "upsert": sql(
        "INSERT INTO accounts_auditevent (id, organisation_id, action, subject, detail, at) "
        "SELECT id, organisation_id, 'x', subject, detail, at FROM accounts_auditevent "
        "ON CONFLICT (id) DO UPDATE SET action = 'x'"
    ),
    "merge": sql(
        "MERGE INTO accounts_auditevent a USING accounts_auditevent b ON a.id = b.id WHEN MATCHED THEN DELETE"
    ),
}


class TestAuditLog:
    @pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
    def test_is_never_changed(self, event: AuditEvent, change: Callable[[], Any]) -> None:
        with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
            change()

        event.refresh_from_db()
        assert (event.action, event.detail) == ("test.done", {"a": 1})

    def test_goes_with_the_change_it_tells_of(self, house: House) -> None:
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            audit.record(actor=house.owner, action="test.done", subject="s", detail={}, now=house.now)
            raise ZeroDivisionError

        assert AuditEvent.objects.count() == 0

    def test_names_the_key_that_acted(self, house: House) -> None:
        from accounts.selectors import actors

        actor = actors.for_key(house.secret(), now=house.now)
        assert actor is not None
        audit.record(actor=actor, action="test.done", subject="s", detail={}, now=house.now)

        event = AuditEvent.objects.get(action="test.done")
        assert (event.key_id, event.user_id) == (actor.key_id, None)
