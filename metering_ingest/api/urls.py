"""Addresses of metering in the API; the bulk paths of ingest are answered before Django."""

from django.urls import path

from metering_ingest.api import backfills, disputes, otlp, receipts, reconciliation, views

app_name = "metering-api"
urlpatterns = [
    path("usage-records/<str:key>", views.Receipt.as_view(), name="receipt"),
    path("metering/conflicts", views.Conflicts.as_view(), name="conflicts"),
    path("metering/quarantine", views.Quarantine.as_view(), name="quarantine"),
    path("metering/quarantine/<str:key>/release", views.Resolve.as_view(action="release"), name="release"),
    path("metering/quarantine/<str:key>/reject", views.Resolve.as_view(action="reject"), name="reject"),
    path("metering/gaps", views.Gaps.as_view(), name="gaps"),
    path("metering/backfills", backfills.Backfills.as_view(), name="backfills"),
    path("metering/backfills/<str:public_id>", backfills.BackfillDetail.as_view(), name="backfill"),
    path("metering/backfills/<str:public_id>/results", backfills.Results.as_view(), name="backfill_results"),
    path("metering/witnesses", otlp.Witnesses.as_view(), name="witnesses"),
    path("otlp/v1/metrics", otlp.Metrics.as_view(), name="otlp_metrics"),
    path("reconciliation", reconciliation.Reconciliation.as_view(), name="reconciliation"),
    path("receipts", receipts.Receipts.as_view(), name="receipts"),
    path("disputes", disputes.Disputes.as_view(), name="disputes"),
    path("disputes/<str:public_id>", disputes.DisputeDetail.as_view(), name="dispute"),
    path("disputes/<str:public_id>/evidence", disputes.Evidence.as_view(), name="evidence"),
    path("disputes/<str:public_id>/reply", disputes.Reply.as_view(), name="reply"),
    path("disputes/<str:public_id>/accept", disputes.Accept.as_view(), name="accept"),
    path("disputes/<str:public_id>/escalate", disputes.Escalate.as_view(), name="escalate"),
    path("disputes/<str:public_id>/decide", disputes.Decide.as_view(), name="decide"),
]
