"""Qwen2-VL's forward pass for training: one dictionary of weights, batches of pictures of one size.

The same computation as transformers' Qwen2VLForConditionalGeneration; that one runs its tower picture by picture, this
one a whole batch at once. Weights go by their names in published checkpoints.
"""

import functools

import torch
import torch.nn.functional as functional
from torch import Tensor

from demo_models.shape import Shape

Weights = dict[str, Tensor]

#: Means and standard deviations of red, green and blue that Qwen2-VL's pictures are normalized with.
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


def normalized_patches(pixels: Tensor, patch: int) -> Tensor:
    """Patches of pictures with values from 0 to 255: (batch, height, width, 3) -> (batch, patches, 3 * patch * patch).

    Patches come in groups of 2 x 2, the ones that the merger joins; inside a patch: channel, row, column.
    """
    mean, deviation = _normalization(pixels.device)
    batch, height, width, _ = pixels.shape
    rows, columns = height // patch, width // patch
    grid = ((pixels.float() - mean) / deviation).view(batch, rows // 2, 2, patch, columns // 2, 2, patch, 3)
    return grid.permute(0, 1, 4, 2, 5, 7, 3, 6).reshape(batch, rows * columns, 3 * patch * patch)


@functools.cache
def _normalization(device: torch.device) -> tuple[Tensor, Tensor]:
    return torch.tensor(MEAN, device=device) * 255, torch.tensor(DEVIATION, device=device) * 255


@functools.cache
def _tower_angles(rows: int, columns: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines (patches, 1, size) of the rotary embedding in two dimensions."""
    row = torch.arange(rows)[:, None].expand(rows, columns)
    column = torch.arange(columns)[None, :].expand(rows, columns)
    groups = [at.reshape(rows // 2, 2, columns // 2, 2).transpose(1, 2).reshape(-1, 1) for at in (row, column)]
    rates = 1.0 / 10000.0 ** (torch.arange(0, size // 2, 2).float() / (size // 2))
    angles = torch.cat([at * rates for at in groups] * 2, dim=1)[:, None].to(device)
    return angles.cos(), angles.sin()


def _rotated(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cosines + torch.cat([-second, first], dim=-1) * sines


def _linear(weights: Weights, name: str, x: Tensor) -> Tensor:
    return functional.linear(x, weights[name + ".weight"], weights.get(name + ".bias"))


def _layer_norm(weights: Weights, name: str, x: Tensor) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], weights[name + ".weight"], weights[name + ".bias"], 1e-6)


def tower(weights: Weights, shape: Shape, patches: Tensor, rows: int, columns: int) -> Tensor:
    """Vectors for the language model, (batch, rows * columns / 4, width), of normalized patches of still pictures."""
    kernel = weights["visual.patch_embed.proj.weight"].sum(2).flatten(1)  # both frames show the same picture
    x = functional.linear(patches, kernel).float()  # the residual stream stays in float32
    batch, count, width = x.shape
    cosines, sines = _tower_angles(rows, columns, width // shape.tower_heads, x.device)
    for layer in range(shape.tower_layers):
        block = f"visual.blocks.{layer}."
        projected = _linear(weights, block + "attn.qkv", _layer_norm(weights, block + "norm1", x))
        q, k, v = projected.view(batch, count, 3, shape.tower_heads, -1).unbind(2)
        q, k = (_rotated(part, cosines, sines).transpose(1, 2).to(v.dtype) for part in (q, k))
        mixed = functional.scaled_dot_product_attention(q, k, v.transpose(1, 2))
        x = x + _linear(weights, block + "attn.proj", mixed.transpose(1, 2).reshape(batch, count, width))
        hidden = _linear(weights, block + "mlp.fc1", _layer_norm(weights, block + "norm2", x))
        x = x + _linear(weights, block + "mlp.fc2", hidden * torch.sigmoid(1.702 * hidden))
    merged = _layer_norm(weights, "visual.merger.ln_q", x).view(batch, count // 4, 4 * width)
    return _linear(weights, "visual.merger.mlp.2", functional.gelu(_linear(weights, "visual.merger.mlp.0", merged)))


def text_angles(shape: Shape, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines (batch, 1, length, head size) of M-RoPE for positions (3, batch, length)."""
    axes, rates = _text_rates(shape, positions.device)
    angles = positions.float()[axes].permute(1, 2, 0) * rates
    angles = torch.cat([angles, angles], dim=-1)[:, None]
    return angles.cos(), angles.sin()


@functools.cache
def _text_rates(shape: Shape, device: torch.device) -> tuple[Tensor, Tensor]:
    """For each pair of dimensions the axis whose position turns it, and by how much."""
    half = sum(shape.sections)
    rates = 1.0 / shape.rope_base ** (torch.arange(half).float() / half)
    axes = torch.repeat_interleave(torch.arange(3), torch.tensor(shape.sections))
    return axes.to(device), rates.to(device)


def decoder(weights: Weights, shape: Shape, x: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
    """Last hidden states, after the norm, of embedded tokens (batch, length, width)."""
    x = x.float()
    for layer in range(shape.layers):
        block = f"model.layers.{layer}."
        normed = _rms_norm(weights, block + "input_layernorm", x)
        q, k, v = (_heads(_linear(weights, f"{block}self_attn.{name}_proj", normed), shape.head_size) for name in "qkv")
        q, k = (_rotated(part, *angles).to(v.dtype) for part in (q, k))
        shared = shape.heads // shape.key_heads
        k, v = (part.repeat_interleave(shared, dim=1) for part in (k, v))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + _linear(weights, block + "self_attn.o_proj", mixed.transpose(1, 2).flatten(2))
        normed = _rms_norm(weights, block + "post_attention_layernorm", x)
        gate, up = (_linear(weights, f"{block}mlp.{name}_proj", normed) for name in ("gate", "up"))
        x = x + _linear(weights, block + "mlp.down_proj", functional.silu(gate) * up)
    return _rms_norm(weights, "model.norm", x)


def _heads(x: Tensor, size: int) -> Tensor:
    batch, length, width = x.shape
    return x.view(batch, length, width // size, size).transpose(1, 2)


def _rms_norm(weights: Weights, name: str, x: Tensor) -> Tensor:
    return functional.rms_norm(x, x.shape[-1:], weights[name + ".weight"], 1e-6)
