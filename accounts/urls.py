"""Addresses of accounts' pages."""

from django.urls import path

from accounts.web import views

app_name = "accounts"
urlpatterns = [
    path("developers/", views.Developers.as_view(), name="developers"),
    path("developers/keys/", views.Keys.as_view(), name="keys"),
    path("developers/keys/<str:public_id>/revoke/", views.RevokeKey.as_view(), name="revoke_key"),
    path("settings/", views.Settings.as_view(), name="settings"),
    path("settings/members/", views.Members.as_view(), name="members"),
    path("settings/members/<str:public_id>/role/", views.ChangeRole.as_view(), name="change_role"),
    path("settings/members/<str:public_id>/remove/", views.RemoveMember.as_view(), name="remove_member"),
    path("settings/active/", views.ActiveOrganisation.as_view(), name="active"),
]
