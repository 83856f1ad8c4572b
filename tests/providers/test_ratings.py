"""Ratings of deployments: stored append-only, solved here, watched, and shown over REST."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import Client
from tokenspot_client import cli
from tokenspot_client.api import ApiProblem

from accounts.kernel import ids
from accounts.models import AuditEvent
from accounts.selectors import clock
from accounts.services import keys
from providers import selectors, services
from providers.kernel.ratings import Setup, State
from providers.models import Rating, RatingObservation
from tests.fakes.engine.app import Engine
from tests.fakes.engine.serving import served
from tests.providers.scene import Scene, build
from token_standard import catalogue, ratings

pytestmark = pytest.mark.django_db
CARD = catalogue.card("llama-3-8b")
DEVICES = 8
SHAPES = ((2048, 128), (128, 2048))


@pytest.fixture
def now() -> datetime:
    return clock.now()


@pytest.fixture
def scene(now: datetime) -> Scene:
    return build(now=now)


class Api:
    def __init__(self, actor: Any, *scopes: str, now: datetime) -> None:
        secret = keys.create(actor=actor, name="test", scopes=scopes, now=now).secret
        self._client = Client(headers={"authorization": f"Bearer {secret}"})

    def get(self, path: str) -> Any:
        return self._client.get(f"/api/v1{path}")

    def post(self, path: str, body: Any, *, key: str | None = None) -> Any:
        headers = {"idempotency-key": key or uuid.uuid4().hex}
        return self._client.post(f"/api/v1{path}", body, content_type="application/json", headers=headers)


@pytest.fixture
def api(scene: Scene, now: datetime) -> Api:
    return Api(scene.provider, "offers:read", "offers:write", now=now)


@pytest.fixture
def deployment(scene: Scene, now: datetime) -> str:
    """Of 8 devices, declared at 1,000 ST/s."""
    return ids.encode("dep", scene.deployment(scene.pool(now=now), now=now))


def seconds(rate: float, requests: list[list[int]]) -> str:
    """Wall time of a window on eight devices that do `rate` ST/s each."""
    work = ratings.window_parts(CARD, [ratings.Requests(*each) for each in requests]).total
    return f"{float(work / Fraction(rate) / DEVICES):.6f}"


def body(now: datetime, rate: float = 500, **change: Any) -> dict[str, Any]:
    """Runs of a deployment whose devices do `rate` ST/s, of either part, with a wobble of one per cent."""
    runs = [
        {
            "prompt_tokens": prompt, "max_tokens": limit, "concurrency": 32,
            "windows": [{"seconds": seconds(rate * wobble, [[prompt, 0, limit, 32]]), "requests": [[prompt, 0, limit, 32]]}
                        for wobble in (1.0, 1.01, 0.99, 1.0)],
        }
        for prompt, limit in SHAPES
    ]  # fmt: skip
    return {
        "card": CARD.digest, "engine": "vllm", "engine_version": "0.32.0", "driver": "575.51", "served_format": "fp16", "tensor_parallel": 2,
        "devices": DEVICES, "measured_at": now.isoformat().replace("+00:00", "Z"), "runs": runs, **change,
    }  # fmt: skip


def window(now: datetime, rate: float, requests: int = 100, **change: Any) -> dict[str, Any]:
    rows = [[1155, 0, 211, requests]]
    given = {name: value for name, value in body(now, **change).items() if name != "runs"}
    return {**given, "window": {"seconds": seconds(rate, rows), "requests": rows}}


class TestRating:
    def test_is_solved_here_and_stored_with_its_runs(self, api: Api, deployment: str, now: datetime) -> None:
        answer = api.post(f"/provider/deployments/{deployment}/ratings", body(now))

        stored = answer.json()
        assert answer.status_code == 201, stored
        assert (stored["state"], stored["reduced"], stored["mix"]) == ("rated", False, "azure-2023")
        for part in ("compute", "memory", "blended"):
            assert float(stored[part]["st_per_second"]) == pytest.approx(500, rel=0.01)
            assert float(stored[part]["low"]) < 500 < float(stored[part]["high"])
        assert [(run["requests"], run["uncached_tokens"], run["generated_tokens"]) for run in stored["runs"]] == [
            (128, 128 * 2048, 128 * 128),
            (128, 128 * 128, 128 * 2048),
        ]
        assert stored["runs"][0]["windows"] == body(now)["runs"][0]["windows"]
        assert datetime.fromisoformat(stored["expires_at"]) == now + timedelta(days=30)
        assert api.get(f"/provider/deployments/{deployment}/ratings").json()["data"] == [stored]
        assert AuditEvent.objects.filter(action="deployment.rated", subject=deployment).count() == 1

    def test_is_stored_once_per_idempotency_key(self, api: Api, deployment: str, now: datetime) -> None:
        path = f"/provider/deployments/{deployment}/ratings"

        first, again = api.post(path, body(now), key="same"), api.post(path, body(now), key="same")

        assert first.json()["id"] == again.json()["id"]
        assert Rating.objects.count() == 1
        assert api.post(path, body(now, devices=4), key="same").status_code == 422

    def test_supersedes_the_one_before(self, api: Api, deployment: str, now: datetime) -> None:
        path = f"/provider/deployments/{deployment}/ratings"
        api.post(path, body(now - timedelta(days=1), rate=400))
        api.post(path, body(now, rate=500))

        states = [
            (each["state"], round(float(each["blended"]["st_per_second"]))) for each in api.get(path).json()["data"]
        ]

        assert states == [("rated", 500), ("superseded", 400)]

    def test_by_old_runs_is_refused(self, api: Api, deployment: str, now: datetime) -> None:
        path = f"/provider/deployments/{deployment}/ratings"
        api.post(path, body(now))
        again = api.post(path, body(now))

        assert (again.status_code, again.json()["code"]) == (409, "runs_repeated")
        assert Rating.objects.count() == 1

    def test_takes_no_conclusion_from_the_client(self, api: Api, deployment: str, now: datetime) -> None:
        answer = api.post(f"/provider/deployments/{deployment}/ratings", body(now, blended="9999"))

        assert (answer.status_code, answer.json()["code"]) == (400, "unknown_field")

    @pytest.mark.parametrize(
        ("change", "code"),
        [({"card": catalogue.card("llama-2-7b").digest}, "card_mismatch"), ({"served_format": "fp8"}, "format_mismatch"), ({"devices": 9}, "too_many_devices"),
         ({"tensor_parallel": 9}, "bad_value"), ({"measured_at": "2020-01-01T00:00:00Z"}, "bad_value"), ({"measured_at": "2099-01-01T00:00:00Z"}, "bad_value")],
    )  # fmt: skip
    def test_of_another_setup_is_refused(
        self, api: Api, deployment: str, now: datetime, change: dict, code: str
    ) -> None:
        answer = api.post(f"/provider/deployments/{deployment}/ratings", body(now, **change))

        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert not Rating.objects.exists()

    @pytest.mark.parametrize(
        ("runs", "code"),
        [(slice(0, 1), "too_few_runs"), ([0, 0], "shapes_not_separable")],
    )
    def test_runs_that_give_none_say_why(self, api: Api, deployment: str, now: datetime, runs: Any, code: str) -> None:
        made = body(now)["runs"]
        chosen = made[runs] if isinstance(runs, slice) else [made[number] for number in runs]

        answer = api.post(f"/provider/deployments/{deployment}/ratings", body(now, runs=chosen))

        assert (answer.status_code, answer.json()["code"]) == (422, code)

    @pytest.mark.parametrize(
        ("row", "status", "code"),
        [([128, 0, 2049, 32], 422, "bad_counts"), ([-1, 0, 1, 1], 400, "invalid"), ([1, 0, 1, 0], 400, "invalid"), ([1, 0, 1], 400, "invalid"),
         ([1, 0, 1.5, 1], 400, "invalid"), (["1", 0, 1, 1], 400, "invalid"), ([1, 0, 10**9, 1], 400, "invalid"), ([0, 128, 2048, 32], 422, "prompts_cached")],
    )  # fmt: skip
    def test_counts_that_cannot_be_are_refused(
        self, api: Api, deployment: str, now: datetime, row: list, status: int, code: str
    ) -> None:
        made = body(now)["runs"]
        for one in made[1]["windows"]:
            one["requests"] = [row]

        answer = api.post(f"/provider/deployments/{deployment}/ratings", body(now, runs=made))

        assert (answer.status_code, answer.json()["code"]) == (status, code)

    @pytest.mark.parametrize("text", ["0", "-1", "1e3", "NaN", "1.0000001", "1234567", ""])
    def test_seconds_that_cannot_be_are_refused(self, api: Api, deployment: str, now: datetime, text: str) -> None:
        made = body(now)["runs"]
        made[0]["windows"][0]["seconds"] = text

        answer = api.post(f"/provider/deployments/{deployment}/ratings", body(now, runs=made))

        assert (answer.status_code, answer.json()["code"]) in {(400, "invalid"), (422, "bad_seconds")}

    @pytest.mark.parametrize("factor", ["0.000001", "999999"])
    def test_speeds_of_no_engine_do_no_harm(self, api: Api, deployment: str, now: datetime, factor: str) -> None:
        made = body(now)["runs"]
        for run in made:
            for one in run["windows"]:
                one["seconds"] = factor

        assert api.post(f"/provider/deployments/{deployment}/ratings", body(now, runs=made)).status_code in {201, 422}

    def test_of_a_retired_deployment_is_refused(self, api: Api, deployment: str, now: datetime) -> None:
        api.post(f"/provider/deployments/{deployment}/retire", {})

        answer = api.post(f"/provider/deployments/{deployment}/ratings", body(now))

        assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")

    @pytest.mark.parametrize("table", ["providers_rating", "providers_ratingrun", "providers_ratingobservation"])
    @pytest.mark.parametrize("statement", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
    def test_is_never_changed(self, api: Api, deployment: str, now: datetime, table: str, statement: str) -> None:
        api.post(f"/provider/deployments/{deployment}/ratings", body(now))

        with pytest.raises(DatabaseError, match="never changed"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # or TRUNCATE is refused for what is still to be checked
            cursor.execute(statement.format(table))


class TestRights:
    def test_a_reader_looks_and_does_not_rate(self, scene: Scene, deployment: str, now: datetime) -> None:
        reader = Api(scene.provider, "offers:read", now=now)

        assert reader.get(f"/provider/deployments/{deployment}/ratings").status_code == 200
        for path, given in (("ratings", body(now)), ("rating-checks", window(now, 500))):
            answer = reader.post(f"/provider/deployments/{deployment}/{path}", given)
            assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")

    def test_another_organisation_s_deployment_does_not_exist(
        self, scene: Scene, deployment: str, now: datetime
    ) -> None:
        from accounts.selectors import actors
        from accounts.services import organisations

        other = organisations.create(name="Other", kind="provider", now=now)
        stranger = Api(actors.of_organisation(other), "offers:read", "offers:write", now=now)

        assert stranger.get(f"/provider/deployments/{deployment}/ratings").status_code == 404
        assert stranger.post(f"/provider/deployments/{deployment}/ratings", body(now)).status_code == 404
        assert stranger.post(f"/provider/deployments/{deployment}/rating-checks", window(now, 500)).status_code == 404
        assert not Rating.objects.exists()

    def test_a_buyer_rates_nothing(self, scene: Scene, deployment: str, now: datetime) -> None:
        buyer = Api(scene.buyer, "offers:read", "offers:write", now=now)

        assert buyer.post(f"/provider/deployments/{deployment}/ratings", body(now)).status_code == 403

    def test_nobody_without_a_key(self, deployment: str) -> None:
        assert Client().get(f"/api/v1/provider/deployments/{deployment}/ratings").status_code == 401

    def test_an_id_that_is_none(self, api: Api) -> None:
        assert api.get("/provider/deployments/dep_x/ratings").status_code == 404


class TestStanding:
    def shown(self, api: Api) -> dict[str, Any]:
        return dict(api.get("/provider/deployments").json()["data"][0])

    def test_is_unrated_at_first(self, api: Api, deployment: str) -> None:
        shown = self.shown(api)

        assert (shown["rating"]["state"], shown["rate_supported"], shown["card"]) == ("unrated", None, CARD.digest)

    @pytest.mark.parametrize(("rate", "supported"), [(500, True), (100, False)])
    def test_says_whether_it_supports_what_is_declared(
        self, api: Api, deployment: str, now: datetime, rate: float, supported: bool
    ) -> None:
        """Declared are 1,000 ST/s of eight devices."""
        api.post(f"/provider/deployments/{deployment}/ratings", body(now, rate=rate))

        shown = self.shown(api)

        assert shown["rate_supported"] is supported
        assert float(shown["rating"]["st_per_second"]) == pytest.approx(rate * DEVICES, rel=0.01)

    def test_lapses_in_time(self, scene: Scene, api: Api, deployment: str, now: datetime) -> None:
        api.post(f"/provider/deployments/{deployment}/ratings", body(now))
        view = selectors.deployments_of(scene.provider)[0]

        def state(days: int) -> State:
            return selectors.standings([view], now=now + timedelta(days=days))[view.id].state

        assert [state(days) for days in (1, 24, 31)] == [State.RATED, State.EXPIRING, State.EXPIRED]
        late = selectors.standings([view], now=now + timedelta(days=31))[view.id]
        assert late.supported is None

    def test_the_time_is_a_setting(self, api: Api, deployment: str, now: datetime, settings: Any) -> None:
        settings.PROVIDERS_RATING_DAYS = 3

        api.post(f"/provider/deployments/{deployment}/ratings", body(now))

        assert self.shown(api)["rating"]["state"] == "expiring"


class TestChecks:
    @pytest.fixture
    def rated(self, api: Api, deployment: str, now: datetime) -> str:
        api.post(f"/provider/deployments/{deployment}/ratings", body(now))
        return deployment

    def check(self, api: Api, deployment: str, given: dict[str, Any]) -> dict[str, Any]:
        answer = api.post(f"/provider/deployments/{deployment}/rating-checks", given)
        assert answer.status_code == 201, answer.json()
        return dict(answer.json())

    def test_need_a_rating(self, api: Api, deployment: str, now: datetime) -> None:
        answer = api.post(f"/provider/deployments/{deployment}/rating-checks", window(now, 500))

        assert (answer.status_code, answer.json()["code"]) == (409, "unrated")

    def test_at_the_rated_speed_hold(self, api: Api, rated: str, now: datetime) -> None:
        found = self.check(api, rated, window(now, 500, requests=200))

        assert (found["state"], found["requests"], found["needed"]) == ("rated", 200, 200)
        assert float(found["ratio"]) == pytest.approx(1, abs=0.02)

    def test_at_half_the_speed_are_drift_once_there_are_enough(self, api: Api, rated: str, now: datetime) -> None:
        first, second = (self.check(api, rated, window(now, 250)) for _ in range(2))

        assert (first["state"], second["state"]) == ("rated", "drifting")
        assert float(second["ratio"]) == pytest.approx(2, abs=0.04)
        assert api.get("/provider/deployments").json()["data"][0]["rating"]["state"] == "drifting"

    def test_back_at_speed_end_the_drift(self, api: Api, rated: str, now: datetime) -> None:
        self.check(api, rated, window(now, 250, requests=200))

        assert self.check(api, rated, window(now, 500, requests=200))["state"] == "rated"

    def test_a_new_rating_starts_with_nothing_seen(self, api: Api, rated: str, now: datetime) -> None:
        self.check(api, rated, window(now, 250, requests=200))
        api.post(f"/provider/deployments/{rated}/ratings", body(now + timedelta(seconds=1), rate=250))

        assert api.get("/provider/deployments").json()["data"][0]["rating"]["state"] == "rated"

    def test_on_another_engine_end_the_rating(self, api: Api, rated: str, now: datetime) -> None:
        found = self.check(api, rated, window(now, 500, engine_version="0.33.0"))

        assert (found["state"], found["changed"]) == ("changed", "engine_version")
        answer = api.post(f"/provider/deployments/{rated}/rating-checks", window(now, 500))
        assert (answer.status_code, answer.json()["code"]) == (409, "unrated")

    def test_are_kept_once_per_idempotency_key(self, api: Api, rated: str, now: datetime) -> None:
        path, given = f"/provider/deployments/{rated}/rating-checks", window(now, 500)

        first, again = api.post(path, given, key="same"), api.post(path, given, key="same")

        assert first.json() == again.json()
        assert RatingObservation.objects.count() == 1

    @pytest.mark.parametrize(
        ("row", "seconds", "code"), [([0, 0, 0, 5], "1", "no_tokens"), ([100, 0, 10, 5], "0", "bad_seconds")]
    )
    def test_windows_that_cannot_be_are_refused(
        self, api: Api, rated: str, now: datetime, row: list[int], seconds: str, code: str
    ) -> None:
        given = {**window(now, 500), "window": {"seconds": seconds, "requests": [row]}}

        answer = api.post(f"/provider/deployments/{rated}/rating-checks", given)

        assert (answer.status_code, answer.json()["code"]) == (422, code)

    def test_more_work_than_can_be_kept_is_refused(self, api: Api, rated: str, now: datetime) -> None:
        rows = [[10**7, 10**7, 10**7, 10**6]] * 2_000
        given = {**window(now, 500), "window": {"seconds": "1", "requests": rows}}

        answer = api.post(f"/provider/deployments/{rated}/rating-checks", given)

        assert (answer.status_code, answer.json()["code"]) == (422, "bad_counts")
        assert not RatingObservation.objects.exists()


class TestObserved:
    def test_work_from_elsewhere_counts_too(self, scene: Scene, api: Api, deployment: str, now: datetime) -> None:
        """What metering will feed: parts in micro-ST and GPU-microseconds, without a setup."""
        deployment_id = ids.decode("dep", deployment)
        work = {"compute_micro_st": 10**9, "memory_micro_st": 10**9, "gpu_micro_seconds": 8 * 10**6, "requests": 200}
        assert not services.ratings.observe(deployment_id, **work, now=now)
        api.post(f"/provider/deployments/{deployment}/ratings", body(now))

        assert services.ratings.observe(deployment_id, **work, now=now)

        view = selectors.deployments_of(scene.provider)[0]
        standing = selectors.standings([view], now=now)[view.id]
        assert standing.state is State.DRIFTING  # 2,000 ST in 8 s are 250 ST/s, half of what was rated
        assert standing.drift is not None and float(standing.drift.ratio or 0) == pytest.approx(2, abs=0.03)

    def test_a_setup_is_compared(self, scene: Scene, api: Api, deployment: str, now: datetime) -> None:
        api.post(f"/provider/deployments/{deployment}/ratings", body(now))
        view = selectors.deployments_of(scene.provider)[0]
        setup = Setup(CARD.digest, "vllm", "", "", "fp16", 4)
        work = {"compute_micro_st": 10**6, "memory_micro_st": 10**6, "gpu_micro_seconds": 4_000, "requests": 1}

        services.ratings.observe(view.id, **work, setup=setup, now=now)

        assert selectors.standings([view], now=now)[view.id].changed == "tensor_parallel"


class TestTheClient:
    """`tokenspot agent calibrate` against a fake engine of known speed, submitting here."""

    @pytest.fixture
    def calibrate(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> Any:
        class Here:
            has_key = True

            def pages(self, path: str) -> Any:
                return iter(api.get(path).json()["data"])

            def post(self, path: str, given: dict[str, Any], *, idempotency_key: str | None = None) -> Any:
                answer = api.post(path, given, key=idempotency_key)
                if answer.status_code >= 400:
                    raise ApiProblem(answer.status_code, answer.json())
                return answer.json()

        monkeypatch.setattr(cli, "Client", lambda *_: Here())

        def run(url: str, *more: str) -> int:
            given = [
                "agent",
                "calibrate",
                "--endpoint",
                url,
                "--model",
                "llama-3-8b",
                "--card",
                "llama-3-8b",
                "--devices",
                "8",
            ]
            try:
                return cli.main([*given, "--concurrency", "4", "--scale", "0.05", *more])
            except SystemExit as end:
                return int(end.code or 0)

        return run

    def test_rates_submits_and_checks(self, calibrate: Any, api: Api, deployment: str, capsys: Any) -> None:
        with served(Engine(("llama-3-8b",), 400.0)) as url:
            assert calibrate(url, "--deployment", deployment, "--submit") == 0
            shown = api.get("/provider/deployments").json()["data"][0]
            assert calibrate(url, "--deployment", deployment, "--check") == 0

        # On a busy machine windows are noisy; the kernel's tests say how near a rating comes.
        assert float(shown["rating"]["st_per_second"]) == pytest.approx(400, rel=0.4)
        assert shown["rate_supported"] is not None
        out = capsys.readouterr().out
        assert "stored as rtg_" in out and "times what the rating says" in out
        assert RatingObservation.objects.get().requests == 16

    def test_submits_what_it_kept_and_never_twice(
        self, calibrate: Any, api: Api, deployment: str, tmp_path: Path
    ) -> None:
        kept = str(tmp_path / "runs.json")
        with served(Engine(("llama-3-8b",), 400.0)) as url:
            assert calibrate(url, "--json", kept) == 0

        for _ in range(2):
            assert calibrate("http://127.0.0.1:1", "--runs", kept, "--deployment", deployment, "--submit") == 0

        assert Rating.objects.count() == 1
        assert calibrate("http://127.0.0.1:1", "--runs", kept, "--deployment", deployment) == 2
        assert calibrate("http://127.0.0.1:1", "--runs", "/no/such", "--deployment", deployment, "--submit") == 2

    def test_says_at_once_that_a_card_is_another(self, calibrate: Any, deployment: str, capsys: Any) -> None:
        assert calibrate("http://127.0.0.1:1", "--deployment", deployment, "--submit", "--card", "llama-2-7b") == 2
        assert "is sold by card" in capsys.readouterr().err

    def test_says_at_once_that_a_deployment_is_not_there(self, calibrate: Any, deployment: str, capsys: Any) -> None:
        assert calibrate("http://127.0.0.1:1", "--deployment", "dep_x", "--submit") == 2
        assert "no deployment" in capsys.readouterr().err

    def test_tells_what_the_platform_refuses(self, calibrate: Any, api: Api, deployment: str, capsys: Any) -> None:
        with served(Engine(("llama-3-8b",), 400.0)) as url:
            assert calibrate(url, "--deployment", deployment, "--submit", "--devices", "9") == 1
        assert "too_many_devices" in capsys.readouterr().err
