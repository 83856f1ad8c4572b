"""`tokenspot estimate`: computed on the spot, with the market's prices where a site is named."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

import httpx

from token_standard.__main__ import main as token_standard
from token_standard.commands.estimate import first_format
from tokenspot_client.api import ApiProblem, Client

_FILES = (".json", ".onnx", ".mlir", ".stablehlo")


def run(arguments: list[str]) -> int:
    """Run `estimate ...`; 0 done, 1 no price from the site that was asked for, 2 wrong use."""
    if {"-h", "--help"} & set(arguments):
        print("With --site URL (or TOKENSPOT_URL and TOKENSPOT_KEY): the market's price now and its cheapest hours;")
        print("--grade realtime, interactive or batch. The rest needs no site:\n")
        return token_standard(arguments)
    own = argparse.ArgumentParser(prog="tokenspot estimate", add_help=False, allow_abbrev=False)
    own.add_argument("--site")
    own.add_argument("--key")
    own.add_argument("--grade", default="interactive", choices=["realtime", "interactive", "batch"])
    mine, rest = own.parse_known_args(arguments[1:])
    # Without a key the variable is other commands' business: an estimate needs no site.
    if not mine.site and not (os.environ.get("TOKENSPOT_URL") and (mine.key or os.environ.get("TOKENSPOT_KEY"))):
        return token_standard(["estimate", *rest])
    try:
        market = _market(Client(mine.site, mine.key), rest, mine.grade)
    except (ApiProblem, httpx.HTTPError) as error:
        print(f"no price from the market: {error}", file=sys.stderr)
        status = token_standard(["estimate", *rest])
        return status or (1 if mine.site else 0)
    price = market["price"] if market else None
    priced = any(one == "--price" or one.startswith("--price=") for one in rest)
    wants_cost = any(one.split("=")[0] in {"--input", "--output", "--trace"} for one in rest)
    extra = ["--price", price["per_million_st"]] if price and not priced and wants_cost else []
    status = token_standard(["estimate", *rest, *extra])
    if status == 0:
        _print(market, mine.grade)
    return status


def _market(client: Client, rest: list[str], grade: str) -> dict[str, Any] | None:
    """The market's answer for the model; None for files, which no line of the market has."""
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("--input", "--output", "--trace", "--price", "--format"):
        finder.add_argument(name)
    finder.add_argument("--cached", nargs="?")
    finder.add_argument("model", nargs="?")
    found, _ = finder.parse_known_args(rest)
    if not found.model or found.model.lower().endswith(_FILES):
        return None
    card = f"{found.model}/{found.format or first_format(found.model)}"
    body = {"card": card, "grade": grade, "requests": [{"input": 1, "output": 0}]}
    answer: dict[str, Any] = client.post("/estimates", body)
    return answer


def _print(market: dict[str, Any] | None, grade: str) -> None:
    if market is None or market["line"] is None:
        print("market      no line of the market has this card, so it has no price")
        return
    price = market["price"]
    now = f"{price['per_million_st']} CNY per million ST, {price['basis'].replace('_', ' ')}" if price else "no price"
    print(f"market      {market['line']}, {grade}, this hour: {now}")
    for hour in market["cheapest_hours"]:
        basis = hour["basis"].replace("_", " ")
        print(f"hour        {hour['window_start']}  {hour['per_million_st']} CNY per million ST, {basis}")
