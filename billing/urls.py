"""Addresses of billing's pages."""

from django.urls import path

from billing.web import views

app_name = "billing"
urlpatterns = [
    path("", views.Home.as_view(), name="home"),
    path("usage/", views.Usage.as_view(), name="usage"),
    path("billing/balance/", views.Balance.as_view(), name="balance"),
    path("staff/top-ups/", views.TopUps.as_view(), name="top_ups"),
    path("orders/<str:public_id>/life/", views.OrderLife.as_view(), name="order_life"),
    path("billing/invoices/", views.Invoices.as_view(), name="invoices"),
    path("billing/invoices/<str:public_id>/", views.InvoicePage.as_view(), name="invoice"),
    path("billing/invoices/<str:public_id>/pdf", views.InvoiceFile.as_view(), {"kind": "pdf"}, name="invoice_pdf"),
    path("billing/invoices/<str:public_id>/csv", views.InvoiceFile.as_view(), {"kind": "csv"}, name="invoice_csv"),
]
