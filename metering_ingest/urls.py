"""Addresses of metering's pages."""

from django.urls import path

from metering_ingest.web import disputes, views

app_name = "metering"
urlpatterns = [
    path("provider/metering/", views.ProviderMetering.as_view(), name="provider"),
    path("usage/metering/", views.BuyerMetering.as_view(), name="buyer"),
    path("metering/receipts/", views.Upload.as_view(), name="upload"),
    path("metering/<str:public_id>/", views.Minutes.as_view(), name="minutes"),
    path("metering/<str:public_id>/contest/", disputes.Contest.as_view(), name="contest"),
    path("disputes/", disputes.Disputes.as_view(), name="disputes"),
    path("disputes/<str:public_id>/", disputes.DisputePage.as_view(), name="dispute"),
    path("disputes/<str:public_id>/evidence/", disputes.Evidence.as_view(), name="evidence"),
    path("disputes/<str:public_id>/reply/", disputes.Act.as_view(action="reply"), name="reply"),
    path("disputes/<str:public_id>/accept/", disputes.Act.as_view(action="accept"), name="accept"),
    path("disputes/<str:public_id>/escalate/", disputes.Act.as_view(action="escalate"), name="escalate"),
    path("disputes/<str:public_id>/decide/", disputes.Act.as_view(action="decide"), name="decide"),
]
