"""The `tokenspot` command."""

from __future__ import annotations

import argparse
import json
import re
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import httpx

from tokenspot_client.api import ApiProblem, Client
from tokenspot_client.certificate import check_round

_SERVER = "tokenspot.server_commands"
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)([kKmMgG]?)")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 done, 1 refused, 2 wrong use."""
    given = sys.argv[1:] if arguments is None else arguments
    server = {point.name: point for point in entry_points(group=_SERVER)}
    if given[:1] and given[0] in {"verify", "replay"}:
        if given[0] not in server:
            print(f"`tokenspot {given[0]}` runs where the server is installed; it is not here.", file=sys.stderr)
            return 2
        return int(server[given[0]].load()(given[1:]))
    options = _parser().parse_args(given)
    try:
        options.run(Client(options.url, options.key), options)
    except ApiProblem as problem:
        print(f"{problem.code}: {problem}", file=sys.stderr)
        return 1
    except httpx.HTTPError as error:
        print(f"no answer: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tokenspot", description="Buy inference tokens, watch the market, fetch bills."
    )
    parser.add_argument("--url", help="address of the site (default: TOKENSPOT_URL)")
    parser.add_argument("--key", help="API key (default: TOKENSPOT_KEY)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("lines", help="model lines on offer").set_defaults(run=_lines)
    buy = commands.add_parser("buy", help="bid for standard tokens: tokenspot buy 2M --line llama-3-8b --max 1.80")
    buy.add_argument("quantity", type=_quantity, help="standard tokens: 2000000, 2M, 500k")
    buy.add_argument("--line", required=True)
    buy.add_argument("--grade", default="interactive", choices=["realtime", "interactive", "batch"])
    buy.add_argument("--max", required=True, dest="price", help="limit, yuan per million standard tokens")
    buy.add_argument("--window", help="start of the hour, RFC 3339 (default: the current hour)")
    buy.add_argument("--or-window", action="append", default=[], help="another hour that would do as well; repeat it")
    buy.add_argument("--or-line", action="append", default=[], help="another line that would do: LINE or LINE:MAX")
    buy.add_argument("--vendor", action="append", default=[], help="only this chip vendor; repeat it for several")
    buy.add_argument("--region", action="append", default=[], help="only this region; repeat it for several")
    buy.add_argument("--tier", choices=["probation", "listed", "verified"], help="at least this tier")
    buy.add_argument("--min", type=_quantity, dest="minimum", help="nothing, or at least so much in a round")
    buy.add_argument("--all-or-none", action="store_true")
    buy.set_defaults(run=_buy)
    commands.add_parser("orders", help="your orders, newest first").set_defaults(run=_orders)
    cancel = commands.add_parser("cancel", help="cancel one order")
    cancel.add_argument("order")
    cancel.set_defaults(run=_cancel)
    amend = commands.add_parser("amend", help="change limit or quantity of an open bid")
    amend.add_argument("order")
    amend.add_argument("--max", dest="price", help="new limit, yuan per million standard tokens")
    amend.add_argument("--quantity", type=_quantity, help="new quantity, what is filled included")
    amend.set_defaults(run=_amend)
    switch = commands.add_parser("cancel-all-after", help="dead man's switch: cancel all unless called again in time")
    switch.add_argument("seconds", type=int, help="0 turns it off")
    switch.set_defaults(run=_cancel_all_after)
    invoices = commands.add_parser("invoices", help="list invoices, or download one")
    invoices.add_argument("action", nargs="?", choices=["list", "download"], default="list")
    invoices.add_argument("invoice", nargs="?")
    invoices.add_argument("--format", default="pdf", choices=["pdf", "csv"])
    invoices.add_argument("--lang", default="en", choices=["en", "zh"])
    invoices.add_argument("--out", type=Path)
    invoices.set_defaults(run=_invoices)
    verify_round = commands.add_parser("verify-round", help="download a round's certificate and check it; needs no key")
    verify_round.add_argument("number", type=int)
    verify_round.add_argument("--save", type=Path, help="keep the certificate in this file")
    verify_round.set_defaults(run=_verify_round)
    commands.add_parser("verify", help="check every invariant of the database (where the server is installed)")
    commands.add_parser("replay", help="a trace through market, meter and bill (where the server is installed)")
    return parser


def _verify_round(client: Client, options: argparse.Namespace) -> None:
    document = client.certificate(options.number)
    if options.save:
        options.save.write_text(json.dumps(document), encoding="utf-8")
    broken = check_round(document)
    for rule in broken:
        print(f"BROKEN  {rule}")
    if broken:
        raise SystemExit(1)
    orders = sum(len(component["orders"]) for component in document["components"])
    cells = sum(len(component["cells"]) for component in document["components"])
    print(f"Round {options.number} holds: {orders} orders, {cells} prices; seed, root, ties, balance, prices, shares.")


def _quantity(text: str) -> str:
    match = _QUANTITY.fullmatch(text)
    if not match:
        raise argparse.ArgumentTypeError("a number of standard tokens, such as 2000000, 2M or 500k")
    whole, _, part = match[1].partition(".")
    zeros = {"": 0, "k": 3, "m": 6, "g": 9}[match[2].lower()]
    if len(part) > zeros:
        raise argparse.ArgumentTypeError("standard tokens are bought whole")
    return str(int(whole + part.ljust(zeros, "0")))


def _lines(client: Client, _: argparse.Namespace) -> None:
    for line in client.pages("/lines"):
        print(f"{line['slug']:<24} {line['display_name']}")


def _buy(client: Client, options: argparse.Namespace) -> None:
    body: dict[str, Any] = {
        "side": "buy",
        "line": options.line,
        "grade": options.grade,
        "quantity_st": options.quantity,
        "price_per_million": options.price,
        "time_in_force": "gtc",
    }
    if options.window:
        body["window_start"] = options.window
    choices = [{"window_start": window} for window in options.or_window]
    for text in options.or_line:
        line, _, price = text.partition(":")
        choices.append({"line": line, **({"price_per_million": price} if price else {})})
    asked = {
        "choices": choices, "vendors": options.vendor, "regions": options.region, "tier": options.tier,
        "min_quantity_st": options.minimum, "all_or_none": options.all_or_none,
    }  # fmt: skip
    body |= {name: value for name, value in asked.items() if value}
    _print_order(client.post("/orders", body))


def _orders(client: Client, _: argparse.Namespace) -> None:
    for order in client.pages("/orders"):
        _print_order(order)


def _cancel(client: Client, options: argparse.Namespace) -> None:
    _print_order(client.post(f"/orders/{options.order}/cancel", {}))


def _amend(client: Client, options: argparse.Namespace) -> None:
    asked = {"price_per_million": options.price, "quantity_st": options.quantity}
    _print_order(client.patch(f"/orders/{options.order}", {name: value for name, value in asked.items() if value}))


def _cancel_all_after(client: Client, options: argparse.Namespace) -> None:
    fires_at = client.post("/orders/cancel-all-after", {"seconds": options.seconds}).get("fires_at")
    print(f"All open orders are cancelled at {fires_at} unless you call again." if fires_at else "The switch is off.")


def _print_order(order: dict[str, Any]) -> None:
    print(
        f"{order['id']}  {order['side']:<4} {order['quantity_st']:>14} ST  {order['line']}/{order['grade']}"
        f"  at {order['price_per_million']} per M  filled {order.get('filled_st', '0')}  {order['status']}"
    )


def _invoices(client: Client, options: argparse.Namespace) -> None:
    if options.action == "list":
        for invoice in client.pages("/invoices"):
            print(f"{invoice['id']}  {invoice.get('number') or '-':<18} {invoice['total']:>14} CNY  {invoice['state']}")
        return
    if not options.invoice:
        raise SystemExit("tokenspot invoices download INVOICE")
    content = client.download(f"/invoices/{options.invoice}/{options.format}", lang=options.lang)
    path = options.out or Path(f"{options.invoice}.{options.format}")
    path.write_bytes(content)
    print(path)


if __name__ == "__main__":
    sys.exit(main())
