from datetime import date

import pytest

from token_standard import devices
from token_standard.__main__ import main


class TestDevices:
    def test_has_the_reference_device_with_the_figures_of_the_definition(self):
        reference = devices.device("a100-80gb-sxm")

        assert (reference.tera_ops["fp16"], reference.gb_per_second) == (312, 2039)

    def test_says_of_every_figure_where_it_is_from_and_when_it_was_read(self):
        for each in devices.devices():
            has_figures = bool(each.tera_ops) or each.gb_per_second is not None or each.memory_gb is not None
            assert has_figures == (each.source is not None)
            assert has_figures or each.note
            assert each.read_on <= date(2026, 11, 24)

    def test_marks_what_is_declared_and_invents_nothing(self):
        assert {each.vendor for each in devices.devices() if each.status == "declared"} == {
            "huawei",
            "cambricon",
            "moore threads",
        }
        assert devices.device("ascend-910b").tera_ops == {}
        assert devices.device("ascend-910b").gb_per_second is None
        assert {each.name for each in devices.devices() if each.status == "unknown"} == {
            "h800",
            "rtx-pro-6000",
            "kunlun-p800",
            "hygon-k100",
        }

    def test_has_each_device_once(self):
        names = [each.name for each in devices.devices()]

        assert len(names) == len(set(names))

    def test_names_what_it_does_not_have(self):
        with pytest.raises(devices.UnknownDevice, match="abacus"):
            devices.device("abacus")

    def test_is_listed(self, capsys):
        assert main(["devices"]) == 0

        out = capsys.readouterr().out
        assert "declared, not measured" in out
        assert "unknown" in out
