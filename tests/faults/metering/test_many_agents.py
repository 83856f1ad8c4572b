"""Agents on bad lines: totals equal a naive reader's of the same wire, every gap and conflict is listed, and none other.

10,000 records in every run, 100,000 by `make test-reliability`: 30 % duplicates, 10 % out of order, 5 % lost on the
way, tails that only a checkpoint tells of, conflicts of content and of sequence, 1 % bad signatures, and agents whose
clocks are ten minutes off. All of it goes signed through the face that the web process answers with.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from accounts.kernel import ids
from metering_ingest import asgi, selectors, services
from metering_ingest.asgi.work import answer_all
from metering_ingest.models import Bucket, Conflict, Quarantined, SettledBucket
from tests.faults.market.stack import TIMES
from tests.metering_ingest.faces import HOST, RECORDS, here
from tests.metering_ingest.scene import HOUR, Bought, build
from tests.providers.signing import Signer, registered
from token_standard import usage
from token_standard.catalogue import card

RECORDS_IN_ALL = 10_000 * TIMES
BATCH = 50 * TIMES
GROUP = 8
CLOCKS = {"true": 0, "ahead": 10, "behind": -10, "other": 0}
EPOCHS = ("boot-1", "boot-2")
NOW = HOUR + timedelta(minutes=30)
LLAMA = card("llama-3-8b")


@dataclass
class Oracle:
    """What the wire's rules say, read naively from the batches that were signed well, in order."""

    sums: list[int] = field(default_factory=lambda: [0] * 5)
    first: dict[str, str] = field(default_factory=dict)  # id -> content
    place: dict[tuple[str, str, int], str] = field(default_factory=dict)  # (agent, epoch, seq) -> id
    came: dict[tuple[str, str], set[int]] = field(default_factory=lambda: defaultdict(set))
    told: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    conflicts: set[tuple[str, str, str]] = field(default_factory=set)  # id, content, kind
    quarantine: dict[str, str] = field(default_factory=dict)
    results: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def read(self, agent: str, body: dict[str, Any]) -> None:
        epoch = body["epoch"]
        if body.get("checkpoint"):
            self.told[agent, epoch] = max(self.told[agent, epoch], body["checkpoint"]["seq"])
        for one in body["records"]:
            self.came[agent, epoch].add(one["seq"])
            name, content = one["id"], json.dumps({key: one[key] for key in sorted(one) if key != "seq"})
            if self.place.setdefault((agent, epoch, one["seq"]), name) != name:
                self.conflict(name, content, "sequence")
            elif name in self.first:
                if self.first[name] == content:
                    self.results["replayed"] += 1
                else:
                    self.conflict(name, content, "content")
            else:
                self.first[name] = content
                self.count(one)

    def conflict(self, name: str, content: str, kind: str) -> None:
        self.conflicts.add((name, content, kind))
        self.results["conflict"] += 1

    def count(self, one: dict[str, Any]) -> None:
        at = datetime.fromisoformat(one["time"])
        reason = "future_time" if at > NOW + timedelta(minutes=5) else ""
        if not reason and not HOUR - timedelta(minutes=5) <= at < HOUR + timedelta(minutes=75):
            reason = "outside_window"
        if reason:
            self.quarantine[one["id"]] = reason
            self.results["quarantined"] += 1
            return
        self.results["accepted"] += 1
        n, c, g = one["prompt_tokens"], one["cached_tokens"], one["completion_tokens"]
        for place, value in enumerate((1, n, c, g, usage.micro_st(LLAMA, n=n - c, c=c, g=g))):
            self.sums[place] += value

    def gaps(self) -> dict[tuple[str, str], list[tuple[int, int]]]:
        found = {}
        for key in {*self.came, *self.told}:
            highest = max([*self.came[key], self.told[key]])
            missing = [n for n in range(1, highest + 1) if n not in self.came[key]]
            ranges: list[list[int]] = []
            for n in missing:
                if ranges and ranges[-1][1] == n - 1:
                    ranges[-1][1] = n
                else:
                    ranges.append([n, n])
            found[key] = [(first, last) for first, last in ranges]
        return found


