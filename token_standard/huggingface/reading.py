"""From a ``config.json`` to a card."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from token_standard.architecture import Architecture
from token_standard.cards import Card
from token_standard.huggingface.families import NESTED
from token_standard.huggingface.fields import Fields, InvalidConfig, read_json
from token_standard.huggingface.quantised import format_name, named_format
from token_standard.huggingface.structure import architecture

_VOLATILE = {"_name_or_path", "transformers_version"}  # say where a file was and who wrote it, not what the model is


@dataclass(frozen=True)
class Reading:
    """What a configuration says. ``notes`` are what a reader of the card should know and the numbers do not show."""

    name: str
    digest: str
    architecture: Architecture
    format: str
    tied: bool  # embedding and output matrix are one: no effect on cost, one matrix fewer to store
    notes: tuple[str, ...]

    @property
    def parameters(self) -> int:
        """Elements stored, with the one matrix where two are tied."""
        return self.architecture.parameters - (self.architecture.head_weights if self.tied else 0)

    @property
    def approximate(self) -> bool:
        """Whether measurement could move the card: routed experts, sparse or linear attention, without a correction."""
        shape = self.architecture
        return any(part is not None for part in (shape.experts, shape.sparse, shape.linear))

    def card(self, form: str | None = None) -> Card:
        """The card, in the format of the configuration or another.

        :raises InvalidConfig: no such format.
        """
        return Card(
            model=self.name,
            architecture=self.architecture,
            format=named_format(form or self.format),
            evidence=f"structure from config.json sha256:{self.digest}",
            provisional=self.approximate,
        )


def read_config(path: str | Path, *, name: str = "") -> Reading:
    """Read a ``config.json``; the model is called ``name``, or after the file's own name for it, or its folder.

    :raises InvalidConfig: the file, or one of its fields, gives no card; the message names the field.
    """
    plain = read_json(path)
    given = plain.get("_name_or_path")
    called = name or (given.rstrip("/").rpartition("/")[2] if isinstance(given, str) else "")
    return read(plain, name=called or Path(path).resolve().parent.name or "model")


def read(plain: Mapping[str, Any], *, name: str) -> Reading:
    """The same from an object already parsed.

    :raises InvalidConfig: see :func:`read_config`.
    """
    inner, nested = _language_model(plain)
    try:
        shape = architecture(inner)
    except InvalidConfig as error:
        if nested and error.field:
            raise InvalidConfig(error.problem, field=f"{nested}.{error.field}") from error
        raise
    tied = Fields(inner).flag("tie_word_embeddings", default=Fields(plain).flag("tie_word_embeddings", default=False))
    form = format_name(inner if "quantization_config" in inner else plain)
    return Reading(name, config_digest(plain), shape, form, tied, tuple(_notes(plain, inner, nested, shape)))


def config_digest(plain: Mapping[str, Any]) -> str:
    """SHA-256 of the configuration in one spelling: sorted keys, no spaces, ASCII, without file names and versions."""
    kept = {name: value for name, value in plain.items() if name not in _VOLATILE}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _language_model(plain: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """The object that describes the language model, and the name it is nested under."""
    for name in NESTED:
        if name in plain:
            inner = plain[name]
            if not isinstance(inner, dict):
                raise InvalidConfig("must be an object", field=name)
            return inner, name
    encoders = ("vision_config", "audio_config")
    return {key: value for key, value in plain.items() if key not in encoders}, ""


def _notes(plain: Mapping[str, Any], inner: Mapping[str, Any], nested: str, shape: Architecture) -> list[str]:
    notes = []
    if nested or "vision_config" in plain or "audio_config" in plain:
        notes.append("multimodal: the language model alone is counted; encoders come on top")
    if inner.get("num_nextn_predict_layers") or inner.get("mtp_num_hidden_layers"):
        notes.append("has layers for speculative decoding: only delivered tokens count, so they are left out")
    quantised = inner.get("quantization_config", plain.get("quantization_config"))
    if isinstance(quantised, dict) and (quantised.get("modules_to_not_convert") or quantised.get("ignore")):
        notes.append("some modules keep 16 bits: counted in the width of the others, so bytes are a lower bound")
    if inner.get("model_type") == "llama4_text" and shape.windows:
        notes.append("chunked attention is counted as a window: an upper bound")
    if shape.linear:
        notes.append("states of linear attention count in the bytes of keys and values; many engines keep 32 bits")
    if shape.experts:
        notes.append("routed experts without a measured correction")
    return notes
