"""Llama (Touvron et al., 2023, arXiv:2302.13971), and all models that GGUF files call `llama`."""

from pyggml.models.architecture import Architecture

# GGUF files hold Llama's query and key weights permuted, so that rotary pairs are neighbours.
LLAMA = Architecture("llama", rope_halves=False, attention_bias=False)
