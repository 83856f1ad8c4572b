"""Payments in the reader's words: what was refused and what to do next, why one failed, and its three steps."""

from __future__ import annotations

from django.utils.translation import gettext as _

from accounts.kernel.errors import DomainError
from billing.payment_models import Payment


def explain(error: DomainError) -> str:
    """A sentence for each refusal, with the nearest legal value where there is one."""
    most = error.details.get("most_fen")
    known = {
        "stripe_not_configured": _("This site takes bank transfers only. The account is on the Balance page."),
        "forbidden": _("Only the owner or a finance member may do this; only the owner sends money back."),
        "not_a_buyer": _("Only an organisation that buys has a wallet to pay into."),
        "amount_out_of_range": _("A payment is between CN¥1.00 and CN¥1,000,000.00."),
        "unknown_payment": _("There is no such payment."),
        "invoice_not_payable": _("Nothing is due on this invoice."),
        "payment_under_way": _("A payment of this invoice is not decided yet. Open it from the Balance page."),
        "payment_not_refundable": _("Only a settled top-up can be sent back."),
        "no_saved_method": _("There is no saved card. Save one on the Balance page first."),
        "bad_automatic_top_up": _(
            "Automatic top-up needs a threshold above 0, and an amount of CN¥1.00 or more within the monthly cap."
        ),
    }
    if error.code in {"refund_beyond_payment", "refund_beyond_wallet"} and isinstance(most, int):
        amount = f"{most // 100:,}.{most % 100:02d}"
        known["refund_beyond_payment"] = _("Of this payment CN¥{amount} is left to be sent back.").format(amount=amount)
        known["refund_beyond_wallet"] = _(
            "CN¥{amount} can be sent back now: the rest is spent, or held for bids."
        ).format(amount=amount)
    return known.get(error.code) or str(error)


def reason_words(code: str) -> str:
    """Why a payment failed, or is not decided; banks' own codes that we have no words for are shown as they are."""
    known = {
        "no_answer": _("Stripe did not answer in time."),
        "generic_decline": _("The bank declined the card without saying why."),
        "card_declined": _("The bank declined the card."),
        "insufficient_funds": _("The card has not enough money."),
        "expired_card": _("The card has expired."),
        "authentication_required": _("The bank wants the card's holder to confirm. Pay on Stripe's page instead."),
        "no_saved_method": _("The saved card was removed."),
        "not_opened": _("Stripe's page could not be opened in time. Nothing was charged."),
        "not_sent": _("Stripe never got this refund. Its money is free again."),
        "amount_differs": _("Stripe names another amount. Staff look at it; nothing was credited."),
        "currency_differs": _("Stripe names another currency. Staff look at it; nothing was credited."),
        "mode_differs": _("This came from another mode of the Stripe account. Nothing was credited."),
    }
    return known.get(code) or _("The bank's or Stripe's reason: {code}").format(code=code)


def steps(row: Payment) -> list[tuple[str, str, str]]:
    """The three steps with the state of each, for the stepper."""
    saved = row.way == Payment.Way.SAVED
    first = ("done", _("Chosen"), "")
    pay, end = _("Charge the saved card") if saved else _("Pay on Stripe's page"), _end(row)
    if row.purpose == Payment.Purpose.SETUP:
        pay = _("Go on to Stripe's page")
    match row.state:
        case Payment.State.SETTLED:
            return [first, ("done", pay, ""), ("done", end, "")]
        case Payment.State.FAILED:
            return [first, ("failed", pay, ""), ("todo", end, "")]
        case Payment.State.EXPIRED:
            return [first, ("failed", pay, _("Nobody paid while the page was open.")), ("todo", end, "")]
        case Payment.State.UNKNOWN:
            return [first, ("now", pay, _("We do not know yet what came of it.")), ("todo", end, "")]
        case _:
            return [first, ("now", pay, ""), ("todo", end, "")]


def _end(row: Payment) -> str:
    if row.purpose == Payment.Purpose.SETUP:
        return _("The card is saved")
    if row.purpose == Payment.Purpose.INVOICE:
        return _("The invoice is paid")
    return _("The money is in the wallet")
