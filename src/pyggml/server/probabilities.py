"""The probabilities of tokens, in llama-server's words."""

import math
from typing import Any

import numpy as np

from pyggml.engine import TextEvent
from pyggml.tokenizer import Tokenizer

_LOWEST = float(np.finfo(np.float32).min)


def probabilities_json(tokenizer: Tokenizer, event: TextEvent, *, post_sampling: bool) -> list[dict[str, Any]]:
    """One token's item of `completion_probabilities`; an empty list if the request did not ask, or there is no token.

    With `post_sampling` plain probabilities, as after the samplers, else logarithms.
    """
    found = event.probabilities
    if found is None or event.token is None:
        return []
    name, top = ("prob", "top_probs") if post_sampling else ("logprob", "top_logprobs")
    likely = [{**_token(tokenizer, token), name: _value(value, post_sampling)} for token, value in found.top]
    return [{**_token(tokenizer, event.token), name: _value(found.chosen, post_sampling), top: likely}]


def _token(tokenizer: Tokenizer, token: int) -> dict[str, Any]:
    """A token's number, its text without an incomplete character at its end, and its bytes."""
    piece = tokenizer.piece(token, special=False)
    return {"id": token, "token": complete_text(piece), "bytes": list(piece)}


def complete_text(piece: bytes) -> str:
    """The text of bytes; a character that is cut off at the end is left out, other wrong bytes become U+FFFD."""
    for n_cut in range(min(4, len(piece) + 1)):
        try:
            return piece[: len(piece) - n_cut].decode()
        except UnicodeDecodeError:
            continue
    return piece.decode("utf-8", "replace")


def _value(probability: float, post_sampling: bool) -> float:
    if post_sampling:
        return probability
    return math.log(probability) if probability else _LOWEST
