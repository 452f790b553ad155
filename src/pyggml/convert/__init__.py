"""Checkpoints of Hugging Face to GGUF files, with the metadata and bytes of llama.cpp's convert_hf_to_gguf.py."""

from pyggml.convert.checkpoint import Checkpoint, open_checkpoint
from pyggml.convert.conversion import ConvertOptions, plan_conversion
from pyggml.convert.shards import ShardLimits
from pyggml.convert.storing import OUTPUT_TYPES, OutputType

__all__ = [
    "OUTPUT_TYPES",
    "Checkpoint",
    "ConvertOptions",
    "OutputType",
    "ShardLimits",
    "open_checkpoint",
    "plan_conversion",
]
