"""Commands of the market: place, preview, amend, cancel, and what the market says."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from tokenspot_client.api import Client

GRADES = ["realtime", "interactive", "batch"]
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)([kKmMgG]?)")


def add_commands(commands: Any) -> None:
    """The market's commands under `tokenspot`."""
    commands.add_parser("lines", help="model lines on offer").set_defaults(run=_lines)
    products = commands.add_parser("products", help="open hours of a line, with their best prices")
    products.add_argument("--line")
    products.add_argument("--grade", choices=GRADES)
    products.set_defaults(run=_products)
    buy = commands.add_parser(
        "buy", aliases=["place"], help="bid for standard tokens: tokenspot buy 2M --line llama-3-8b --max 1.80"
    )
    _order_options(buy)
    buy.set_defaults(run=_buy)
    preview = commands.add_parser("preview", help="what a bid would get and cost now; takes what buy takes")
    _order_options(preview)
    preview.set_defaults(run=_preview)
    batch = commands.add_parser("batch", help="place up to 1,000 orders from a file: a JSON list of orders as in REST")
    batch.add_argument("file", type=Path, help="- reads them from the standard input")
    batch.set_defaults(run=_batch)
    commands.add_parser("orders", help="your orders, newest first").set_defaults(run=_orders)
    cancel = commands.add_parser("cancel", help="cancel one order")
    cancel.add_argument("order")
    cancel.set_defaults(run=_cancel)
    cancel_all = commands.add_parser("cancel-all", help="cancel all open orders")
    cancel_all.add_argument("--side", choices=["buy", "sell"], help="of this side only")
    cancel_all.set_defaults(run=_cancel_all)
    amend = commands.add_parser("amend", help="change limit or quantity of an open bid")
    amend.add_argument("order")
    amend.add_argument("--max", dest="price", help="new limit, yuan per million standard tokens")
    amend.add_argument("--quantity", type=quantity, help="new quantity, what is filled included")
    amend.set_defaults(run=_amend)
    switch = commands.add_parser("cancel-all-after", help="dead man's switch: cancel all unless called again in time")
    switch.add_argument("seconds", type=int, nargs="?", help="0 turns it off; without a number it is only shown")
    switch.set_defaults(run=_cancel_all_after)
    depth = commands.add_parser("depth", help="open bids and offers of a product by price")
    depth.add_argument("product", help="id of a product, see `tokenspot products`")
    depth.add_argument("--levels", type=int, default=10)
    depth.set_defaults(run=_depth)
    trades = commands.add_parser("trades", help="rounds in which a product traded, newest first")
    trades.add_argument("product")
    trades.add_argument("--limit", type=int, default=20)
    trades.set_defaults(run=_trades)
    bars = commands.add_parser("bars", help="open, high, low and close of a product")
    bars.add_argument("product")
    bars.add_argument("--interval", default="5m", help="1m, 5m, 1h or 1d (default: 5m)")
    bars.set_defaults(run=_bars)


def _order_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("quantity", type=quantity, help="standard tokens: 2000000, 2M, 500k")
    parser.add_argument("--line", required=True)
    parser.add_argument("--grade", default="interactive", choices=GRADES)
    parser.add_argument("--or-better", action="store_true", help="every better grade too, at the same limit")
    parser.add_argument("--max", required=True, dest="price", help="limit, yuan per million standard tokens")
    parser.add_argument("--window", help="start of the hour, RFC 3339 (default: the current hour)")
    parser.add_argument("--or-window", action="append", default=[], help="another hour that would do; repeat it")
    parser.add_argument("--or-line", action="append", default=[], help="another line that would do: LINE or LINE:MAX")
    parser.add_argument("--vendor", action="append", default=[], help="only this chip vendor; repeat it for several")
    parser.add_argument("--region", action="append", default=[], help="only this region; repeat it for several")
    parser.add_argument("--tier", choices=["probation", "listed", "verified"], help="at least this tier")
    parser.add_argument(
        "--data-terms", choices=["no-retention", "retention-30d", "unknown"],
        help="what may happen to prompts: this or stricter (default: nothing is kept)",
    )  # fmt: skip
    parser.add_argument("--min", type=quantity, dest="minimum", help="nothing, or at least so much in a round")
    parser.add_argument("--all-or-none", action="store_true")
    parser.add_argument(
        "--valid", choices=["gtc", "ioc"], default="gtc", help="until its hour ends, or the next round only"
    )


def quantity(text: str) -> str:
    """Standard tokens from a number with an optional k, M or G.

    :raises argparse.ArgumentTypeError: it is none.
    """
    match = _QUANTITY.fullmatch(text)
    if not match:
        raise argparse.ArgumentTypeError("a number of standard tokens, such as 2000000, 2M or 500k")
    whole, _, part = match[1].partition(".")
    zeros = {"": 0, "k": 3, "m": 6, "g": 9}[match[2].lower()]
    if len(part) > zeros:
        raise argparse.ArgumentTypeError("standard tokens are bought whole")
    return str(int(whole + part.ljust(zeros, "0")))


