"""The `tokenspot` command."""

from __future__ import annotations

import argparse
import json
import sys
from importlib.metadata import entry_points
from pathlib import Path

import httpx

from token_standard.__main__ import main as token_standard
from tokenspot_client import agent_cli, estimating, line, trading
from tokenspot_client.api import ApiProblem, Client
from tokenspot_client.certificate import check_round
from tokenspot_client.certificate_reading import Malformed, read

_SERVER = "tokenspot.server_commands"
_ON_SERVER = ("verify", "verify-chain", "replay")
# Need neither site nor key; an estimate takes prices from a site where one is named.
_OFFLINE = {"estimate": estimating.run, "convert": token_standard, "fit-rate": token_standard, "verify-line": line.main}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 done, 1 refused, 2 wrong use."""
    given = sys.argv[1:] if arguments is None else arguments
    server = {point.name: point for point in entry_points(group=_SERVER)}
    if given[:1] and given[0] in _ON_SERVER:
        if given[0] not in server:
            print(f"`tokenspot {given[0]}` runs where the server is installed; it is not here.", file=sys.stderr)
            return 2
        return int(server[given[0]].load()(given[1:]))
    if given[:1] and given[0] in _OFFLINE:
        return _OFFLINE[given[0]](given)
    options = _parser().parse_args(given)
    try:
        options.run(Client(options.url, options.key), options)
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stderr.close()  # the reader has seen enough, as in `... | head`
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
    trading.add_commands(commands)
    agent_cli.add_commands(commands)
    invoices = commands.add_parser("invoices", help="list invoices, or download one")
    invoices.add_argument("action", nargs="?", choices=["list", "download", "chain"], default="list")
    invoices.add_argument("invoice", nargs="?")
    invoices.add_argument("--line", type=int, default=1, help="of chain: the line, whose proof verify-line checks")
    invoices.add_argument("--format", default="pdf", choices=["pdf", "csv", "xlsx", "json"])
    invoices.add_argument("--lang", default="en", choices=["en", "zh"])
    invoices.add_argument("--out", type=Path)
    invoices.set_defaults(run=_invoices)
    verify_round = commands.add_parser("verify-round", help="download a round's certificate and check it; needs no key")
    verify_round.add_argument("number", type=int)
    verify_round.add_argument("--save", type=Path, help="keep the certificate in this file")
    verify_round.set_defaults(run=_verify_round)
    commands.add_parser(
        "estimate", help="standard tokens of a request or a trace, and its cost; --help says how; needs no site"
    )
    commands.add_parser("convert", help="vendors' tokens in each other, by dated rates; --help says how; needs no site")
    commands.add_parser("verify-line", help="check the proof of an invoice line, from a file; needs no site")
    commands.add_parser("fit-rate", help="a rate from requests metered both ways; --help says how; needs no site")
    commands.add_parser("verify", help="check every invariant of the database (where the server is installed)")
    commands.add_parser("verify-chain", help="check the audit log's hash chain (where the server is installed)")
    commands.add_parser("replay", help="a trace through market, meter and bill (where the server is installed)")
    return parser


def _verify_round(client: Client, options: argparse.Namespace) -> None:
    document = client.certificate(options.number)
    if options.save:
        options.save.write_text(json.dumps(document), encoding="utf-8")
    try:
        broken = check_round(read(document))
    except Malformed as error:
        broken = [str(error)]
    for rule in broken:
        print(f"BROKEN  {rule}")
    if broken:
        raise SystemExit(1)
    orders = sum(len(component["orders"]) for component in document["components"])
    cells = sum(len(component["cells"]) for component in document["components"])
    print(f"Round {options.number} holds: {orders} orders, {cells} prices; seed, root, ties, balance, prices, shares.")
    try:
        own = client.get(f"/rounds/{options.number}/orders")["data"] if client.has_key else []
    except ApiProblem as problem:  # the round holds all the same
        print(f"Your own orders are not named: {problem}", file=sys.stderr)
        return
    for one in own:
        print(f"yours: {one['order']} as {one['pseudonym']}")


def _invoices(client: Client, options: argparse.Namespace) -> None:
    if options.action == "list":
        for invoice in client.pages("/invoices"):
            print(f"{invoice['id']}  {invoice.get('number') or '-':<18} {invoice['total']:>14} CNY  {invoice['state']}")
        return
    if not options.invoice:
        raise SystemExit("tokenspot invoices download|chain INVOICE")
    if options.action == "chain":
        content = client.download(f"/invoices/{options.invoice}/lines/{options.line}/chain")
        path = options.out or Path(f"{options.invoice}-line-{options.line}.json")
    else:
        content = client.download(f"/invoices/{options.invoice}/{options.format}", lang=options.lang)
        path = options.out or Path(f"{options.invoice}.{options.format}")
    path.write_bytes(content)
    print(path)


if __name__ == "__main__":
    sys.exit(main())
