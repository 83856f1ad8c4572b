"""The spool alone: numbers, promises, torn and damaged files, limits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenspot_client.agent import aggregation
from tokenspot_client.agent.lines import spell
from tokenspot_client.agent.records import BadRecord, Record, record_id
from tokenspot_client.agent.spool import Spool


def record(number: int, **changes: object) -> Record:
    told: dict = {
        "source": "agent",
        "id": record_id("agent", f"req-{number}"),
        "request_id": f"req-{number}",
        "allocation": "alc_1",
        "card": "ab" * 32,
        "prompt": 100,
        "cached": 0,
        "generated": number,
        "time": 1_700_000_000.0 + number,
    }
    return Record(**(told | changes))


def filled(folder: Path, count: int, *, limit: int = 1 << 28, first: int = 1) -> Spool:
    spool = Spool(folder, limit=limit)
    for number in range(first, first + count):
        spool.add(record(number))
    spool.sync()
    return spool


def drain(spool: Spool, most: int = 1000) -> list[tuple[int, str]]:
    sent = []
    while batch := spool.batch(most=most, most_bytes=1 << 22):
        sent += [(batch.first + at, json.loads(line.record)["request_id"]) for at, line in enumerate(batch.lines)]
        spool.confirm(batch)
    return sent


class TestNumbers:
    def test_count_without_holes_over_batches_and_restarts(self, tmp_path: Path) -> None:
        spool = filled(tmp_path, 25)
        sent = drain(spool, most=10)
        spool.close()

        again = filled(tmp_path, 5, first=26)
        sent += drain(again)

        assert sent == [(n, f"req-{n}") for n in range(1, 31)]
        assert again.cursor.epoch == spool.cursor.epoch

    def test_of_a_batch_stay_when_it_was_not_confirmed(self, tmp_path: Path) -> None:
        spool = filled(tmp_path, 10)
        first = spool.batch(most=4, most_bytes=1 << 20)
        spool.close()

        again = filled(tmp_path, 5, first=11).batch(most=100, most_bytes=1 << 20)

        assert first is not None and again is not None
        assert again.first == first.first == 1
        assert again.lines[:4] == first.lines

    def test_are_given_only_to_what_is_on_disk(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path)
        spool.add(record(1))

        before = spool.batch(most=10, most_bytes=1 << 20)
        spool.sync()

        assert before is None
        assert spool.batch(most=10, most_bytes=1 << 20) is not None

    def test_checkpoint_promises_all_that_is_on_disk(self, tmp_path: Path) -> None:
        batch = filled(tmp_path, 10).batch(most=4, most_bytes=1 << 20)

        assert batch is not None
        assert (batch.promised, batch.prompt, batch.completion) == (10, 1000, 55)


class TestEpochs:
    def epoch_after(self, folder: Path) -> tuple[str, str]:
        spool = Spool(folder)
        epoch, reason = spool.cursor.epoch, spool.new_epoch
        spool.close()
        return epoch, reason

    def test_go_on_over_a_restart(self, tmp_path: Path) -> None:
        spool = filled(tmp_path, 3)
        spool.close()

        assert self.epoch_after(tmp_path) == (spool.cursor.epoch, "")

    def test_begin_anew_when_the_cursor_was_lost(self, tmp_path: Path) -> None:
        spool = filled(tmp_path, 3)
        drain(spool, most=2)
        spool.close()
        (tmp_path / "cursor.json").unlink()

        epoch, reason = self.epoch_after(tmp_path)

        assert epoch != spool.cursor.epoch and reason == "the cursor was lost"
        assert [number for number, _ in drain(Spool(tmp_path))] == [
            1,
            2,
            3,
        ]  # sent again: identities make that harmless

    def test_begin_anew_when_the_spool_was_lost(self, tmp_path: Path) -> None:
        spool = filled(tmp_path, 3)
        drain(spool)
        spool.close()
        for path in spool.folder.iterdir():
            path.unlink()

        assert self.epoch_after(tmp_path)[1] == "the file that was being sent is gone"

    def test_begin_anew_when_promised_records_are_gone(self, tmp_path: Path) -> None:
        spool = filled(tmp_path, 10)
        spool.batch(most=2, most_bytes=1 << 20)
        spool.close()
        path = spool.segments[-1].path
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:5]))

        assert self.epoch_after(tmp_path)[1] == "records that were promised are gone"

    def test_begin_anew_after_a_close(self, tmp_path: Path) -> None:
        spool = filled(tmp_path, 3)
        drain(spool)
        spool.close_epoch()
        spool.close()

        epoch, reason = self.epoch_after(tmp_path)

        assert epoch != spool.cursor.epoch and reason == "the last one was closed"
        assert drain(Spool(tmp_path)) == []


class TestDamage:
    def test_torn_last_line_is_cut_off_and_counted(self, tmp_path: Path) -> None:
        spool = filled(tmp_path, 3)
        spool.close()
        with spool.segments[-1].path.open("ab") as file:
            file.write(spell(record(4).json(), 100, 4)[:-20])

        again = filled(tmp_path, 1, first=5)

        assert [name for _, name in drain(again)] == ["req-1", "req-2", "req-3", "req-5"]
        assert again.losses.told()["torn_line"]["records"] == 1

    @pytest.mark.parametrize("victim", [0, 1, 2])
    def test_damaged_line_is_left_out_and_counted_once(self, tmp_path: Path, victim: int) -> None:
        spool = filled(tmp_path, 3)
        spool.close()
        path = spool.segments[-1].path
        lines = path.read_bytes().splitlines(keepends=True)
        lines[victim] = lines[victim].replace(b"alc_1", b"alc_2")
        path.write_bytes(b"".join(lines))

        Spool(tmp_path).close()
        again = Spool(tmp_path)

        assert [number for number, _ in drain(again)] == [1, 2]
        assert again.losses.told()["damaged_line"]["records"] == 1

    def test_bad_record_is_refused_before_it_is_written(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path)

        with pytest.raises(BadRecord) as refused:
            spool.add(record(1, allocation="not one"))

        assert refused.value.field == "allocation"
        assert spool.backlog()["records"] == 0


class TestLimits:
    def test_oldest_files_become_minutes_and_no_token_is_lost(self, tmp_path: Path) -> None:
        spool = filled(tmp_path, 2000, limit=1 << 20)
        made = spool.made()

        assert aggregation.thin_out(spool, raw_limit=1 << 20) > 0
        spool.sync()

        assert spool.backlog()["bytes"] < 1 << 19
        assert spool.made()[1:] == made[1:] and spool.made()[0] < made[0]
        sent = []
        while batch := spool.batch(most=500, most_bytes=1 << 20):
            sent += [json.loads(line.record) for line in batch.lines]
            spool.confirm(batch)
        assert sum(one.get("aggregate", {"records": 1})["records"] for one in sent) == 2000
        digests = {one["aggregate"]["digest"] for one in sent if "aggregate" in one}
        assert {path.name.split(".")[0] for path in (tmp_path / "raw").iterdir()} == digests

    def test_promised_records_are_never_summed_up(self, tmp_path: Path) -> None:
        spool = filled(tmp_path, 400, limit=1 << 20)
        batch = spool.batch(most=10, most_bytes=1 << 20)
        for number in range(401, 2500):
            spool.add(record(number))
        spool.sync()

        aggregation.thin_out(spool, raw_limit=1 << 20)

        assert batch is not None and batch.promised == 400
        assert [name for _, name in drain(spool)[:400]] == [f"req-{n}" for n in range(1, 401)]

    def test_what_has_no_room_waits_and_then_counts_as_lost(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tokenspot_client.agent.spool._WAITING", 10)
        spool = Spool(tmp_path, limit=20_000)

        for number in range(1, 201):
            spool.add(record(number))
        spool.sync()

        kept, lost_ = spool.made()[0], lost(spool)
        assert kept + 10 + lost_ == 200 and lost_ > 0
        assert json.loads((tmp_path / "losses.json").read_text())["no_room"]["records"] == lost_
        assert len(drain(spool)) == kept

    def test_what_waited_in_memory_counts_as_lost_when_the_process_dies(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tokenspot_client.agent.spool._WAITING", 10)
        spool = Spool(tmp_path, limit=20_000)
        for number in range(1, 201):
            spool.add(record(number))
        spool.sync()

        again = Spool(tmp_path, limit=20_000)

        assert again.losses.told()["died_with_full_disk"]["records"] == 10


class TestPositions:
    def test_told_by_a_file_of_an_earlier_life_outlive_that_file(self, tmp_path: Path) -> None:
        place = {"dev": 1, "ino": 2, "offset": 300, "head": [0, 0], "step": 5}
        spool = Spool(tmp_path, limit=1 << 16)
        spool.add(record(1), source="log", position=place)
        spool.sync()  # and killed: the record alone tells the place

        second = Spool(tmp_path, limit=1 << 16)
        number = 1
        while len(second.segments) < 3:
            number += 1
            second.add(record(number))
        second.sync()
        drain(second)
        second.sync()
        assert second.segments[0].number > 0  # the file is confirmed and gone

        assert Spool(tmp_path, limit=1 << 16).positions == {"log": place}


def lost(spool: Spool) -> int:
    return spool.losses.told().get("no_room", {"records": 0})["records"]
