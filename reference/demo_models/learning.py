"""Losses of batches, and greedy answers."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor

from demo_models.qwen2vl import Weights, decoder, normalized_patches, text_angles, tower
from demo_models.shape import Shape

Batch = dict[str, Any]
EMBEDDING = "model.embed_tokens.weight"


def pictures(batch: Batch) -> Tensor:
    """The batch's pictures, (batch, height, width, 3) from 0 to 255; texts get their colors, some shades and grain."""
    if "pixels" in batch:
        return batch["pixels"].float()
    coverage = batch["coverage"].float()[..., None] / 255
    front, back = (color[:, None, None] for color in batch["colors"].float().unbind(1))
    n_pictures, _, width, _ = coverage.shape
    kind = torch.rand(n_pictures, 1, 1, 1, device=coverage.device)
    grain = torch.randn_like(coverage) * torch.empty_like(kind).uniform_(3, 10)
    ramp = torch.linspace(0, 1, width, device=coverage.device)[None, None, :, None]
    shade = torch.empty(n_pictures, 1, 1, 3, device=coverage.device).uniform_(-20, 20) * ramp
    behind = back + torch.where(kind < 0.15, grain, 0.0) + torch.where(kind > 0.85, shade, 0.0)
    return (behind + (front - behind) * coverage).clamp(0, 255)


def picture_vectors(weights: Weights, shape: Shape, batch: Batch) -> Tensor:
    """What the tower makes of the batch's pictures."""
    rows, columns = batch["grid"]
    return tower(weights, shape, normalized_patches(pictures(batch), shape.patch), rows * 2, columns * 2)


def hidden_states(weights: Weights, shape: Shape, batch: Batch, vectors: Tensor | None) -> Tensor:
    """Last hidden states (batch, length, width) of token ids; pictures' vectors are put in their places.

    Without `positions` these count from 0.
    """
    ids = batch["ids"]
    embedded = functional.embedding(ids, weights[EMBEDDING])
    if vectors is not None:
        flat = embedded.view(-1, shape.width)
        flat = flat.index_copy(0, batch["pads"], vectors.reshape(-1, shape.width).float())
        embedded = flat.view(*ids.shape, shape.width)
    positions = batch.get("positions")
    if positions is None:
        positions = torch.arange(ids.shape[1], device=ids.device).expand(3, *ids.shape)
    return decoder(weights, shape, embedded, text_angles(shape, positions))


def loss_of(weights: Weights, shape: Shape, batch: Batch) -> Tensor:
    """Mean cross entropy: of the tokens to be learned, or without pictures of all."""
    if "learn" in batch:
        hidden = hidden_states(weights, shape, batch, picture_vectors(weights, shape, batch))
        hidden, targets = hidden.view(-1, shape.width)[batch["learn"]], batch["targets"]
    else:
        hidden = hidden_states(weights, shape, batch, None)[:, :-1].reshape(-1, shape.width)
        targets = batch["ids"][:, 1:].reshape(-1)
    return functional.cross_entropy(functional.linear(hidden, weights[EMBEDDING]).float(), targets)


def answers(weights: Weights, shape: Shape, batch: Batch, ends: Sequence[int], n_most: int = 40) -> list[list[int]]:
    """Greedy answers, as token ids without the end, to conversations of `lengths` tokens that are padded behind."""
    with torch.no_grad():
        vectors = picture_vectors(weights, shape, batch) if "grid" in batch else None
        whole = _with_room(batch, n_most, ends[-1])
        ids, lengths = whole["ids"], batch["lengths"]
        every = torch.arange(len(ids), device=ids.device)
        is_done = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
        for step in range(n_most):
            hidden = hidden_states(weights, shape, whole, vectors)[every, lengths - 1 + step]
            token = functional.linear(hidden, weights[EMBEDDING]).argmax(-1)
            ids[every, lengths + step] = torch.where(is_done, ends[-1], token)
            for end in ends:
                is_done |= token == end
            if bool(is_done.all()):
                break
    found = [row[length:] for row, length in zip(ids.tolist(), lengths.tolist(), strict=True)]
    return [row[: min((row.index(end) for end in ends if end in row), default=len(row))] for row in found]


def _with_room(batch: Batch, n_most: int, pad: int) -> Batch:
    """The batch with places for answers, whose positions go on from the last ones."""
    ids, lengths = batch["ids"], batch["lengths"]
    padded = functional.pad(ids, (0, n_most), value=pad)
    if "positions" not in batch:
        return {"ids": padded}
    every = torch.arange(len(ids), device=ids.device)
    last = batch["positions"][:, every, lengths - 1]
    later = torch.arange(padded.shape[1], device=ids.device)[None] - lengths[:, None] + 1
    positions = torch.where(later > 0, last[:, :, None] + later, functional.pad(batch["positions"], (0, n_most)))
    pads = batch["pads"] // ids.shape[1] * padded.shape[1] + batch["pads"] % ids.shape[1]
    return {"ids": padded, "positions": positions, "pads": pads}
