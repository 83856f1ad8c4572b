"""Addresses of providers in the API."""

from django.urls import path

from providers.api import agents, devices, rating_views, views

app_name = "providers-api"
urlpatterns = [
    path("devices", devices.Devices.as_view(), name="devices"),
    path("devices/<str:slug>", devices.DeviceDetail.as_view(), name="device"),
    path("support-matrix", devices.SupportMatrix.as_view(), name="support_matrix"),
    path("provider/pools", views.Pools.as_view(), name="pools"),
    path("provider/deployments", views.Deployments.as_view(), name="deployments"),
    path("provider/deployments/<str:public_id>/retire", views.RetireDeployment.as_view(), name="retire"),
    path("provider/deployments/<str:public_id>/ratings", rating_views.Ratings.as_view(), name="ratings"),
    path("provider/deployments/<str:public_id>/rating-checks", rating_views.RatingChecks.as_view(), name="checks"),
    path("provider/offers", views.Offers.as_view(), name="offers"),
    path("provider/offers/preview", views.PreviewOffer.as_view(), name="preview"),
    path("provider/offers/<str:public_id>", views.OfferDetail.as_view(), name="offer"),
    path("provider/offers/<str:public_id>/post", views.ChangeOffer.as_view(action="post"), name="post"),
    path("provider/offers/<str:public_id>/pause", views.ChangeOffer.as_view(action="pause"), name="pause"),
    path("provider/offers/<str:public_id>/withdraw", views.ChangeOffer.as_view(action="withdraw"), name="withdraw"),
    path("provider/agents", agents.Agents.as_view(), name="agents"),
    path("provider/agents/<str:public_id>/revoke", agents.ChangeAgent.as_view(action="revoke"), name="revoke_agent"),
    path("provider/agents/<str:public_id>/park", agents.ChangeAgent.as_view(action="park"), name="park_agent"),
    path("provider/agents/<str:public_id>/release", agents.ChangeAgent.as_view(action="release"), name="release_agent"),
    path("provider/agents/<str:public_id>/registration-token", agents.AgentToken.as_view(), name="agent_token"),
    path("agent/register", agents.Register.as_view(), name="agent_register"),
    path("agent/rotate-key", agents.RotateKey.as_view(), name="agent_rotate_key"),
    path("agent/deployments", agents.AgentDeployments.as_view(), name="agent_deployments"),
]
