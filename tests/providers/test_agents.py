"""Agents over REST: made, registered, rotated, parked, revoked; and every signed request refused that is not theirs."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from accounts.kernel import ids
from accounts.selectors import clock
from providers import selectors, services
from providers.kernel.errors import AgentParked, KeyTaken
from providers.kernel.signatures import BadSignature, read
from providers.models import Agent, AgentKey, Nonce, RegistrationToken
from tests.providers.scene import Scene, build
from tests.providers.signing import Signer, registered
from tests.providers.test_api import Api

pytestmark = pytest.mark.django_db
HOST = "http://testserver"


@pytest.fixture
def now() -> datetime:
    return clock.now()


@pytest.fixture
def scene(now: datetime) -> Scene:
    return build(now=now)


@pytest.fixture
def api(scene: Scene, now: datetime) -> Api:
    return Api(scene.provider, "offers:read", "offers:write", now=now)


def register(token: str, public: str, **more: str):
    body = {"registration_token": token, "public_key": public, "version": "0.1", **more}
    return Client().post("/api/v1/agent/register", body, content_type="application/json")


def signed(signer: Signer, method: str, path: str, body: bytes = b"", *, at: datetime, **headers: str):
    sent = {**signer.headers(method, HOST + path, body, at=at), **headers}
    content_type = sent.pop("content-type")
    return send(method, path, body, content_type, sent)


def send(method: str, path: str, body: bytes, content_type: str, headers: dict[str, str]):
    """Django's client leaves out the content type of an empty body, unless it is named so."""
    return Client().generic(method, path, body, content_type=content_type, headers=headers, CONTENT_TYPE=content_type)


class TestLife:
    def test_made_registered_and_seen(self, api: Api) -> None:
        made = api.post("/provider/agents", {"name": "rack 7"}).json()
        signer = Signer()

        done = register(made["registration_token"], signer.public)

        assert done.status_code == 201
        assert done.json()["agent"] == made["id"] and done.json()["keyid"].startswith("agk_")
        (listed,) = api.get("/provider/agents").json()["data"]
        assert (made["state"], listed["state"], listed["version"]) == ("waiting", "active", "0.1")

    def test_the_token_is_shown_once_and_stored_as_a_hash(self, api: Api) -> None:
        first = api.post("/provider/agents", {"name": "rack 7"}, key="k1")
        again = api.post("/provider/agents", {"name": "rack 7"}, key="k1")

        assert (again.status_code, again.json()["code"]) == (409, "already_created")
        assert first.headers["cache-control"] == "no-store"
        assert first.json()["registration_token"].encode() not in bytes(RegistrationToken.objects.get().digest)

    def test_a_token_registers_once(self, api: Api) -> None:
        token = api.post("/provider/agents", {"name": "a"}).json()["registration_token"]
        register(token, Signer().public)

        again = register(token, Signer().public)

        assert (again.status_code, again.json()["code"]) == (409, "token_used")
        assert AgentKey.objects.count() == 1

    @pytest.mark.parametrize("token", ["", "tsreg_" + "A" * 43, "tsk_x", "x" * 99])
    def test_an_unknown_token_registers_nothing(self, token: str) -> None:
        answer = register(token, Signer().public)

        assert answer.status_code in {400, 401}
        assert answer.json()["code"] in {"bad_registration_token", "invalid"}

    def test_an_old_token_registers_nothing(self, scene: Scene, now: datetime) -> None:
        made = services.agents.make(name="a", pool_id=None, actor=scene.provider, now=now - timedelta(minutes=61))

        assert register(made.token, Signer().public).json()["code"] == "bad_registration_token"

    def test_a_public_key_names_one_agent(self, scene: Scene, now: datetime) -> None:
        signer, _ = registered(scene.provider, now=now)
        other = services.agents.make(name="b", pool_id=None, actor=scene.provider, now=now)

        with pytest.raises(KeyTaken):
            services.agents.register(token=other.token, public_key=signer.public, version="", now=now)
        assert RegistrationToken.objects.get(agent_id=other.agent_id).used_at is None

    def test_a_lost_key_ends_when_the_agent_registers_again(self, api: Api, scene: Scene, now: datetime) -> None:
        lost, done = registered(scene.provider, now=now)
        agent = ids.encode("agt", done.agent_id)

        token = api.post(f"/provider/agents/{agent}/registration-token").json()["registration_token"]
        register(token, Signer().public)

        answer = signed(lost, "GET", "/api/v1/agent/deployments", at=now)
        assert (answer.status_code, answer.json()["reason"]) == (401, "revoked")

    def test_a_rotated_key_ends_after_ten_minutes(self, scene: Scene, now: datetime) -> None:
        old, _ = registered(scene.provider, now=now)
        new = Signer()
        body = json.dumps({"public_key": new.public}).encode()

        answer = signed(old, "POST", "/api/v1/agent/rotate-key", body, at=now)
        new.key_id = answer.json()["keyid"]

        assert signed(old, "GET", "/api/v1/agent/deployments", at=now).status_code == 200
        assert signed(new, "GET", "/api/v1/agent/deployments", at=now).status_code == 200
        later = now + timedelta(minutes=11)
        headers = old.headers("GET", HOST, b"", at=later)
        with pytest.raises(BadSignature) as refused:
            services.agents.authenticate(read(method="GET", target_uri=HOST, headers=headers, body=b""), now=later)
        assert refused.value.reason == "revoked"
        assert signed(old, "POST", "/api/v1/agent/rotate-key", body, at=now).status_code == 409

    def test_parked_is_403_until_released(self, api: Api, scene: Scene, now: datetime) -> None:
        signer, done = registered(scene.provider, now=now)
        agent = ids.encode("agt", done.agent_id)
        api.post(f"/provider/agents/{agent}/park", {"reason": "clock is wrong"})

        answer = signed(signer, "GET", "/api/v1/agent/deployments", at=now)
        assert (answer.status_code, answer.json()["code"]) == (403, "agent_parked")
        with pytest.raises(IntegrityError, match="providers_agent_parked_with_reason"), transaction.atomic():
            Agent.objects.update(reason="")

        api.post(f"/provider/agents/{agent}/release")
        assert signed(signer, "GET", "/api/v1/agent/deployments", at=now).status_code == 200

    def test_revoked_is_401_for_good(self, api: Api, scene: Scene, now: datetime) -> None:
        signer, done = registered(scene.provider, now=now)
        agent = ids.encode("agt", done.agent_id)

        for _ in range(2):
            assert api.post(f"/provider/agents/{agent}/revoke").json()["state"] == "revoked"

        assert signed(signer, "GET", "/api/v1/agent/deployments", at=now).json()["reason"] == "revoked"
        assert api.post(f"/provider/agents/{agent}/registration-token").status_code == 409

    def test_foreign_agents_do_not_exist(self, api: Api, scene: Scene, now: datetime) -> None:
        _, done = registered(scene.provider, now=now)
        other = Api(scene.buyer, "usage:read", now=now)
        agent = ids.encode("agt", done.agent_id)

        assert other.post(f"/provider/agents/{agent}/revoke").status_code == 403
        for bad in (ids.encode("agt", ids.new()), "agt_x", ids.encode("pol", done.agent_id)):
            assert api.post(f"/provider/agents/{bad}/revoke").status_code == 404