def _body(options: argparse.Namespace) -> dict[str, Any]:
    body: dict[str, Any] = {
        "side": "buy",
        "line": options.line,
        "grade": options.grade,
        "quantity_st": options.quantity,
        "price_per_million": options.price,
        "time_in_force": options.valid,
    }
    choices = [{"window_start": window} for window in options.or_window]
    for text in options.or_line:
        line, _, price = text.partition(":")
        choices.append({"line": line, **({"price_per_million": price} if price else {})})
    asked = {
        "window_start": options.window, "choices": choices, "vendors": options.vendor, "regions": options.region,
        "tier": options.tier, "data_terms": options.data_terms, "min_quantity_st": options.minimum,
        "all_or_none": options.all_or_none, "or_better": options.or_better,
    }  # fmt: skip
    return body | {name: value for name, value in asked.items() if value}


def _lines(client: Client, _: argparse.Namespace) -> None:
    for line in client.pages("/lines"):
        print(f"{line['slug']:<24} {line['display_name']}")


def _products(client: Client, options: argparse.Namespace) -> None:
    asked = {name: value for name in ("line", "grade") if (value := getattr(options, name))}
    for one in client.pages("/products", **asked):
        prices = [one[f"{name}_per_million"] or "-" for name in ("best_bid", "best_offer", "last_price")]
        print(
            f"{one['id']}  {one['line']}/{one['grade']}  {one['window_start']}"
            f"  bid {prices[0]}  offer {prices[1]}  last {prices[2]}"
        )


def _buy(client: Client, options: argparse.Namespace) -> None:
    print_order(client.post("/orders", _body(options)))


def _preview(client: Client, options: argparse.Namespace) -> None:
    told = client.post("/orders/preview", _body(options))
    if told["expected_unknown"]:
        print(f"would fill now   not told: {told['expected_unknown']}")
    else:
        print(f"would fill now   {told['expected_fill_st']} of {told['quantity_st']} ST")
    for one in told["expected"]:
        print(
            f"                 {one['fill_st']} ST of {one['line']}/{one['grade']} {one['window_start']}"
            f" at {one['price_per_million']} per M"
        )
    if told["list_cost"]:
        print(f"at list price    {told['list_cost']} ({told['list_price_source']})")
    print(f"worst cost       {told['worst_cost']}   held {told['held']}   fee {told['fee']}")
    print(f"in your wallet   {told['available'] or '-'}")


def _batch(client: Client, options: argparse.Namespace) -> None:
    text = sys.stdin.read() if str(options.file) == "-" else options.file.read_text(encoding="utf-8")
    try:
        given = json.loads(text)
    except ValueError as error:
        raise SystemExit(f"{options.file} is no JSON: {error}") from None
    told = client.post("/orders/batch", given if isinstance(given, dict) else {"orders": given})
    for number, result in enumerate(told["results"]):
        if result["order"]:
            print_order(result["order"])
        else:
            print(f"order {number} refused: {result['problem']['code']}: {result['problem'].get('detail', '')}")
    print(f"{told['placed']} placed, {told['refused']} refused")
    if told["refused"]:
        raise SystemExit(1)


def _orders(client: Client, _: argparse.Namespace) -> None:
    for order in client.pages("/orders"):
        print_order(order)


def _cancel(client: Client, options: argparse.Namespace) -> None:
    print_order(client.post(f"/orders/{options.order}/cancel", {}))


def _cancel_all(client: Client, options: argparse.Namespace) -> None:
    told = client.post("/orders/cancel", {"side": options.side} if options.side else {})
    print(f"{told['cancelled']} cancelled")


def _amend(client: Client, options: argparse.Namespace) -> None:
    asked = {"price_per_million": options.price, "quantity_st": options.quantity}
    print_order(client.patch(f"/orders/{options.order}", {name: value for name, value in asked.items() if value}))


def _cancel_all_after(client: Client, options: argparse.Namespace) -> None:
    if options.seconds is None:
        told = client.get("/orders/cancel-all-after")
    else:
        told = client.post("/orders/cancel-all-after", {"seconds": options.seconds})
    if told["fires_at"]:
        print(f"All open orders are cancelled at {told['fires_at']} ({told['seconds_left']} s) unless you call again.")
    else:
        print("The switch is off.")


def _depth(client: Client, options: argparse.Namespace) -> None:
    told = client.get(f"/products/{options.product}/depth", levels=options.levels)
    for side, levels in (("offer", told["offers"][::-1]), ("bid", told["bids"])):
        for level in levels:
            flexible = level.get("flexible_st", "0")
            note = f"  ({flexible} flexible)" if flexible != "0" else ""
            print(f"{side:<5} {level['price_per_million']:>10} per M {level['quantity_st']:>16} ST{note}")


def _trades(client: Client, options: argparse.Namespace) -> None:
    for one in client.get(f"/products/{options.product}/trades", limit=options.limit)["data"]:
        print(f"round {one['round']}  {one['at']}  {one['price_per_million']} per M  {one['volume_st']} ST")


def _bars(client: Client, options: argparse.Namespace) -> None:
    for one in client.get(f"/products/{options.product}/bars", interval=options.interval)["data"]:
        prices = "  ".join(one[name] for name in ("open", "high", "low", "close"))
        print(f"{one['start']}  {prices}  {one['volume_st']} ST")


def print_order(order: dict[str, Any]) -> None:
    """One order on one line."""
    print(
        f"{order['id']}  {order['side']:<4} {order['quantity_st']:>14} ST  {order['line']}/{order['grade']}"
        f"  at {order['price_per_million']} per M  filled {order.get('filled_st', '0')}  {order['status']}"
    )
