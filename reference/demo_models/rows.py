"""Rows of documents, for learning text."""

from random import Random

import numpy as np

from demo_models.chats import Encoder, Integers
from demo_models.mixture import conversation, render


def text_rows(rng: Random, encoder: Encoder, n_rows: int, length: int, split: str) -> Integers:
    """Token ids (rows, length) of whole documents one after another; the last one of a row is cut."""
    rows = np.empty((n_rows, length), np.int64)
    for row in rows:
        ids: list[int] = []
        while len(ids) < length:
            for more in encoder.encode([render(rng, conversation(rng, split)) for _ in range(8)]):
                ids += more
        row[:] = ids[:length]
    return rows
