"""Sending, before a platform with moods: nothing lost, nothing doubled, refusals kept aside."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tokenspot_client.agent import delivery as deliveries
from tokenspot_client.agent import identity, report, state
from tokenspot_client.agent.delivery import Delivery
from tokenspot_client.agent.spool import Spool
from tokenspot_client.agent.transport import Transport

from tests.client.agent.test_spool import record
from tests.fakes.agent import AgentProcess, wait_for
from tests.fakes.platform import Behaviour, Platform


@pytest.fixture
def platform() -> Iterator[Platform]:
    with closing(Platform()) as platform:
        yield platform
        assert platform.problems == []


@pytest.fixture
def folder(tmp_path: Path, platform: Platform) -> Path:
    register(tmp_path / "state", platform)
    return tmp_path / "state"


@pytest.fixture
def spool(folder: Path) -> Spool:
    return Spool(folder)


@pytest.fixture
def delivery(folder: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> Iterator[Delivery]:
    monkeypatch.setattr(deliveries, "_LONGEST_WAIT", 0.2)
    delivery = Delivery(folder, spool, interval=0.05)
    delivery.start()
    yield delivery
    delivery.stop(within=20)


def register(folder: Path, platform: Platform, token: str | None = None) -> None:
    with Transport(platform.url) as transport:
        identity.register(folder, transport, url=platform.url, token=token or platform.new_token())


def fill(spool: Spool, *numbers: int) -> None:
    for number in numbers:
        spool.add(record(number))
    spool.sync()


class TestDelivery:
    def test_storm_of_faults_changes_no_total(
        self, spool: Spool, delivery: Delivery, platform: Platform, monkeypatch
    ) -> None:
        monkeypatch.setattr(deliveries, "MOST_RECORDS", 50)
        delivery._most = 50
        platform.behaviour = Behaviour(busy=0.3, lose_answer=0.2, twice=0.2, cut_answer=0.2)

        for start in range(1, 1001, 100):
            fill(spool, *range(start, start + 100))
            time.sleep(0.02)

        wait_for(lambda: spool.backlog()["records"] == 0, within=60)
        assert len(platform.books.records) == 1000
        assert platform.books.completion == sum(range(1, 1001))
        assert platform.books.replayed > 0 and platform.books.conflicts == 0

    def test_offline_and_back(self, spool: Spool, delivery: Delivery, platform: Platform) -> None:
        platform.behaviour = Behaviour(offline=True)
        fill(spool, *range(1, 101))
        wait_for(lambda: delivery.told.failures > 2)
        assert spool.backlog()["records"] == 100

        platform.behaviour = Behaviour()

        wait_for(lambda: spool.backlog()["records"] == 0)
        assert len(platform.books.records) == 100

    def test_waits_as_long_as_it_is_asked_to(self, spool: Spool, delivery: Delivery, platform: Platform) -> None:
        platform.behaviour = Behaviour(busy=1.0, retry_after="2")
        fill(spool, 1)
        wait_for(lambda: delivery.told.failures == 1)

        platform.behaviour = Behaviour()
        started = time.monotonic()
        wait_for(lambda: spool.backlog()["records"] == 0)

        assert 1.5 < time.monotonic() - started < 4

    @pytest.mark.parametrize("ahead", [-5000.0, 5000.0])
    def test_clock_that_is_off_is_corrected_and_told(
        self, folder: Path, spool: Spool, delivery: Delivery, platform: Platform, ahead: float
    ) -> None:
        platform.behaviour = Behaviour(clock_ahead=ahead)

        fill(spool, 1, 2)

        wait_for(lambda: spool.backlog()["records"] == 0)
        assert platform.refused == ["expired"]
        assert abs(delivery.told.clock_offset - ahead) < 5

    def test_what_is_not_taken_is_kept_aside_and_shown(
        self, folder: Path, spool: Spool, delivery: Delivery, platform: Platform
    ) -> None:
        platform.books.not_taken = lambda told: {"req-2": "quarantined", "req-3": "rejected"}.get(told["request_id"])

        fill(spool, 1, 2, 3, 4)

        wait_for(lambda: spool.backlog()["records"] == 0)
        kept = [json.loads(line) for line in (folder / "aside.jsonl").read_text().splitlines()]
        assert [(one["answer"]["result"], one["sent"]["request_id"]) for one in kept] == [
            ("quarantined", "req-2"),
            ("rejected", "req-3"),
        ]
        assert "quarantined:by_the_test 1" in report.words(state.read_all(folder), now=time.time())

    def test_one_record_that_spoils_its_batch_is_found(
        self, folder: Path, spool: Spool, delivery: Delivery, platform: Platform
    ) -> None:
        platform.behaviour.malformed_ids = {record(37).id}

        fill(spool, *range(1, 101))

        wait_for(lambda: spool.backlog()["records"] == 0)
        assert len(platform.books.records) == 99
        assert json.loads((folder / "aside.jsonl").read_text())["sent"]["request_id"] == "req-37"

    @pytest.mark.parametrize("refusal", [(403, "agent_parked"), (500, "oops"), (429, "slow_down"), (404, "not_found")])
    def test_any_other_refusal_is_waited_out(
        self, folder: Path, spool: Spool, delivery: Delivery, platform: Platform, refusal: tuple[int, str]
    ) -> None:
        platform.behaviour.refuse_with = refusal
        fill(spool, 1)
        wait_for(lambda: delivery.told.failures >= 1)
        assert refusal[1] in delivery.told.last_problem

        platform.behaviour.refuse_with = None

        wait_for(lambda: spool.backlog()["records"] == 0)
        assert not (folder / "aside.jsonl").exists()

    def test_key_is_rotated_under_a_running_agent(
        self, folder: Path, spool: Spool, delivery: Delivery, platform: Platform
    ) -> None:
        fill(spool, 1)
        wait_for(lambda: spool.backlog()["records"] == 0)

        with Transport(platform.url) as transport:
            changed = identity.rotate(folder, transport)
        del platform.keys["agk_1"]
        fill(spool, 2)

        wait_for(lambda: spool.backlog()["records"] == 0)
        assert changed.keyid == "agk_2" and platform.refused == []

    def test_numbers_that_the_platform_lost_are_shown(
        self, spool: Spool, delivery: Delivery, platform: Platform
    ) -> None:
        fill(spool, 1, 2, 3)
        wait_for(lambda: spool.backlog()["records"] == 0)
        (epoch,) = platform.books.epochs.values()
        del epoch.ids[2]

        fill(spool, 4)

        wait_for(lambda: delivery.told.gaps == [[2, 2]])


class TestRegistration:
    def test_files_are_the_owners_alone(self, folder: Path) -> None:
        assert (folder / "identity.json").stat().st_mode & 0o777 == 0o600
        assert folder.stat().st_mode & 0o777 == 0o700
        assert not (folder / "next-key.json").exists()

    def test_token_works_once(self, tmp_path: Path, platform: Platform) -> None:
        token = platform.new_token()
        register(tmp_path / "a", platform, token)

        with pytest.raises(identity.Refused, match="token_used"):
            register(tmp_path / "b", platform, token)

    def test_commands_say_what_is_wrong(self, tmp_path: Path, platform: Platform) -> None:
        agent = AgentProcess(tmp_path / "state")

        unknown = agent.command("register", "--url", platform.url, "--token", "tsreg_no")
        unregistered = agent.command("run", "--engine", "http://127.0.0.1:1", "--proxy-listen", "127.0.0.1:0")
        wrong = agent.command("run", "--engine", "http://127.0.0.1:1")
        status = agent.command("status")

        assert (unknown.returncode, unregistered.returncode, wrong.returncode) == (1, 1, 2)
        assert "bad_registration_token" in unknown.stderr
        assert "register" in unregistered.stderr
        assert "proxy_listen" in wrong.stderr
        assert status.returncode == 0 and "not registered" in status.stdout

    def test_second_agent_on_a_folder_is_refused(self, tmp_path: Path, platform: Platform) -> None:
        with AgentProcess(tmp_path / "state") as agent:
            agent.register(platform)
            agent.start()
            wait_for(lambda: state.is_running(agent.state))

            second = agent.command("run", "--prometheus", "off")

            assert second.returncode == 1 and "another agent" in second.stderr
            assert agent.stop() == 0
