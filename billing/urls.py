"""Addresses of billing's pages."""

from django.urls import path

from billing.api.payments import StripeWebhook
from billing.web import chain, credit_notes, exports, payments, reconcile, views

app_name = "billing"
urlpatterns = [
    path("", views.Home.as_view(), name="home"),
    path("usage/", views.Usage.as_view(), name="usage"),
    path("billing/balance/", views.Balance.as_view(), name="balance"),
    path("staff/top-ups/", views.TopUps.as_view(), name="top_ups"),
    path("orders/<str:public_id>/life/", views.OrderLife.as_view(), name="order_life"),
    path("billing/reconcile/", reconcile.Reconcile.as_view(), name="reconcile"),
    path("billing/invoices/", views.Invoices.as_view(), name="invoices"),
    path("billing/invoices/<str:public_id>/", views.InvoicePage.as_view(), name="invoice"),
    *(
        path(f"billing/invoices/<str:public_id>/{kind}", views.InvoiceFile.as_view(), {"kind": kind}, f"invoice_{kind}")
        for kind in ("pdf", "csv", "xlsx", "json")
    ),
    path("billing/invoices/<str:public_id>/lines/<int:number>/", chain.LinePage.as_view(), name="invoice_line"),
    path("billing/invoices/<str:public_id>/lines/<int:number>/chain.json", chain.LineFile.as_view(), name="line_chain"),
    path(
        "billing/invoices/<str:public_id>/lines/<int:number>/buckets/<int:bucket>/",
        chain.BucketPage.as_view(),
        name="line_bucket",
    ),
    path("billing/credit-notes/<str:public_id>/", credit_notes.NotePage.as_view(), name="credit_note"),
    *(
        path(
            f"billing/credit-notes/<str:public_id>/{kind}",
            credit_notes.NoteFile.as_view(),
            {"kind": kind},
            f"credit_note_{kind}",
        )
        for kind in ("pdf", "csv", "xlsx", "json")
    ),
    path("staff/credit-notes/", credit_notes.StaffNotes.as_view(), name="staff_credit_notes"),
    path("staff/credit-notes/<str:public_id>/<str:decision>/", credit_notes.Decide.as_view(), name="decide_credit"),
    path("billing/exports/", exports.Exports.as_view(), name="exports"),
    path("billing/exports/<str:public_id>/file", exports.ExportFile.as_view(), name="export_file"),
    path("billing/exports/<str:public_id>/retry/", exports.RetryExport.as_view(), name="retry_export"),
    path("billing/invoice-archive/", exports.InvoiceArchive.as_view(), name="invoice_archive"),
    path("billing/invoices/<str:public_id>/pay/", payments.PayInvoice.as_view(), name="pay_invoice"),
    path("billing/payments/", payments.PayIn.as_view(), name="pay_in"),
    path("billing/payments/<str:public_id>/", payments.OnePayment.as_view(), name="payment"),
    path("billing/payments/<str:public_id>/check/", payments.Check.as_view(), name="payment_check"),
    path("billing/payments/<str:public_id>/refund/", payments.SendBack.as_view(), name="payment_refund"),
    path("billing/card/", payments.SaveCard.as_view(), name="save_card"),
    path("billing/card/remove/", payments.RemoveCard.as_view(), name="remove_card"),
    path("billing/automatic/", payments.Automatic.as_view(), name="automatic"),
    path("staff/clearing/", payments.Clearing.as_view(), name="clearing"),
    path("webhooks/stripe", StripeWebhook.as_view(), name="stripe_webhook"),
]
