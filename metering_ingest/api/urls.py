"""Addresses of metering in the API."""

from django.urls import path

from metering_ingest.api import views

app_name = "metering-api"
urlpatterns = [
    path("usage-records/<str:key>", views.Receipt.as_view(), name="receipt"),
    path("metering/conflicts", views.Conflicts.as_view(), name="conflicts"),
    path("metering/quarantine", views.Quarantine.as_view(), name="quarantine"),
    path("metering/quarantine/<str:key>/release", views.Resolve.as_view(action="release"), name="release"),
    path("metering/quarantine/<str:key>/reject", views.Resolve.as_view(action="reject"), name="reject"),
    path("metering/gaps", views.Gaps.as_view(), name="gaps"),
]
