"""Following a log: what arrives is read once, whatever happens to the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenspot_client.agent.counts import Counts
from tokenspot_client.agent.entries import LogFormat, Skipped
from tokenspot_client.agent.following import Follower
from tokenspot_client.agent.spool import Spool

from tests.fakes.agent import CARD


def line(number: int, **changes: object) -> bytes:
    told = {
        "request_id": f"r-{number}", "allocation": "alc_1", "card": CARD,
        "prompt_tokens": 10, "completion_tokens": number, "time": "2026-11-24T20:00:00Z",
    }  # fmt: skip
    return json.dumps(told | changes).encode() + b"\n"


class Reading:
    """A log and who follows it; `restart` is a new process."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "requests.jsonl"
        self._state = folder / "state"
        self.counts = Counts()
        self._open()

    def _open(self) -> None:
        self.spool = Spool(self._state)
        self.follower = Follower(self.path, LogFormat().parse, self.spool, self.counts)

    def write(self, *lines: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(b"".join(lines))

    def read(self) -> None:
        while self.follower.poll():
            pass

    def restart(self) -> None:
        self.spool.close()
        self.follower.close()
        self._open()

    @property
    def names(self) -> list[str]:
        self.read()
        self.spool.sync()
        found = []
        while batch := self.spool.batch(most=10_000, most_bytes=1 << 24):
            found += [json.loads(one.record)["request_id"] for one in batch.lines]
            self.spool.confirm(batch)
        return found


@pytest.fixture
def log(tmp_path: Path) -> Reading:
    return Reading(tmp_path)


class TestFollower:
    def test_waits_for_a_file_that_is_not_there_yet(self, log: Reading) -> None:
        log.read()
        log.write(line(1))

        assert log.names == ["r-1"]

    def test_leaves_a_line_alone_until_it_is_whole(self, log: Reading) -> None:
        whole = line(1)
        log.write(whole[:30])
        assert log.names == []

        log.write(whole[30:])

        assert log.names == ["r-1"]

    def test_reads_nothing_twice_over_a_restart(self, log: Reading) -> None:
        log.write(line(1), line(2))
        log.read()

        log.restart()
        log.write(line(3))

        assert log.names == ["r-1", "r-2", "r-3"]

    def test_goes_on_behind_lines_without_a_record_after_a_restart(self, log: Reading) -> None:
        log.write(line(1), b"{}\n", b"nonsense\n")
        log.read()

        log.restart()
        log.read()

        assert log.counts.bad_lines == {"no_usage": 1, "no_json": 1}

    @pytest.mark.parametrize("down", [False, True])
    @pytest.mark.parametrize("times", [1, 3])
    def test_reads_rotated_files_to_their_end(self, log: Reading, down: bool, times: int) -> None:
        log.write(line(1))
        log.read()
        wanted = ["r-1"]
        for number in range(times):
            log.write(line(10 + number))
            for older in range(times, 0, -1):
                if (old := log.path.with_name(f"{log.path.name}.{older}")).exists():
                    old.rename(log.path.with_name(f"{log.path.name}.{older + 1}"))
            log.path.rename(log.path.with_name(f"{log.path.name}.1"))
            wanted.append(f"r-{10 + number}")
        log.write(line(99))

        if down:
            log.restart()

        assert log.names == [*wanted, "r-99"]

    @pytest.mark.parametrize("down", [False, True])
    def test_begins_again_in_a_file_that_was_cut(self, log: Reading, down: bool) -> None:
        log.write(line(1), line(2))
        log.read()

        log.path.write_bytes(line(3))
        if down:
            log.restart()

        assert log.names == ["r-1", "r-2", "r-3"]
        assert log.counts.bad_lines == {"truncated": 1}

    def test_says_that_a_file_was_taken_away(self, log: Reading) -> None:
        log.write(line(1))
        log.read()
        log.restart()

        keeps_its_number = log.path.open()
        log.path.unlink()
        log.write(line(2))

        assert log.names == ["r-1", "r-2"]
        assert log.counts.bad_lines == {"rotated_away": 1}
        keeps_its_number.close()

    def test_skips_a_line_that_is_too_long(self, log: Reading) -> None:
        log.write(line(1), b"x" * 3_000_000, b"\n", line(2, prompt="y" * 600_000), line(3))

        assert log.names == ["r-1", "r-2", "r-3"]
        assert log.counts.bad_lines == {"too_long": 1}


class TestLogFormat:
    def test_takes_names_from_the_settings(self) -> None:
        form = LogFormat(
            card=CARD, fields={"request_id": "meta.id", "allocation": "meta.alc", "usage": "response.usage"}
        )
        told = {
            "meta": {"id": "r-1", "alc": "alc_9"}, "time": 1_700_000_000.5, "finish_reason": "stop",
            "response": {"usage": {"prompt_tokens": 5, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 2}}},
        }  # fmt: skip

        record = form.parse(json.dumps(told).encode(), "line:1:0").record

        assert record is not None
        assert (record.request_id, record.allocation, record.card) == ("r-1", "alc_9", CARD)
        assert (record.prompt, record.cached, record.generated, record.time) == (5, 2, 7, 1_700_000_000.5)

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"status": 500}, "failed_request"),
            ({"prompt_tokens": None}, "no_usage"),
            ({"prompt_tokens": -1}, "bad_usage"),
            ({"completion_tokens": 1.5}, "bad_usage"),
            ({"max_tokens": True}, "bad_usage"),
            ({"time": "2026-11-24T20:00:00"}, "bad_time"),
            ({"time": None}, "bad_time"),
            ({"time": 1e300}, "bad_time"),
            ({"allocation": "../x"}, "bad_allocation"),
            ({"request_id": "a b"}, "bad_request_id"),
            ({"card": ""}, "bad_card"),
        ],
    )
    def test_says_why_a_line_gives_no_record(self, changes: dict, reason: str) -> None:
        with pytest.raises(Skipped) as skipped:
            LogFormat().parse(line(1, **changes), "line:1:0")

        assert skipped.value.reason == reason

    def test_without_an_allocation_counts_as_own_traffic(self) -> None:
        assert LogFormat().parse(line(1, allocation=None), "line:1:0").record is None

    def test_same_request_has_the_same_id_on_every_run(self) -> None:
        first, second = (LogFormat().parse(line(1), place).record for place in ("line:1:0", "line:2:9"))

        assert first is not None and second is not None and first.id == second.id
