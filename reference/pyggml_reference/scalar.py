"""A plain float64 transformer of the llama and qwen2 kind in NumPy: no cache, no quantization, no speed.

It shows what the exact numbers would be, and it shares no code with pyggml or llama.cpp. Weights carry their GGUF
names. Papers: RMSNorm (Zhang and Sennrich 2019), RoPE (Su et al. 2021), grouped-query attention (Ainslie et al. 2023),
SwiGLU (Shazeer 2020), YaRN (Peng et al. 2023).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Weights = Mapping[str, Array]


@dataclass(frozen=True)
class ScalarConfig:
    """The hyperparameters of a model; the number of layers, widths and biases follow from its weights."""

    n_head: int
    n_head_kv: int
    head_size: int
    epsilon: float
    rope_mode: Literal["norm", "neox"]  # pairs are neighbours, or half a head apart
    rope_freq_base: float = 10000.0
    rope_scaling: Literal["none", "linear", "yarn"] = "none"
    rope_factor: float = 1.0  # how many times longer the context became
    rope_attn_factor: float = 1.0
    n_ctx_original: int = 0  # of training before YaRN
    yarn_beta_fast: float = 32.0
    yarn_beta_slow: float = 1.0


def logits(config: ScalarConfig, weights: Weights, tokens: Sequence[int]) -> Array:
    """Compute the logits at every position. Shape (n, n_vocab).

    Without "output.weight" the token embedding is the output matrix too.
    """
    x = residual_stream(config, weights, tokens)[-1]
    x = _rms_norm(x, weights["output_norm.weight"], config.epsilon)
    head = weights.get("output.weight", weights["token_embd.weight"])
    result = x @ head.T
    return result + weights["output.bias"] if "output.bias" in weights else result


def residual_stream(config: ScalarConfig, weights: Weights, tokens: Sequence[int]) -> Array:
    """Compute the stream before the first layer and after each one. Shape (n_layers + 1, n, n_embd)."""
    x = weights["token_embd.weight"][np.asarray(tokens)]  # (n, n_embd)
    stream = [x]
    while f"blk.{len(stream) - 1}.attn_norm.weight" in weights:
        layer = f"blk.{len(stream) - 1}"
        x = x + _attention(config, weights, layer, _rms_norm(x, weights[f"{layer}.attn_norm.weight"], config.epsilon))
        x = x + _feed_forward(weights, layer, _rms_norm(x, weights[f"{layer}.ffn_norm.weight"], config.epsilon))
        stream.append(x)
    return np.stack(stream)


def rope_angles(config: ScalarConfig, n: int, factors: Array | None = None) -> tuple[Array, float]:
    """Give the rotation of each pair at positions 0 to n - 1, (n, head_size / 2), and the scale of the rotated pairs.

    `factors` (head_size / 2,) divide the frequencies, as the tensor "rope_freqs.weight" of Llama 3 does.
    """
    n_pairs = config.head_size // 2
    frequency = config.rope_freq_base ** (-np.arange(n_pairs) / n_pairs)
    extrapolated = np.arange(n)[:, None] * (frequency if factors is None else frequency / factors)
    if config.rope_scaling == "none":
        return extrapolated, config.rope_attn_factor
    interpolated = extrapolated / config.rope_factor
    if config.rope_scaling == "linear":
        return interpolated, config.rope_attn_factor
    low = max(0.0, math.floor(_yarn_dimension(config, config.yarn_beta_fast)))
    high = min(config.head_size - 1.0, math.ceil(_yarn_dimension(config, config.yarn_beta_slow)))
    extrapolation = 1 - np.clip((np.arange(n_pairs) - low) / max(0.001, high - low), 0, 1)
    angles = interpolated * (1 - extrapolation) + extrapolated * extrapolation
    return angles, config.rope_attn_factor * (1 + 0.1 * math.log(max(1.0, config.rope_factor)))


def _yarn_dimension(config: ScalarConfig, n_rotations: float) -> float:
    """Find the (fractional) pair that turns `n_rotations` times over the original context."""
    turns = config.n_ctx_original / (n_rotations * 2 * math.pi)
    return config.head_size * math.log(turns) / (2 * math.log(config.rope_freq_base))


def _rms_norm(x: Array, weight: Array, epsilon: float) -> Array:
    mean_square = np.mean(x * x, axis=-1, keepdims=True)
    return np.asarray(x / np.sqrt(mean_square + epsilon) * weight)


def _linear(weights: Weights, name: str, x: Array) -> Array:
    result = x @ weights[f"{name}.weight"].T
    return result + weights[f"{name}.bias"] if f"{name}.bias" in weights else result


def _rotate(config: ScalarConfig, x: Array, angles: Array, scale: float) -> Array:
    cosine, sine = scale * np.cos(angles)[:, None, :], scale * np.sin(angles)[:, None, :]  # (n, 1, head_size / 2)
    if config.rope_mode == "norm":
        first, second = x[..., 0::2], x[..., 1::2]
    else:
        first, second = np.split(x, 2, axis=-1)
    turned = first * cosine - second * sine, first * sine + second * cosine
    if config.rope_mode == "norm":
        return np.stack(turned, axis=-1).reshape(x.shape)
    return np.concatenate(turned, axis=-1)


def _attention(config: ScalarConfig, weights: Weights, layer: str, x: Array) -> Array:
    n = len(x)
    angles, scale = rope_angles(config, n, weights.get("rope_freqs.weight"))
    q = _linear(weights, f"{layer}.attn_q", x).reshape(n, config.n_head, config.head_size)
    k = _linear(weights, f"{layer}.attn_k", x).reshape(n, config.n_head_kv, config.head_size)
    v = _linear(weights, f"{layer}.attn_v", x).reshape(n, config.n_head_kv, config.head_size)
    q, k = _rotate(config, q, angles, scale), _rotate(config, k, angles, scale)
    group = config.n_head // config.n_head_kv
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)  # (n, n_head, head_size)
    scores = np.einsum("qhd,khd->hqk", q, k) / math.sqrt(config.head_size)
    scores = np.where(np.tri(n, dtype=bool), scores, -np.inf)  # no token sees a later one
    p = np.exp(scores - scores.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    mixed = np.einsum("hqk,khd->qhd", p, v).reshape(n, config.n_head * config.head_size)
    return _linear(weights, f"{layer}.attn_output", mixed)


def _feed_forward(weights: Weights, layer: str, x: Array) -> Array:
    gate = _linear(weights, f"{layer}.ffn_gate", x)
    silu = gate / (1 + np.exp(-gate))
    return _linear(weights, f"{layer}.ffn_down", silu * _linear(weights, f"{layer}.ffn_up", x))
