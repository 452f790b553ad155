"""Quantizing models: which type each tensor gets, importance, and the same bytes as llama-quantize's."""

from pyggml.quantize.choice import TypeOptions, choose_types, in_order
from pyggml.quantize.file_types import FILE_TYPES, FileType, file_type_named
from pyggml.quantize.hyperparameters import Hyperparameters, read_hyperparameters
from pyggml.quantize.importance import Importance, read_importance
from pyggml.quantize.plan import QuantizeOptions, QuantizePlan, plan_quantization
from pyggml.quantize.writing import write_quantized

__all__ = [
    "FILE_TYPES",
    "FileType",
    "Hyperparameters",
    "Importance",
    "QuantizeOptions",
    "QuantizePlan",
    "TypeOptions",
    "choose_types",
    "file_type_named",
    "in_order",
    "plan_quantization",
    "read_hyperparameters",
    "read_importance",
    "write_quantized",
]
