"""Models by name: the catalogue's, some more that were measured, or a Hugging Face ``config.json``."""

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from token_standard import catalogue
from token_standard.architecture import Architecture, from_json
from token_standard.errors import TokenStandardError


class UnknownModel(TokenStandardError):
    code = "unknown_model"


def shape(name: str) -> Architecture:
    """The structure of a model, by name in any usual spelling (``meta-llama/Llama-3.1-70B-Instruct-FP8``).

    :raises UnknownModel: no such name; the message lists the known ones.
    """
    found = known().get(canonical(name))
    if found is None:
        raise UnknownModel(f"unknown model {name!r}; known: {', '.join(sorted(known()))}; others by a config.json")
    return found


@cache
def known() -> Mapping[str, Architecture]:
    """Structures by canonical name."""
    by_name = {entry.name: entry.architecture for entry in catalogue.models()}
    plain = json.loads(files("token_standard").joinpath("learned/shapes.json").read_text(encoding="utf-8"))
    for entry in plain["models"]:
        by_name[entry["model"]] = by_name[entry["as"]] if "as" in entry else from_json(entry["architecture"])
    return by_name


def structure_name(name: str) -> str:
    """One name for all models of the same structure, so that a fold that leaves one out leaves all of them out.

    :raises UnknownModel: no such name.
    """
    wanted = shape(name)
    return next(each for each, architecture in known().items() if architecture == wanted)


_TUNING = (
    r"instruct|chat|thinking|hf|base|it|fp8|fp16|bf16|nvfp4|mxfp4|fp4-v2|fp4|int4|int8|w8a8|w4a16|awq|gptq|bnb-4bit|dynamic|"
    r"0528|0324|0414|v0\.\d|2507"
)


def canonical(name: str) -> str:
    """The name in the catalogue's spelling: no organisation, no tuning or number format, ``-`` between the words."""
    plain = re.sub(r"[\s_]+", "-", name.strip().lower().rsplit("/", 1)[-1])
    plain = re.sub(rf"(?<![a-z0-9])({_TUNING})(?![a-z0-9])", "", plain)
    plain = re.sub(r"-+", "-", plain).strip("-")
    plain = re.sub(r"^(meta-|meta)(?=llama)", "", plain)
    plain = re.sub(r"^llama-?(\d)", r"llama-\1", plain)
    return _SAME.get(plain, plain)


_SAME = {
    "mistral-7b": "mistral-7b-v0.1",
    "mixtral-8x7b-v0.1": "mixtral-8x7b",
    "llama-3.3-70b": "llama-3-70b",
    "llama-405b": "llama-3.1-405b",
    "deepseek-v3.1": "deepseek-v3",
    "deepseek-v3.2": "deepseek-v3",
    "minimax-m2": "minimax-m2.5",
    "minimax-m2.1": "minimax-m2.5",
    "kimi-k2": "kimi-k2.5",
    "qwen3-235b": "qwen3-235b-a22b",
    "bloom": "bloom-176b",
    "glm5": "glm-5",
    "qwen2-7b": "qwen2.5-7b",
    "qwen2-72b": "qwen2.5-72b",
    "qwq-32b": "qwen2.5-32b",
    "deepseek-r1-distill-llama-8b": "llama-3-8b",
    "deepseek-r1-distill-llama-70b": "llama-3-70b",
    "deepseek-r1-distill-qwen-32b": "qwen2.5-32b",
    "deepseek-r1-distill-qwen-14b": "qwen2.5-14b",
}
