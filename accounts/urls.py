"""Addresses of accounts' pages."""

from django.urls import path

from accounts.web import views

app_name = "accounts"
urlpatterns = [
    path("developers/", views.Developers.as_view(), name="developers"),
    path("developers/keys/", views.Keys.as_view(), name="keys"),
    path("developers/keys/<str:public_id>/revoke/", views.RevokeKey.as_view(), name="revoke_key"),
    path("settings/", views.Settings.as_view(), name="settings"),
    path("settings/active/", views.ActiveOrganisation.as_view(), name="active"),
]
