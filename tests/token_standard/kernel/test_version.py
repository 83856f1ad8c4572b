from dataclasses import FrozenInstanceError
from fractions import Fraction

import pytest

from token_standard import catalogue
from token_standard.version import ST_2026_1, VERSIONS, UnknownVersion, version


class TestVersion:
    def test_derives_the_reference_time_from_its_own_figures(self):
        compute = Fraction(ST_2026_1.reference_flops, ST_2026_1.flops_per_second)
        memory = Fraction(ST_2026_1.reference_bytes, ST_2026_1.bytes_per_second)

        assert compute + memory == ST_2026_1.reference_seconds
        assert round(ST_2026_1.reference_seconds * 10**10) == 8505711  # 850.5711 µs

    def test_has_the_figures_of_the_reference_model(self):
        shape = catalogue.card("llama-2-7b").architecture

        assert shape.generation_flops(2048) == ST_2026_1.reference_flops == 14_287_896_576
        assert 2 * (shape.dense_weights + shape.head_weights) == 13_214_154_752
        assert 13_214_154_752 // 64 + 1_073_741_824 + 524_288 == ST_2026_1.reference_bytes == 1_280_737_280

    def test_prints_the_exchange_of_flops_and_bytes(self):
        assert round(ST_2026_1.flops_per_st / 10**5) == 1_857_647  # 185.7647 GFLOP
        assert round(ST_2026_1.bytes_per_st / 10**3) == 1_387_452  # 1.387452 GB
        assert round(1 / ST_2026_1.reference_seconds * 10) == 11_757  # 1,175.7 ST/s

    def test_cannot_be_changed(self):
        with pytest.raises(FrozenInstanceError):
            ST_2026_1.dense_batch = 32
        with pytest.raises(TypeError):
            ST_2026_1.compute_discount["fp16"] = 3
        with pytest.raises(TypeError):
            VERSIONS["ST-2026.1"] = None

    def test_is_found_by_name_or_refused(self):
        assert version("ST-2026.1") is ST_2026_1
        with pytest.raises(UnknownVersion, match=r"ST-2025\.9"):
            version("ST-2025.9")
