"""Measuring models on texts: perplexity, divergence from a base model, and the importance of weights."""

from pyggml.evaluate.base_file import BaseFile, BaseFileWriter
from pyggml.evaluate.chunks import Chunks, chunk_bos, cut_chunks, strided_chunks
from pyggml.evaluate.divergence import Comparison, Measured, Statistics, measure_divergence
from pyggml.evaluate.importance import ImportanceMatrix, measure_importance
from pyggml.evaluate.perplexity import Estimate, measure_perplexity

__all__ = [
    "BaseFile",
    "BaseFileWriter",
    "Chunks",
    "Comparison",
    "Estimate",
    "ImportanceMatrix",
    "Measured",
    "Statistics",
    "chunk_bos",
    "cut_chunks",
    "measure_divergence",
    "measure_importance",
    "measure_perplexity",
    "strided_chunks",
]
