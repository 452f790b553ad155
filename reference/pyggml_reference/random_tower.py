"""Small vision towers of Qwen2-VL and Qwen2.5-VL with random weights, which llama.cpp loads."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from gguf import GGUFWriter

from pyggml_reference.files import add_encoded, write
from pyggml_reference.structures import TensorType

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class RandomTower:
    """The shape of a random tower."""

    is_second: bool = False
    """Qwen2.5-VL's, with windows."""
    seed: int = 0
    n_layers: int = 3
    n_embd: int = 64
    n_head: int = 4
    n_ff: int = 96
    n_out: int = 64
    patch_size: int = 14
    full_every: int = 2
    tensor_type: int = TensorType.F16
    has_exchanged_names: bool = False
    """As the first converters wrote them: ffn_up and ffn_down the wrong way round, and no width of these."""
    use_gelu: bool = False


def random_tower(path: str | os.PathLike[str], tower: RandomTower) -> None:
    """Write the tower to an mmproj file; the same `tower` gives the same bytes."""
    writer = GGUFWriter(os.fspath(path), "clip")
    writer.add_type("mmproj")
    writer.add_name(f"random tower {tower.seed}")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "qwen2.5vl_merger" if tower.is_second else "qwen2vl_merger")
    for key, value in (
        ("projection_dim", tower.n_out),
        ("image_size", 560),
        ("patch_size", tower.patch_size),
        ("embedding_length", tower.n_embd),
        ("feed_forward_length", 0 if tower.has_exchanged_names else tower.n_ff),
        ("block_count", tower.n_layers),
        ("attention.head_count", tower.n_head),
    ):
        writer.add_uint32(f"clip.vision.{key}", value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-6)
    writer.add_array("clip.vision.image_mean", [0.48, 0.46, 0.41])
    writer.add_array("clip.vision.image_std", [0.27, 0.26, 0.28])
    if tower.is_second:
        writer.add_bool("clip.use_silu", True)
        writer.add_uint32("clip.vision.n_wa_pattern", tower.full_every)
    elif tower.use_gelu:
        writer.add_bool("clip.use_gelu", True)
    for name, values in tower_tensors(tower):
        kind = tower.tensor_type if values.ndim > 1 else TensorType.F32
        if values.ndim == 2:
            add_encoded(writer, name, values, kind)
        else:
            writer.add_tensor(name, values.astype(np.float16 if kind == TensorType.F16 else np.float32))
    write(writer)


def tower_tensors(tower: RandomTower) -> Iterator[tuple[str, Floats]]:
    """The tensors by their names in the file, in its order."""
    generator, n = np.random.default_rng(tower.seed), tower.n_embd

    def normal(deviation: float, *shape: int) -> Floats:
        return (deviation * generator.standard_normal(shape)).astype(np.float32)

    def product(name: str, n_rows: int, n_columns: int) -> Iterator[tuple[str, Floats]]:
        yield f"{name}.weight", normal(1.5 / n_columns**0.5, n_rows, n_columns)
        yield f"{name}.bias", normal(0.3, n_rows)

    def norm(name: str) -> Iterator[tuple[str, Floats]]:
        yield f"{name}.weight", 1 + normal(0.1, n)
        if not tower.is_second:
            yield f"{name}.bias", normal(0.1, n)

    up, down = ("ffn_down", "ffn_up") if tower.has_exchanged_names else ("ffn_up", "ffn_down")
    size = tower.patch_size
    yield "v.patch_embd.weight", normal(0.05, n, 3, size, size)
    yield "v.patch_embd.weight.1", normal(0.05, n, 3, size, size)
    for layer in range(tower.n_layers):
        prefix = f"v.blk.{layer}"
        yield from norm(f"{prefix}.ln1")
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            yield from product(f"{prefix}.{name}", n, n)
        yield from norm(f"{prefix}.ln2")
        if tower.is_second:
            yield from product(f"{prefix}.ffn_gate", tower.n_ff, n)
        yield from product(f"{prefix}.{up}", tower.n_ff, n)
        yield from product(f"{prefix}.{down}", n, tower.n_ff)
    yield from norm("v.post_ln")
    yield from product("mm.0", 4 * n, 4 * n)
    yield from product("mm.2", tower.n_out, 4 * n)
