from datetime import date
from fractions import Fraction

import pytest

from token_standard import devices
from token_standard.__main__ import main
from token_standard.learned import estimator

DOMESTIC = {"mtt-s80", "mtt-s4000", "metax-c500", "mlu270", "mlu370-x8", "mlu590", "kunlun-2", "kunlun-p800"} | {
    "hanguang-800", "ascend-910b", "ascend-910c", "bm1684x", "journey-5", "hygon-k100"
}  # fmt: skip


class TestDevices:
    def test_has_the_reference_device_with_the_figures_of_the_definition(self):
        reference = devices.device("a100-80gb-sxm")

        assert (reference.tera_ops["fp16"], reference.gb_per_second) == (312, 2039)

    def test_says_of_every_figure_where_it_is_from_and_when_it_was_read_or_that_nothing_backs_it(self):
        for each in devices.devices():
            assert each.figures or each.measured or each.note
            for figure in (*each.figures.values(), *each.measured.values()):
                if figure.source is None:
                    assert figure.state == "unsourced"
                else:
                    assert figure.source.text
                    assert figure.source.read_on <= date(2026, 11, 24)

    def test_unsourced_figures_are_those_of_training_only(self):
        for each in devices.devices():
            if each.country == "CN":
                assert all(figure.source is not None for figure in each.figures.values())

    def test_has_the_domestic_makers_and_marks_what_is_declared(self):
        found = {each.name: each for each in devices.devices() if each.country == "CN"}

        assert found.keys() >= DOMESTIC
        for each in found.values():
            assert each.stack
            assert {figure.state for figure in each.figures.values()} <= {"declared"}
            assert {figure.state for figure in each.measured.values()} <= {"measured"}

    def test_invents_nothing(self):
        ascend = devices.device("ascend-910b")

        assert ascend.gb_per_second is None
        assert ascend.measured["fp16"].value == Fraction("313.182")
        for name in ("ascend-910c", "mlu590", "kunlun-p800", "kunlun-2", "hygon-k100", "hanguang-800", "bm1684x"):
            assert devices.device(name).states == ("unknown",)
            assert devices.device(name).figures == {}

    def test_measured_figures_of_our_data_are_those_of_the_fit(self):
        for name, coefficients in estimator.shipped().layer_devices.items():
            found = devices.device(name)
            reached = float(found.figures["fp16"].value) / coefficients[0]
            assert float(found.measured["fp16"].value) == pytest.approx(reached, abs=0.05)

    def test_has_each_device_once(self):
        names = [each.name for each in devices.devices()]

        assert len(names) == len(set(names))

    @pytest.mark.parametrize("name", ["NVIDIA A100", "a100-sxm4", "a100_80gb_sxm"])
    def test_finds_a_device_by_any_usual_spelling(self, name):
        assert devices.device(name).name == "a100-80gb"

    def test_ridge_point_is_peak_over_bandwidth(self):
        assert devices.device("a100").ridge("fp16") == Fraction(312_000, 2039)
        assert devices.device("910c").ridge("fp16") is None

    def test_names_what_it_does_not_have(self):
        with pytest.raises(devices.UnknownDevice, match="abacus"):
            devices.device("abacus")

    def test_is_listed(self, capsys):
        assert main(["devices"]) == 0

        out = capsys.readouterr().out
        assert "declared, not measured" in out
        assert "unsourced" in out
        assert "unknown" in out
