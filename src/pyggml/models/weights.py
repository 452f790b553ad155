"""A decoder's weights: which tensors there have to be, in which shapes, and their places on devices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml.backend.overrides import TensorOverride
from pyggml.backend.protocol import Weight, WeightStore
from pyggml.errors import ModelError
from pyggml.gguf import GGUFFile
from pyggml.models.config import DecoderConfig
from pyggml_kernels.formats import FORMATS, Format

#: The matrices of a layer, in the order of their products.
_MATRICES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
#: See `rounded`.
_MULTIPLE = 8


@dataclass(frozen=True)
class LayerWeights:
    """One layer, named as in the file."""

    attn_norm: Weight
    attn_q: Weight
    attn_k: Weight
    attn_v: Weight
    attn_output: Weight
    ffn_norm: Weight
    ffn_gate: Weight
    ffn_up: Weight
    ffn_down: Weight
    attn_q_bias: Weight | None
    attn_k_bias: Weight | None
    attn_v_bias: Weight | None
    attn_output_bias: Weight | None
    ffn_gate_bias: Weight | None
    ffn_up_bias: Weight | None
    ffn_down_bias: Weight | None


@dataclass(frozen=True)
class DecoderWeights:
    """All of a decoder; `output` is the embedding table itself where the file ties them."""

    token_embd: Weight
    layers: tuple[LayerWeights, ...]
    output_norm: Weight
    output: Weight
    output_bias: Weight | None
    rope_factors: npt.NDArray[np.float32] | None
    """What each rotary pair's angle is divided by, (key_size / 2,), in files of Llama 3.1 and later."""
    output_name: str
    """The name of `output` in the file."""

    def matrices(self) -> dict[str, Weight]:
        """The weights that activations are multiplied with, by their names in the file."""
        layers = {
            f"blk.{index}.{matrix}.weight": getattr(layer, matrix)
            for index, layer in enumerate(self.layers)
            for matrix in _MATRICES
        }
        return {**layers, self.output_name: self.output}


class TensorLoader:
    """Tensors of a file, checked against the shape the hyperparameters ask for, and placed on a device, or where the
    first override that takes their name says; tables stay with the device."""

    def __init__(
        self,
        file: GGUFFile,
        store: WeightStore,
        formats: Mapping[int, Format],
        overrides: Sequence[TensorOverride[Any]] = (),
    ) -> None:
        self._file = file
        self._store = store
        self._formats = formats
        self._overrides = overrides

    def _store_of(self, name: str) -> WeightStore:
        return next((override for override in self._overrides if override.takes(name)), self._store)

    def _checked(self, name: str, shape: tuple[int, ...]) -> tuple[npt.NDArray[np.uint8], int]:
        """A tensor's bytes and type, if it has this shape (the length of a row first) and a format that is known."""
        if name not in self._file.tensors:
            raise ModelError(
                f"{self._file.path}: tensor {name!r} is missing; the file is incomplete, or not of the architecture"
                f" that it names"
            )
        info = self._file.tensors[name]
        found = info.shape if len(info.shape) == len(shape) else (*info.shape, *[1] * (len(shape) - len(info.shape)))
        if tuple(found) != shape:
            raise ModelError(
                f"{info.path}: tensor {name!r} has shape {list(info.shape)}; the file's metadata ask for {list(shape)}"
            )
        if info.own_type and info.type_id not in self._formats:
            raise ModelError(
                f"{info.path}: tensor {name!r} has the format {info.type_name}, which is none of ggml's: load the file "
                "that defines it with --format-file, in Python with formats="
            )
        if info.type_id not in self._formats:
            supported = ", ".join(each.name for each in self._formats.values())
            raise ModelError(f"{info.path}: tensor {name!r} has type {info.type_name}; supported types: {supported}")
        return self._file.tensor_bytes(name), info.type_id

    def matrix(self, name: str, n_rows: int, n_columns: int, target: tuple[int, int] | None = None) -> Weight:
        """A matrix that has to be there, with rows and columns of zeros up to a target."""
        full = f"{name}.weight"
        data, type_id = self._checked(full, (n_columns, n_rows))
        data, shape = _lengthened(data, (n_rows, n_columns), target)
        placed = self._store_of(full).matrix(data, type_id, *shape)
        self._file.release(full)
        return placed

    def table(self, name: str, n_rows: int, n_columns: int) -> Weight:
        """A matrix that has to be there, whose rows are looked up."""
        data, type_id = self._checked(f"{name}.weight", (n_columns, n_rows))
        return self._store.table(data, type_id, n_rows, n_columns)

    def patch_kernel(self, name: str, n_rows: int, size: int) -> Weight:
        """A convolution over whole patches of three colours, as the matrix that a patch is multiplied with, with
        columns of zeros up to a multiple of 8."""
        data, type_id = self._checked(name, (size, size, 3, n_rows))
        n_columns = 3 * size * size
        data, shape = _lengthened(data, (n_rows, n_columns), (n_rows, rounded(n_columns)))
        return self._store.matrix(data, type_id, *shape)

    def row_length(self, name: str) -> int:
        """Numbers in a row of a tensor; 0 if there is none."""
        return self._file.tensors[name].shape[0] if name in self._file.tensors else 0

    def vector(self, name: str, n: int, beside: str | None = None) -> Weight:
        """A vector that has to be there, where the tensor that is named lies; names with their endings."""
        data, type_id = self._checked(name, (n,))
        return self._store_of(beside or name).vector(data, type_id, n)

    def bias(self, name: str, n: int, *, required: bool = False, matrix: str | None = None) -> Weight | None:
        """A bias, beside its matrix, or None where the file has none and need not."""
        full = f"{name}.bias"
        return self.vector(full, n, f"{matrix or name}.weight") if required or full in self._file.tensors else None

    def lengthened_bias(self, name: str, n: int, target: int) -> Weight | None:
        """A bias with zeros up to a target, or None where the file has none."""
        full = f"{name}.bias"
        if full not in self._file.tensors:
            return None
        data, type_id = self._checked(full, (n,))
        data, _ = _lengthened(data, (1, n), (1, target))
        return self._store.vector(data, type_id, target)

    def floats(self, name: str, n: int) -> npt.NDArray[np.float32] | None:
        """A vector as numbers, or None where the file has none."""
        if name not in self._file.tensors:
            return None
        data, type_id = self._checked(name, (n,))
        return self._formats[type_id].dequantize(data)


