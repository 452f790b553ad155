"""Qwen2-VL's and Qwen2.5-VL's decoder (arXiv:2409.12191, arXiv:2502.13923): Qwen2 with three positions a token."""

from pyggml.models.architecture import Architecture

QWEN2VL = Architecture("qwen2vl", rope_halves=True, attention_bias=True, has_sections=True)
