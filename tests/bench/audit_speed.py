"""How long the audit log's chain takes to follow: a million sealed events, against a bare read of the same rows.

Run by `make bench`, in a database of its own, with 100,000 events; `ARGS=1000000` for the full size. Target: 10^6
events in 60 s. Prints a line, then one JSON line.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

import django
from django.core.management import call_command
from django.db import connection, transaction

NAME = "tokenspot_bench_audit"
SIZE = 100_000
MOST_SECONDS_PER_MILLION = 60
_FILL = """
INSERT INTO accounts_auditevent (organisation_id, action, subject, detail, at)
SELECT (SELECT id FROM accounts_organisation LIMIT 1), 'order.placed', 'ord_' || n,
       jsonb_build_object('limit', n, 'quantity', '1000', 'line', 'llama-3-8b', 'side', 'buy'),
       now() + n * interval '1 ms'
FROM generate_series(1, %s) n
"""


def main() -> int:
    """Measure, print, and give 1 when the target is missed."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else SIZE
    django.setup()
    with connection._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
        cursor.execute(f"CREATE DATABASE {NAME}")
    live = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = NAME
    try:
        call_command("migrate", "accounts", verbosity=0, interactive=False)
        return measure(size)
    finally:
        connection.close()
        connection.settings_dict["NAME"] = live
        with connection._nodb_cursor() as cursor:
            cursor.execute(f"DROP DATABASE {NAME} WITH (FORCE)")


def measure(size: int) -> int:
    """Seal and verify `size` events."""
    from accounts.selectors import chain, clock
    from accounts.services import organisations, sealing

    organisations.create(name="Bench", kind="buyer", now=clock.now())
    with connection.cursor() as cursor:
        cursor.execute(_FILL, [size])
    began = time.perf_counter()
    while sealing.seal():
        pass
    sealed = time.perf_counter() - began
    began = time.perf_counter()
    assert chain.verify() == [], "the chain that was just made must hold"
    verified = time.perf_counter() - began
    began = time.perf_counter()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT * FROM accounts_auditevent e JOIN accounts_auditlink l ON l.event_id = e.id")
        read = sum(1 for _ in cursor.fetchall())
    bare = time.perf_counter() - began
    assert read >= size
    per_million = verified / read * 1_000_000
    figure = {"events": read, "seal_per_s": round(read / sealed), "verify_s_per_million": round(per_million, 1),
              "verify_to_bare_read": round(verified / bare, 2), "ok": per_million <= MOST_SECONDS_PER_MILLION}  # fmt: skip
    print(f"audit chain: {read} events sealed at {read / sealed:,.0f}/s, verified in {verified:.2f} s "
          f"({per_million:.1f} s a million, {verified / bare:.2f} x a bare read)")  # fmt: skip
    print(json.dumps({"bench": "audit", **figure}))
    return 0 if figure["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
