from dataclasses import replace
from math import exp, isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_standard.learned import Deployment, Device, Load, device, estimator, predict, served_format, shape, terms
from token_standard.learned.calibration import Calibration, Kernel
from token_standard.learned.devices import UnknownDevice, devices
from token_standard.learned.formats import UnknownFormat
from token_standard.learned.shapes import UnknownModel, known
from token_standard.learned.terms import InvalidDeployment

MODELS = sorted(known())
DEVICES = [each.name for each in devices()]
LLAMA = Deployment(device("h100"), served_format("fp8"), 4, 4, "vllm")

deployments = st.builds(
    lambda name, form, tp, groups, engine: Deployment(device(name), served_format(form), tp, tp * groups, engine),
    st.sampled_from(DEVICES),
    st.sampled_from(["fp16", "fp8", "nvfp4", "int4", "int8"]),
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from([1, 2, 8]),
    st.sampled_from(["vllm", "sglang", "trtllm", "other"]),
)
loads = st.builds(
    Load,
    st.integers(1, 4096),
    st.integers(1, 200_000),
    st.integers(1, 100_000),
    st.booleans(),
)


class TestPredict:
    @given(deployments, st.sampled_from(MODELS), loads)
    def test_is_finite_and_inside_its_interval(self, deployment, model, load):
        found = predict(deployment, shape(model), load)

        assert all(isfinite(x) for x in (found.high, found.ttft_high, found.st_per_second))
        assert 0 < found.low <= found.seconds_per_token <= found.high
        assert 0 < found.ttft_low <= found.ttft <= found.ttft_high
        assert found.st_per_second > 0

    @given(deployments, st.sampled_from(MODELS), loads, st.integers(1, 100_000))
    def test_more_tokens_never_take_less_time(self, deployment, model, load, more):
        longer = replace(load, output=load.output + more)

        one, other = predict(deployment, shape(model), load), predict(deployment, shape(model), longer)

        assert other.ttft == one.ttft
        assert other.seconds_per_token * longer.output >= one.seconds_per_token * load.output * (1 - 1e-12)

    @given(deployments, st.sampled_from(MODELS), loads, st.floats(1, 10), st.floats(1, 10))
    def test_a_better_device_is_never_slower_by_physics(self, deployment, model, load, compute, memory):
        better = replace(
            deployment.device,
            fp16=deployment.device.fp16 * compute,
            fp8=deployment.device.fp8 * compute,
            fp4=deployment.device.fp4 * compute,
            gbps=deployment.device.gbps * memory,
        )
        model_, architecture = estimator.shipped(), shape(model)

        def physics(which: Deployment) -> float:
            fit = model_.fit("decode", which, load)
            return sum(fit.parts(estimator.terms.decode(which, architecture, load)))

        assert physics(replace(deployment, device=better)) <= physics(deployment) * (1 + 1e-12)

    def test_corrects_where_it_was_measured(self):
        found = predict(LLAMA, shape("llama-3.1-70b"), Load(64, 1024, 1024))

        assert found.method == "boosted"
        assert found.outside == ()

    @pytest.mark.parametrize(
        ("deployment", "model", "load", "outside"),
        [
            (LLAMA, "mixtral-8x7b", Load(64, 1024, 1024), ("model",)),
            (replace(LLAMA, device=Device("new", 500, 900, 48)), "llama-3.1-70b", Load(8, 1024, 1024), ("device",)),
            (replace(LLAMA, engine="llama.cpp"), "llama-3.1-70b", Load(64, 1024, 1024), ("engine",)),
            (LLAMA, "llama-3.1-70b", Load(64, 4, 1024), ("load",)),
            (LLAMA, "llama-3.1-70b", Load(512, 12_000, 1024), ("memory",)),
        ],
    )
    def test_falls_back_to_physics_outside_of_what_was_measured(self, deployment, model, load, outside):
        inside = predict(LLAMA, shape("llama-3.1-70b"), Load(64, 1024, 1024))

        found = predict(deployment, shape(model), load)

        assert (found.method, found.outside) == ("physics", outside)
        assert found.high / found.low > inside.high / inside.low

    def test_beyond_the_measured_lengths_the_interval_widens_and_the_correction_stays(self):
        inside, longer = (predict(LLAMA, shape("llama-3.1-70b"), Load(64, 1024, n)) for n in (8192, 80_000))

        assert (longer.method, longer.outside) == ("boosted", ("output",))
        assert longer.high / longer.low > inside.high / inside.low

    def test_a_measured_load_pulls_its_neighbours_and_narrows_the_interval(self):
        load = Load(64, 1024, 1024)
        plain = predict(LLAMA, shape("llama-3.1-70b"), load)
        kernel = estimator.shipped().fits["decode_served"].kernel

        known_ = Calibration(kernel, [(estimator.position(Load(32, 1024, 1024)), 0.2)])
        found = predict(LLAMA, shape("llama-3.1-70b"), load, per_token=known_)

        assert plain.seconds_per_token < found.seconds_per_token < plain.seconds_per_token * 1.25
        assert found.method == "boosted+calibrated"
        assert found.high / found.low < plain.high / plain.low

    def test_two_copies_of_a_dense_model_carry_twice_the_load(self):
        two = replace(LLAMA, devices=8)

        one_copy, two_copies = (
            predict(d, shape("mistral-7b"), Load(c, 1024, 512)) for d, c in ((LLAMA, 32), (two, 64))
        )

        assert two_copies.seconds_per_token == pytest.approx(one_copy.seconds_per_token)
        assert two_copies.st_per_second > one_copy.st_per_second * 1.5


