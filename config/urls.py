"""All addresses of the site; each app names its own."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from config import health

_APPS = ["accounts", "market", "providers", "metering_ingest", "dispatch", "billing"]

urlpatterns: list[URLPattern | URLResolver] = [
    path("i18n/", include("django.conf.urls.i18n")),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("healthz", health.healthz, name="healthz"),
    path("api/openapi.json", SpectacularAPIView.as_view(), name="api-schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(url_name="api-schema"), name="api-docs"),
    *(path("api/v1/", include(f"{app}.api.urls")) for app in _APPS),
    *(path("", include(f"{app}.urls")) for app in _APPS),
]

handler404 = "config.health.not_found"
handler500 = "config.health.fault"
