"""Words of the market for people."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

GRADES = {
    "realtime": (_("Real time"), _("first token within 0.5 s, at least 40 tokens/s a stream")),
    "interactive": (_("Interactive"), _("first token within 2 s, at least 15 tokens/s a stream")),
    "batch": (_("Batch"), _("done inside the hour, no promise on latency")),
}
SIDES = {"buy": _("Bid"), "sell": _("Offer")}
VALIDITY = {
    "gtc": _("Until its hour ends"),
    "ioc": _("Next round only"),
    "gtt": _("Until a time"),
}
TIERS = {"probation": _("Any"), "listed": _("Listed or verified"), "verified": _("Verified only")}
DATA_TERMS = {
    "no-retention": _("Nothing kept, no training, mainland"),
    "retention-30d": _("Kept up to 30 days against abuse, no training, mainland"),
    "unknown": _("Not declared, which counts as the worst"),
}
STATUSES = ("open", "partially_filled", "pending_cancel", "filled", "cancelled", "expired")


def grade(name: str) -> str:
    """The grade's name."""
    return str(GRADES[name][0]) if name in GRADES else name
