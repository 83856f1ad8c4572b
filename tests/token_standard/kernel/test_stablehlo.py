import pytest

from token_standard.__main__ import main
from token_standard.graphs import GraphError, count_stablehlo
from token_standard.huggingface.quantised import named_format
from token_standard.version import CURRENT

# One attention layer's products, as JAX prints them, with a helper function that is called twice.
MODULE = """\
#loc = loc(unknown)
module @jit_step attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<8x32xbf16>, %arg1: tensor<32x64xbf16> {mhlo.sharding = "{replicated}"}, %arg2: tensor<64x32xf32>) -> (tensor<4x8x8xf32> {jax.result_info = "result"}) {
    %cst = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %0 = stablehlo.dot_general %arg0, %arg1, contracting_dims = [1] x [0], precision = [DEFAULT, DEFAULT] : (tensor<8x32xbf16>, tensor<32x64xbf16>) -> tensor<8x64xbf16>
    %1 = call @project(%0, %arg2) : (tensor<8x64xbf16>, tensor<64x32xf32>) -> tensor<8x32xf32>
    %2 = func.call @project(%0, %arg2) : (tensor<8x64xbf16>, tensor<64x32xf32>) -> tensor<8x32xf32>
    %3 = stablehlo.reshape %1 : (tensor<8x32xf32>) -> tensor<8x4x8xf32>
    %4 = stablehlo.reshape %2 : (tensor<8x32xf32>) -> tensor<8x4x8xf32>
    %5 = "stablehlo.dot_general"(%3, %4) <{dot_dimension_numbers = #stablehlo.dot<lhs_batching_dimensions = [1], rhs_batching_dimensions = [1], lhs_contracting_dimensions = [2], rhs_contracting_dimensions = [2]>}> : (tensor<8x4x8xf32>, tensor<8x4x8xf32>) -> tensor<4x8x8xf32>
    %6 = stablehlo.custom_call @Sharding(%5) {mhlo.sharding = "{replicated}"} : (tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
    return %6 : tensor<4x8x8xf32>
  }
  func.func private @project(%arg0: tensor<8x64xbf16>, %arg1: tensor<64x32xf32>) -> tensor<8x32xf32> {
    %0 = stablehlo.dot %arg0, %arg1 : (tensor<8x64xbf16>, tensor<64x32xf32>) -> tensor<8x32xf32>
    return %0 : tensor<8x32xf32>
  }
}
"""
LINEAR = 2 * 8 * 32 * 64 + 2 * (2 * 8 * 64 * 32)
BETWEEN = 2 * 4 * 8 * 8 * 8
ARGUMENTS, RESULTS = 8 * 32 * 2 + 32 * 64 * 2 + 64 * 32 * 4, 4 * 8 * 8 * 4


@pytest.fixture
def module(tmp_path):
    def write(text):
        path = tmp_path / "step.mlir"
        path.write_text(text)
        return path

    return write


def main_with(line):
    return f"module {{\n  func.func public @main(%arg0: tensor<4x4xf32>) -> tensor<4x4xf32> {{\n{line}\n    return %arg0 : tensor<4x4xf32>\n  }}\n}}\n"


PRODUCT = "    %0 = stablehlo.dot %arg0, %arg0 : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>"