class TestSignedRequests:
    def test_deployments_of_the_agents_pool(self, scene: Scene, now: datetime) -> None:
        mine, other = scene.pool(now=now), scene.pool("Harbour 2", now=now)
        deployment = scene.deployment(mine, now=now)
        scene.deployment(other, now=now)
        signer, _ = registered(scene.provider, now=now, pool_id=mine)

        answer = signed(signer, "GET", "/api/v1/agent/deployments", at=now)

        (found,) = answer.json()["data"]
        assert found["id"] == ids.encode("dep", deployment)
        assert (found["line"], found["served_format"], found["contracted_format"]) == ("llama-3-8b", "fp16", "fp16")
        assert len(found["card_digest"]) > 40

    @pytest.mark.parametrize(
        ("headers", "reason"),
        [
            ({"content-digest": "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFA=:"}, "digest"),
            ({"content-type": "text/plain"}, "signature"),
            ({"signature": f"sig1=:{'A' * 86}==:"}, "signature"),
            ({"signature": ""}, "signature"),
        ],
    )
    def test_a_changed_part_is_401(self, scene: Scene, now: datetime, headers: dict[str, str], reason: str) -> None:
        signer, _ = registered(scene.provider, now=now)
        body = json.dumps({"public_key": Signer().public}).encode()

        answer = signed(signer, "POST", "/api/v1/agent/rotate-key", body, at=now, **headers)

        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["reason"]) == (401, "bad_signature", reason)
        assert AgentKey.objects.count() == 1

    def test_another_path_or_query_is_401(self, scene: Scene, now: datetime) -> None:
        signer, _ = registered(scene.provider, now=now)
        headers = signer.headers("GET", HOST + "/api/v1/agent/deployments", b"", at=now)

        answer = send("GET", "/api/v1/agent/deployments?x=1", b"", "application/json", headers)

        assert answer.json()["reason"] == "signature"

    def test_an_unknown_key_is_401(self, now: datetime) -> None:
        stranger = Signer(ids.encode("agk", ids.new()))

        assert signed(stranger, "GET", "/api/v1/agent/deployments", at=now).json()["reason"] == "unknown_key"

    def test_a_nonce_passes_once(self, scene: Scene, now: datetime) -> None:
        signer, _ = registered(scene.provider, now=now)
        headers = signer.headers("GET", HOST + "/api/v1/agent/deployments", b"", at=now)

        answers = [send("GET", "/api/v1/agent/deployments", b"", "application/json", headers) for _ in range(2)]

        assert [answer.status_code for answer in answers] == [200, 401]
        assert answers[1].json()["reason"] == "replayed"

    def test_one_group_of_requests_takes_a_nonce_once(self, scene: Scene, now: datetime) -> None:
        _, done = registered(scene.provider, now=now)
        pair, other = (done.key_id, bytes(16)), (done.key_id, bytes([1] * 16))

        assert services.agents.claim_nonces([pair, other, pair], now=now) == [True, True, False]
        assert services.agents.claim_nonces([pair], now=now) == [False]

    def test_old_nonces_are_forgotten(self, scene: Scene, now: datetime) -> None:
        _, done = registered(scene.provider, now=now)
        services.agents.claim_nonces([(done.key_id, bytes(16))], now=now - timedelta(minutes=12))
        services.agents.claim_nonces([(done.key_id, bytes([1] * 16))], now=now)

        assert services.agents.forget_nonces(now=now) == 1
        assert Nonce.objects.count() == 1

    def test_a_parked_agent_is_named_so(self, scene: Scene, now: datetime) -> None:
        signer, done = registered(scene.provider, now=now)
        services.agents.park(done.agent_id, reason="x", actor=scene.provider, now=now)
        headers = signer.headers("GET", HOST, b"", at=now)

        with pytest.raises(AgentParked):
            services.agents.authenticate(read(method="GET", target_uri=HOST, headers=headers, body=b""), now=now)
        assert selectors.agent_of(done.agent_id, scene.provider).reason == "x"
