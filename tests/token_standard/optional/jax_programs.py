"""StableHLO against JAX's own count, `make test-jax`: the same FLOPs within 1 % for a decoder layer and a convolution.

JAX counts elementwise work too, so it is never below; JAX stays out of the hashed requirements.
"""

import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp

from token_standard.graphs import GraphError, count_stablehlo

HIDDEN, HEADS, KV_HEADS, HEAD, WIDTH, WORDS = 512, 8, 4, 64, 1376, 4000
CLOSE = 0.01


def decoder(weights, words):
    """Two layers of a Llama with grouped-query attention, over a whole prompt."""
    x = weights["embed"][words]
    for layer in weights["layers"]:
        x = x + attention(layer, x)
        gate, up = jnp.matmul(x, layer["gate"]), jnp.matmul(x, layer["up"])
        x = x + jnp.matmul(jax.nn.silu(gate) * up, layer["down"])
    return jnp.matmul(x, weights["head"])


def attention(layer, x):
    batch, length, _ = x.shape
    q = jnp.matmul(x, layer["q"]).reshape(batch, length, HEADS, HEAD)
    k, v = (jnp.matmul(x, layer[name]).reshape(batch, length, KV_HEADS, HEAD) for name in ("k", "v"))
    k, v = (jnp.repeat(each, HEADS // KV_HEADS, axis=2) for each in (k, v))
    scores = jax.nn.softmax(jnp.einsum("bqhd,bkhd->bhqk", q, k) / HEAD**0.5, axis=-1)
    mixed = jnp.einsum("bhqk,bkhd->bqhd", scores, v).reshape(batch, length, HEADS * HEAD)
    return jnp.matmul(mixed, layer["o"])


def shapes():
    def of(*sizes):
        return jax.ShapeDtypeStruct(sizes, jnp.float32)

    layer = {
        "q": of(HIDDEN, HEADS * HEAD), "k": of(HIDDEN, KV_HEADS * HEAD), "v": of(HIDDEN, KV_HEADS * HEAD),
        "o": of(HEADS * HEAD, HIDDEN), "gate": of(HIDDEN, WIDTH), "up": of(HIDDEN, WIDTH), "down": of(WIDTH, HIDDEN),
    }  # fmt: skip
    return {"embed": of(WORDS, HIDDEN), "layers": [layer, layer], "head": of(HIDDEN, WORDS)}


def convolution(image, kernel):
    return jax.lax.conv_general_dilated(image, kernel, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def scanned(matrix):
    return jax.lax.scan(lambda x, _: (x @ matrix, None), matrix, None, length=5)[0]


def count(lowered):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "program.mlir"
        path.write_text(lowered.as_text())
        return count_stablehlo(path)


def main():
    words = jax.ShapeDtypeStruct((1, 128), jnp.int32)
    image, kernel = (
        jax.ShapeDtypeStruct((2, 64, 64, 16), jnp.float32),
        jax.ShapeDtypeStruct((5, 5, 16, 64), jnp.float32),
    )
    failed = False
    for name, lowered in {
        "decoder": jax.jit(decoder).lower(shapes(), words),
        "convolution": jax.jit(convolution).lower(image, kernel),
    }.items():
        program, theirs = count(lowered), lowered.cost_analysis()["flops"]
        ours = program.linear_flops + program.attention_flops
        good = 0 <= theirs / ours - 1 <= CLOSE
        failed |= not good
        print(f"{name}: ours {ours}, JAX {theirs:.0f}, ratio {theirs / ours:.4f} {'ok' if good else 'WRONG'}")
    try:
        count(jax.jit(scanned).lower(jax.ShapeDtypeStruct((64, 64), jnp.float32)))
        failed = True
        print("scan: counted, but should be refused WRONG")
    except GraphError as refused:
        print(f"scan: refused ok ({str(refused).rpartition('/')[2]})")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
