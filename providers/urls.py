"""Addresses of the provider's pages."""

from django.urls import path

from providers.web import agents, devices, views

app_name = "providers"
urlpatterns = [
    path("devices/", devices.Index.as_view(), name="devices"),
    path("devices/<str:slug>/", devices.DevicePage.as_view(), name="device"),
    path("provider/offers/", views.Offers.as_view(), name="offers"),
    path("provider/offers/new/", views.NewOffer.as_view(), name="new_offer"),
    path("provider/offers/preview/", views.OfferPreview.as_view(), name="preview_offer"),
    path("provider/offers/<str:public_id>/", views.OfferPage.as_view(), name="offer"),
    path("provider/offers/<str:public_id>/post/", views.OfferAction.as_view(action="post"), name="post_offer"),
    path("provider/offers/<str:public_id>/pause/", views.OfferAction.as_view(action="pause"), name="pause_offer"),
    path(
        "provider/offers/<str:public_id>/withdraw/", views.OfferAction.as_view(action="withdraw"), name="withdraw_offer"
    ),
    path("provider/hardware/", views.Hardware.as_view(), name="hardware"),
    path("provider/hardware/pools/new/", views.NewPool.as_view(), name="new_pool"),
    path("provider/hardware/deployments/new/", views.NewDeployment.as_view(), name="new_deployment"),
    path(
        "provider/hardware/deployments/<str:public_id>/retire/",
        views.RetireDeployment.as_view(),
        name="retire_deployment",
    ),
    path("provider/hardware/deployments/<str:public_id>/rating/", views.RatingPage.as_view(), name="rating"),
    path("provider/agents/", agents.Agents.as_view(), name="agents"),
    path("provider/agents/<str:public_id>/token/", agents.AgentAction.as_view(action="new_token"), name="agent_token"),
    path("provider/agents/<str:public_id>/park/", agents.AgentAction.as_view(action="park"), name="park_agent"),
    path(
        "provider/agents/<str:public_id>/release/", agents.AgentAction.as_view(action="release"), name="release_agent"
    ),
    path("provider/agents/<str:public_id>/revoke/", agents.AgentAction.as_view(action="revoke"), name="revoke_agent"),
]