class TestCalibration:
    kernel = Kernel(0.1, 0.2, 0.05, (1.0, 1.0, 1.0))
    place = st.tuples(*[st.floats(0, 10)] * 3)

    @given(st.lists(st.tuples(place, st.floats(-1, 1)), min_size=1, max_size=100), place)
    def test_deviation_is_never_above_what_is_known_without_measuring(self, points, at):
        mean, deviation = Calibration(self.kernel, points).correct(at)

        assert isfinite(mean)
        assert self.kernel.noise <= deviation <= (self.kernel.variance + self.kernel.noise**2) ** 0.5 * (1 + 1e-9)

    def test_far_loads_get_the_shared_part_only(self):
        known_ = Calibration(self.kernel, [((0.0, 0.0, 0.0), 0.5)])

        near, far = (known_.correct((x, 0.0, 0.0))[0] for x in (0.0, 9.0))

        assert near == pytest.approx(0.5 * 0.05 / 0.0525)
        assert far == pytest.approx(0.5 * 0.01 / 0.0525)


class TestNames:
    @pytest.mark.parametrize(
        ("name", "found"),
        [
            ("a100-80gb", "a100-80gb"),
            ("A100", "a100-80gb"),
            ("h100_sxm", "h100-80gb"),
            ("H100 SXM", "h100-80gb"),
            ("NVIDIA H100 80GB HBM3", "h100-80gb"),
            ("NVIDIA A100-SXM4-80GB", "a100-80gb"),
            ("l40s", "l40s"),
            ("b200", "b200"),
            ("gb300", "gb300"),
            ("h100-80gb-pcap", "h100-80gb-pcap"),
            ("GeForce RTX 4090", "rtx4090"),
            ("h100-80gb-sxm", "h100-80gb"),
            ("mtt-s4000", "mtt-s4000"),
            ("Moore Threads MTT S4000", "mtt-s4000"),
            ("NVIDIA H100 SXM5 80GB", "h100-80gb"),
            ("a40_pairwise_nvlink", "a40"),
        ],
    )
    def test_a_device_has_many_spellings(self, name, found):
        assert device(name).name == found

    @pytest.mark.parametrize(
        ("name", "found"),
        [
            ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b"),
            ("nvidia/Llama-3.1-8B-Instruct-FP8", "llama-3.1-8b"),
            ("Llama-2-70b-hf", "llama-2-70b"),
            ("llama2-70b", "llama-2-70b"),
            ("Meta-Llama-3-70B", "llama-3-70b"),
            ("CodeLlama-34b-Instruct-hf", "codellama-34b"),
            ("deepseek-ai/DeepSeek-R1", "deepseek-r1"),
            ("Qwen/Qwen3-235B-A22B-FP8", "qwen3-235b-a22b"),
            ("openai/gpt-oss-120b", "gpt-oss-120b"),
            ("bloom-176b", "bloom-176b"),
            ("Qwen/Qwen3-235B-A22B-Thinking-2507", "qwen3-235b-a22b"),
            ("nvidia/DeepSeek-R1-0528-FP4-v2", "deepseek-r1"),
            ("Qwen/QwQ-32B", "qwen2.5-32b"),
            ("THUDM/GLM-4-9B-0414", "glm-4-9b"),
        ],
    )
    def test_a_model_has_many_spellings(self, name, found):
        assert shape(name) == known()[found]

    @pytest.mark.parametrize(
        ("name", "billions", "tied"),
        [
            ("llama-3.2-1b", 1.236, True),
            ("llama-3.2-3b", 3.213, True),
            ("codellama-7b", 6.738, False),
            ("codellama-13b", 13.02, False),
            ("qwen2.5-0.5b", 0.494, True),
            ("qwen2.5-1.5b", 1.544, True),
            ("qwen2.5-3b", 3.086, True),
            ("qwen2.5-14b", 14.77, False),
            ("qwen2.5-32b", 32.76, False),
            ("qwen3-0.6b", 0.596, True),
            ("qwen3-1.7b", 1.72, True),
            ("qwen3-4b", 4.02, True),
            ("qwen3-8b", 8.19, False),
            ("qwen3-14b", 14.77, False),
            ("opt-6.7b", 6.65, True),
            ("opt-13b", 12.85, True),
            ("opt-30b", 29.97, True),
            ("opt-66b", 65.7, True),
            ("mixtral-8x22b", 140.6, False),
            ("gpt-oss-20b", 20.91, False),
        ],
    )
    def test_models_that_nobody_measured_have_their_published_size(self, name, billions, tied):
        found = shape(name)

        assert (found.parameters - tied * found.head_weights) / 1e9 == pytest.approx(billions, rel=2e-3)

    def test_unknown_names_list_the_known_ones(self):
        with pytest.raises(UnknownDevice, match="h100-80gb, "):
            device("abacus")
        with pytest.raises(UnknownModel, match="deepseek-v3, "):
            shape("eliza")
        with pytest.raises(UnknownFormat, match="bf16, "):
            served_format("fp3")

    def test_every_device_is_found_by_its_own_name(self):
        assert all(device(name).name == name for name in DEVICES)

    @pytest.mark.parametrize("figures", [(0, 1, 1), (1, -1, 1), (1, 1, float("nan")), (float("inf"), 1, 1)])
    def test_figures_must_be_above_zero(self, figures):
        with pytest.raises(UnknownDevice, match="above zero"):
            Device("x", *figures)

    @pytest.mark.parametrize("load", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (float("nan"), 1, 1)])
    def test_loads_must_be_above_zero(self, load):
        with pytest.raises(InvalidDeployment):
            Load(*load)

    def test_devices_must_be_whole_copies(self):
        with pytest.raises(InvalidDeployment, match="multiple"):
            Deployment(device("h100"), served_format("fp8"), 4, 6)


