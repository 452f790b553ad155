"""From the tensors of a language model's checkpoint to those of its GGUF file."""

import math
import re

import numpy as np
import numpy.typing as npt

from pyggml.convert.checkpoint import Checkpoint
from pyggml.convert.model_tensor import ModelTensor, arranged, computed, whole
from pyggml.convert.source import Floats, SourceTensor
from pyggml.convert.text_config import MAX_COUNT, TextConfig
from pyggml.errors import CheckpointError
from pyggml.gguf.cursor import quoted

_OUTSIDE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_INSIDE = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_LEAST_FACTOR, _LARGEST_FACTOR = 1e-3, 1e6
_NAME = re.compile(r"(?:model\.layers\.(?P<layer>\d+)\.)?(?P<module>.+)\.(?P<kind>weight|bias)")
#: Tables that old checkpoints hold and that are computed when needed.
_LEFT_OUT = (".attention.masked_bias", ".attention.bias", ".rotary_emb.inv_freq")


def text_sources(checkpoint: Checkpoint) -> dict[str, SourceTensor]:
    """The tensors of the language model by the names that they have in a checkpoint of text alone."""
    return {
        name.replace("language_model.", ""): source
        for name, source in checkpoint.tensors.items()
        if not name.startswith(("visual.", "model.visual.")) and not name.endswith(_LEFT_OUT)
    }


def text_tensors(checkpoint: Checkpoint, config: TextConfig) -> list[ModelTensor]:
    """All tensors of the model, in the order of llama.cpp's converter.

    Raises CheckpointError for a tensor that the architecture does not have, for one that is missing, and for shapes
    that do not fit config.json.
    """
    tensors = [computed("rope_freqs.weight", factors) for factors in _rope_factors(config)]
    for name, source in text_sources(checkpoint).items():
        if name == "model.embed_tokens.weight" and source.shape != (config.n_vocab, config.n_embd):
            raise CheckpointError(
                f"{source.path}: tensor {quoted(source.name)} has the shape {source.shape}; config.json tells of "
                f"{(config.n_vocab, config.n_embd)} (vocab_size, hidden_size)"
            )
        tensors.append(_tensor(_gguf_name(name, source, config), source, config))
    _check_complete(checkpoint, {tensor.name for tensor in tensors}, config)
    return tensors


def _gguf_name(name: str, source: SourceTensor, config: TextConfig) -> str:
    match = _NAME.fullmatch(name)
    if match and match["layer"] is None and match["module"] in _OUTSIDE:
        return f"{_OUTSIDE[match['module']]}.{match['kind']}"
    if match and match["layer"] and int(match["layer"]) < config.n_layers and match["module"] in _INSIDE:
        return f"blk.{int(match['layer'])}.{_INSIDE[match['module']]}.{match['kind']}"
    raise CheckpointError(
        f"{source.path}: tensor {quoted(source.name)} is none that a {config.architecture} of {config.n_layers} layers "
        "has: is config.json that of another model?"
    )


def _tensor(name: str, source: SourceTensor, config: TextConfig) -> ModelTensor:
    n_heads = {"attn_q": config.n_head, "attn_k": config.n_head_kv}.get(name.split(".")[-2])
    if n_heads is None or not config.is_rope_interleaved:
        return whole(name, source)
    n_rows = source.shape[0] if source.shape else 0
    if n_rows == 0 or n_rows % (2 * n_heads):
        raise CheckpointError(
            f"{source.path}: tensor {quoted(source.name)} has the shape {source.shape}; its first dimension must be a "
            f"multiple of {2 * n_heads}, as config.json tells of {n_heads} heads"
        )
    n_head_rows = n_rows // n_heads

    def arrange(rows: Floats) -> Floats:
        """Bring the two halves of each head, which are turned as pairs, side by side."""
        halves = rows.reshape(-1, 2, n_head_rows // 2, *rows.shape[1:])
        return halves.swapaxes(1, 2).reshape(rows.shape)

    return arranged(name, source, n_head_rows, arrange, source.shape)


def _check_complete(checkpoint: Checkpoint, found: set[str], config: TextConfig) -> None:
    inside = [f"blk.{layer}.{part}.weight" for layer in range(config.n_layers) for part in _INSIDE.values()]
    outside = ["token_embd.weight", "output_norm.weight", *([] if config.is_tied else ["output.weight"])]
    missing = [name for name in (*outside, *inside) if name not in found]
    if missing:
        raise CheckpointError(
            f"{checkpoint.folder}: {len(missing)} tensors are missing, what GGUF calls {missing[0]!r} among them: "
            "download the whole checkpoint"
        )


def _rope_factors(config: TextConfig) -> list[npt.NDArray[np.float32]]:
    """What llama.cpp divides the frequencies of Llama 3.1 and later by; none for other models.

    Slow waves are stretched by a factor, fast ones are left, and between them it goes over smoothly (Llama Team 2024,
    "The Llama 3 Herd of Models", section 3.4.2, and the code published with it).
    """
    rope = config.rope
    if rope.type_name != "llama3":
        return []
    values = rope.values
    factor, low, high = (
        values.get(key, float, default, low=_LEAST_FACTOR, high=_LARGEST_FACTOR)
        for key, default in (("factor", 8.0), ("low_freq_factor", 1.0), ("high_freq_factor", 4.0))
    )
    n_trained = values.get("original_max_position_embeddings", int, 8192, low=1, high=MAX_COUNT)
    if high <= low:
        raise values.error("high_freq_factor", f"more than the low_freq_factor {low}")
    places = np.arange(0, config.head_dim, 2, dtype=np.float32) / np.float32(config.head_dim)
    # A power in float32 has other last bits on other machines; rounded once it has those of PyTorch.
    frequencies = np.float32(1) / np.power(rope.base, places.astype(np.float64)).astype(np.float32)
    # PyTorch divides a number by a tensor so.
    waves = np.float32(1) / frequencies * np.float32(2 * math.pi)
    smooth = (np.float32(1) / waves * np.float32(n_trained) - np.float32(low)) / np.float32(high - low)
    with np.errstate(divide="ignore"):  # outside of the range that it is for
        between = np.float32(1) / ((np.float32(1) - smooth) / np.float32(factor) + smooth)
    slow = np.where(waves > np.float32(n_trained / low), np.float32(factor), between)
    return [np.where(waves < np.float32(n_trained / high), np.float32(1), slow).astype(np.float32)]
