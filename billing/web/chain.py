"""Why this amount: the page of an invoice line, and of a bucket behind it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from accounts.http.pagination import BadCursor, entry_number
from accounts.http.web import ActorPage, not_found_page
from accounts.kernel.decimals import plain
from billing import selectors
from billing.documents.figures import from_dict
from billing.http import chain_file, invoice_ids, record_key
from billing.selectors.chain import NoSuchLine
from billing.services import chain

_RATED, _RECORDS = 50, 100


class _ChainPage(ActorPage):
    scope = "billing:read"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any):
        """What is unknown, foreign or no place of a list does not exist."""
        try:
            return super().dispatch(request, *args, **kwargs)
        except (selectors.NoSuchInvoice, NoSuchLine, BadCursor):
            return not_found_page(request)


class LinePage(_ChainPage):
    """One line down to its buckets."""

    def get(self, request: HttpRequest, public_id: str, number: int) -> HttpResponse:
        """Formula, rated lines, allocations with round and certificate, buckets with counts."""
        (invoice_id,) = invoice_ids([public_id])
        after = entry_number(request.GET.get("after", "0"))
        if after is None:
            return not_found_page(request)
        invoice = selectors.invoice_row(invoice_id, actor=self.actor)
        found = chain.behind(invoice_id, number, actor=self.actor, after=after, limit=_RATED)
        context = {
            "public_id": public_id,
            "invoice": invoice,
            "line": from_dict(invoice.figures).lines[number - 1],
            "rows": _rated_rows(found),
            "buckets": [_bucket_row(one) for one in found.buckets],
            "older": found.next,
            "first_page": after == 0,
        }
        return render(request, "billing/line.html", context)


class BucketPage(_ChainPage):
    """The usage records of one bucket."""

    def get(self, request: HttpRequest, public_id: str, number: int, bucket: int) -> HttpResponse:
        """By key, with counters, standard tokens and hash."""
        (invoice_id,) = invoice_ids([public_id])
        after = record_key(request.GET.get("after", ""))
        found = chain.records(invoice_id, number, bucket, actor=self.actor, after=after, limit=_RECORDS + 1)
        context = {
            "public_id": public_id,
            "number": number,
            "bucket": bucket,
            "records": [
                {**one, "at": parse_datetime(one["occurred_at"]), "st": plain(int(one["micro_st"]), 6, at_least=6)}
                for one in found[:_RECORDS]
            ],
            "older": found[_RECORDS - 1]["key"] if len(found) > _RECORDS else None,
            "first_page": after is None,
        }
        return render(request, "billing/bucket.html", context)


class LineFile(_ChainPage):
    """The whole chain for an offline check."""

    def get(self, request: HttpRequest, public_id: str, number: int) -> HttpResponse:
        """The file; where it would be too long, back to the page with a sentence."""
        (invoice_id,) = invoice_ids([public_id])
        try:
            return chain_file(chain.document(invoice_id, number, actor=self.actor))
        except chain.ChainTooLong:
            messages.info(request, _("This line has too many usage records for one file. The API gives them by page."))
            return redirect("billing:invoice_line", public_id=public_id, number=number)


def _rated_rows(found: chain.Behind) -> list[dict[str, Any]]:
    allocations = {one["id"]: one for one in found.allocations}
    return [
        {
            "rated": one,
            "allocation": allocations[one["allocation"]],
            "st": plain(int(one["micro_st"]), 6, at_least=6),
            "price_micros": int(one["price_micros"]),
            "amount": plain(int(one["exact"]), 18, at_least=2),
        }
        for one in found.rated_lines
    ]


def _bucket_row(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "bucket": one,
        "st": plain(int(one["settled"]["micro_st"]), 6, at_least=6),
        "waiting_st": plain(int(one["waiting"]["micro_st"]), 6, at_least=6),
        "is_waiting": one["waiting"]["records"] != "0",
    }
