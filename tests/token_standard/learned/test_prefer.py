"""The ranking of deployments: what it says follows from the predictions, and it says when it cannot tell."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_standard.__main__ import main
from token_standard.learned import Candidate, Deployment, Load, device, predict, prefer, served_format, shape
from token_standard.learned.prefer import AIMS
from token_standard.learned.terms import InvalidDeployment

LOAD = Load(32, 1024, 512)


def pool(name, of="h100", form="fp8", tp=4, model="llama-3-70b"):
    return Candidate(name, Deployment(device(of), served_format(form), tp, tp, "vllm"), shape(model))


class TestPrefer:
    def test_seconds_and_rate_are_those_of_the_prediction(self):
        found = prefer([pool("a")], LOAD)[0]
        of = pool("a")
        said = predict(of.deployment, of.shape, LOAD)

        assert found.seconds.value == said.ttft + 512 * said.seconds_per_token
        assert found.st_per_second.value == pytest.approx(said.st_per_second)
        assert found.seconds.low < found.seconds.value < found.seconds.high
        assert found.st_per_second.low < found.st_per_second.value < found.st_per_second.high

    def test_the_better_device_is_first(self):
        ranked = prefer([pool("slow", "l40s"), pool("fast", "h200")], LOAD)

        assert [each.name for each in ranked] == ["fast", "slow"]
        assert [each.rank for each in ranked] == [1, 2]
        assert not ranked[1].close

    def test_two_alike_are_not_told_apart_and_stand_by_name(self):
        ranked = prefer([pool("b"), pool("a")], LOAD)

        assert [each.name for each in ranked] == ["a", "b"]
        assert all(each.close for each in ranked)

    def test_one_without_room_is_last_and_not_usable(self):
        ranked = prefer([pool("none", "h200", "fp16", 1, "llama-3.1-405b"), pool("slow", "l40s")], LOAD)

        assert [(each.name, each.usable) for each in ranked] == [("slow", True), ("none", False)]

    @given(st.permutations(["h100", "h200", "b200", "a100", "l40s"]), st.sampled_from(AIMS))
    def test_the_order_of_the_candidates_does_not_matter(self, names, aim):
        candidates = [pool(name, name) for name in names]

        assert prefer(candidates, LOAD, aim=aim) == prefer(sorted(candidates, key=lambda c: c.name), LOAD, aim=aim)

    def test_refuses_nothing_and_names_twice(self):
        for candidates in ([], [pool("a"), replace(pool("a"), deployment=pool("b", "h200").deployment)]):
            with pytest.raises(InvalidDeployment):
                prefer(candidates, LOAD)


class TestCommand:
    def test_ranks_arguments(self, capsys):
        assert main(["prefer", "l40s:fp8:4:vllm", "h200:fp8:4:vllm", "--model", "llama-3-70b"]) == 0

        lines = capsys.readouterr().out.splitlines()
        assert lines[2].split()[:2] == ["1", "h200:fp8:4:vllm"]
        assert lines[-1] == "prefer h200:fp8:4:vllm"

    def test_ranks_a_table(self, capsys, tmp_path):
        file = tmp_path / "pools.csv"
        file.write_text("device,model,concurrency,input,output\nh100,llama-3-8b,8,512,512\na100,llama-3-8b,8,512,512\n")

        assert main(["prefer", str(file)]) == 0
        assert "prefer row 2: h100-80gb:fp16:1:other" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["h100"], "--model"),
            (["h100:fp8:x", "--model", "llama-3-8b"], "whole number"),
            (["h100:fp8:1:vllm:more", "--model", "llama-3-8b"], "ENGINE"),
            (["abacus", "--model", "llama-3-8b"], "abacus"),
            (["h100", "--model", "none"], "none"),
            (["h100", "h100", "--model", "llama-3-8b"], "same name"),
        ],
    )
    def test_refuses_in_one_sentence(self, capsys, arguments, said):
        assert main(["prefer", *arguments]) == 2
        assert said in capsys.readouterr().err

    def test_rows_of_several_loads_are_refused(self, capsys, tmp_path):
        file = tmp_path / "pools.csv"
        file.write_text("device,model,concurrency,input,output\nh100,llama-3-8b,8,512,512\na100,llama-3-8b,9,512,512\n")

        assert main(["prefer", str(file)]) == 2
        assert "one load" in capsys.readouterr().err
