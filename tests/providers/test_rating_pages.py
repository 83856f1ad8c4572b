"""Ratings on the provider's pages: speeds with their error bands, and what to do about them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from django.urls import reverse

from accounts.kernel import ids
from accounts.selectors import clock
from providers import services
from providers.kernel.ratings import RatingDraft, RunDraft, Setup, WindowDraft
from providers.web.rating_figures import rate_text
from tests.providers.scene import Scene, build
from tests.providers.test_pages import signed_in
from token_standard import catalogue
from token_standard.ratings import STANDARD_SHAPES, Requests, window_parts

pytestmark = pytest.mark.django_db
CARD = catalogue.card("llama-3-8b")


@pytest.fixture
def now() -> datetime:
    return clock.now()


@pytest.fixture
def scene(now: datetime) -> Scene:
    return build(now=now)


@pytest.fixture
def deployment(scene: Scene, now: datetime) -> UUID:
    """Of 8 devices, declared at 1,000 ST/s."""
    return scene.deployment(scene.pool(now=now), now=now)


@pytest.fixture
def page(client: Client, scene: Scene, now: datetime) -> Client:
    return signed_in(client, scene.provider.organisation_id, "provider", now)


def draft(deployment: UUID, now: datetime, *, rate: int = 500, shapes: Any = STANDARD_SHAPES) -> RatingDraft:
    """Runs of eight devices that do `rate` ST/s each."""

    def run(prompt: int, limit: int) -> RunDraft:
        requests = (Requests(prompt, 0, limit, 32),)
        exact = window_parts(CARD, requests).total / rate / 8 * 10**6
        windows = (WindowDraft(round(exact * Fraction(wobble, 100)), requests) for wobble in (100, 102, 98, 100))
        return RunDraft(prompt, limit, 32, tuple(windows))

    setup = Setup(CARD.digest, "vllm", "0.32.0", "575.51", "fp16", 2)
    return RatingDraft(deployment, setup, 8, now, tuple(run(*shape) for shape in shapes))


def rate(scene: Scene, deployment: UUID, now: datetime, **options: Any) -> None:
    services.ratings.record(draft(deployment, now, **options), actor=scene.provider, now=now)


def shown(page: Client, deployment: UUID | None = None) -> str:
    """The hardware page, or a deployment's rating page."""
    address = (
        reverse("providers:rating", args=[ids.encode("dep", deployment)])
        if deployment
        else reverse("providers:hardware")
    )
    answer = page.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


class TestHardware:
    def test_an_unrated_deployment_says_how_to_rate_it(self, page: Client, deployment: UUID) -> None:
        html = shown(page)

        assert "Not rated" in html
        assert "tokenspot agent calibrate --endpoint https://engine.example.com --model llama-3-8b" in html
        assert f"--card llama-3-8b/fp16 --devices 8 --deployment {ids.encode('dep', deployment)} --submit" in html

    def test_a_rated_one_shows_its_factor_with_its_band(
        self, page: Client, scene: Scene, deployment: UUID, now: datetime
    ) -> None:
        rate(scene, deployment, now)

        html = shown(page)

        assert "Valid" in html and "Above its rating" not in html
        assert "4,000" in html  # of eight devices
        assert "Rate Llama-3-8B again" in html

    def test_a_declared_speed_beyond_the_rating_is_warned_of(
        self, page: Client, scene: Scene, deployment: UUID, now: datetime
    ) -> None:
        rate(scene, deployment, now, rate=100)

        html = shown(page)

        assert "Above its rating" in html
        assert "Declared are 1,000 ST/s; its rating allows" in html

    def test_small_shapes_are_marked(self, page: Client, scene: Scene, deployment: UUID, now: datetime) -> None:
        rate(scene, deployment, now, shapes=((204, 12), (12, 204)))

        assert "Small</span>" in shown(page)

    def test_a_reader_sees_it_too(self, client: Client, scene: Scene, deployment: UUID, now: datetime) -> None:
        rate(scene, deployment, now)

        assert "4,000" in shown(signed_in(client, scene.provider.organisation_id, "viewer", now))


class TestRating:
    def test_shows_every_rating_and_its_runs(self, page: Client, scene: Scene, deployment: UUID, now: datetime) -> None:
        rate(scene, deployment, now - timedelta(days=2), rate=400)
        rate(scene, deployment, now)

        html = shown(page, deployment)

        assert "Superseded" in html and "Valid" in html
        assert "vllm 0.32.0" in html
        assert html.count("2048/128") == html.count("128/2048") == 2
        assert f"{128 * 2048:,}" in html
        assert "--check" in html

    @pytest.mark.parametrize(
        ("days", "word", "advice"),
        [(25, "Expires soon", "Less than 7 days"), (31, "Expired", "too old")],
    )
    def test_that_lapses_says_so(
        self, page: Client, scene: Scene, deployment: UUID, now: datetime, days: int, word: str, advice: str
    ) -> None:
        then = now - timedelta(days=days)
        services.ratings.record(draft(deployment, then), actor=scene.provider, now=then)

        html = shown(page, deployment)

        assert word in html and advice in html

    def test_that_drifts_says_by_how_much(self, page: Client, scene: Scene, deployment: UUID, now: datetime) -> None:
        rate(scene, deployment, now)
        services.ratings.observe(
            deployment, compute_micro_st=10**9, memory_micro_st=10**9, gpu_micro_seconds=8 * 10**6, requests=200, now=now,
        )  # fmt: skip

        html = shown(page, deployment)

        assert "Drifting" in html and "The last 200 requests took 2.00 times" in html

    def test_of_a_changed_setup_names_the_change(
        self, page: Client, scene: Scene, deployment: UUID, now: datetime
    ) -> None:
        rate(scene, deployment, now)
        setup = replace(draft(deployment, now).setup, driver="580.01")
        services.ratings.observe(
            deployment, compute_micro_st=1, memory_micro_st=1, gpu_micro_seconds=1, requests=1, setup=setup, now=now
        )

        assert "Not as it was rated any more: the driver." in shown(page, deployment)

    def test_is_told_in_chinese_too(self, client: Client, scene: Scene, deployment: UUID, now: datetime) -> None:
        rate(scene, deployment, now, rate=100)
        page = signed_in(client, scene.provider.organisation_id, "provider", now, language="zh-hans")

        html = shown(page, deployment)

        assert "申报速度超出评级所支持的范围" in html and "标准词元系数" in html

    def test_of_another_organisation_is_not_there(
        self, client: Client, scene: Scene, deployment: UUID, now: datetime
    ) -> None:
        from accounts.services import organisations

        other = organisations.create(name="Other", kind="provider", now=now)
        stranger = signed_in(client, other, "provider", now)

        for wrong in (ids.encode("dep", deployment), "dep_x"):
            assert stranger.get(reverse("providers:rating", args=[wrong])).status_code == 404


@pytest.mark.parametrize(
    ("micro", "text"),
    [(None, "—"), (0, "0"), (1_234_567_890, "1,235"), (12_345_678_900_000, "12,345,679"), (4_010_000, "4.01"), (31_650, "0.03165"), (3, "0.000003")],
)  # fmt: skip
def test_speeds_have_four_digits(micro: int | None, text: str) -> None:
    assert rate_text(micro) == text
