"""Random lives of records against a naive model: added, repeated, late, voided, amended, released, settled."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from msgspec.structs import replace

from metering_ingest import selectors, services
from metering_ingest.kernel.events import UsageEvent, Voided
from metering_ingest.kernel.identity import key_hex
from metering_ingest.models import Bucket, SettledBucket
from metering_ingest.services import IngestResult
from metering_ingest.services.resolving import NoSuchRecord, ResolvedBefore
from tests.metering_ingest.scene import HOUR, Bought, build, event
from token_standard import usage
from token_standard.catalogue import card

NOW, LATE = HOUR + timedelta(minutes=2), HOUR + timedelta(days=40)
CARD = card("llama-3-8b")
names, contents, places = st.integers(0, 4), st.integers(0, 1), st.integers(0, 1)


@dataclass
class Known:
    """A claimed id: what it first said, whether it counts, and whether it waits in quarantine."""

    said: UsageEvent
    counts: bool
    waits: bool = False


class Lives(RuleBasedStateMachine):
    """One sender's ids. Each example runs in a savepoint that is undone at its end."""

    bought: Bought

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, Known] = {}
        self.voided: set[str] = set()
        self.undone = transaction.atomic()
        self.undone.__enter__()

    def teardown(self) -> None:
        try:
            self.agrees()
            assert selectors.verify() == []
        finally:
            transaction.set_rollback(True)
            self.undone.__exit__(None, None, None)

    def send(self, *events: UsageEvent, late: bool = False) -> IngestResult:
        return services.ingest_records(events, sender=self.bought.operator, now=LATE if late else NOW)

    def made(self, name: str, content: int, place: int) -> UsageEvent:
        return event(self.bought.allocations[place], name, prompt=100 + content, cached=7, generated=50 + content)

    def expect(self, result: IngestResult, one: UsageEvent, *, late: bool) -> None:
        known = self.known.get(one.id)
        if known is None:
            self.known[one.id] = Known(one, not late, late)
            assert (result.accepted, len(result.quarantined)) == (int(not late), int(late))
        elif known.said == one:
            assert result.replayed == 1
        else:
            assert result.conflicts == (one.id,)

    @rule(name=names, content=contents, place=places, late=st.booleans())
    def add(self, name: int, content: int, place: int, late: bool) -> None:
        one = self.made(f"r{name}", content, place)
        self.expect(self.send(one, late=late), one, late=late)

    @rule(name=names)
    def again(self, name: int) -> None:
        known = self.known.get(f"r{name}")
        if known is not None:
            assert self.send(known.said, known.said).replayed == 2

    @rule(name=names, number=contents)
    def void(self, name: int, number: int) -> None:
        one = self.voiding(name, number)
        self.expect(self.send(one), one, late=False)
        self.voided.add(f"r{name}")

    @rule(name=names, content=contents, place=places)
    def amend(self, name: int, content: int, place: int) -> None:
        """Void and a new record in one batch, the new one first or last."""
        void, new = self.voiding(name, 0), self.made(f"r{name}-amended", content, place)
        known = [self.known.get(one.id) for one in (void, new)]
        result = self.send(*((void, new) if content else (new, void)))
        assert result.accepted == known.count(None)
        for one in (void, new):
            self.known.setdefault(one.id, Known(one, True))
        self.voided.add(f"r{name}")

    @rule(name=names)
    def release(self, name: int) -> None:
        """By staff: what came too late counts from now on, unless it was voided."""
        known = self.known.get(f"r{name}")
        key = UUID(hex=key_hex(self.bought.operator.organisation_id.bytes, "gateway/test", f"r{name}"))
        if known is not None and known.waits:
            services.release(key, reason="x", actor=self.bought.operator, now=LATE)
            known.counts, known.waits = True, False
        else:
            with pytest.raises((NoSuchRecord, ResolvedBefore)):
                services.release(key, reason="x", actor=self.bought.operator, now=LATE)

    @rule()
    def settle(self) -> None:
        services.settle(now=LATE + timedelta(days=1), quiet_seconds=0)
        newest: dict[int, SettledBucket] = {}
        for one in SettledBucket.objects.order_by("sequence"):
            newest[one.bucket_id] = one
        for bucket in Bucket.objects.all():
            frozen = newest[bucket.id]
            assert (frozen.records, frozen.micro_st) == (bucket.records, bucket.micro_st)
            assert frozen.version == bucket.settled_version == bucket.version

    @rule()
    def agrees(self) -> None:
        """Totals = the model's; nothing is settled that is not there."""
        expected: dict[UUID, list[int]] = {}
        for name, known in self.known.items():
            if known.counts and known.said.voids is None and name not in self.voided:
                one = known.said
                sums = expected.setdefault(one.allocation_id, [0, 0, 0])
                g = one.completion_tokens
                micro = usage.micro_st(CARD, n=one.prompt_tokens - one.cached_tokens, c=one.cached_tokens, g=g)
                for at, value in enumerate((1, one.prompt_tokens, micro)):
                    sums[at] += value
        found = {b.allocation_id: [b.records, b.prompt_tokens, b.micro_st] for b in Bucket.objects.all()}
        assert {key: sums for key, sums in found.items() if any(sums)} == expected
        assert all(one.settled_version <= one.version for one in Bucket.objects.all())

    def voiding(self, name: int, number: int) -> UsageEvent:
        return replace(self.made(f"v{name}-{number}", 0, 0), voids=Voided("gateway/test", f"r{name}"))


def test_lives_of_records(db: Any) -> None:
    Lives.bought = build()
    times = int(os.environ.get("FAULTS_TIMES", "1"))
    run_state_machine_as_test(
        Lives,
        settings=settings(
            max_examples=150 * times, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
