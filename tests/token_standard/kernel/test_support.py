"""The support matrix: each entry has evidence, and what rests on our data agrees with it row by row."""

import csv
import gzip
from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest

from token_standard import catalogue, devices, support
from token_standard.__main__ import main
from token_standard.learned import shapes

ROOT = Path(__file__).parents[3]
FORMATS = {"fp32", "fp16", "fp8", "fp4", "int8", "int4"}


def test_every_entry_names_a_known_device_and_model_and_has_evidence():
    models = {model.name for model in catalogue.models()}
    for entry in support.entries():
        assert devices.device(entry.device).name == entry.device
        assert entry.model in models
        assert entry.state in {"proved", "declared", "unsupported"}
        assert set(entry.formats) <= FORMATS
        assert entry.evidence.url.startswith("https://")
        assert entry.evidence.text
        assert entry.evidence.read_on <= date(2026, 11, 24)
        assert not entry.evidence.file or (ROOT / entry.evidence.file).exists()


def test_what_is_proved_by_our_data_is_in_the_file_row_by_row():
    counted = {(e.device, e.model, e.engine): e.rows for e in support.entries() if e.evidence.key == "serving-samples"}
    found = dict.fromkeys(counted, 0)
    with gzip.open(ROOT / "tests/data/tokens/serving_samples.csv.gz", "rt", encoding="utf-8", newline="") as text:
        for row in csv.DictReader(text):
            device, measured = devices.device(row["system"]).name, shapes.shape(row["model_path"])
            for model in catalogue.models():
                if model.architecture == measured:
                    found[device, model.name, row["backend"]] += 1  # a pair that is missing fails here

    assert found == counted


def test_a_single_size_of_a_family_is_never_proof_for_another():
    assert support.state("a100-80gb", "llama-3-70b") == "declared"  # Llama-2-70B ran


def test_a_format_that_is_not_supported_says_nothing_of_the_model():
    assert support.state("metax-c500", "mistral-7b-v0.1") == "unknown"
    assert support.state("ascend-910b", "glm-4-9b") == "unsupported"
    assert support.state("mtt-s4000", "llama-3-8b") == "unknown"


class TestPortability:
    @pytest.mark.parametrize("name", [each.name for each in devices.devices()])
    def test_counts_every_structure_once(self, name):
        share = support.portability(name)

        assert share.total == len(support.distinct_models()) == len(catalogue.models()) - 1
        assert share.percent == Fraction(100 * (share.proved + share.declared), share.total)
        assert share.fitting <= share.proved + share.declared

    def test_of_the_ascend_910b(self):
        share = support.portability("910b")

        assert (share.proved, share.declared, share.unsupported, share.unknown) == (5, 7, 1, 0)
        assert share.proved_percent == Fraction(500, 13)

    def test_an_unknown_device_is_refused(self):
        with pytest.raises(devices.UnknownDevice):
            support.portability("abacus")


class TestFits:
    def model(self, name):
        return next(model for model in catalogue.models() if model.name == name)

    def test_weights_and_cache_by_hand(self):
        # Llama-2-7B in fp16: 6,738,149,376 parameters and 64 x 2,048 positions of 262,144 elements, two bytes each
        needed = support.needed_bytes(self.model("llama-2-7b"), "fp16")

        assert needed == 2 * self.model("llama-2-7b").architecture.parameters + 2 * 64 * 2048 * 262144

    @pytest.mark.parametrize(
        ("device", "model", "form", "size"),
        [
            ("a100", "llama-3-8b", "fp16", 1),
            ("a100", "llama-3-70b", "fp16", 4),
            ("a100", "deepseek-v3", "fp8", None),
            ("h200", "deepseek-v3", "fp8", 8),
            ("ascend-910c", "llama-3-8b", "fp16", None),
        ],
    )
    def test_is_the_fewest_devices(self, device, model, form, size):
        assert support.fits_on(devices.device(device), self.model(model), form) == size


class TestCommand:
    def test_lists_all_devices(self, capsys):
        assert main(["support"]) == 0

        assert "ascend-910b" in capsys.readouterr().out

    def test_shows_one_with_its_evidence(self, capsys):
        assert main(["support", "H100", "--state", "proved"]) == 0

        out = capsys.readouterr().out
        assert "tests/data/tokens/serving_samples.csv.gz" in out
        assert "proved 5 of 13" in out
        assert "mistral" not in out

    def test_refuses_an_unknown_device(self, capsys):
        assert main(["support", "abacus"]) == 2

        assert "abacus" in capsys.readouterr().err
