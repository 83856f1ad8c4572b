"""Addresses of billing in the API."""

from django.urls import path

from billing.api import chain, documents, payments, views

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
