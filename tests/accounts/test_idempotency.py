"""One effect, and one answer, for each Idempotency-Key."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.models import IdempotencyRow, OutboxRow
from accounts.services import idempotency, outbox
from accounts.services.idempotency import InFlight, Once, PayloadDiffers
from tests.accounts.conftest import House, together


def once(house: House, *, key: str = "k", payload: dict[str, Any] | None = None, **change: Any) -> Once:
    """An action that leaves a row behind and answers with its number."""

    def effect() -> dict[str, Any]:
        outbox.add("test", {}, now=house.now)
        return {"number": OutboxRow.objects.order_by("-id").values_list("id", flat=True)[0]}

    call: dict[str, Any] = {
        "organisation_id": house.own_id, "key": key, "operation": "test", "payload": payload or {"a": 1},
        "now": house.now, "effect": effect, **change,
    }  # fmt: skip
    return idempotency.once_durable(**call)


class TestOnce:
    def test_gives_the_first_answer_again(self, house: House) -> None:
        first, again = once(house), once(house)

        assert (first.replayed, again.replayed) == (False, True)
        assert first.body == again.body
        assert OutboxRow.objects.count() == 1

    def test_takes_the_members_of_a_payload_in_any_order(self, house: House) -> None:
        once(house, payload={"a": 1, "b": 2})

        assert once(house, payload={"b": 2, "a": 1}).replayed

    @pytest.mark.parametrize("change", [{"payload": {"a": 2}}, {"payload": {"a": "1"}}, {"operation": "other"}])
    def test_refuses_the_key_for_another_request(self, house: House, change: dict[str, Any]) -> None:
        once(house)

        with pytest.raises(PayloadDiffers) as refusal:
            once(house, **change)

        assert (refusal.value.status, refusal.value.code) == (422, "idempotency_payload_differs")
        assert OutboxRow.objects.count() == 1

    def test_keeps_the_keys_of_organisations_apart(self, house: House) -> None:
        once(house)

        assert not once(house, organisation_id=house.other_id).replayed

    def test_leaves_the_key_free_where_the_effect_fails(self, house: House) -> None:
        def fails() -> dict[str, Any]:
            outbox.add("test", {}, now=house.now)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            once(house, effect=fails)

        assert (OutboxRow.objects.count(), IdempotencyRow.objects.count()) == (0, 0)
        assert not once(house).replayed

    def test_gives_back_the_lock_timeout_it_found(self, house: House) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '1234ms'")
            once(house)
            cursor.execute("SHOW lock_timeout")

            assert cursor.fetchone() == ("1234ms",)


class TestRaces:
    def test_fifty_at_once_have_one_effect_and_one_answer(self, committed_house: House) -> None:
        answers = together([lambda: once(committed_house)] * 50)

        assert [one for one in answers if not isinstance(one, Once)] == []
        assert len({one.body["number"] for one in answers}) == 1
        assert sorted(one.replayed for one in answers) == [False] + [True] * 49
        assert OutboxRow.objects.count() == 1

    def test_of_two_requests_with_one_key_only_one_counts(self, committed_house: House) -> None:
        steps = [lambda number=number: once(committed_house, payload={"n": number % 2}) for number in range(20)]

        answers = together(steps)

        done = [one for one in answers if isinstance(one, Once)]
        refused = [one for one in answers if isinstance(one, PayloadDiffers)]
        assert (len(done), len(refused)) == (10, 10)
        assert OutboxRow.objects.count() == 1

    def test_after_a_failed_first_the_next_one_does_it(self, committed_house: House) -> None:
        entered, leave = threading.Event(), threading.Event()

        def dies() -> dict[str, Any]:
            entered.set()
            leave.wait(10)
            raise ZeroDivisionError

        def second() -> Once:
            entered.wait(10)
            threading.Timer(0.3, leave.set).start()
            return once(committed_house)

        first, follower = together([lambda: once(committed_house, effect=dies), second])

        assert isinstance(first, ZeroDivisionError)
        assert not follower.replayed
        assert OutboxRow.objects.count() == 1

    def test_a_long_first_is_said_to_be_in_flight(
        self, committed_house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(idempotency, "_WAIT", "200ms")
        entered, leave = threading.Event(), threading.Event()

        def slow() -> dict[str, Any]:
            entered.set()
            leave.wait(10)
            return {"number": 0}

        def second() -> Once:
            entered.wait(10)
            try:
                return once(committed_house)
            finally:
                leave.set()

        first, refused = together([lambda: once(committed_house, effect=slow), second])

        assert first == Once({"number": 0}, replayed=False)
        assert isinstance(refused, InFlight)
        assert (refused.status, refused.code, refused.retryable) == (409, "idempotency_in_flight", True)
        assert once(committed_house).body == {"number": 0}
