import csv
import gzip
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from token_standard.__main__ import main

DATA = Path(__file__).parents[2] / "data" / "tokens"
GOOD = {"device": "h100", "model": "llama-3.1-70b", "format": "fp8", "tensor_parallel": "4"}
GOOD |= {"concurrency": "64", "input": "1024", "output": "512", "engine": "vllm"}


def write(path: Path, *rows: dict[str, str]) -> str:
    heads = list(dict.fromkeys(name for row in rows for name in row))
    lines = [",".join(heads), *(",".join(row.get(name, "") for name in heads) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture
def run(tmp_path, capsys):
    def _run(*rows, options=()):
        code = main(["predict", write(tmp_path / "loads.csv", *rows), *options])
        out = capsys.readouterr()
        return code, list(csv.DictReader(io.StringIO(out.out))), out.err

    return _run


class TestPredict:
    def test_one_line_a_row(self, run):
        code, (row,), err = run(GOOD)

        assert (code, err) == (0, "")
        assert (row["row"], row["kind"], row["unit"], row["method"], row["outside"]) == (
            "2",
            "served",
            "ms",
            "boosted",
            "",
        )
        assert float(row["low"]) < float(row["predicted"]) < float(row["high"])
        assert float(row["seconds_per_token"]) == pytest.approx(float(row["predicted"]) / 1000)
        assert float(row["ttft_ms"]) > 0
        assert float(row["st_per_second"]) > 0

    def test_errors_follow_where_values_were_measured(self, run):
        _, rows, err = run(GOOD | {"measured_tpot_ms": "20", "ttft_ms": "300"}, GOOD)

        assert float(rows[0]["error_percent"]) == pytest.approx((float(rows[0]["predicted"]) / 20 - 1) * 100, abs=0.06)
        assert rows[1]["error_percent"] == ""
        first, second = err.splitlines()
        assert first.startswith("per token: MAPE ") and first.endswith(", 1 rows")
        assert second.startswith("first token: MAPE ")

    def test_a_flagged_row_calibrates_its_deployment_only(self, run):
        other = GOOD | {"tensor_parallel": "8"}
        _, plain, _ = run(GOOD, other)

        flagged = GOOD | {"concurrency": "32", "measured_tpot_ms": "40", "calibration": "yes"}
        _, found, err = run(GOOD, other, flagged)

        assert float(found[0]["predicted"]) > float(plain[0]["predicted"]) * 1.1
        assert found[0]["method"] == "boosted+calibrated"
        assert found[1] == plain[1] | {"calibration": ""}
        assert (found[2]["method"], found[2]["calibration"]) == ("calibration", "yes")
        assert err == ""

    def test_an_own_device_comes_by_its_figures(self, run):
        own = GOOD | {"device": "mine", "tflops": "500", "gbps": "2000", "memory_gb": "64"}

        _, (row,), _ = run(own)

        assert (row["device"], row["method"], row["outside"]) == ("mine", "physics", "device")

    def test_a_model_comes_by_its_configuration(self, run, tmp_path):
        config = {"num_hidden_layers": 80, "hidden_size": 8192, "num_attention_heads": 64, "num_key_value_heads": 8}
        config |= {"intermediate_size": 28672, "vocab_size": 128256, "model_type": "llama"}
        (tmp_path / "config.json").write_text(json.dumps(config))

        absolute = str(tmp_path / "config.json")
        _, (by_name, *by_file), _ = run(GOOD, GOOD | {"model": "config.json"}, GOOD | {"model": absolute})

        assert [row["predicted"] for row in by_file] == [by_name["predicted"]] * 2

    def test_a_model_comes_by_its_shape(self, run):
        shape = {"layers": "80", "hidden": "8192", "heads": "64", "kv_heads": "8", "intermediate": "28672"}
        _, (by_name, by_shape), _ = run(GOOD, GOOD | shape | {"vocab_size": "128256", "model": "mine"})

        assert by_shape["predicted"] == by_name["predicted"]

    def test_attention_copies_of_a_model_with_experts_share_the_experts(self, run):
        experts = GOOD | {"model": "deepseek-v3", "engine": "sglang", "device": "b200", "tensor_parallel": "1"}

        _, rows, _ = run(experts | {"dp": "8"}, experts | {"devices": "8"}, experts | {"dp": "0"})

        assert [row["devices"] for row in rows] == ["8", "8", "1"]
        assert rows[0]["predicted"] == rows[1]["predicted"]
        assert "memory" in rows[2]["outside"]

    def test_columns_without_a_meaning_are_named(self, run):
        code, _, err = run(GOOD | {"colour": "red"})

        assert code == 0
        assert err == "token_standard: columns ignored: colour\n"

    @pytest.mark.parametrize(
        ("change", "column"),
        [
            ({"device": "abacus"}, "device"),
            ({"device": ""}, "device"),
            ({"model": "eliza"}, "model"),
            ({"model": ""}, "model"),
            ({"model": "nowhere.json"}, "model"),
            ({"format": "fp3"}, "format"),
            ({"tensor_parallel": "two"}, "tensor_parallel"),
            ({"tensor_parallel": "1.5"}, "tensor_parallel"),
            ({"devices": "6"}, "devices"),
            ({"concurrency": "0"}, "concurrency"),
            ({"concurrency": "nan"}, "concurrency"),
            ({"concurrency": ""}, "concurrency"),
            ({"concurrency": "1e308"}, "concurrency"),
            ({"tflops": "1e-300", "gbps": "1e300", "memory_gb": "80"}, "tflops"),
            ({"device": "Huawei Ascend 910B"}, "device"),
            ({"input": "-1"}, "input"),
            ({"output": ""}, "output"),
            ({"measured_tpot_ms": "fast"}, "measured_tpot_ms"),
            ({"measured_ttft_ms": "0"}, "measured_ttft_ms"),
            ({"calibration": "perhaps"}, "calibration"),
            ({"calibration": "yes"}, "calibration"),
            ({"kind": "guess"}, "kind"),
            ({"mode": "disagg"}, "mode"),
            ({"pp": "2"}, "pipeline_parallel"),
            ({"tflops": "500"}, "gbps"),
            ({"tflops": "500", "gbps": "x", "memory_gb": "80"}, "gbps"),
            ({"hidden": "8192"}, "heads"),
        ],
    )
    def test_bad_input_names_row_and_column(self, run, change, column):
        code, rows, err = run(GOOD, GOOD | change)

        assert (code, rows) == (2, [])
        assert f"row 3: column {column}: " in err

    def test_rows_that_cannot_be_read_are_left_out_when_asked(self, run):
        code, rows, err = run(GOOD | {"mode": "disagg"}, GOOD, options=["--skip"])

        assert (code, [row["row"] for row in rows]) == (0, ["3"])
        assert err.startswith("token_standard: left out: row 2: column mode: ")

    def test_nothing_but_bad_rows_is_refused_all_the_same(self, run):
        code, rows, err = run(GOOD | {"mode": "disagg"}, options=["--skip"])

        assert (code, rows) == (2, [])
        assert "row 2: column mode: " in err

    def test_a_device_without_published_figures_is_not_called_unknown(self, run):
        _, _, err = run(GOOD | {"device": "Ascend 910B"})

        assert "Huawei Ascend 910B is listed, but not its GB/s" in err

    @pytest.mark.parametrize(
        ("column", "value"),
        [("Measured value", "20"), ("TPOT (ms)", "20"), ("measured_seconds", "0.02"), ("ms/token", "20")],
    )
    def test_a_measured_value_is_known_by_usual_names(self, run, column, value):
        _, (row,), err = run(GOOD | {column: value})

        assert row["measured"] == "20"
        assert "ignored" not in err

    def test_a_measured_layer_is_in_microseconds(self, run):
        _, (row,), _ = run({"device": "a100", "model": "llama-2-7b", "tokens": "64", "measured": "300"})

        assert (row["unit"], row["measured"]) == ("us", "300")

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "is empty"),
            ("device,model\n", "has no rows"),
            ("device,gpu\nh100,h100\n", "repeats"),
            ("device,model\nh100\n", "row 2: 1 cells, the header has 2"),
            ("device\nh100\n", "column model: empty"),
        ],
    )
    def test_a_broken_file_is_refused(self, tmp_path, capsys, text, said):
        path = tmp_path / "loads.csv"
        path.write_text(text, encoding="utf-8")

        assert main(["predict", str(path)]) == 2
        assert said in capsys.readouterr().err

    def test_a_missing_or_binary_file_is_refused(self, tmp_path, capsys):
        (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")

        assert main(["predict", str(tmp_path / "none.csv")]) == 2
        assert main(["predict", str(tmp_path / "binary.csv")]) == 2
        assert capsys.readouterr().err.count("cannot read") == 2

    @pytest.mark.parametrize(
        ("name", "kind", "figure", "mape"),
        [("splitwise_perf_model", "static", "per token", 12), ("vidur_layer_times", "layer", "layer", 4)],
    )
    def test_published_files_are_read_as_they_are(self, tmp_path, capsys, name, kind, figure, mape):
        lines = gzip.decompress((DATA / f"{name}.csv.gz").read_bytes()).decode().splitlines()
        path = tmp_path / "published.csv"
        path.write_text("\n".join([lines[0], *lines[1::97]]), encoding="utf-8")

        assert main(["predict", str(path)]) == 0

        out = capsys.readouterr()
        found = re.search(rf"^{figure}: MAPE ([0-9.]+)%", out.err, re.MULTILINE)
        assert {row["kind"] for row in csv.DictReader(io.StringIO(out.out))} == {kind}
        assert found and float(found[1]) < mape

    def test_reading_takes_no_numpy(self, tmp_path):
        path = write(tmp_path / "loads.csv", GOOD)
        code = "import sys; from token_standard.__main__ import main; code = main(['predict', sys.argv[1]])"
        code += "; sys.exit(code or 'numpy' in sys.modules)"

        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=False)

        assert done.returncode == 0, done.stderr
