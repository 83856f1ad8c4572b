"""Addresses of the gateway's pages; `/v1` is answered before Django."""

from django.urls import path

from dispatch.web import views

app_name = "dispatch"
urlpatterns = [
    path("usage/requests/", views.Requests.as_view(), name="requests"),
    path("usage/requests.csv", views.RequestsFile.as_view(), name="requests_file"),
]
