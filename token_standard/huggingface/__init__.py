"""Cards from the files that models are published with: ``config.json`` and ``adapter_config.json``."""

from token_standard.huggingface.fields import InvalidConfig, read_json
from token_standard.huggingface.lora import with_adapter
from token_standard.huggingface.reading import Reading, config_digest, read_config

__all__ = ["InvalidConfig", "Reading", "config_digest", "read_config", "read_json", "with_adapter"]
