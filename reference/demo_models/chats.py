"""Conversations about pictures as token ids, with what is to be learned and M-RoPE positions."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from demo_models.documents import Turn
from demo_models.mixture import SYSTEM

Integers = npt.NDArray[np.int64]
PAD, END, IMAGE = "<|endoftext|>", "<|im_end|>", "<|image_pad|>"


class Encoder(Protocol):
    """A tokenizer."""

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text; control tokens are known by their names."""

    def token_id(self, name: str) -> int:
        """The id of a control token."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens."""


@dataclass(frozen=True)
class Chats:
    """One conversation a picture, padded on the right to one length.

    `ids` (batch, length); `positions` (3, batch, length); `lengths` (batch,). Flat indices into `ids`: `pads` of the
    places of the pictures, and `learn` of the tokens before `targets`, which are to be learned.
    """

    ids: Integers
    positions: Integers
    lengths: Integers
    pads: Integers
    learn: Integers
    targets: Integers


def pieces(
    rng: random.Random, turns: Sequence[Turn], n_places: int, *, system_share: float, is_training: bool
) -> Iterator[tuple[str, bool]]:
    """The conversation in ChatML, piece by piece, and whether a piece is to be learned; a test ends at the answer."""
    picture = "<|vision_start|>" + IMAGE * n_places + "<|vision_end|>"
    if rng.random() < system_share:
        yield f"<|im_start|>system\n{SYSTEM}<|im_end|>\n", False
    for index, turn in enumerate(turns):
        question = turn.question
        if index == 0:
            question = question + picture if is_training and rng.random() < 0.15 else picture + question
        yield f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n", False
        if is_training:
            yield turn.answer + END, True
            yield "\n", False


def chats(
    rng: random.Random,
    encoder: Encoder,
    conversations: Sequence[Sequence[Turn]],
    grid: tuple[int, int],
    *,
    system_share: float = 0.5,
    is_training: bool = True,
) -> Chats:
    """The conversations, each about a picture that takes rows x columns places."""
    rows, columns = grid
    written = [
        list(pieces(rng, turns, rows * columns, system_share=system_share, is_training=is_training))
        for turns in conversations
    ]
    encoded = iter(encoder.encode([text for parts in written for text, _ in parts]))
    sequences = []
    for parts in written:
        ids: list[int] = []
        learned: list[bool] = []
        for _, is_learned in parts:
            more = next(encoded)
            ids += more
            learned += [is_learned] * len(more)
        sequences.append((ids, learned))
    length = -(-max(len(ids) for ids, _ in sequences) // 8) * 8
    all_ids = np.full((len(sequences), length), encoder.token_id(PAD), np.int64)
    mask = np.zeros((len(sequences), length), bool)
    positions = np.zeros((3, len(sequences), length), np.int64)
    image = encoder.token_id(IMAGE)
    for index, (ids, learned) in enumerate(sequences):
        all_ids[index, : len(ids)], mask[index, : len(ids)] = ids, learned
        positions[:, index] = positions_of(all_ids[index] == image, rows, columns)
    learn = np.flatnonzero(mask) - 1
    lengths = np.array([len(ids) for ids, _ in sequences])
    pads = np.flatnonzero(all_ids == image)
    return Chats(all_ids, positions, lengths, pads, learn, all_ids.reshape(-1)[learn + 1])


def positions_of(is_image: npt.NDArray[np.bool_], rows: int, columns: int) -> Integers:
    """M-RoPE positions (3, length): a picture takes the larger of its two sides in steps of text."""
    length, first = len(is_image), int(np.argmax(is_image))
    count = rows * columns
    positions = np.empty((3, length), np.int64)
    positions[:, :first] = np.arange(first)
    positions[0, first : first + count] = first
    positions[1, first : first + count] = first + np.repeat(np.arange(rows), columns)
    positions[2, first : first + count] = first + np.tile(np.arange(columns), rows)
    positions[:, first + count :] = np.arange(length - first - count) + first + max(rows, columns)
    return positions
