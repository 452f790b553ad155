"""Qwen2 and Qwen2.5 (Yang et al., 2024, arXiv:2407.10671): Llama with biases on queries, keys and values."""

from pyggml.models.architecture import Architecture

QWEN2 = Architecture("qwen2", rope_halves=True, attention_bias=True)