class TestFirstTokenOfTheUnmeasured:
    """A model or device that was never measured gets what all of them have in common, and nothing more."""

    LOAD = Load(8, 1024, 1024)

    def method(self, deployment, model="llama-3.1-70b", load=LOAD):
        return estimator.shipped().prefill(deployment, shape(model), load).method

    def test_under_a_load_like_those_measured(self):
        assert self.method(replace(LLAMA, device=Device("new", 500, 900, 200))) == "unnamed"
        assert self.method(LLAMA, "bloom-176b") == "unnamed"
        assert self.method(LLAMA) == "boosted"

    def test_but_not_where_more_is_unknown(self):
        assert (
            self.method(replace(LLAMA, device=Device("new", 500, 900, 200)), load=Load(5000, 1024, 1024)) == "physics"
        )
        assert self.method(replace(LLAMA, format=served_format("int8"))) == "physics"

    @given(st.floats(100, 5000), st.floats(200, 10000), st.floats(1, 512), st.floats(128, 8000))
    def test_stays_within_the_bounds_of_training(self, flops, gbps, sequences, prompt):
        deployment = replace(LLAMA, device=Device("new", flops, gbps, 10_000))
        load = Load(sequences, prompt, 512)
        model = estimator.shipped()
        fit = model.fit("prefill", deployment, load)
        physics = sum(fit.parts(terms.prefill(deployment, shape("llama-3.1-70b"), load)))
        found = model.prefill(deployment, shape("llama-3.1-70b"), load)

        low, high = fit.bounds
        assert exp(low) * 0.999999 <= found.seconds / physics <= exp(high) * 1.000001
