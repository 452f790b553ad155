"""Which tensor type llama-quantize gives to each tensor of a dense llama or qwen2 model, without importance matrix.

The wheel does not export llama_model_quantize; this stands in for it. It covers the file types in FILE_TYPES and
models below llama.cpp's size class "70B"; tests compare the outcome with counts known from llama-quantize.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pyggml_reference.library import OracleError
from pyggml_reference.quants import block_size
from pyggml_reference.structures import TensorType

Choose = Callable[[str, tuple[int, ...]], int]

# Name of the file type: its number in `general.file_type` and the type most tensors get.
FILE_TYPES: dict[str, tuple[int, TensorType]] = {
    "F32": (0, TensorType.F32),
    "F16": (1, TensorType.F16),
    "BF16": (32, TensorType.BF16),
    "Q4_0": (2, TensorType.Q4_0),
    "Q4_1": (3, TensorType.Q4_1),
    "Q5_0": (8, TensorType.Q5_0),
    "Q5_1": (9, TensorType.Q5_1),
    "Q8_0": (7, TensorType.Q8_0),
    "Q2_K": (10, TensorType.Q2_K),
    "Q3_K_S": (11, TensorType.Q3_K),
    "Q3_K_M": (12, TensorType.Q3_K),
    "Q3_K_L": (13, TensorType.Q3_K),
    "Q4_K_S": (14, TensorType.Q4_K),
    "Q4_K_M": (15, TensorType.Q4_K),
    "Q5_K_S": (16, TensorType.Q5_K),
    "Q5_K_M": (17, TensorType.Q5_K),
    "Q6_K": (18, TensorType.Q6_K),
    "IQ4_NL": (25, TensorType.IQ4_NL),
    "IQ4_XS": (30, TensorType.IQ4_XS),
}
_FALLBACK = {
    TensorType.Q2_K: TensorType.Q4_0,
    TensorType.Q3_K: TensorType.Q4_0,
    TensorType.Q4_K: TensorType.Q5_0,
    TensorType.Q5_K: TensorType.Q5_1,
    TensorType.Q6_K: TensorType.Q8_0,
    TensorType.IQ4_XS: TensorType.IQ4_NL,
}
_UNQUANTIZED = (TensorType.F32, TensorType.F16, TensorType.BF16)


@dataclass(frozen=True)
class MixtureConfig:
    """What of a model decides over tensor types; `tied` when it has no output.weight."""

    n_layers: int
    n_head: int
    n_head_kv: int
    tied: bool


def mixture(file_type: str, config: MixtureConfig) -> Choose:
    """Give the function (name, NumPy shape) -> tensor type that llama-quantize follows for a file type."""
    if file_type not in FILE_TYPES:
        raise OracleError(f"no mixture is known for {file_type!r}; known: {', '.join(FILE_TYPES)}")
    base = FILE_TYPES[file_type][1]

    def choose(name: str, shape: tuple[int, ...]) -> int:
        if base in _UNQUANTIZED:
            return base
        n_columns = shape[-1]
        chosen = _by_role(file_type, base, config, name)
        if _is_output(config, name) and n_columns % block_size(base):
            chosen = TensorType.Q8_0
        if n_columns % block_size(chosen):
            chosen = _FALLBACK.get(chosen, TensorType.F16)
        return TensorType.F16 if n_columns % block_size(chosen) else chosen

    return choose


def _is_output(config: MixtureConfig, name: str) -> bool:
    return name == ("token_embd.weight" if config.tied else "output.weight")


def _by_role(file_type: str, base: TensorType, config: MixtureConfig, name: str) -> TensorType:
    if _is_output(config, name):
        return TensorType.Q8_0 if base == TensorType.Q8_0 else TensorType.Q6_K
    parts = name.split(".")
    if parts[0] != "blk":
        return base
    layer = int(parts[1])
    if parts[2] == "attn_v":
        return _attention_value(file_type, base, config, layer)
    if parts[2] == "ffn_down":
        return _feed_forward_down(file_type, base, config, layer)
    if parts[2] == "attn_output":
        replaced = {"Q2_K": TensorType.Q3_K, "Q3_K_M": TensorType.Q4_K, "Q3_K_L": TensorType.Q5_K}
        return replaced.get(file_type, base)
    return base


def _attention_value(file_type: str, base: TensorType, config: MixtureConfig, layer: int) -> TensorType:
    grouped = config.n_head // config.n_head_kv >= 4
    match file_type:
        case "Q2_K":
            return TensorType.Q4_K if grouped else TensorType.Q3_K
        case "Q3_K_M":
            return TensorType.Q5_K if layer < 2 else TensorType.Q4_K
        case "Q3_K_L":
            return TensorType.Q5_K
        case "Q4_K_S":
            return TensorType.Q5_K if layer < 4 else base
        case "Q4_K_M" | "Q5_K_M":
            return TensorType.Q6_K if _gets_more_bits(layer, config.n_layers) else base
        case "IQ4_NL" | "IQ4_XS":
            return TensorType.Q5_K if grouped else base
    return base


def _feed_forward_down(file_type: str, base: TensorType, config: MixtureConfig, layer: int) -> TensorType:
    match file_type:
        case "Q2_K":
            return TensorType.Q3_K
        case "Q3_K_M":
            return TensorType.Q5_K if layer < config.n_layers // 16 else TensorType.Q4_K
        case "Q3_K_L":
            return TensorType.Q5_K
        case "Q4_K_S" | "IQ4_NL" | "IQ4_XS":
            return TensorType.Q5_K if layer < config.n_layers // 8 else base
        case "Q4_K_M" | "Q5_K_M":
            return TensorType.Q6_K if _gets_more_bits(layer, config.n_layers) else base
    return base


def _gets_more_bits(layer: int, n_layers: int) -> bool:
    eighth = n_layers // 8
    return layer < eighth or layer >= 7 * n_layers // 8 or (layer - eighth) % 3 == 2
