"""Number formats as servers name them: bytes of a weight and of a key/value element, and the arithmetic used."""

import re
from dataclasses import dataclass

from token_standard.errors import TokenStandardError


class UnknownFormat(TokenStandardError):
    code = "unknown_format"


@dataclass(frozen=True)
class ServedFormat:
    """``w`` and ``v`` in bytes; ``arithmetic`` is what matrices are multiplied in; ``pi`` the card's discount."""

    name: str
    arithmetic: str
    w: float
    v: float
    pi: int


_FORMATS = {
    "fp16": ServedFormat("fp16", "fp16", 2.0, 2.0, 1),
    "int8": ServedFormat("int8", "fp8", 1.0, 2.0, 2),
    "fp8": ServedFormat("fp8", "fp8", 1.0, 1.0, 2),
    "fp4": ServedFormat("fp4", "fp4", 0.5625, 1.0, 4),
    "int4": ServedFormat("int4", "fp16", 0.5625, 2.0, 1),
}
_SPELLINGS = {
    "fp16": (
        "fp16",
        "bf16",
        "float16",
        "bfloat16",
        "half",
        "f16",
        "16bit",
        "w16a16",
        "auto",
        "none",
        "torchfloat16",
        "torchbfloat16",
    ),
    "int8": ("int8", "w8a8int8", "smoothquant"),
    "fp8": ("fp8", "fp8block", "fp8e4m3", "e4m3", "w8a8", "w8a8fp8", "fp8static", "fp8dynamic"),
    "fp4": ("fp4", "nvfp4", "mxfp4", "w4a4"),
    "int4": (
        "int4",
        "int4wo",
        "w4a16",
        "awq",
        "gptq",
        "4bit",
        "w4afp16",
        "awqmarlin",
        "gptqmarlin",
        "awqint4",
        "gptqint4",
    ),
}
_BY_SPELLING = {spelling: _FORMATS[name] for name, spellings in _SPELLINGS.items() for spelling in spellings}


def served_format(name: str) -> ServedFormat:
    """The format of this name, e.g. ``bf16``, ``fp8_block`` or ``nvfp4``.

    :raises UnknownFormat: no such name; the message lists the known ones.
    """
    found = _BY_SPELLING.get(re.sub(r"[^a-z0-9]", "", name.lower()))
    if found is None:
        raise UnknownFormat(f"unknown format {name!r}; known: {', '.join(sorted(_BY_SPELLING))}")
    return found
