"""The hosted pages, plain but usable: the buyer chooses, pays, authenticates or gives up."""

from __future__ import annotations

from html import escape
from typing import Any

_FRAME = """<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Payment (stand-in)</title>
<style>body{{font:16px/1.5 system-ui;max-width:26rem;margin:3rem auto;padding:0 1rem;color:#1d2733;background:#f6f8fa}}
main{{background:#fff;border:1px solid #d5dce4;border-radius:12px;padding:1.5rem}}h1{{font-size:1.25rem;margin:0 0 1rem}}
button,select{{font:inherit;padding:.5rem 1rem;border-radius:8px;border:1px solid #8896a5;background:#fff;width:100%;
margin:.25rem 0}}button.go{{background:#0a5ad4;border-color:#0a5ad4;color:#fff}}p.no{{color:#b3261e}}small{{color:#51606f}}
</style><main>{body}<p><small>This is a stand-in for Stripe on this machine. No money moves.</small></p></main>"""
_CARDS = {
    "4242424242424242": "Card that pays",
    "4000000000000002": "Card that is declined",
    "4000000000009995": "Card without funds",
    "4000002760003184": "Card that asks for 3-D Secure",
    "4000000000000341": "Card that is saved, and declined later",
    "4000000000000259": "Card whose payment is disputed",
}


def frame(body: str) -> str:
    """A page."""
    return _FRAME.format(body=body)


def _price(session: dict[str, Any]) -> str:
    if session["mode"] == "setup":
        return "Save a card"
    fen = session["amount_total"]
    return f"{session['currency'].upper()} {fen // 100}.{fen % 100:02d}"


def checkout(session: dict[str, Any], *, note: str = "") -> str:
    """The choice of a method."""
    cards = "".join(f'<option value="{number}">{text}</option>' for number, text in _CARDS.items())
    forms = (
        f'<form method="post"><input type="hidden" name="method" value="card"><select name="number" aria-label="Card">'
        f'{cards}</select><button class="go">Pay by card</button></form>'
    )
    for method, text in (("alipay", "Alipay"), ("wechat_pay", "WeChat Pay")):
        if session["mode"] == "payment" and method in session["payment_method_types"]:
            forms += f'<form action="/c/{method}/{session["id"]}"><button>{text}</button></form>'
    back = f'<p><a href="{escape(session["cancel_url"] or "/")}">Back without paying</a></p>'
    warning = f'<p class="no" role="alert">{escape(note)}</p>' if note else ""
    return frame(f"<h1>{_price(session)}</h1>{warning}{forms}{back}")


def redirected(session: dict[str, Any], method: str) -> str:
    """Alipay's or WeChat's own page."""
    name = {"alipay": "Alipay", "wechat_pay": "WeChat Pay"}[method]
    act = f"/c/{method}/{session['id']}"
    return frame(
        f'<h1>{name}: {_price(session)}</h1><form method="post" action="{act}">'
        '<button class="go" name="do" value="pay">Authorise</button>'
        '<button name="do" value="later">Authorise; the outcome comes later</button>'
        '<button name="do" value="decline">Decline</button></form>'
    )


def authenticate(session: dict[str, Any], number: str) -> str:
    """The bank's 3-D Secure page."""
    return frame(
        f'<h1>3-D Secure: {_price(session)}</h1><form method="post" action="/c/3ds/{session["id"]}">'
        f'<input type="hidden" name="number" value="{escape(number)}">'
        '<button class="go" name="do" value="complete">Complete authentication</button>'
        '<button name="do" value="fail">Fail authentication</button></form>'
    )
