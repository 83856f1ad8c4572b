"""What billing does: rate usage, issue invoices, close providers' days, record top-ups."""

from billing.services import contested, credits, exports, payments, topups
from billing.services.closing import close_days
from billing.services.files import Document, invoice_file, invoices_zip
from billing.services.invoices import (
    NotBillingOfficer,
    NothingToInvoice,
    finalise,
    invoice_ended_periods,
    invoice_to_date,
)
from billing.services.rating import rate_settled

__all__ = [
    "Document",
    "NotBillingOfficer",
    "NothingToInvoice",
    "close_days",
    "contested",
    "credits",
    "exports",
    "finalise",
    "invoice_ended_periods",
    "invoice_file",
    "invoice_to_date",
    "invoices_zip",
    "payments",
    "rate_settled",
    "topups",
]
