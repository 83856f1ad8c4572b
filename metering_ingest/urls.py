"""Addresses of metering's pages."""

from django.urls import path

from metering_ingest.web import backfills, cases, disputes, exports, views

app_name = "metering"
urlpatterns = [
    path("provider/metering/", views.ProviderMetering.as_view(), name="provider"),
    path("usage/metering/", views.BuyerMetering.as_view(), name="buyer"),
    path("metering/counts.csv", exports.CountsFile.as_view(), name="counts_file"),
    path("metering/receipts/", views.Upload.as_view(), name="upload"),
    path("metering/quarantine/", cases.Quarantine.as_view(), name="quarantine"),
    path("metering/quarantine/<str:key>/release/", cases.Resolve.as_view(action="release"), name="release"),
    path("metering/quarantine/<str:key>/reject/", cases.Resolve.as_view(action="reject"), name="reject"),
    path("metering/conflicts/", cases.Conflicts.as_view(), name="conflicts"),
    path("metering/gaps/", cases.Gaps.as_view(), name="gaps"),
    path("metering/backfills/", backfills.Backfills.as_view(), name="backfills"),
    path("metering/backfills/<str:public_id>/", backfills.BackfillPage.as_view(), name="backfill"),
    path("metering/backfills/<str:public_id>/results/", backfills.Results.as_view(), name="backfill_results"),
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
