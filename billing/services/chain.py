"""Why an amount is what it is: an invoice line down to the usage records, for pages, REST and an offline check."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.kernel.errors import DomainError
from billing.documents.figures import from_dict
from billing.kernel import chain as kernel
from billing.models import InvoiceLine, RatedLine
from billing.selectors import chain as rows
from market import selectors as market
from market.selectors import AllocationView
from token_standard import cards
from token_standard.catalogue import card_by_digest

MOST_RECORDS = 200_000
_PAGE = 5_000


class ChainTooLong(DomainError):
    """The line has more usage records than one file takes."""

    code = "chain_too_long"
    status = 422


@dataclass(frozen=True)
class Behind:
    """The levels behind a page of a line's rated lines, as plain values."""

    line: dict[str, str]
    rated_lines: list[dict[str, Any]]
    allocations: list[dict[str, Any]]
    charges: list[dict[str, str]]
    buckets: list[dict[str, Any]]
    next: int | None


def behind(
    invoice_id: UUID, number: int, *, actor: Actor, after: int = 0, limit: int | None = None
) -> Behind:  # fmt: skip
    """A page of the rated lines of an invoice line, with the allocations, charges and buckets that they name.

    :raises selectors.NoSuchInvoice, selectors.NoSuchLine: unknown, or another organisation's.
    """
    line = rows.line_row(invoice_id, number, actor=actor)
    return _behind(line, after=after, limit=limit)


def records(
    invoice_id: UUID, number: int, bucket_id: int, *, actor: Actor, after: UUID | None = None, limit: int = 100
) -> list[dict[str, str]]:
    """A page of the usage records of one bucket behind an invoice line, by key.

    :raises selectors.NoSuchInvoice, selectors.NoSuchLine: unknown, foreign, or a bucket that the line does not have.
    """
    line = rows.line_row(invoice_id, number, actor=actor)
    if not RatedLine.objects.filter(invoice_line=line, bucket_id=bucket_id).exists():
        raise rows.NoSuchLine("This line has no such bucket.")
    return [_record(one) for one in rows.chain_records(bucket_id, after=after, limit=limit)]


def document(invoice_id: UUID, number: int, *, actor: Actor) -> dict[str, Any]:
    """The whole chain of one line, which `tokenspot verify-line` checks without the platform.

    :raises selectors.NoSuchInvoice, selectors.NoSuchLine: unknown, or another organisation's.
    :raises ChainTooLong: more than `MOST_RECORDS` usage records; page through them instead.
    """
    with _one_snapshot():
        line = rows.line_row(invoice_id, number, actor=actor)
        found = _behind(line, after=0, limit=None)
        if sum(int(b["settled"]["records"]) + int(b["waiting"]["records"]) for b in found.buckets) > MOST_RECORDS:
            raise ChainTooLong(f"The line has more than {MOST_RECORDS} usage records; page through them instead.")
        for bucket in found.buckets:
            bucket["records"] = list(_all_records(int(bucket["id"])))
            bucket["records_sha256"] = kernel.records_digest(one["sha256"] for one in bucket["records"])
    figures = from_dict(line.invoice.figures)
    digests = {bucket["card"] for bucket in found.buckets} | {one["card"] for one in found.allocations}
    whole: dict[str, Any] = {
        "schema": kernel.SCHEMA,
        "invoice": {
            "id": ids.encode("inv", line.invoice_id),
            "figures": figures.as_dict(),
            "verification": figures.digest,
            "verification_code": figures.verification_code,
        },
        "line": found.line,
        "rated_lines": found.rated_lines,
        "allocations": found.allocations,
        "charges": found.charges,
        "buckets": found.buckets,
        "cards": {digest: cards.to_json(card_by_digest(digest)) for digest in sorted(digests)},
    }
    return {**whole, "sha256": kernel.seal(whole)}


@contextmanager
def _one_snapshot() -> Iterator[None]:
    """All reads see the same instant, whatever arrives meanwhile; inside a caller's transaction its own rule stands."""
    outermost = not connection.in_atomic_block
    with transaction.atomic():
        if outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def _behind(line: InvoiceLine, *, after: int, limit: int | None) -> Behind:
    found = rows.rated_of(line, after=after, limit=None if limit is None else limit + 1)
    following = found[limit - 1].id if limit is not None and len(found) > limit else None
    shown = found[:limit]
    views = market.allocations_many({one.allocation_id for one in shown})
    return Behind(
        line=_line(line),
        rated_lines=[_rated(one) for one in shown],
        allocations=_allocations(line, views),
        charges=_charges(shown),
        buckets=_buckets({one.bucket_id for one in shown if one.bucket_id is not None}),
        next=following,
    )


