"""The process that clears is killed, doubled and frozen; the market goes on as if nothing had been."""

from __future__ import annotations

from tests.faults.market.counting import assert_cleared_once, assert_whole, percentile
from tests.faults.market.stack import TIMES, Journal, Stack

LATEST = "round.after_commit"


class TestKilledAtNamedPoints:
    def test_leaves_all_of_a_round_or_nothing(self, stack: Stack) -> None:
        kills = stack.run("points", "--times", 2 * TIMES, timeout=600 * TIMES)

        assert len(kills) == 24 * TIMES
        assert [kill["point"] for kill in kills if not kill["killed"]] == [], "a point was not reached"
        for kill in kills:
            before, after, redone = kill["before"], kill["after"], kill["redone"]
            if kill["point"] == LATEST:
                assert after["round"] == before["round"] + 1
                assert after["fills"] > before["fills"]
                assert redone is None
            else:
                assert after == before, kill["point"]
                assert redone["number"] == before["round"], "the same round is cleared by the next"
                assert redone["fills"] > 0
        print(
            f"\n{len(kills)} kills; the next clearer had the round after at most {max(k['redone_ms'] for k in kills)} ms"
        )
        # Killed after its commit and before anything was sent, a round is still told of: its row waits.
        assert kills[-1]["after"]["outbox"] == kills[-1]["before"]["outbox"] + 1
        assert stack.run("relay") == [0, 0]
        assert stack.rows("SELECT DISTINCT state FROM accounts_outboxrow WHERE topic = 'market.round'") == [("sent",)]
        assert_whole(stack)


class TestKilledAtRandomMoments:
    def test_loses_and_doubles_nothing(self, stack: Stack) -> None:
        said = Journal([stack.journal("clear")])
        first = stack.open_round()
        with stack.load(services=2) as clients:
            stack.run("torture", "--times", 20 * TIMES, "--journal", said.paths[0], timeout=60 + 60 * TIMES)

        found = assert_whole(stack, clients)

        assert_cleared_once(found, said)
        cleared = len(found.rounds) - first
        assert cleared >= 5 * TIMES
        print(f"\n{20 * TIMES} kills, {cleared} rounds, {len(clients.acknowledged('place'))} orders acknowledged")


class TestClearersAtOnce:
    def test_clear_each_round_once(self, stack: Stack) -> None:
        """Four processes start at the same moment with the same time, round after round."""
        said = Journal([stack.journal("clear")])
        first, turns = stack.open_round(), 50 * TIMES

        codes = stack.run(
            "race", "--processes", 4, "--times", turns, "--journal", said.paths[0], timeout=60 + 60 * TIMES
        )

        found = assert_whole(stack)
        assert codes == [0] * 4
        assert [line["turn"] for line in said.lines()] == list(range(turns))
        assert [line["number"] for line in said.lines()] == list(range(first, first + turns))
        assert all(line["fills"] > 0 for line in said.lines())
        assert_cleared_once(found, said)


class TestFrozenClearer:
    def test_is_refused_when_it_wakes_up_after_another_cleared(self, stack: Stack) -> None:
        told = stack.run("zombie")

        assert told["beside"] is False
        assert told["redone"]["number"] == told["before"]["round"]
        assert told["woken"] == told["cleared"]
        assert (told["said"], told["code"]) == ("nothing", 0)
        assert_whole(stack)


class TestFleet:
    def test_commits_whole_though_a_worker_dies_with_a_component(self, stack: Stack) -> None:
        rounds = stack.run("fleet", "--times", 2 * TIMES, timeout=60 * TIMES)

        assert len(rounds) == 2 * TIMES
        assert all(one["killed"] for one in rounds), "the helper had taken a component"
        assert all(one["fills"] >= 12 for one in rounds), "every component is cleared all the same"
        assert all(one["seconds"] < 10 for one in rounds)
        assert_whole(stack)
        assert stack.rows("SELECT count(*) FROM market_componenttask") == [(0,)]


class TestIntakeWhileRoundsClear:
    def test_is_answered_in_bounded_time(self, stack: Stack) -> None:
        """Rounds follow each other without a pause, which is worse than any tick."""
        said = Journal([stack.journal("clear")])
        clearer = stack.runner("clearing", "clearing", "--journal", said.paths[0])
        with stack.load(services=2) as clients:
            rounds = stack.wait_for_rounds(30 * TIMES, within=30 * TIMES)
        assert stack.end(clearer) == 0, stack.log("clearing")

        placed = [line["ms"] for line in clients.acknowledged("place")]
        took = [line["ms"] for line in said.lines()]
        p50, p99, worst = percentile(placed, 0.5), percentile(placed, 0.99), max(placed)
        print(
            f"\n{len(placed)} orders beside {len(took)} rounds in {rounds:.1f} s: p50 {p50:.0f} ms, p99 {p99:.0f} ms, "
            f"worst {worst:.0f} ms; a round p50 {percentile(took, 0.5):.0f} ms, p99 {percentile(took, 0.99):.0f} ms"
        )
        assert len(placed) >= 50
        assert p99 < 1_000
        assert_cleared_once(assert_whole(stack, clients), said)
        deadlocks = (stack.state / "pg" / "log").read_text().count("deadlock detected")
        assert deadlocks == 0, "intake and rounds take their locks in one order"
