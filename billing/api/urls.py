"""Addresses of billing in the API."""

from django.urls import path

from billing.api import chain, credit_notes, documents, exports, payments, views

app_name = "billing-api"
urlpatterns = [
    path("balance", views.Balance.as_view(), name="balance"),
    path("movements", views.Movements.as_view(), name="movements"),
    path("top-ups", views.TopUps.as_view(), name="top_ups"),
    path("usage", views.Usage.as_view(), name="usage"),
    path("orders/<str:public_id>/usage", views.OrderUsage.as_view(), name="order_usage"),
    path("invoices", views.Invoices.as_view(), name="invoices"),
    path("invoices/<str:public_id>", views.InvoiceDetail.as_view(), name="invoice"),
    *(
        path(f"invoices/<str:public_id>/{kind}", views.InvoiceFile.as_view(kind=kind), name=f"invoice_{kind}")
        for kind in ("pdf", "csv", "xlsx", "json")
    ),
    path("invoices/<str:public_id>/lines/<int:number>", chain.InvoiceLine.as_view(), name="invoice_line"),
    path("invoices/<str:public_id>/lines/<int:number>/records", chain.LineRecords.as_view(), name="line_records"),
    path("invoices/<str:public_id>/lines/<int:number>/chain", chain.LineChain.as_view(), name="line_chain"),
    path("credit-notes", credit_notes.CreditNotes.as_view(), name="credit_notes"),
    path("credit-notes/<str:public_id>", credit_notes.CreditNoteDetail.as_view(), name="credit_note"),
    *(
        path(
            f"credit-notes/<str:public_id>/{kind}",
            credit_notes.CreditNoteFile.as_view(kind=kind),
            name=f"credit_note_{kind}",
        )
        for kind in ("pdf", "csv", "xlsx", "json")
    ),
    path("credit-proposals", credit_notes.CreditProposals.as_view(), name="credit_proposals"),
    path("credit-proposals/<str:public_id>/confirm", credit_notes.DecideProposal.as_view(), name="confirm_credit"),
    path(
        "credit-proposals/<str:public_id>/reject",
        credit_notes.DecideProposal.as_view(confirms=False),
        name="reject_credit",
    ),
    path("exports", exports.Exports.as_view(), name="exports"),
    path("exports/<str:public_id>", exports.ExportDetail.as_view(), name="export"),
    path("exports/<str:public_id>/file", exports.ExportFile.as_view(), name="export_file"),
    path("invoice-archive", documents.InvoiceArchive.as_view(), name="invoice_archive"),
    path("top-ups/checkout", payments.TopUpCheckout.as_view(), name="top_up_checkout"),
    path("top-ups/automatic", payments.Automatic.as_view(), name="automatic"),
    path("payments", payments.Payments.as_view(), name="payments"),
    path("payments/cards", payments.SaveCard.as_view(), name="save_card"),
    path("payments/<str:public_id>", payments.PaymentDetail.as_view(), name="payment"),
    path("payments/<str:public_id>/check", payments.CheckPayment.as_view(), name="payment_check"),
    path("payments/<str:public_id>/refunds", payments.Refunds.as_view(), name="refunds"),
    path("invoices/<str:public_id>/pay", payments.PayInvoice.as_view(), name="invoice_pay"),
]
