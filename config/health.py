"""Whether the site lives, and the last answers: 404 and 500 as a page or as a problem document."""

from __future__ import annotations

from datetime import timedelta

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from accounts.http.problems import problem_response
from accounts.selectors import clock
from market import selectors as market
from market.kernel.errors import NoMarket


def healthz(request: HttpRequest) -> JsonResponse:
    """200 while the open round is not overdue by more than a minute; a live process alone says nothing."""
    try:
        state = market.the_market()
    except NoMarket:
        return JsonResponse({"status": "no market yet"}, status=503)
    fresh = state.next_close_at > clock.now() - timedelta(seconds=60)
    body = {"status": "ok" if fresh else "rounds are late", "round": state.round_number}
    return JsonResponse(body, status=200 if fresh else 503)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """What is not there."""
    if request.path.startswith("/api/"):
        return problem_response(request, 404, "not_found", "There is nothing here.")
    return render(request, "404.html", status=404)


def fault(request: HttpRequest) -> HttpResponse:
    """Our own fault; the page has the request's id."""
    if request.path.startswith("/api/"):
        return problem_response(request, 500, "internal_error", "Something went wrong here.")
    return render(request, "500.html", status=500)
