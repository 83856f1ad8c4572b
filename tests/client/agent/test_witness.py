"""The comparison with an engine's counters."""

from __future__ import annotations

from tokenspot_client.agent.witness import Witness
from tokenspot_client.engines import Usage, read


def snapshot(prompt: int, generated: int, *, running: int = 0, start: float = 1.0):
    return read(
        f"""# TYPE vllm:num_requests_running gauge
vllm:num_requests_running {running}
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total {prompt}
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total {generated}
process_start_time_seconds {start}
"""
    )


def witness() -> Witness:
    return Witness("http://127.0.0.1:1/metrics")


class TestWitness:
    def test_agrees_to_the_token(self) -> None:
        seen = witness()
        seen.look(snapshot(1000, 500), Usage(0, 0, 0), moving=False)

        seen.look(snapshot(1100, 550), Usage(100, 50, 0), moving=False)

        assert seen.told.verdicts["held"] == 2 and not seen.told.breaches

    def test_difference_needs_two_looks(self) -> None:
        seen = witness()
        seen.look(snapshot(0, 0), Usage(0, 0, 0), moving=False)

        seen.look(snapshot(100, 50), Usage(100, 49, 0), moving=False)
        first = list(seen.told.breaches)
        seen.look(snapshot(100, 50), Usage(100, 49, 0), moving=False)

        assert first == []
        assert [(b["identity"], b["difference"]) for b in seen.told.breaches] == [("usage: completion = generated", -1)]
        assert seen.told.differences == {"usage: completion = generated": -1}

    def test_line_that_comes_late_is_no_difference(self) -> None:
        seen = witness()
        seen.look(snapshot(0, 0), Usage(0, 0, 0), moving=False)
        seen.look(snapshot(100, 50), Usage(0, 0, 0), moving=False)

        seen.look(snapshot(100, 50), Usage(100, 50, 0), moving=False)

        assert seen.told.breaches == [] and seen.told.verdicts["held"] == 2

    def test_busy_engine_is_compared_once_it_is_quiet(self) -> None:
        seen = witness()
        seen.look(snapshot(0, 0), Usage(0, 0, 0), moving=False)
        for step in range(1, 10):
            seen.look(snapshot(100 * step, 7 * step, running=3), Usage(90 * step, 5 * step, 0), moving=True)
        assert not seen.told.verdicts

        seen.look(snapshot(1000, 70), Usage(1000, 70, 0), moving=False)

        assert seen.told.verdicts["held"] == 2

    def test_restart_opens_a_new_stretch_and_nothing_is_negative(self) -> None:
        seen = witness()
        seen.look(snapshot(1000, 500), Usage(0, 0, 0), moving=False)

        seen.look(snapshot(10, 5, start=2.0), Usage(60, 30, 0), moving=False)
        seen.look(snapshot(110, 55, start=2.0), Usage(160, 80, 0), moving=False)

        assert seen.told.restarts == 1 and seen.told.breaches == []
        assert (seen.told.verdicts["open"], seen.told.verdicts["held"]) == (1, 2)
