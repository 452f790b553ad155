"""Measuring speed as llama-bench does: the same tests, the same figures, the same columns."""

from pyggml.bench.cases import BenchCase, BenchGrid, BenchSetup
from pyggml.bench.printers import PRINTERS, Printer
from pyggml.bench.result import BenchResult
from pyggml.bench.running import RunOptions, run_cases
from pyggml.bench.summary import ModelSummary, summarize_model

__all__ = [
    "PRINTERS",
    "BenchCase",
    "BenchGrid",
    "BenchResult",
    "BenchSetup",
    "ModelSummary",
    "Printer",
    "RunOptions",
    "run_cases",
    "summarize_model",
]
