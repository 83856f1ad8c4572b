"""The audit log's chain in the database: sealing, tampering, anchors, two sealers."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from accounts.models import AuditEvent, AuditLink
from accounts.selectors import chain
from accounts.services import audit, sealing

EVENTS = 200


@pytest.fixture
def sealed(house: Any) -> list[int]:
    """A chain of events, as the sealer left it; gives the events' ids."""
    for number in range(EVENTS):
        audit.record(
            actor=house.owner,
            action="order.placed",
            subject=f"ord_{number}",
            detail={"量": number, "a": [1.5, None, "x"], "Z": {"b": True}},
            now=house.now + timedelta(seconds=number),
        )
    assert sealing.seal(limit=50) == 50
    assert sealing.seal() == AuditEvent.objects.count() - 50
    assert sealing.seal() == 0
    assert chain.verify() == []
    return list(AuditLink.objects.order_by("position").values_list("event_id", flat=True))


def past_the_triggers(sql: str, parameters: list[Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(sql, parameters)
        changed = cursor.rowcount
        cursor.execute("SET LOCAL session_replication_role = origin")
    return int(changed)


TAMPERINGS = [
    "UPDATE accounts_auditevent SET action = action || 'x' WHERE id = %s",
    "UPDATE accounts_auditevent SET subject = 'ord_other' WHERE id = %s",
    "UPDATE accounts_auditevent SET detail = jsonb_set(detail, '{量}', '-1') WHERE id = %s",
    "UPDATE accounts_auditevent SET at = at + interval '1 microsecond' WHERE id = %s",
    "UPDATE accounts_auditevent SET user_id = gen_random_uuid() WHERE id = %s",
    "UPDATE accounts_auditevent SET key_id = gen_random_uuid() WHERE id = %s",
    "UPDATE accounts_auditevent SET organisation_id = gen_random_uuid() WHERE id = %s",
    "DELETE FROM accounts_auditevent WHERE id = %s",
    "UPDATE accounts_auditlink SET hash = sha256(hash) WHERE event_id = %s",
    "DELETE FROM accounts_auditlink WHERE event_id = %s",
]


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_what_a_superuser_changes_is_named_by_its_first_bad_link(
    sealed: list[int], tampering: str, tmp_path: Path
) -> None:
    heads = tmp_path / "heads.jsonl"
    sealing.copy_head(heads)
    chance = random.Random(tampering)
    for position in [1, len(sealed), *(chance.randrange(1, len(sealed)) for _ in range(18))]:
        undo = transaction.savepoint()
        assert past_the_triggers(tampering, [sealed[position - 1]]) == 1
        found = chain.verify(heads)
        assert found[0].subject == f"link {position}", (position, found)
        transaction.savepoint_rollback(undo)
    assert chain.verify(heads) == []


def test_swapped_events_and_a_cut_tail_are_named(sealed: list[int], tmp_path: Path) -> None:
    heads = tmp_path / "heads.jsonl"
    assert sealing.copy_head(heads)
    assert not sealing.copy_head(heads)
    undo = transaction.savepoint()
    past_the_triggers(
        "UPDATE accounts_auditlink l SET event_id = -o.event_id FROM accounts_auditlink o "
        "WHERE (l.position, o.position) IN ((7, 9), (9, 7))", []
    )  # fmt: skip
    past_the_triggers("UPDATE accounts_auditlink SET event_id = -event_id WHERE event_id < 0", [])
    assert [one.subject for one in chain.verify()] == ["link 7", "link 9"]
    transaction.savepoint_rollback(undo)
    past_the_triggers("DELETE FROM accounts_auditlink WHERE position > %s", [len(sealed) - 3])
    past_the_triggers("DELETE FROM accounts_auditevent WHERE id > %s", [sealed[-4]])
    assert chain.verify() == []  # nothing inside tells of it
    assert [one.subject for one in chain.verify(heads)] == [f"link {len(sealed)}"]
    with pytest.raises(SystemExit):
        call_command("verify_chain", anchors=heads)


def test_an_event_written_past_the_sealer_is_named(sealed: list[int]) -> None:
    past_the_triggers("UPDATE accounts_auditlink SET sealed_at = sealed_at - interval '1 hour'", [])
    past_the_triggers(
        "INSERT INTO accounts_auditevent (id, organisation_id, action, subject, detail, at) "
        "SELECT -1, organisation_id, action, subject, detail, at FROM accounts_auditevent WHERE id = %s", [sealed[0]]
    )  # fmt: skip
    assert sealing.seal() == 0
    assert [one.subject for one in chain.verify()] == ["event -1"]


@pytest.mark.parametrize("change", ["UPDATE {} SET hash = hash", "DELETE FROM {}", "TRUNCATE {}"])
def test_links_are_never_changed(sealed: list[int], change: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # else TRUNCATE fails for another reason
        cursor.execute(change.format("accounts_auditlink"))


def test_the_command_says_what_it_checked(sealed: list[int], tmp_path: Path, capsys: Any) -> None:
    heads = tmp_path / "heads.jsonl"
    sealing.copy_head(heads)
    call_command("verify_chain", anchors=heads)
    assert f"The chain holds: {len(sealed)} events, 1 copied heads" in capsys.readouterr().out


def test_sealers_at_once_make_one_chain(committed_house: Any) -> None:
    from tests.accounts.conftest import committed, together

    def record(number: int) -> None:
        audit.record(actor=committed_house.owner, action="a.b", subject=str(number), detail={}, now=committed_house.now)

    assert not [one for one in together([lambda n=n: record(n) for n in range(8)]) if one]  # type: ignore[misc]
    before = committed(AuditLink.objects.count)
    sealed = together([sealing.seal] * 4)
    assert sum(sealed) == committed(AuditEvent.objects.count) - before
    assert committed(chain.verify) == []