def rounded(n: int) -> int:
    """The multiple of 8 that a size is brought to with zeros: a GPU reads 16 bytes at once."""
    return -(-n // _MULTIPLE) * _MULTIPLE


def _lengthened(
    data: npt.NDArray[np.uint8], shape: tuple[int, int], target: tuple[int, int] | None
) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
    """A matrix with rows and columns of zeros up to a target; rows of blocks cannot be lengthened."""
    if target is None or target == shape:
        return data, shape
    rows = data.reshape(shape[0], -1)
    n_bytes = rows.shape[1] * target[1] // shape[1]
    return np.pad(rows, ((0, target[0] - shape[0]), (0, n_bytes - rows.shape[1]))).reshape(-1), target


def load_weights(
    file: GGUFFile,
    config: DecoderConfig,
    stores: Sequence[WeightStore],
    formats: Mapping[int, Format] = FORMATS,
    overrides: Sequence[TensorOverride[Any]] = (),
) -> DecoderWeights:
    """Place all weights, with a store for each layer and a last one for the output, unless an override takes them;
    ModelError names the tensor that is missing, misshapen or of a format that is not there."""
    loaders = [TensorLoader(file, store, formats, overrides) for store in stores]
    first, last = loaders[0], loaders[-1]
    output = "output" if "output.weight" in file.tensors else "token_embd"
    return DecoderWeights(
        token_embd=first.table("token_embd", config.n_vocab, config.n_embd),
        layers=tuple(_load_layer(loader, config, layer) for layer, loader in enumerate(loaders[: config.n_layers])),
        output_norm=last.vector("output_norm.weight", config.n_embd),
        output=last.matrix(output, config.n_vocab, config.n_embd),
        output_bias=last.bias("output", config.n_vocab, matrix=output),
        rope_factors=first.floats("rope_freqs.weight", config.rope.n_dims // 2),
        output_name="output.weight" if "output.weight" in file.tensors else "token_embd.weight",
    )


def _load_layer(loader: TensorLoader, config: DecoderConfig, layer: int) -> LayerWeights:
    name = f"blk.{layer}"
    c, biased = config, config.architecture.attention_bias
    n_q, n_k, n_v = c.n_heads * c.key_size, c.n_kv_heads * c.key_size, c.n_kv_heads * c.value_size
    return LayerWeights(
        attn_norm=loader.vector(f"{name}.attn_norm.weight", c.n_embd),
        attn_q=loader.matrix(f"{name}.attn_q", n_q, c.n_embd),
        attn_k=loader.matrix(f"{name}.attn_k", n_k, c.n_embd),
        attn_v=loader.matrix(f"{name}.attn_v", n_v, c.n_embd),
        attn_output=loader.matrix(f"{name}.attn_output", c.n_embd, c.n_heads * c.value_size),
        ffn_norm=loader.vector(f"{name}.ffn_norm.weight", c.n_embd),
        ffn_gate=loader.matrix(f"{name}.ffn_gate", c.n_ff, c.n_embd),
        ffn_up=loader.matrix(f"{name}.ffn_up", c.n_ff, c.n_embd),
        ffn_down=loader.matrix(f"{name}.ffn_down", c.n_embd, c.n_ff),
        attn_q_bias=loader.bias(f"{name}.attn_q", n_q, required=biased),
        attn_k_bias=loader.bias(f"{name}.attn_k", n_k, required=biased),
        attn_v_bias=loader.bias(f"{name}.attn_v", n_v, required=biased),
        attn_output_bias=loader.bias(f"{name}.attn_output", c.n_embd),
        ffn_gate_bias=loader.bias(f"{name}.ffn_gate", c.n_ff),
        ffn_up_bias=loader.bias(f"{name}.ffn_up", c.n_ff),
        ffn_down_bias=loader.bias(f"{name}.ffn_down", c.n_embd),
    )