class TestCount:
    def test_counts_products_and_bytes_by_hand(self, module):
        program = count_stablehlo(module(MODULE))

        assert (program.linear_flops, program.attention_flops, program.products) == (LINEAR, BETWEEN, 4)
        assert (program.argument_bytes, program.result_bytes) == (ARGUMENTS, RESULTS)

    def test_adds_compute_and_memory(self, module):
        program = count_stablehlo(module(MODULE))
        memory = (ARGUMENTS + RESULTS) / CURRENT.bytes_per_st

        assert program.st(named_format("fp16")) == (LINEAR + BETWEEN) / CURRENT.flops_per_st + memory
        assert program.st(named_format("fp8")) == (LINEAR // 2 + BETWEEN) / CURRENT.flops_per_st + memory

    def test_counts_a_convolution(self, module):
        line = (
            "    %0 = stablehlo.convolution(%arg0, %arg1) dim_numbers = [b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f], window = {stride = [1, 1]} "
            "{batch_group_count = 1 : i64, feature_group_count = 1 : i64} : (tensor<1x8x8x3xf32>, tensor<3x3x3x16xf32>) -> tensor<1x6x6x16xf32>"
        )

        assert count_stablehlo(module(main_with(line))).linear_flops == 2 * 6 * 6 * 16 * 3 * 3 * 3

    def test_lets_a_loop_pass_that_multiplies_nothing(self, module):
        loop = """    %c = stablehlo.constant dense<0> : tensor<i32>
    %0 = stablehlo.while(%iterArg = %c) : tensor<i32>
     cond {
      %1 = stablehlo.compare LT, %iterArg, %c : (tensor<i32>, tensor<i32>) -> tensor<i1>
      stablehlo.return %1 : tensor<i1>
    } do {
      %1 = stablehlo.add %iterArg, %c : tensor<i32>
      stablehlo.return %1 : tensor<i32>
    }"""

        assert count_stablehlo(module(main_with(loop + "\n" + PRODUCT))).linear_flops == 2 * 4 * 4 * 4


class TestRefusals:
    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("", "not a whole"),
            ("# nothing", "not a whole"),
            (MODULE.replace("public @main", "public @other"), "no function @main"),
            (MODULE.replace("@Sharding", "@__cublas$gemm"), "custom call '__cublas\\$gemm'"),
            (MODULE.replace("tensor<8x32xbf16>, tensor<32x64xbf16>)", "tensor<?x32xbf16>, tensor<32x64xbf16>)"), "fixed shape"),
            (MODULE.replace("%arg0: tensor<8x32xbf16>", "%arg0: tensor<8x?xbf16>"), "fixed shape"),
            (MODULE.replace("xbf16> {mhlo.sharding", "xstrange> {mhlo.sharding"), "strange"),
            (MODULE.replace("@project(%arg0", "@projected(%arg0"), "@project is called"),
            (main_with("    %0 = mhlo.dot %arg0, %arg0 : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>"), "mhlo.dot"),
            (main_with("    %0 = stablehlo.fft %arg0, type = FFT : tensor<4x4xf32>"), "stablehlo.fft"),
            (main_with("    %0 = call @main(%arg0) : (tensor<4x4xf32>) -> tensor<4x4xf32>"), "calls itself"),
            (
                main_with(
                    "    %0 = stablehlo.while(%i = %arg0) : tensor<4x4xf32>\n     cond {\n      stablehlo.return %i : tensor<i1>\n    } do {\n"
                    + PRODUCT.replace("%0", "%1")
                    + "\n      stablehlo.return %1 : tensor<4x4xf32>\n    }"
                ),
                "loop or branch",
            ),
        ],
    )  # fmt: skip
    def test_refuses_what_it_cannot_count(self, module, text, problem):
        with pytest.raises(GraphError, match=problem):
            count_stablehlo(module(text))

    @pytest.mark.parametrize(
        ("shapes", "problem"),
        [
            ("(tensor<f32>, tensor<3xf32>) -> tensor<3xf32>", "a product of nothing"),
            ("(tensor<2x0xf32>, tensor<0x3xf32>) -> tensor<2x3xf32>", "a product of nothing"),
            (f"(tensor<2x{'9' * 100}xf32>, tensor<3x3xf32>) -> tensor<2x3xf32>", "fixed shape"),
            (f"(tensor<2x{'9' * 5000}xf32>, tensor<3x3xf32>) -> tensor<2x3xf32>", "does not end"),
            (f"({'tensor<' * 100_000}", "does not end"),
            (f"(tensor<2x3xf32>, tensor<3x3xf32>) -> tensor<{'999999999x' * 4}f32>", "more work"),
        ],
    )
    def test_refuses_shapes_made_to_hurt(self, module, shapes, problem):
        with pytest.raises(GraphError, match=problem):
            count_stablehlo(module(main_with(f"    %0 = stablehlo.dot %arg0, %arg0 : {shapes}")))

    def test_a_custom_call_without_a_target_is_refused(self, module):
        with pytest.raises(GraphError, match="custom call ''"):
            count_stablehlo(module(main_with("    %0 = " + "stablehlo.custom_call " * 100_000)))

    def test_functions_that_call_each_other_twice_are_summed_once_each(self, module):
        chain = [
            f"  func.func private @f{i}() {{\n    call @f{i + 1}()\n    call @f{i + 1}()\n  }}\n" for i in range(60)
        ]
        last = f"  func.func private @f60() {{\n{PRODUCT}\n  }}\n"
        whole = main_with("    call @f0()").rstrip().removesuffix("}") + "".join(chain) + last + "}\n"

        assert count_stablehlo(module(whole)).products == 2**60

    def test_calls_that_nest_too_deep_are_refused(self, module):
        chain = [f"  func.func private @f{i}() {{\n    call @f{i + 1}()\n  }}\n" for i in range(3000)]
        whole = main_with("    call @f0()").rstrip().removesuffix("}") + "".join(chain) + "}\n"

        with pytest.raises(GraphError, match="nest deeper"):
            count_stablehlo(module(whole))

    def test_refuses_a_file_cut_off_at_any_line(self, module):
        lines = MODULE.splitlines(keepends=True)

        for kept in range(len(lines) - 1):
            with pytest.raises(GraphError):
                count_stablehlo(module("".join(lines[:kept])))

    def test_refuses_bytecode(self, tmp_path):
        (tmp_path / "x.mlir").write_bytes(b"ML\xefR\x0dStableHLO\xff\xfe")

        with pytest.raises(GraphError, match="bytecode"):
            count_stablehlo(tmp_path / "x.mlir")


class TestCommand:
    def test_prints_one_run(self, module, capsys):
        assert main(["estimate", str(module(MODULE)), "--input", "8"]) == 0

        out = capsys.readouterr().out
        assert f"FLOP        {LINEAR} with weights, {BETWEEN} between activations" in out
        assert "8 tokens a run" in out

    def test_does_not_invent_other_shapes(self, module, capsys):
        assert main(["estimate", str(module(MODULE)), "--input", "8", "--output", "5"]) == 2

        assert "fixed shapes" in capsys.readouterr().err
