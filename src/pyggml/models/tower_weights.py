"""A vision tower's weights: which tensors there have to be, in which shapes, and their places on a device."""

from collections.abc import Mapping
from dataclasses import dataclass

from pyggml.backend.protocol import Weight, WeightStore
from pyggml.errors import ModelError
from pyggml.gguf import GGUFFile
from pyggml.models.tower_config import TowerConfig
from pyggml.models.weights import TensorLoader, rounded
from pyggml_kernels.formats import FORMATS, Format


@dataclass(frozen=True)
class Normal:
    """A norm's weight, and its bias unless it is a root mean square norm."""

    weight: Weight
    bias: Weight | None


@dataclass(frozen=True)
class Product:
    """A matrix and the bias that is added to its products."""

    weight: Weight
    bias: Weight | None


@dataclass(frozen=True)
class TowerLayer:
    """One layer; `gate` is None in Qwen2-VL."""

    norm_1: Normal
    q: Product
    k: Product
    v: Product
    out: Product
    norm_2: Normal
    gate: Product | None
    up: Product
    down: Product


@dataclass(frozen=True)
class TowerWeights:
    """All of a tower."""

    patches: tuple[Weight, Weight]
    """For the two frames of a film; a still picture is both."""
    layers: tuple[TowerLayer, ...]
    last_norm: Normal
    merge_up: Product
    merge_down: Product


def load_tower(
    file: GGUFFile, config: TowerConfig, store: WeightStore, formats: Mapping[int, Format] = FORMATS
) -> TowerWeights:
    """Place all weights; ModelError names the tensor that is missing, misshapen or of a format that is not there."""
    loader = TensorLoader(file, store, formats)
    c, wide = config, 4 * config.n_embd
    return TowerWeights(
        patches=(
            loader.patch_kernel("v.patch_embd.weight", c.n_embd, c.patch_size),
            loader.patch_kernel("v.patch_embd.weight.1", c.n_embd, c.patch_size),
        ),
        layers=tuple(_load_layer(file, loader, c, layer) for layer in range(c.n_layers)),
        last_norm=_norm(loader, c, "v.post_ln"),
        merge_up=_product(loader, "mm.0", wide, wide),
        merge_down=_product(loader, "mm.2", c.n_out, wide),
    )


def _norm(loader: TensorLoader, config: TowerConfig, name: str) -> Normal:
    bias = None if config.is_second else loader.vector(f"{name}.bias", config.n_embd)
    return Normal(loader.vector(f"{name}.weight", config.n_embd), bias)


def _product(loader: TensorLoader, name: str, n_rows: int, n_columns: int) -> Product:
    return Product(loader.matrix(name, n_rows, n_columns), loader.bias(name, n_rows))


def _network_product(loader: TensorLoader, name: str, shape: tuple[int, int], target: tuple[int, int]) -> Product:
    """Of a network, with zeros up to a width that a GPU takes: Qwen2.5-VL's is 3,420."""
    return Product(loader.matrix(name, *shape, target), loader.lengthened_bias(name, shape[0], target[0]))


def _load_layer(file: GGUFFile, loader: TensorLoader, config: TowerConfig, layer: int) -> TowerLayer:
    name, n = f"v.blk.{layer}", config.n_embd
    up, down = f"{name}.ffn_up", f"{name}.ffn_down"
    # Files of the first converters have the two names exchanged.
    if loader.row_length(f"{down}.weight") == n:
        up, down = down, up
    n_ff = loader.row_length(f"{down}.weight")
    if not n_ff:
        raise ModelError(f"{file.path}: tensor '{name}.ffn_down.weight' is missing; the file is incomplete")
    wide = rounded(n_ff)
    return TowerLayer(
        norm_1=_norm(loader, config, f"{name}.ln1"),
        q=_product(loader, f"{name}.attn_q", n, n),
        k=_product(loader, f"{name}.attn_k", n, n),
        v=_product(loader, f"{name}.attn_v", n, n),
        out=_product(loader, f"{name}.attn_out", n, n),
        norm_2=_norm(loader, config, f"{name}.ln2"),
        gate=_network_product(loader, f"{name}.ffn_gate", (n_ff, n), (wide, n)) if config.is_second else None,
        up=_network_product(loader, up, (n_ff, n), (wide, n)),
        down=_network_product(loader, down, (n, n_ff), (n, wide)),
    )
