"""Giving up an allocation over REST and from the page of its order."""

import pytest
from django.test import Client

from accounts.kernel import ids
from accounts.services import keys
from market import selectors
from market.models import Charge
from tests.market.test_pages import _public, buyer, page, seller

__all__ = ["buyer", "page", "seller"]  # fixtures
pytestmark = pytest.mark.django_db


class TestRest:
    def post(self, actor, public_id, *scopes, now, **headers):
        key = keys.create(actor=actor, name="t", scopes=list(scopes or ("orders:write",)), now=now).secret
        client = Client(headers={"authorization": f"Bearer {key}"})
        return client.post(f"/api/v1/allocations/{public_id}/cancel", headers=headers)

    def test_answers_with_fee_and_release_and_again_the_same(self, live_world, buyer, seller):
        live_world.bid(buyer, 1_000, 1_900_000)
        live_world.offer(seller, 1_000, 1_900_000)
        live_world.round()
        (one,) = selectors.allocations(buyer)
        public = ids.encode("alc", one.id)

        first = self.post(buyer, public, now=live_world.now, **{"idempotency-key": "a"})
        again = self.post(buyer, public, now=live_world.now, **{"idempotency-key": "a"})
        other = self.post(buyer, public, now=live_world.now, **{"idempotency-key": "b"})

        assert first.status_code == 200, first.content
        assert (first.json()["fee"], first.json()["released"]) == ("0.00038", "0.00152")
        assert first.json() == again.json() == other.json()
        assert again.headers["Idempotency-Replayed"] == "true"

    def test_needs_a_key_and_the_scope_and_is_404_to_strangers(self, live_world, buyer, seller):
        live_world.bid(buyer, 1_000, 1_900_000)
        live_world.offer(seller, 1_000, 1_900_000)
        live_world.round()
        (one,) = selectors.allocations(buyer)
        public, now = ids.encode("alc", one.id), live_world.now

        assert self.post(buyer, public, now=now).status_code == 400
        assert self.post(buyer, public, "orders:read", now=now, **{"idempotency-key": "a"}).status_code == 403
        assert self.post(seller, public, now=now, **{"idempotency-key": "a"}).status_code == 404
        assert not Charge.objects.exists()


class TestPage:
    def test_shows_the_fee_first_and_then_gives_up(self, live_world, buyer, seller, page):
        bid = live_world.bid(buyer, 1_000_000, 1_900_000)
        live_world.offer(seller, 1_000_000, 1_900_000)
        live_world.round()
        (one,) = selectors.allocations(buyer)
        public = ids.encode("alc", one.id)

        text = page.get(f"/orders/{_public(bid)}/").content.decode()
        assert "a fee of CN¥0.38" in text and f"/allocations/{public}/cancel/" in text
        after = page.post(f"/allocations/{public}/cancel/", follow=True).content.decode()

        assert "given up for a fee of CN¥0.38" in after
        assert f"/allocations/{public}/cancel/" not in after
        assert Charge.objects.count() == 1
