"""Model files with random weights in the shapes of Qwen2.5 and Qwen2-VL, for speed and memory: what they say means
nothing.

Each tensor has the type that llama-quantize would choose, and is written as random blocks at once, so that a file of
any size needs little memory and no floats.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.errors import BenchmarkError
from benchmarks.random_blocks import random_rows
from pyggml.gguf import FieldType, TensorInfo, Value, ValueType
from pyggml.gguf.encoding import Field, number_field, string_field
from pyggml.gguf.writer import Chunks, OutputTensor, write_gguf
from pyggml.quantize import FileType, Hyperparameters, TypeOptions, choose_types, file_type_named, in_order
from pyggml.quantize.choice import requires_importance
from pyggml.quantize.file_types import FLOAT_TYPES
from pyggml.quantize.plan import FILE_TYPE_KEY, QUANTIZATION_VERSION, VERSION_KEY
from pyggml_kernels.formats import FORMATS

_NORMAL_TOKEN, _UNUSED_TOKEN = 1, 5
_F32, _F16 = 0, 1


@dataclass(frozen=True)
class Shape:
    """Sizes of a Qwen2 model; if tied, the embedding table is also the output matrix.

    With `sections`, of rotary pairs, it is the decoder of a Qwen2-VL.
    """

    n_layers: int
    n_embd: int
    n_heads: int
    n_kv_heads: int
    n_ff: int
    n_vocab: int = 151936
    is_tied: bool = True
    sections: tuple[int, ...] = ()

    @property
    def architecture(self) -> str:
        """The name in files."""
        return "qwen2vl" if self.sections else "qwen2"


SHAPES = {
    "0.5B": Shape(24, 896, 14, 2, 4864),
    "1.5B": Shape(28, 1536, 12, 2, 8960),
    "3B": Shape(36, 2048, 16, 2, 11008),
    "7B": Shape(28, 3584, 28, 4, 18944, 152064, is_tied=False),
    "14B": Shape(48, 5120, 40, 8, 13824, 152064, is_tied=False),
    "32B": Shape(64, 5120, 40, 8, 27648, 152064, is_tied=False),
    "72B": Shape(80, 8192, 64, 8, 29568, 152064, is_tied=False),
    "VL-2B": Shape(28, 1536, 12, 2, 8960, sections=(16, 24, 24, 0)),
}


def write_random_model(path: Path, shape: Shape, file_type_name: str, seed: int = 0) -> None:
    """Write a model whose matrices are random blocks.

    Raises QuantizeError for a file type that does not exist, BenchmarkError if the disk has no room for the file,
    GGUFError if it cannot be written.
    """
    file_type = file_type_named(file_type_name)
    random = np.random.default_rng(seed)
    tensors = [_output(info, random) for info in _typed_tensors(path, shape, file_type)]
    _check_room(path, sum(each.n_bytes for each in tensors))
    write_gguf(path, _metadata(shape, file_type), tensors)


def _check_room(path: Path, n_bytes: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if n_bytes > free:
        raise BenchmarkError(
            f"{path}: the model takes {n_bytes / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free there; choose"
            " another folder with --models, fewer --layers, or a smaller --shape or --format"
        )


def _output(info: TensorInfo, random: np.random.Generator) -> OutputTensor:
    chunks = partial(_matrix_chunks, info, random) if len(info.shape) > 1 else partial(_vector_chunks, info)
    return OutputTensor(info.name, info.type_id, info.shape, chunks)


def _matrix_chunks(info: TensorInfo, random: np.random.Generator) -> Chunks:
    n_columns, n_rows = info.shape
    return random_rows(FORMATS[info.type_id], n_rows, n_columns, random)


def _vector_chunks(info: TensorInfo) -> Chunks:
    """Norms leave numbers as they are, biases add nothing."""
    return [np.full(info.shape, info.name.endswith("weight"), np.float32).view(np.uint8)]


def _typed_tensors(path: Path, shape: Shape, file_type: FileType) -> list[TensorInfo]:
    """Matrices, then vectors, with their types."""
    tensors = [TensorInfo(name, _F16, (n_columns, n_rows), 0, path) for name, n_rows, n_columns in _matrices(shape)]
    tensors += [TensorInfo(name, _F32, (n,), 0, path) for name, n in _vectors(shape)]
    model = Hyperparameters(shape.architecture, shape.n_layers, shape.n_heads, shape.n_kv_heads)
    options = TypeOptions(has_importance=requires_importance("blk.0.ffn_up.weight", file_type.base, file_type))
    chosen = choose_types(in_order(tensors), model, file_type, options)
    return [TensorInfo(each.name, chosen[each.name].type_id, each.shape, 0, path) for each in tensors]


def _matrices(shape: Shape) -> Iterator[tuple[str, int, int]]:
    head_size = shape.n_embd // shape.n_heads
    n_kv = shape.n_kv_heads * head_size
    yield "token_embd.weight", shape.n_vocab, shape.n_embd
    if not shape.is_tied:
        yield "output.weight", shape.n_vocab, shape.n_embd
    for layer in range(shape.n_layers):
        for name, n_rows, n_columns in (
            ("attn_q", shape.n_embd, shape.n_embd),
            ("attn_k", n_kv, shape.n_embd),
            ("attn_v", n_kv, shape.n_embd),
            ("attn_output", shape.n_embd, shape.n_embd),
            ("ffn_gate", shape.n_ff, shape.n_embd),
            ("ffn_up", shape.n_ff, shape.n_embd),
            ("ffn_down", shape.n_embd, shape.n_ff),
        ):
            yield f"blk.{layer}.{name}.weight", n_rows, n_columns


def _vectors(shape: Shape) -> Iterator[tuple[str, int]]:
    n_kv = shape.n_kv_heads * (shape.n_embd // shape.n_heads)
    yield "output_norm.weight", shape.n_embd
    for layer in range(shape.n_layers):
        yield f"blk.{layer}.attn_norm.weight", shape.n_embd
        yield f"blk.{layer}.ffn_norm.weight", shape.n_embd
        yield f"blk.{layer}.attn_q.bias", shape.n_embd
        yield f"blk.{layer}.attn_k.bias", n_kv
        yield f"blk.{layer}.attn_v.bias", n_kv


def _metadata(shape: Shape, file_type: FileType) -> dict[str, Field]:
    """What names the file type is added where llama-quantize would have written the file."""
    sizes = {
        "block_count": shape.n_layers,
        "context_length": 32768,
        "embedding_length": shape.n_embd,
        "feed_forward_length": shape.n_ff,
        "attention.head_count": shape.n_heads,
        "attention.head_count_kv": shape.n_kv_heads,
    }
    name = shape.architecture
    metadata = {
        "general.architecture": string_field(name),
        **{f"{name}.{key}": number_field(ValueType.UINT32, value) for key, value in sizes.items()},
        f"{name}.rope.freq_base": number_field(ValueType.FLOAT32, 1e6),
        f"{name}.attention.layer_norm_rms_epsilon": number_field(ValueType.FLOAT32, 1e-6),
        **_tokenizer(shape.n_vocab),
    }
    if shape.sections:
        metadata[f"{name}.rope.dimension_sections"] = _array(ValueType.INT32, list(shape.sections))
    if file_type.base not in FLOAT_TYPES:
        metadata[VERSION_KEY] = number_field(ValueType.UINT32, QUANTIZATION_VERSION)
        metadata[FILE_TYPE_KEY] = number_field(ValueType.UINT32, file_type.number)
    return metadata


def _tokenizer(n_vocab: int) -> dict[str, Field]:
    """Single bytes, and names that no text contains for the rest of the vocabulary."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}
    n_unused = n_vocab - 256
    tokens: list[Value] = [*(letters[byte] for byte in range(256)), *(f"<|unused {i}|>" for i in range(n_unused))]
    types: list[Value] = [*[_NORMAL_TOKEN] * 256, *[_UNUSED_TOKEN] * n_unused]
    return {
        "tokenizer.ggml.model": string_field("gpt2"),
        "tokenizer.ggml.pre": string_field("qwen2"),
        "tokenizer.ggml.tokens": _array(ValueType.STRING, tokens),
        "tokenizer.ggml.token_type": _array(ValueType.INT32, types),
        "tokenizer.ggml.merges": _array(ValueType.STRING, ["a b"]),
        "tokenizer.ggml.eos_token_id": number_field(ValueType.UINT32, n_vocab - 1),
    }


def _array(element: ValueType, values: list[Value]) -> Field:
    return Field(FieldType(ValueType.ARRAY, element), values)
