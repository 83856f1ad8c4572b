"""What the roles app and reader can do in a migrated database, asked of the server itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import psycopg
import pytest
from django.db import connection, transaction
from django.db.utils import ProgrammingError

from config.services import roles
from metering_ingest import services as metering
from tests.metering_ingest.scene import HOUR, build, event

pytestmark = pytest.mark.django_db


@pytest.fixture
def as_app() -> Iterator[None]:
    """The rest of the test runs as the role app."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE app")
    yield
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")


def run(statement: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_the_role_app_can_sell_clear_and_meter(as_app: None) -> None:
    bought = build()
    result = metering.ingest_records([event(bought.allocations[0], "one")], sender=bought.operator, now=HOUR)
    assert (result.accepted, result.conflicts) == (1, ())


@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE ledger_entry",
        "TRUNCATE billing_invoice CASCADE",
        "ALTER TABLE ledger_entry DISABLE TRIGGER USER",
        "DROP TRIGGER ledger_entry_append_only ON ledger_entry",
        "DROP TABLE billing_topup",
        "CREATE TABLE mine (id int)",
        "SET session_replication_role = replica",
        "CREATE ROLE another",
        "ALTER ROLE app SUPERUSER",
        "SELECT * FROM pg_authid",
        "SELECT pg_read_file('/etc/passwd')",
    ],
)
def test_the_role_app_cannot_get_round_the_rules(as_app: None, statement: str) -> None:
    with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"):
        run(statement)


def test_a_partition_is_reached_through_its_parent_only(as_app: None) -> None:
    day = date(2033, 5, 1)
    with connection.cursor() as cursor:
        cursor.execute("SELECT metering_make_partition(%s), metering_make_partition(%s)", [day, day])
        assert cursor.fetchone() == (True, False)
    with pytest.raises(ProgrammingError, match="permission denied"):
        run("SELECT * FROM metering_usage_record_20330501")
    run("SELECT * FROM metering_usage_record")


def test_a_reader_sees_no_secret_and_changes_nothing() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
        )
        tables = {row[0] for row in cursor.fetchall()}
        cursor.execute(
            "SELECT table_name, privilege_type FROM information_schema.role_table_grants WHERE grantee = 'reader'"
        )
        granted = {tuple(row) for row in cursor.fetchall()}
    assert {right for _, right in granted} == {"SELECT"}
    seen = {table for table, _ in granted}
    assert {"ledger_entry", "billing_invoice", "market_fill", "metering_usage_record", "accounts_auditevent"} <= seen
    assert not seen & {"accounts_user", "accounts_apikey", "accounts_outboxrow", "django_session", "providers_enginekey",
                       "mfa_authenticator"}  # fmt: skip
    assert seen < tables


@pytest.mark.parametrize("role", [roles.APP, roles.READER])
def test_each_role_signs_in_with_its_own_password_only(role: str) -> None:
    state = Path(os.environ["TOKENSPOT_STATE"])
    secret = state / f"pg-password-{role}"
    assert secret.stat().st_mode & 0o777 == 0o600
    settings = connection.settings_dict
    where = {"host": settings["HOST"], "port": settings["PORT"], "dbname": settings["NAME"], "user": role}
    with psycopg.connect(**where, password=secret.read_text()) as own:
        assert own.execute("SELECT current_user, usesuper FROM pg_user WHERE usename = current_user").fetchone() == (
            role,
            False,
        )
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(**where, password=(state / "pg-password").read_text())
