"""What the stand-in knows: objects by id, events, balance transactions. Pure, but for the clock."""

from __future__ import annotations

import copy
import secrets
import time
from collections.abc import Iterator
from typing import Any

from tests.fakes.stripe.cards import CARDS, Card

API_VERSION = "2025-09-30.clover"
_LEAST_FEN = 1  # real accounts have a least amount of their own


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, kind: str, message: str, code: str | None = None, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"type": kind, "message": message, "code": code, **more}}


def invalid(message: str, code: str | None = None, **more: Any) -> Refused:
    """400 as Stripe says it."""
    return Refused(400, "invalid_request_error", message, code, **more)


class Books:
    """All objects of one test account, with the operations that change them."""

    def __init__(self, address: str = "http://127.0.0.1") -> None:
        self.address = address
        self.objects: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.answers: dict[str, list[Any]] = {}  # idempotency key -> [digest, status, body]
        self.planned: dict[str, Any] = {}  # session -> metadata of the intent that it will have
        self.numbers: dict[str, str] = {}  # payment method -> card number, which no answer ever has

    # What every object has

    def get(self, identifier: str, kind: str) -> dict[str, Any]:
        """An object by id.

        :raises Refused: 404.
        """
        found = self.objects.get(identifier)
        if found is None or found["object"] != kind:
            raise Refused(404, "invalid_request_error", f"No such {kind}: '{identifier}'", "resource_missing")
        return found

    def of(self, kind: str, **wanted: Any) -> list[dict[str, Any]]:
        """All of a kind, newest first."""
        rows = [one for one in self.objects.values() if one["object"] == kind]
        kept = [one for one in rows if all(one.get(key) == value for key, value in wanted.items())]
        return kept[::-1]

    def _add(self, prefix: str, kind: str, **values: Any) -> dict[str, Any]:
        identifier = f"{prefix}_{secrets.token_hex(12)}"
        made = {"id": identifier, "object": kind, "created": int(time.time()), "livemode": False, **values}
        self.objects[identifier] = made
        return made

    def _emit(self, kind: str, what: dict[str, Any]) -> None:
        self.events.append({
            "id": f"evt_{secrets.token_hex(12)}", "object": "event", "api_version": API_VERSION,
            "created": int(time.time()), "livemode": False, "pending_webhooks": 1, "type": kind,
            "request": {"id": None, "idempotency_key": None}, "data": {"object": copy.deepcopy(what)},
        })  # fmt: skip

    # Customers and their methods

    def customer(self, given: dict[str, Any]) -> dict[str, Any]:
        """POST /v1/customers."""
        made = self._add("cus", "customer", name=given.get("name"), email=given.get("email"),
                         metadata=given.get("metadata", {}))  # fmt: skip
        self._emit("customer.created", made)
        return made

    def method(self, number: str, customer: str | None) -> dict[str, Any]:
        """A card as a saved method; only hosted pages make one."""
        card = _card(number)
        made = self._add("pm", "payment_method", type="card", customer=customer,
                         card={"brand": card.brand, "last4": number[-4:], "exp_month": 12, "exp_year": 2034})  # fmt: skip
        self.numbers[made["id"]] = number
        return made

    def detach(self, identifier: str) -> dict[str, Any]:
        """POST /v1/payment_methods/{id}/detach."""
        method = self.get(identifier, "payment_method")
        method["customer"] = None
        return method

    # Checkout

    def session(self, given: dict[str, Any]) -> dict[str, Any]:
        """POST /v1/checkout/sessions, modes payment and setup."""
        mode = given.get("mode")
        if mode not in {"payment", "setup"} or not given.get("success_url"):
            raise invalid("mode and success_url are needed", param="mode")
        customer = given.get("customer")
        if customer:
            self.get(customer, "customer")
        amount, currency = None, given.get("currency")
        if mode == "payment":
            prices = [(one["price_data"], int(one.get("quantity", 1))) for one in given.get("line_items", [])]
            if not prices:
                raise invalid("line_items are needed", param="line_items")
            amount = sum(int(price["unit_amount"]) * quantity for price, quantity in prices)
            currency = prices[0][0]["currency"]
            if amount < _LEAST_FEN:
                raise invalid("The amount is too small", "amount_too_small")
        expires = int(given.get("expires_at", time.time() + 86_400))
        if not 1_700 <= expires - time.time() <= 86_500:
            raise invalid("expires_at lies between 30 minutes and 24 hours ahead", param="expires_at")
        made = self._add(
            "cs_test", "checkout.session", mode=mode, status="open", payment_status="unpaid", amount_total=amount,
            currency=currency, customer=customer, client_reference_id=given.get("client_reference_id"),
            metadata=given.get("metadata", {}), success_url=given["success_url"], cancel_url=given.get("cancel_url"),
            expires_at=expires, payment_intent=None, setup_intent=None,
            payment_method_types=given.get("payment_method_types") or ["card", "alipay", "wechat_pay"],
        )  # fmt: skip
        made["url"] = f"{self.address}/c/pay/{made['id']}"
        more = given.get("payment_intent_data" if mode == "payment" else "setup_intent_data", {})
        self.planned[made["id"]] = more.get("metadata", {})
        if mode == "setup":
            intent = self._add("seti", "setup_intent", status="requires_payment_method", customer=customer,
                               metadata=more.get("metadata", {}), payment_method=None)  # fmt: skip
            made["setup_intent"] = intent["id"]
        return made

    def expire(self, identifier: str) -> dict[str, Any]:
        """POST /v1/checkout/sessions/{id}/expire."""
        session = self.get(identifier, "checkout.session")
        if session["status"] != "open":
            raise invalid("Only open sessions can be expired")
        session["status"], session["url"] = "expired", None
        if session["payment_intent"]:
            self._cancel(self.objects[session["payment_intent"]])
        self._emit("checkout.session.expired", session)
        return session

    def pay(self, identifier: str, *, number: str = "4242424242424242", method: str = "card",
            authenticated: bool | None = None, later: bool = False) -> str:  # fmt: skip
        """What the buyer does on the hosted page: "done", "declined" or "authenticate".

        `later` is a payment whose outcome comes after the buyer has gone back.
        """
        session = self.get(identifier, "checkout.session")
        if session["status"] != "open":
            return "done"
        card = _card(number) if method == "card" else Card()
        if card.decline is None and card.authenticate and authenticated is None:
            return "authenticate"
        declined = card.decline or ("authentication_required" if authenticated is False else None)
        if session["mode"] == "setup":
            return self._save(session, number, declined)
        intent = self._intent_of(session)
        if declined:
            self._fail(intent, declined)
            return "declined"
        session["status"] = "complete"
        if later:
            intent["status"] = "processing"
            self._emit("checkout.session.completed", session)
            return "done"
        self._capture(intent, method)
        session["payment_status"] = "paid"
        self._emit("checkout.session.completed", session)
        if card.disputed:
            self.dispute(intent["id"])
        return "done"

    def _intent_of(self, session: dict[str, Any]) -> dict[str, Any]:
        """A session has no intent before somebody tries to pay (since API version 2022-08-01)."""
        if session["payment_intent"] is None:
            made = self._intent(session["amount_total"], session["currency"], session["customer"],
                                self.planned[session["id"]])  # fmt: skip
            session["payment_intent"] = made["id"]
        return self.objects[session["payment_intent"]]

    def finish_later(self, identifier: str, *, paid: bool) -> None:
        """The outcome of a payment that was made with `later`."""
        session = self.get(identifier, "checkout.session")
        intent = self.objects[session["payment_intent"]]
        if paid:
            self._capture(intent, "wechat_pay")
            session["payment_status"] = "paid"
        else:
            self._fail(intent, "generic_decline")
        self._emit(f"checkout.session.async_payment_{'succeeded' if paid else 'failed'}", session)

    def _save(self, session: dict[str, Any], number: str, declined: str | None) -> str:
        intent = self.objects[session["setup_intent"]]
        if declined:
            intent["last_setup_error"] = {"code": "card_declined", "decline_code": declined}
            self._emit("setup_intent.setup_failed", intent)
            return "declined"
        intent["payment_method"] = self.method(number, session["customer"])["id"]
        intent["status"], session["status"] = "succeeded", "complete"
        session["payment_status"] = "no_payment_required"
        self._emit("setup_intent.succeeded", intent)
        self._emit("checkout.session.completed", session)
        return "done"

    # Payment intents

    def intent(self, given: dict[str, Any]) -> dict[str, Any]:
        """POST /v1/payment_intents."""
        amount = int(given.get("amount", 0))
        if amount < _LEAST_FEN or not given.get("currency"):
            raise invalid("amount and currency are needed", "parameter_missing")
        if method := given.get("payment_method"):
            self.get(method, "payment_method")
        made = self._intent(amount, given["currency"], given.get("customer"), given.get("metadata", {}))
        made["payment_method"] = method
        made["status"] = "requires_confirmation" if method else "requires_payment_method"
        return self.confirm(made["id"], given) if given.get("confirm") == "true" else made

    def _intent(self, amount: int | None, currency: str | None, customer: str | None, metadata: Any) -> dict[str, Any]:
        made = self._add("pi", "payment_intent", amount=amount, amount_received=0, currency=currency,
                         customer=customer, metadata=metadata, status="requires_payment_method",
                         payment_method=None, latest_charge=None, last_payment_error=None)  # fmt: skip
        self._emit("payment_intent.created", made)
        return made

    def confirm(self, identifier: str, given: dict[str, Any]) -> dict[str, Any]:
        """POST /v1/payment_intents/{id}/confirm, off session."""
        intent = self.get(identifier, "payment_intent")
        if intent["status"] not in {"requires_confirmation", "requires_payment_method"}:
            raise invalid(f"This intent is {intent['status']}", "payment_intent_unexpected_state")
        method = given.get("payment_method") or intent["payment_method"]
        if not method:
            raise invalid("There is no payment method", "payment_intent_unexpected_state")
        if self.get(method, "payment_method")["customer"] != intent["customer"]:
            raise invalid("The payment method belongs to nobody here", "payment_method_unexpected_state")
        card = _card(self.numbers[method])
        declined = card.decline or card.later
        if declined:
            self._fail(intent, declined)
            code = declined if declined == "authentication_required" else "card_declined"
            raise Refused(402, "card_error", "Your card was declined.", code, decline_code=declined,
                          payment_intent=copy.deepcopy(intent))  # fmt: skip
        self._capture(intent, "card")
        return intent

    def cancel(self, identifier: str) -> dict[str, Any]:
        """POST /v1/payment_intents/{id}/cancel."""
        intent = self.get(identifier, "payment_intent")
        if intent["status"] in {"succeeded", "processing", "canceled"}:
            raise invalid(f"This intent is {intent['status']}", "payment_intent_unexpected_state")
        self._cancel(intent)
        return intent

    def _cancel(self, intent: dict[str, Any]) -> None:
        intent["status"] = "canceled"
        self._emit("payment_intent.canceled", intent)

    def _fail(self, intent: dict[str, Any], decline: str) -> None:
        intent["status"] = "requires_payment_method"
        code = decline if decline == "authentication_required" else "card_declined"
        intent["last_payment_error"] = {"code": code, "decline_code": decline, "type": "card_error"}
        self._emit("payment_intent.payment_failed", intent)

    def _capture(self, intent: dict[str, Any], method: str) -> None:
        charge = self._add("ch", "charge", amount=intent["amount"], amount_captured=intent["amount"],
                           amount_refunded=0, currency=intent["currency"], payment_intent=intent["id"],
                           metadata=intent["metadata"], status="succeeded", paid=True, refunded=False,
                           disputed=False, payment_method_details={"type": method})  # fmt: skip
        fee = intent["amount"] * 29 // 1000
        charge["balance_transaction"] = self._money("charge", intent["amount"], fee, charge)["id"]
        intent.update(status="succeeded", amount_received=intent["amount"], latest_charge=charge["id"])
        self._emit("charge.succeeded", charge)
        self._emit("payment_intent.succeeded", intent)

    def _money(self, kind: str, amount: int, fee: int, source: dict[str, Any]) -> dict[str, Any]:
        return self._add("txn", "balance_transaction", type=kind, amount=amount, fee=fee, net=amount - fee,
                         currency=source["currency"], source=source["id"], status="available",
                         reporting_category=kind)  # fmt: skip

    # Refunds and disputes

    def refund(self, given: dict[str, Any]) -> dict[str, Any]:
        """POST /v1/refunds, by payment intent."""
        intent = self.get(given.get("payment_intent", ""), "payment_intent")
        if intent["status"] != "succeeded":
            raise invalid("There is nothing to refund", "charge_not_captured")
        charge = self.objects[intent["latest_charge"]]
        left = charge["amount"] - charge["amount_refunded"]
        amount = int(given.get("amount", left))
        if not 0 < amount <= left:
            raise invalid("The refund is greater than what is left of the charge", "charge_already_refunded")
        made = self._add("re", "refund", amount=amount, currency=charge["currency"], charge=charge["id"],
                         payment_intent=intent["id"], metadata=given.get("metadata", {}), status="succeeded",
                         failure_reason=None)  # fmt: skip
        made["balance_transaction"] = self._money("refund", -amount, 0, made)["id"]
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]
        self._emit("refund.created", made)
        self._emit("charge.refunded", charge)
        return made

    def fail_refund(self, identifier: str) -> None:
        """The buyer's bank sends a refund back."""
        refund = self.get(identifier, "refund")
        refund.update(status="failed", failure_reason="lost_or_stolen_card")
        charge = self.objects[refund["charge"]]
        charge["amount_refunded"] -= refund["amount"]
        charge["refunded"] = False
        self._money("refund_failure", refund["amount"], 0, refund)
        self._emit("refund.failed", refund)

    def dispute(self, intent_id: str) -> dict[str, Any]:
        """The buyer's bank takes a charge back."""
        intent = self.get(intent_id, "payment_intent")
        charge = self.objects[intent["latest_charge"]]
        charge["disputed"] = True
        amount = charge["amount"] - charge["amount_refunded"]
        made = self._add("du", "dispute", amount=amount, currency=charge["currency"], charge=charge["id"],
                         payment_intent=intent_id, status="needs_response", reason="fraudulent", metadata={})  # fmt: skip
        self._money("adjustment", -amount, 1500, made)
        self._emit("charge.dispute.created", made)
        self._emit("charge.dispute.funds_withdrawn", made)
        return made

    def close_dispute(self, identifier: str, *, won: bool) -> None:
        """The bank decides."""
        dispute = self.get(identifier, "dispute")
        dispute["status"] = "won" if won else "lost"
        if won:
            self._money("adjustment", dispute["amount"], 0, dispute)
            self._emit("charge.dispute.funds_reinstated", dispute)
        self._emit("charge.dispute.closed", dispute)

    # Connect

    def account(self, given: dict[str, Any]) -> dict[str, Any]:
        """POST /v1/accounts."""
        made = self._add("acct", "account", country=given.get("country"), email=given.get("email"),
                         metadata=given.get("metadata", {}), details_submitted=False, charges_enabled=False,
                         payouts_enabled=False)  # fmt: skip
        self._emit("account.updated", made)
        return made

    def account_link(self, given: dict[str, Any]) -> dict[str, Any]:
        """POST /v1/account_links."""
        account = self.get(given.get("account", ""), "account")
        now = int(time.time())
        link = f"{self.address}/c/onboard/{account['id']}?return_url={given.get('return_url', '')}"
        return {"object": "account_link", "created": now, "expires_at": now + 300, "url": link}

    def onboard(self, identifier: str) -> None:
        """What the provider does on the hosted page."""
        account = self.get(identifier, "account")
        account.update(details_submitted=True, charges_enabled=True, payouts_enabled=True)
        self._emit("account.updated", account)

    def transfer(self, given: dict[str, Any]) -> dict[str, Any]:
        """POST /v1/transfers, out of the balance and never beyond it."""
        account = self.get(given.get("destination", ""), "account")
        amount = int(given.get("amount", 0))
        if not account["payouts_enabled"]:
            raise invalid("The destination cannot take transfers yet", "insufficient_capabilities_for_transfer")
        if not 0 < amount <= self.balance(given.get("currency", "")):
            raise invalid("The balance does not cover this", "balance_insufficient")
        made = self._add("tr", "transfer", amount=amount, currency=given["currency"], reversed=False,
                         destination=account["id"], metadata=given.get("metadata", {}))  # fmt: skip
        made["balance_transaction"] = self._money("transfer", -amount, 0, made)["id"]
        self._emit("transfer.created", made)
        return made

    def balance(self, currency: str) -> int:
        """What is left of all that came and went, fees taken."""
        return sum(one["net"] for one in self.of("balance_transaction", currency=currency))

    def captured(self) -> Iterator[dict[str, Any]]:
        """Charges that took money."""
        return (one for one in self.of("charge") if one["paid"])


def _card(number: str) -> Card:
    plain = number.replace(" ", "")
    if plain not in CARDS:
        raise invalid("This is none of the test cards", "incorrect_number")
    return CARDS[plain]
