"""What the platform keeps of records: one of each identity, one of each number, and the gaps."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

FIELDS = {
    "seq", "id", "source", "request_id", "allocation", "card", "prompt_tokens", "cached_tokens", "completion_tokens",
    "max_tokens", "finish_reason", "served_format", "counted_by", "time", "started_at", "finished_at", "gpu_seconds",
    "draft_tokens", "accepted_tokens", "voids", "aggregate",
}  # fmt: skip


class Malformed(Exception):
    """The whole body is refused."""


@dataclass
class Epoch:
    """One epoch of an agent."""

    ids: dict[int, str] = field(default_factory=dict)
    checkpoint: dict[str, Any] | None = None
    closed: bool = False


@dataclass
class Books:
    """Everything taken so far."""

    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    epochs: dict[str, Epoch] = field(default_factory=dict)
    replayed: int = 0
    conflicts: int = 0
    not_taken: Callable[[dict[str, Any]], str | None] = lambda record: None  # → quarantined or rejected

    @property
    def prompt(self) -> int:
        return sum(record["prompt_tokens"] for record in self.records.values())

    @property
    def completion(self) -> int:
        return sum(record["completion_tokens"] for record in self.records.values())

    @property
    def requests(self) -> int:
        return sum((record.get("aggregate") or {"records": 1})["records"] for record in self.records.values())

    def take(self, body: Any) -> dict[str, Any]:
        """One body; the answer."""
        if not isinstance(body, dict) or set(body) != {"epoch", "records", "checkpoint"}:
            raise Malformed("members")
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", body["epoch"]) or len(body["records"]) > 5000:
            raise Malformed("epoch or records")
        epoch = self.epochs.setdefault(body["epoch"], Epoch())
        assert not (epoch.closed and body["records"]), "records after the epoch was closed"
        results = [self._one(epoch, index, record) for index, record in enumerate(body["records"])]
        checkpoint = body["checkpoint"]
        self._check_checkpoint(epoch, checkpoint)
        epoch.checkpoint, epoch.closed = checkpoint, checkpoint["closed"]
        return {"results": results, "gaps": self._gaps(epoch)}

    def _one(self, epoch: Epoch, index: int, record: dict[str, Any]) -> dict[str, Any]:
        result = {"index": index, "id": record.get("id"), "code": None, "field": None, "reason": None, "sequence": None}
        self._check(record)
        earlier = epoch.ids.get(record["seq"])
        if earlier is not None and earlier != record["id"]:
            self.conflicts += 1
            return {**result, "result": "conflict", "code": "seq_reused"}
        if word := self.not_taken(record):
            epoch.ids[record["seq"]] = record["id"]
            return {**result, "result": word, "code": "by_the_test"}
        epoch.ids[record["seq"]] = record["id"]
        key = hashlib.sha256(f"{record['source']}\0{record['id']}".encode()).hexdigest()
        content = {name: value for name, value in record.items() if name != "seq"}
        known = self.records.get(key)
        if known is not None:
            same = known == content
            self.replayed += same
            self.conflicts += not same
            return {**result, "result": "replayed" if same else "conflict", "record": key}
        self.records[key] = content
        return {
            **result,
            "result": "accepted",
            "record": key,
            "content": hashlib.sha256(json.dumps(content).encode()).hexdigest(),
        }

    def _check(self, record: dict[str, Any]) -> None:
        """A record that the contract does not allow is the agent's bug: the test should fail."""
        assert set(record) <= FIELDS, set(record) - FIELDS
        assert type(record["seq"]) is int and record["seq"] >= 1
        assert 1 <= len(record["id"]) <= 255 and record["id"].isascii() and record["id"].isprintable()
        assert record["allocation"].startswith("alc_") and record["card"]
        assert 0 <= record["cached_tokens"] <= record["prompt_tokens"] and record["completion_tokens"] >= 0
        assert record["counted_by"] in {"usage", "counters", "hook"}
        assert datetime.fromisoformat(record["time"]).tzinfo is not None
        if record.get("aggregate"):
            assert record["aggregate"]["records"] >= 1 and len(record["aggregate"]["digest"]) == 64

    def _check_checkpoint(self, epoch: Epoch, checkpoint: dict[str, Any]) -> None:
        assert set(checkpoint) == {"seq", "records", "prompt_tokens", "completion_tokens", "closed"}
        assert checkpoint["seq"] == checkpoint["records"] >= max(epoch.ids, default=0)
        if epoch.checkpoint is not None:
            assert checkpoint["seq"] >= epoch.checkpoint["seq"], "a checkpoint never takes back what it promised"

    @staticmethod
    def _gaps(epoch: Epoch) -> list[list[int]]:
        end = max(max(epoch.ids, default=0), (epoch.checkpoint or {"seq": 0})["seq"])
        gaps: list[list[int]] = []
        at = 1
        for seq in [*sorted(epoch.ids), end + 1]:
            if seq > at:
                gaps.append([at, seq - 1])
            at = seq + 1
        return gaps[:100]
