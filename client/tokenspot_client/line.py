"""The checker of an invoice line: does the chain behind it give the amount? Plain Python and `token_standard`.

It recomputes every record's micro-ST from its card and counters, the sums of the buckets, micro-ST times price, the
rounding, the tax and the digests up to the code that the invoice prints. What does not hold is named by its place.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from token_standard import cards, usage
from token_standard.errors import TokenStandardError

SCHEMA = "tokenspot.chain/1"
_COUNTS = ("records", "prompt_tokens", "cached_tokens", "completion_tokens", "micro_st")
_TOKENS = ("input_tokens", "cached_tokens", "output_tokens")
_RECORD = (
    "key", "source", "event_id", "request_id", "occurred_at", "received_at", "prompt_tokens", "cached_tokens",
    "completion_tokens", "micro_st",
)  # fmt: skip
_FEN, _MICRO, _BPS = 10**16, 10**12, 10_000


class NotAChain(ValueError):
    """The file is no chain of an invoice line."""


def check_line(document: Any) -> list[str]:
    """What the chain breaks, each as `place: what is wrong`; empty: the line is what its usage comes to.

    :raises NotAChain: another kind of file, or members are missing.
    """
    try:
        if document["schema"] != SCHEMA:
            raise NotAChain(f"schema {document['schema']!r}, not {SCHEMA!r}")
        return list(_broken(document))
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise NotAChain(f"a member is missing or of another kind: {error}") from error
    except ValueError as error:
        raise NotAChain(str(error)) from error


def _broken(chain: Mapping[str, Any]) -> Iterator[str]:
    priced = {digest: cards.from_json(plain) for digest, plain in chain["cards"].items()}
    for digest, card in priced.items():
        yield from _equal(f"cards[{digest[:12]}…]", "digest", digest, card.digest)
    for at, bucket in enumerate(chain["buckets"]):
        yield from _bucket(f"buckets[{at}]", bucket, priced)
    allocations = {one["id"]: one for one in chain["allocations"]}
    buckets = {one["id"]: one for one in chain["buckets"]}
    charges = {one["id"]: one for one in chain["charges"]}
    for at, rated in enumerate(chain["rated_lines"]):
        yield from _rated(f"rated_lines[{at}]", rated, allocations, buckets, charges)
    for at, allocation in enumerate(chain["allocations"]):
        yield from _allocation(f"allocations[{at}]", allocation, chain["rated_lines"])
    yield from _line(chain["line"], chain["rated_lines"])
    yield from _invoice(chain["invoice"], chain["line"])
    rest = {name: part for name, part in chain.items() if name != "sha256"}
    yield from _equal("sha256", "the seal of the file", chain["sha256"], _sha256(_canonical(rest)))


def _bucket(place: str, bucket: Mapping[str, Any], priced: Mapping[str, cards.Card]) -> Iterator[str]:
    card = priced[bucket["card"]]
    sums = dict.fromkeys(_COUNTS, 0)
    last = ""
    for at, record in enumerate(bucket["records"]):
        here = f"{place}.records[{at}]"
        prompt, cached, generated = (int(record[name]) for name in _COUNTS[1:4])
        try:
            given = usage.micro_st(card, n=prompt - cached, c=cached, g=generated)
        except TokenStandardError as error:
            yield f"{here}: {error}"
            continue
        yield from _equal(here, "micro_st", int(record["micro_st"]), given, "what its card and counters give")
        said = {name: record[name] for name in _RECORD}
        yield from _equal(here, "sha256", record["sha256"], _sha256(_canonical(said)))
        if record["key"] <= last:
            yield f"{here}.key: records stand once each, in the order of their keys"
        last = record["key"]
        sums["records"] += 1
        for name in _COUNTS[1:]:
            sums[name] += int(record[name])
    for name in _COUNTS:
        whole = int(bucket["settled"][name]) + int(bucket["waiting"][name])
        yield from _equal(place, f"settled.{name}", whole, sums[name], "the sum of its records")
    rated = sum(int(part["micro_st"]) for part in bucket["parts"])
    yield from _equal(place, "parts", rated, int(bucket["settled"]["micro_st"]), "what was settled")
    digest = _sha256("".join(f"{record['sha256']}\n" for record in bucket["records"]).encode())
    yield from _equal(place, "records_sha256", bucket["records_sha256"], digest)


def _rated(
    place: str, rated: Mapping[str, Any], allocations: Mapping[str, Any], buckets: Mapping[str, Any],
    charges: Mapping[str, Any],
) -> Iterator[str]:  # fmt: skip
    micro_st, price, exact = int(rated["micro_st"]), int(rated["price_micros"]), int(rated["exact"])
    if rated["bucket"] is not None:
        parts = {part["rated_line"]: int(part["micro_st"]) for part in buckets[rated["bucket"]]["parts"]}
        yield from _equal(place, "micro_st", micro_st, parts.get(rated["id"]), "its part of the bucket")
    else:
        charge = charges[rated["charge"]]
        if micro_st > int(charge["micro_st"]) or rated["allocation"] != charge["allocation"]:
            yield f"{place}.micro_st: more than charge {charge['id']} is for"
        if charge["kind"] == "cancellation":
            yield from _equal(place, "exact", exact, int(charge["exact"]), "the fee")
            yield from _equal(place, "price_micros", price, int(charge["price_micros"]), "the charge's")
            return
    yield from _equal(place, "exact", exact, micro_st * price, "micro-ST times price")
    paid = int(allocations[rated["allocation"]]["price_micros"])
    yield from _equal(place, "price_micros", price, paid, "the price of its allocation")


def _allocation(place: str, allocation: Mapping[str, Any], rated: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    mine = [one for one in rated if one["allocation"] == allocation["id"]]
    if sum(int(one["micro_st"]) for one in mine) > int(allocation["quantity_st"]) * 10**6:
        yield f"{place}.quantity_st: more is rated than was bought"
    exact = int(allocation["rated_exact"])
    whole = sum(int(one["exact"]) for one in mine) + int(allocation["elsewhere_exact"])
    yield from _equal(place, "rated_exact", exact, whole, "the lines here and elsewhere")
    posted = int(allocation["posted_micros"])
    yield from _equal(place, "posted_micros", posted, exact // _MICRO, "rated_exact, rounded down once")


def _line(line: Mapping[str, Any], rated: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for name in ("micro_st", "exact", *_TOKENS):
        yield from _equal("line", name, int(line[name]), sum(int(one[name]) for one in rated), "the sum of its parts")
    rows = sorted((int(one["id"]), int(one["micro_st"]), int(one["exact"])) for one in rated)
    digest = _sha256("".join(f"{i},{q},{e}\n" for i, q, e in rows).encode())
    yield from _equal("line", "digest", line["digest"], digest, "the hash of its parts")
    exact, amount = int(line["exact"]), int(line["amount_fen"])
    yield from _equal("line", "amount_fen", amount, _half_up(exact, _FEN), "exact, rounded half up to fen")
    yield from _equal("line", "net_fen", int(line["net_fen"]) + int(line["tax_fen"]), amount, "amount less tax")
    average = _half_up(exact, int(line["micro_st"]))
    yield from _equal("line", "average_price_micros", int(line["average_price_micros"]), average, "amount by quantity")


def _invoice(invoice: Mapping[str, Any], line: Mapping[str, Any]) -> Iterator[str]:
    figures = invoice["figures"]
    printed = figures["lines"][int(line["number"]) - 1]
    same = (
        "number", "kind", "product", "grade", "delivery_date", "tax_rate_bps", "micro_st", *_TOKENS,
        "average_price_micros", "amount_fen", "net_fen", "tax_fen", "digest",
    )  # fmt: skip
    for name in same:
        if name in printed:  # the first invoices do not say what a line is paid for
            yield from _equal("line", name, line[name], str(printed[name]), "what the invoice says")
    exact = int(line["exact"])
    yield from _equal("line", "exact", exact, _scaled(printed["exact_amount"]), "what the invoice says")
    yield from _sums(figures)
    digest = _sha256(_canonical(figures))
    yield from _equal("invoice", "verification", invoice["verification"], digest, "the hash of its figures")
    code = "-".join(digest[i : i + 4] for i in range(0, 20, 4))
    yield from _equal("invoice", "verification_code", invoice["verification_code"], code)


def _sums(figures: Mapping[str, Any]) -> Iterator[str]:
    """Total, net, tax and rounding from the lines; the tax of a rate is taken of its sum and shared out."""
    place, lines = "invoice.figures", figures["lines"]
    for name, of in (("total_fen", "amount_fen"), ("net_fen", "net_fen"), ("tax_fen", "tax_fen")):
        yield from _equal(place, name, figures[name], sum(line[of] for line in lines), "the sum of its lines")
    exact = sum(_scaled(line["exact_amount"]) for line in lines)
    yield from _equal(place, "exact_amount", _scaled(figures["exact_amount"]), exact, "the sum of its lines")
    left = exact - figures["total_fen"] * _FEN
    yield from _equal(place, "rounding", _scaled(figures["rounding"]), left, "exact less total")
    for rate in sorted({line["tax_rate_bps"] for line in lines}):
        mine = [line for line in lines if line["tax_rate_bps"] == rate]
        gross = sum(line["amount_fen"] for line in mine)
        tax = gross - _half_up(gross * _BPS, _BPS + rate)
        shares = [tax * line["amount_fen"] // gross if gross else 0 for line in mine]
        order = sorted(
            range(len(mine)), key=lambda i: (-(tax * mine[i]["amount_fen"] % (gross or 1)), mine[i]["number"])
        )
        for i in order[: tax - sum(shares)]:
            shares[i] += 1
        for line, share in zip(mine, shares, strict=True):
            here = f"{place}.lines[{line['number'] - 1}]"
            yield from _equal(here, "tax_fen", line["tax_fen"], share, "its share of the tax of its rate")


def _equal(place: str, name: str, said: object, computed: object, why: str = "") -> Iterator[str]:
    if said != computed:
        yield f"{place}.{name}: says {said}, computed {computed}" + (f" ({why})" if why else "")


def _scaled(decimal: str) -> int:
    """A plain decimal of yuan in 10^-18."""
    whole, _, places = decimal.lstrip("-").partition(".")
    value = int(whole) * 10**18 + int((places + "0" * 18)[:18])
    return -value if decimal.startswith("-") else value


def _half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator) if denominator else 0


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main(arguments: Sequence[str]) -> int:
    """`verify-line FILE [--code CODE]`: 0 it holds, 1 it does not, 2 no chain or wrong use."""
    parser = argparse.ArgumentParser(prog="tokenspot verify-line", description=__doc__)
    parser.add_argument("file", type=Path, help="the chain of a line, as the invoice's page or the API gives it")
    parser.add_argument("--code", help="the verification code that the invoice prints, to compare with")
    options = parser.parse_args(list(arguments)[1:])
    try:
        document = json.loads(options.file.read_text(encoding="utf-8"))
        broken = check_line(document)
    except (OSError, UnicodeDecodeError, NotAChain, json.JSONDecodeError) as error:
        print(f"{options.file}: {error}", file=sys.stderr)
        return 2
    code = document["invoice"]["verification_code"]
    if options.code and options.code.lower() != code:
        broken.append(f"invoice.verification_code: {code}, but the invoice in hand prints {options.code}")
    for rule in broken:
        print(f"BROKEN  {rule}")
    if broken:
        return 1
    line, figures = document["line"], document["invoice"]["figures"]
    records = sum(len(bucket["records"]) for bucket in document["buckets"])
    print(
        f"Line {line['number']} of {figures['number']} holds: {records} records, {len(document['buckets'])} buckets, "
        f"{len(document['rated_lines'])} rated lines, {figures['lines'][int(line['number']) - 1]['amount']} "
        f"{figures['currency']}; verification code {code}."
    )
    return 0
