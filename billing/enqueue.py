"""Names of the billing tasks."""

RATE = "billing.rate"
CLOSE_DAYS = "billing.close_days"
INVOICE = "billing.invoice_ended_periods"
CONTESTED = "billing.move_contested"
PAYMENTS = "billing.payments"
CLEARING = "billing.clearing"
EXPORT = "billing.export"
