"""Vision towers with random weights in the shape of Qwen2-VL's, for speed and memory: what they see means nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.random_blocks import random_rows
from pyggml.gguf import FieldType, ValueType
from pyggml.gguf.encoding import Field, number_field, string_field
from pyggml.gguf.writer import OutputTensor, write_gguf
from pyggml_kernels.formats import FORMATS

_F32, _F16 = 0, 1
#: Convolutions over whole patches stay in F16: their rows are no whole blocks.
_PATCH_SIZE = 14


@dataclass(frozen=True)
class TowerShape:
    """Sizes of a Qwen2-VL's tower."""

    n_layers: int
    n_embd: int
    n_heads: int
    n_ff: int
    n_out: int


#: Qwen2-VL-2B's.
TOWER_2B = TowerShape(32, 1280, 16, 5120, 1536)


def write_random_tower(path: Path, shape: TowerShape, type_id: int, seed: int = 0) -> None:
    """Write an mmproj file whose matrices are random blocks of a format, norms leave numbers as they are."""
    random = np.random.default_rng(seed)
    tensors = [_kernel(f"v.patch_embd.weight{ending}", shape.n_embd, random) for ending in ("", ".1")]
    for name, n_rows, n_columns in _products(shape):
        rows = partial(random_rows, FORMATS[type_id], n_rows, n_columns, random)
        tensors += [OutputTensor(f"{name}.weight", type_id, (n_columns, n_rows), rows), _vector(f"{name}.bias", n_rows)]
    for name in _norms(shape):
        tensors += [_vector(f"{name}.{kind}", shape.n_embd) for kind in ("weight", "bias")]
    write_gguf(path, _metadata(shape), tensors)


def _kernel(name: str, n_rows: int, random: np.random.Generator) -> OutputTensor:
    rows = partial(random_rows, FORMATS[_F16], n_rows, 3 * _PATCH_SIZE**2, random)
    return OutputTensor(name, _F16, (_PATCH_SIZE, _PATCH_SIZE, 3, n_rows), rows)


def _vector(name: str, n: int) -> OutputTensor:
    values = np.full(n, name.endswith("weight"), np.float32)
    return OutputTensor(name, _F32, (n,), lambda: [values.view(np.uint8)])


def _products(shape: TowerShape) -> Iterator[tuple[str, int, int]]:
    for layer in range(shape.n_layers):
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            yield f"v.blk.{layer}.{name}", shape.n_embd, shape.n_embd
        yield f"v.blk.{layer}.ffn_up", shape.n_ff, shape.n_embd
        yield f"v.blk.{layer}.ffn_down", shape.n_embd, shape.n_ff
    yield "mm.0", 4 * shape.n_embd, 4 * shape.n_embd
    yield "mm.2", shape.n_out, 4 * shape.n_embd


def _norms(shape: TowerShape) -> Iterator[str]:
    for layer in range(shape.n_layers):
        yield f"v.blk.{layer}.ln1"
        yield f"v.blk.{layer}.ln2"
    yield "v.post_ln"


def _metadata(shape: TowerShape) -> dict[str, Field]:
    sizes = {
        "projection_dim": shape.n_out,
        "image_size": 560,
        "patch_size": _PATCH_SIZE,
        "embedding_length": shape.n_embd,
        "feed_forward_length": shape.n_ff,
        "block_count": shape.n_layers,
        "attention.head_count": shape.n_heads,
    }
    colours = Field(FieldType(ValueType.ARRAY, ValueType.FLOAT32), [0.5, 0.5, 0.5])
    return {
        "general.architecture": string_field("clip"),
        "general.type": string_field("mmproj"),
        "clip.has_vision_encoder": number_field(ValueType.BOOL, True),
        "clip.projector_type": string_field("qwen2vl_merger"),
        **{f"clip.vision.{key}": number_field(ValueType.UINT32, value) for key, value in sizes.items()},
        "clip.vision.attention.layer_norm_epsilon": number_field(ValueType.FLOAT32, 1e-6),
        "clip.vision.image_mean": colours,
        "clip.vision.image_std": colours,
    }
