"""GGUF files: read, with tensors as views of a memory map, and written. Whatever is unsound is a GGUFError."""

from pyggml.gguf.file import GGUFFile
from pyggml.gguf.tensors import TensorInfo
from pyggml.gguf.types import GGML_TYPES, GGMLType
from pyggml.gguf.values import FieldType, Value, ValueType

__all__ = ["GGML_TYPES", "FieldType", "GGMLType", "GGUFFile", "TensorInfo", "Value", "ValueType"]