def batches(dice: random.Random, bought: Bought, agent: str, epoch: str, count: int) -> list[dict[str, Any]]:
    """One epoch of an agent as it arrives: the faults are in it, the bad signatures come later."""
    clock = timedelta(minutes=CLOCKS[agent])
    tail = dice.randint(1, count // 50)
    made = []
    for seq in range(1, count + 1):
        at = HOUR + timedelta(seconds=1800 * seq // count) + clock
        prompt = dice.randint(1, 4000)
        made.append(
            {"seq": seq, "id": f"{agent}-{epoch}-{seq}", "request_id": f"{agent}-{epoch}-{seq}", "time": at.isoformat(),
             "allocation": ids.encode("alc", dice.choice(bought.allocations).id), "card": bought.digest,
             "prompt_tokens": prompt, "cached_tokens": dice.randint(0, prompt), "completion_tokens": dice.randint(0, 900),
             "finish_reason": "stop", "counted_by": "usage"}
        )  # fmt: skip
    sent = [one for one in made[: count - tail] if dice.random() >= 0.05]
    # Out of order: a tenth comes up to four batches late; a duplicate comes anywhere after its first.
    line = [(at + (dice.uniform(0, 4 * BATCH) if dice.random() < 0.1 else 0), one) for at, one in enumerate(sent)]
    line += [(dice.uniform(at, len(sent)), one) for at, one in enumerate(sent) if dice.random() < 0.3]
    for at, one in enumerate(sent):
        if dice.random() < 0.01:
            line.append((dice.uniform(at, len(sent)), {**one, "completion_tokens": one["completion_tokens"] + 1}))
        elif dice.random() < 0.01:
            line.append((dice.uniform(at, len(sent)), {**one, "id": f"{one['id']}-other"}))
    line.sort(key=lambda pair: pair[0])
    records = [one for _, one in line]
    found = [{"epoch": epoch, "records": records[at : at + BATCH]} for at in range(0, len(records), BATCH)]
    totals = {"prompt_tokens": 0, "completion_tokens": 0}
    found.append(
        {"epoch": epoch, "records": [], "checkpoint": {"seq": count, "records": count, **totals, "closed": True}}
    )
    return found


def signed(signer: Signer, body: dict[str, Any], *, spoilt: bool) -> Any:
    raw = json.dumps(body).encode()
    headers = {"host": HOST.removeprefix("http://"), **signer.headers("POST", HOST + RECORDS, raw, at=NOW)}
    sent = raw.replace(b'"stop"', b'"halt"', 1) if spoilt else raw
    scope = {"path": RECORDS, "scheme": "http", "headers": [(n.encode(), v.encode()) for n, v in headers.items()]}
    return asgi._request(scope, sent, "")


@pytest.mark.timeout(900)
def test_totals_are_exact_and_every_gap_and_conflict_is_listed(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(8)
    here(monkeypatch, at=NOW)
    bought = build(quantities=(20_000, 10_000))
    agents = {name: registered(bought.provider, now=NOW, name=name) for name in CLOCKS}
    each = RECORDS_IN_ALL // (len(CLOCKS) * len(EPOCHS))
    queues = [
        [(name, body) for body in batches(dice, bought, name, epoch, each)] for name in CLOCKS for epoch in EPOCHS
    ]
    stream = []
    while any(queues):
        stream.append(dice.choice([queue for queue in queues if queue]).pop(0))
    # At the least one batch comes with a bad signature, at any size; an empty batch has nothing to spoil.
    full = [at for at, (_, body) in enumerate(stream) if body["records"]]
    spoilt = set(dice.sample(full, max(1, len(full) // 100)))

    oracle, results = Oracle(), defaultdict(int)
    for start in range(0, len(stream), GROUP):
        group = list(enumerate(stream[start : start + GROUP], start))
        answers = answer_all([signed(agents[name][0], body, spoilt=at in spoilt) for at, (name, body) in group])
        for (at, (name, body)), answer in zip(group, answers, strict=True):
            if at in spoilt:
                assert answer.status == 401 and json.loads(answer.body)["reason"] == "digest"
                continue
            assert answer.status == 200, answer.body
            oracle.read(name, body)
            for one in json.loads(answer.body)["results"]:
                results[one["result"]] += 1

    assert results == oracle.results
    buckets = list(Bucket.objects.filter(meter="agent"))
    parts = [(b.records, b.prompt_tokens, b.cached_tokens, b.completion_tokens, b.micro_st) for b in buckets]
    assert [sum(column) for column in zip(*parts, strict=True)] == oracle.sums
    assert Bucket.objects.count() == len(buckets)
    assert {row.event["id"]: row.reason for row in Quarantined.objects.all()} == oracle.quarantine
    kinds = sorted((row.event["id"], row.kind) for row in Conflict.objects.all())
    assert kinds == sorted((name, kind) for name, _, kind in oracle.conflicts)
    names: dict[UUID, str] = {done.agent_id: name for name, (_, done) in agents.items()}
    epochs = selectors.epochs_of(list(names), most_gaps=10**6)
    listed = {(names[one.agent_id], one.epoch): list(one.gaps) for one in epochs}
    assert listed == oracle.gaps()
    assert all(one.missing == sum(last - first + 1 for first, last in one.gaps) for one in epochs)
    services.settle(now=NOW + timedelta(days=1), quiet_seconds=0)
    assert sum(row.micro_st for row in SettledBucket.objects.all()) == oracle.sums[4]
    assert selectors.verify() == []
    assert min(results.values()) > 0 and oracle.conflicts and any(map(len, listed.values()))
    print(f"{sum(results.values()):,} records sent: {dict(results)}; {sum(map(len, listed.values())):,} gaps")