def _line(line: InvoiceLine) -> dict[str, str]:
    names = (
        "number", "kind", "tax_rate_bps", "micro_st", "input_tokens", "cached_tokens", "output_tokens",
        "average_price_micros", "exact", "amount_fen", "net_fen", "tax_fen",
    )  # fmt: skip
    return {
        **{name: str(getattr(line, name)) for name in names},
        "product": line.line,
        "grade": line.grade,
        "delivery_date": line.delivery_date.isoformat(),
        "digest": line.digest,
    }


def _rated(one: RatedLine) -> dict[str, Any]:
    names = ("micro_st", "price_micros", "exact", "input_tokens", "cached_tokens", "output_tokens")
    return {
        "id": str(one.id),
        "source": one.source,
        "allocation": ids.encode("alc", one.allocation_id),
        "bucket": None if one.bucket_id is None else str(one.bucket_id),
        "charge": None if one.charge_id is None else str(one.charge_id),
        **{name: str(getattr(one, name)) for name in names},
    }


def _allocations(line: InvoiceLine, views: dict[UUID, AllocationView]) -> list[dict[str, Any]]:
    posted = rows.posted(line, views)
    return [
        {
            "id": ids.encode("alc", view.id),
            "round": str(view.round_number),
            "certificate": f"{settings.SITE_URL}/rounds/{view.round_number}/certificate.json",
            "product": view.line,
            "grade": view.grade,
            "window_start": _instant(view.window_start),
            "window_end": _instant(view.window_end),
            "card": view.card_digest,
            "quantity_st": str(view.quantity_st),
            "price_micros": str(view.price_micros),
            "rated_exact": str(posted[view.id].exact),
            "elsewhere_exact": str(posted[view.id].elsewhere),
            "posted_micros": str(posted[view.id].posted_micros),
        }
        for view in sorted(views.values(), key=lambda view: (view.round_number, view.id))
    ]


def _charges(lines: Sequence[RatedLine]) -> list[dict[str, str]]:
    return [
        {
            "id": str(one.id),
            "kind": one.kind,
            "allocation": ids.encode("alc", one.allocation_id),
            "micro_st": str(one.micro_st),
            "price_micros": str(one.price_micros),
            "exact": str(int(one.exact)),
        }
        for one in market.charges_many({line.charge_id for line in lines if line.charge_id is not None})
    ]


def _buckets(bucket_ids: Collection[int]) -> list[dict[str, Any]]:
    parts: dict[int, list[dict[str, str]]] = defaultdict(list)
    for one in rows.parts_of(bucket_ids):
        assert one.bucket_id is not None, "asked by bucket"
        parts[one.bucket_id].append({"rated_line": str(one.id), "micro_st": str(one.micro_st)})
    return [
        {
            "id": str(one.bucket_id),
            "version": str(one.version),
            "allocation": ids.encode("alc", one.allocation_id),
            "card": one.card_digest,
            "settled": {name: str(count) for name, count in asdict(one.settled).items()},
            "waiting": {name: str(count) for name, count in asdict(one.waiting).items()},
            "parts": parts[one.bucket_id],
        }
        for one in rows.chain_buckets(bucket_ids)
    ]


def _all_records(bucket_id: int) -> Iterator[dict[str, str]]:
    after: UUID | None = None
    while page := rows.chain_records(bucket_id, after=after, limit=_PAGE):
        yield from map(_record, page)
        after = page[-1].key


def _record(one: rows.ChainRecord) -> dict[str, str]:
    said = {
        "key": one.key.hex,
        "source": one.source,
        "event_id": one.event_id,
        "request_id": one.request_id,
        "occurred_at": _instant(one.occurred_at),
        "received_at": _instant(one.received_at),
        "prompt_tokens": str(one.prompt_tokens),
        "cached_tokens": str(one.cached_tokens),
        "completion_tokens": str(one.completion_tokens),
        "micro_st": str(one.micro_st),
    }
    return {**said, "sha256": kernel.record_digest(said)}


def _instant(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
