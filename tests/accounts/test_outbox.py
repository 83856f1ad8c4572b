"""The outbox: at least once, by any number of workers."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import transaction

from accounts.models import OutboxRow
from accounts.services import outbox
from tests.accounts.conftest import House, committed, together

sent: list[int] = []
_gate = threading.Event()


def keep(topic: str, payload: dict[str, Any]) -> None:
    """A handler that remembers."""
    _gate.wait(5)
    sent.append(payload["n"])


def fail(topic: str, payload: dict[str, Any]) -> None:
    """A handler that cannot, and leaves a row that must not stay."""
    OutboxRow.objects.create(topic="half", payload={}, created_at="2026-01-01T00:00Z")
    raise ConnectionError


@pytest.fixture(autouse=True)
def _handlers(settings: Any) -> None:
    settings.OUTBOX_HANDLERS = {"good.": f"{__name__}.keep", "bad.": f"{__name__}.fail"}
    sent.clear()
    _gate.set()


def fill(house: House, topic: str, count: int) -> None:
    for number in range(count):
        outbox.add(topic, {"n": number}, now=house.now)


class TestRelay:
    def test_sends_in_order_and_only_once(self, house: House) -> None:
        fill(house, "good.news", 5)

        counts = [outbox.relay(now=house.now), outbox.relay(now=house.now)]

        assert counts == [5, 0]
        assert sent == [0, 1, 2, 3, 4]
        assert set(OutboxRow.objects.values_list("state", "sent_at")) == {("sent", house.now)}

    def test_takes_no_more_than_its_limit(self, house: House) -> None:
        fill(house, "good.news", 5)

        assert outbox.relay(now=house.now, limit=2) == 2
        assert sent == [0, 1]

    def test_passes_a_failing_message_by_and_undoes_what_it_wrote(self, house: House) -> None:
        fill(house, "bad.news", 1)
        fill(house, "good.news", 2)

        assert outbox.relay(now=house.now) == 2
        assert OutboxRow.objects.filter(topic="half").count() == 0
        assert OutboxRow.objects.get(topic="bad.news").attempts == 1

    def test_sets_a_message_aside_after_twenty_failures(self, house: House) -> None:
        fill(house, "bad.news", 1)

        for _ in range(25):
            outbox.relay(now=house.now)

        row = OutboxRow.objects.get()
        assert (row.state, row.attempts) == ("failed", 20)

    def test_never_sees_what_was_not_committed(self, house: House) -> None:
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            fill(house, "good.news", 1)
            raise ZeroDivisionError

        assert outbox.relay(now=house.now) == 0


class TestRaces:
    def test_two_workers_take_different_messages(self, committed_house: House) -> None:
        committed(lambda: fill(committed_house, "good.news", 60))
        _gate.clear()  # both have claimed before either sends
        threading.Timer(0.5, _gate.set).start()

        counts = together([lambda: outbox.relay(now=committed_house.now, limit=30)] * 2)

        assert counts == [30, 30]
        assert sorted(sent) == list(range(60))
        assert OutboxRow.objects.exclude(state="sent").count() == 0

    def test_many_workers_send_nothing_twice(self, committed_house: House) -> None:
        committed(lambda: fill(committed_house, "good.news", 100))

        counts = together([lambda: sum(outbox.relay(now=committed_house.now, limit=7) for _ in range(10))] * 6)

        assert sum(counts) == 100
        assert sorted(sent) == list(range(100))
