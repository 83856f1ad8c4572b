"""Addresses of the gateway's log in the API."""

from django.urls import path

from dispatch.api import views

app_name = "dispatch-api"
urlpatterns = [path("usage/requests", views.Requests.as_view(), name="requests")]
