"""``convert`` and ``fit-rate``: vendors' tokens in each other's, through standard tokens."""

import argparse
import json
import re
from collections.abc import Iterator
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

from token_standard import catalogue, exchange, pairs
from token_standard.exchange import Pair, Rate
from token_standard.figures import significant
from token_standard.huggingface import read_json

_AMOUNT = re.compile(r"\d{1,30}(?:\.\d{1,12})?", re.ASCII)


def add(subparsers: "argparse._SubParsersAction[Any]") -> None:
    parser = subparsers.add_parser(
        "convert",
        help="convert an amount of one vendor's tokens into another's",
        description="Tokens are ST, a row of the table such as deepseek/deepseek-v3/output, or MODEL/FORMAT:KIND@CONTEXT.",
    )
    parser.add_argument("amount", type=_amount, metavar="AMOUNT")
    parser.add_argument("source", metavar="FROM")
    parser.add_argument("target", metavar="TO")
    parser.add_argument(
        "--date", type=_day, default=None, metavar="YYYY-MM-DD", help="day of the rates (default: today)"
    )
    parser.add_argument("--rates", type=Path, action="append", default=[], metavar="FILE", help="a rate of `fit-rate`")
    parser.add_argument(
        "--mix", type=_mix, metavar="N:C:G", help="tokens the amount is made of; must fit a metered rate"
    )
    parser.set_defaults(run=run)
    fitting = subparsers.add_parser(
        "fit-rate",
        help="a rate from requests metered both ways",
        description=f"PAIRS is a CSV with the columns {', '.join(pairs.COLUMNS)}. Prints the rate as JSON.",
    )
    fitting.add_argument("pairs", type=Path, metavar="PAIRS")
    fitting.add_argument("--token", required=True, help="name of the vendor's token")
    fitting.add_argument("--card", required=True, metavar="MODEL")
    fitting.add_argument("--format", default=catalogue.DEFAULT_FORMAT)
    fitting.add_argument("--source", required=True, help="where the pairs come from")
    fitting.add_argument("--from", dest="valid_from", type=_day, required=True, metavar="YYYY-MM-DD")
    fitting.add_argument("--until", dest="valid_until", type=_day, metavar="YYYY-MM-DD")
    fitting.add_argument("--seed", type=int, default=1)
    fitting.set_defaults(run=run_fit)


def run(options: argparse.Namespace) -> Iterator[str]:
    """The lines to print.

    :raises RateError: no such token, no rate on that day, or another mix than the rate was fitted on.
    """
    day = options.date or date.today()  # noqa: DTZ011 - a calendar day of the reader
    more = [exchange.from_json(read_json(path)) for path in options.rates]
    source, target = (exchange.rate(token, day, more=more) for token in (options.source, options.target))
    if options.mix:
        for each in (source, target):
            exchange.check_mix(each, options.mix)
    result = exchange.convert(options.amount, source, target)
    yield f"{significant(result.amount, 7)} {target.token}"
    if result.low != result.high:
        yield f"between     {significant(result.low, 4)} and {significant(result.high, 4)}"
    for each in (source, target):
        yield from _rate(each)


def run_fit(options: argparse.Namespace) -> Iterator[str]:
    """The line to print.

    :raises RateError: a file that is no table of pairs, or pairs that give no rate.
    """
    fitted = exchange.fit(
        options.token,
        catalogue.card(options.card, options.format),
        list(pairs.read_file(options.pairs)),
        seed=options.seed,
        source=options.source,
        valid_from=options.valid_from,
        valid_until=options.valid_until,
    )
    yield json.dumps(exchange.to_json(fitted), sort_keys=True)


def _rate(each: Rate) -> Iterator[str]:
    if each.token == exchange.STANDARD:
        return
    until = each.valid_until or "open"
    dated = f", {each.valid_from} to {until}" if each.valid_from else ""
    yield f"1 {each.token} = {significant(each.st, 7)} ST, by {each.basis}{dated}: {each.source}"


def _amount(text: str) -> Fraction:
    if not _AMOUNT.fullmatch(text):
        raise argparse.ArgumentTypeError("a number of tokens, such as 1000000 or 0.5")
    return Fraction(text)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("a day, such as 2026-11-24") from None


def _mix(text: str) -> exchange.Mix:
    parts = text.split(":")
    if len(parts) != 3 or not all(part.isascii() and part.isdecimal() for part in parts) or not any(map(int, parts)):
        raise argparse.ArgumentTypeError("uncached, cached and generated tokens, such as 1000:0:200")
    uncached, cached, generated = map(int, parts)
    return exchange.mix([Pair(uncached, cached, generated, 0)])
