"""The training: reproducible, and the shipped model is what its card says. Minutes of it run in seconds here."""

import json
import re
from pathlib import Path

import pytest

from token_standard.learned import estimator
from token_standard.learned.training import fits, report, samples, train

DATA = Path(__file__).parents[2] / "data" / "tokens"
DOCUMENT = Path(__file__).parents[3] / "docs" / "cost-model.md"


@pytest.fixture(scope="module")
def served():
    return samples.serving(DATA)


@pytest.fixture(scope="module")
def static():
    return samples.static(DATA)


@pytest.fixture(scope="module")
def layers():
    return samples.layers(DATA)


@pytest.fixture(scope="module")
def card():
    return estimator.shipped().plain["card"]


class TestTraining:
    def test_gives_the_same_bytes_twice(self, served, static, layers, monkeypatch):
        for settings in (fits.DECODE_TREES, fits.PREFILL_TREES, fits.LAYER_TREES):
            monkeypatch.setitem(settings, "max_iter", 20)
        some = served[::8], static[::4], layers[::20]

        first, second = (train.text(fits.fit(*map(list, some))) for _ in range(2))

        assert first == second

    def test_does_not_depend_on_the_order_of_the_files(self, served):
        assert samples.serving(DATA) == served

    def test_the_shipped_model_is_of_these_data(self, card):
        assert card["data"] == samples.digests(DATA)

    def test_the_shipped_file_is_small(self):
        assert train.MODEL.stat().st_size < 500_000

    def test_the_shipped_physics_is_what_these_data_give(self, served, static):
        shipped = estimator.shipped().plain["fits"]

        for name, rows, fit in (("decode_static", static, fits.decode), ("prefill_static", static, fits.prefill)):
            assert fit(rows, boost=False)["coefficients"] == pytest.approx(shipped[name]["coefficients"], rel=1e-3)


class TestCard:
    def test_a_layer_of_other_models_from_the_reference_model_only(self, layers, card):
        reference = [each for each in layers if each.model == report.REFERENCE_LAYER]
        plain, by_device = fits.layer(reference, boost=False)
        model = estimator.CostModel({"fits": {"layer": plain}, "layer_devices": by_device})

        found = report.error_figures(
            report.layer_outcome(model, each).relative for each in layers if each.model != report.REFERENCE_LAYER
        )

        assert found == card["folds"]["layer"]["reference model only"]
        assert found["mape"] <= 5.8

    def test_a_static_batch_with_one_calibration_point(self, static, card):
        known = report.fold(static, "decode", "static", lambda each: each.key, limit=report.DEPLOYMENT_FOLDS)
        kernel = estimator.shipped().fits["decode_static"].kernel

        found = report.error_figures(relative for _, relative, _ in report.calibrated(known, kernel, 1))

        assert found["mape"] == pytest.approx(card["folds"]["decode_static"]["deployment, one point"]["mape"], abs=0.2)

    def test_one_fold_of_whole_deployments_of_servers(self, served, card):
        part = report.parts([each.key for each in served], report.DEPLOYMENT_FOLDS)
        training = [each for each, p in zip(served, part, strict=True) if p]
        held = [each for each, p in zip(served, part, strict=True) if not p]
        model = estimator.CostModel({"fits": {"decode_served": fits.decode(training, boost=True)}, "layer_devices": {}})

        found = report.error_figures(report.outcome(model, each, "decode").relative for each in held)

        assert not {each.key for each in held} & {each.key for each in training}
        assert found["mape"] == pytest.approx(card["first fold"]["mape"], abs=0.5)

    @pytest.mark.parametrize("name", ["decode_served", "prefill_served", "layer"])
    def test_intervals_hold_what_they_say(self, card, name):
        coverage = card["folds"][name]["coverage of the 90 % interval"]

        assert all(85 <= share <= 95 for share in coverage.values())

    def test_the_document_shows_the_shipped_figures(self, card):
        text = DOCUMENT.read_text(encoding="utf-8")

        shown = re.search(r"<!-- figures -->\n(.*?)<!-- end of figures -->", text, re.DOTALL)

        assert shown and shown[1] == report.tables(card)

    def test_the_file_is_as_the_training_writes_it(self):
        text = train.MODEL.read_text(encoding="utf-8")

        assert train.text(json.loads(text)) == text
