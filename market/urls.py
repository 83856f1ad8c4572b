"""Pages of the market."""

from django.urls import path

from market.web import amending, cancelling, certificates, converting, estimating, exports, views

app_name = "market"
urlpatterns = [
    path("market/", views.Index.as_view(), name="index"),
    path("market/<str:slug>/", views.Line.as_view(), name="line"),
    path("market/<str:slug>/live/", views.Live.as_view(), name="live"),
    path("market/<str:slug>/preview/", views.TicketPreview.as_view(), name="preview"),
    path("market/<str:slug>/review/", views.TicketReview.as_view(), name="review"),
    path("market/<str:slug>/place/", views.TicketPlace.as_view(), name="place"),
    path("estimate/", estimating.Estimate.as_view(), name="estimate"),
    path("tokens/convert/", converting.Convert.as_view(), name="convert"),
    path("tokens/convert/fit/", converting.FitRate.as_view(), name="fit_rate"),
    path("orders/", views.Orders.as_view(), name="orders"),
    path("orders/export.csv", exports.OrdersFile.as_view(), name="orders_file"),
    path("orders/cancel/", views.CancelAll.as_view(), name="cancel_all"),
    path("orders/<str:public_id>/", views.OrderPage.as_view(), name="order"),
    path("orders/<str:public_id>/amend/", amending.AmendOrder.as_view(), name="amend"),
    path("orders/<str:public_id>/cancel/", views.CancelOrder.as_view(), name="cancel"),
    path("allocations/<str:public_id>/cancel/", cancelling.CancelAllocation.as_view(), name="cancel_allocation"),
    path("rounds/", views.Rounds.as_view(), name="rounds"),
    path("rounds/certificate.py", certificates.CheckerFile.as_view(), name="checker"),
    path("rounds/certificate_reading.py", certificates.ReaderFile.as_view(), name="reader"),
    path("rounds/<str:number>/certificate.json", certificates.CertificateFile.as_view(), name="certificate"),
    path("rounds/<str:number>/", views.RoundPage.as_view(), name="round"),
]
