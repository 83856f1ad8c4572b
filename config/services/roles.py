"""The three database roles, and what each may do.

owner   makes and changes tables; only migrations, the replay's fresh database and tests connect as it.
app     what every running process connects as: rows, but no tables, triggers or TRUNCATE, so that
        a fault of the site cannot take away what keeps the books append-only.
reader  for people and reports: SELECT on what holds no secret.
"""

from __future__ import annotations

from typing import Any, Protocol

OWNER, APP, READER = "owner", "app", "reader"

# Prefixes of tables that a reader may see, and tables that begin so but hold secrets.
_READABLE = ("ledger_", "market_", "metering_", "billing_", "providers_", "dispatch_")
_READABLE_TOO = ("accounts_organisation", "accounts_auditevent", "accounts_auditlink")
# A webhook may name who paid.
_SECRET = ("providers_enginekey", "providers_registrationtoken", "market_componenttask", "billing_stripeevent")
# The seed of a round is nobody's to see before it is cleared; components that wait for a worker carry it too.
_SECRET_COLUMNS = {"market_market": {"seed", "next_seed"}}


class Cursor(Protocol):
    """What Django's and psycopg's cursors share."""

    def execute(self, sql: str, params: Any = None) -> Any:
        """Run one statement."""

    def fetchone(self) -> Any:
        """The next row."""

    def fetchall(self) -> Any:
        """All rows."""


def exists(cursor: Cursor, role: str) -> bool:
    """Whether the server has this role."""
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
    return cursor.fetchone() is not None


def grant(cursor: Cursor, *, app: str | None, reader: str | None) -> None:
    """Give both roles their rights on every table of the current database; safe to repeat after each migration.

    Partitions get none: they are reached through their parent, whose triggers guard them.
    """
    cursor.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
        "AND relkind IN ('r', 'p') AND NOT relispartition"
    )
    tables = [row[0] for row in cursor.fetchall()]
    if app:
        _on(cursor, "SELECT, INSERT, UPDATE, DELETE", tables, app)
        cursor.execute(f'GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO "{app}"')
        cursor.execute(f'GRANT EXECUTE ON FUNCTION metering_make_partition(date) TO "{app}"')
    if reader:
        _on(cursor, "SELECT", [name for name in tables if is_readable(name) and name not in _SECRET_COLUMNS], reader)
        for table, secret in _SECRET_COLUMNS.items():
            cursor.execute(f'REVOKE ALL ON {table} FROM "{reader}"')
            cursor.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
                [table],
            )
            columns = [row[0] for row in cursor.fetchall() if row[0] not in secret]
            cursor.execute(f'GRANT SELECT ({", ".join(columns)}) ON {table} TO "{reader}"')


def is_readable(table: str) -> bool:
    """Whether a reader may see this table."""
    return (table.startswith(_READABLE) or table in _READABLE_TOO) and table not in _SECRET


def _on(cursor: Cursor, rights: str, tables: list[str], role: str) -> None:
    if tables:
        cursor.execute(f'GRANT {rights} ON {", ".join(tables)} TO "{role}"')
