"""Addresses of accounts in the API."""

from django.urls import path

from accounts.api import views

app_name = "accounts-api"
urlpatterns = [
    path("me", views.Me.as_view(), name="me"),
    path("keys", views.Keys.as_view(), name="keys"),
    path("keys/<str:public_id>/revoke", views.RevokeKey.as_view(), name="revoke_key"),
    path("members", views.Members.as_view(), name="members"),
    path("members/<str:public_id>", views.MemberDetail.as_view(), name="member"),
]
