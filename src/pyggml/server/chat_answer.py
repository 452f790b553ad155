"""The message that grows out of an answer's events; every chat API shows it in its own words."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pyggml.chat import CallStart, ContentPiece, MessagePiece, MessageReader
from pyggml.engine import DoneEvent, TextEvent
from pyggml.server.probabilities import probabilities_json
from pyggml.tokenizer import Tokenizer


@dataclass
class Call:
    """A call of a tool; `arguments` is JSON as text."""

    name: str
    arguments: str = ""
    id: str = field(default_factory=lambda: secrets.token_hex(12))


class ChatAnswer:
    """One answer: what it consists of so far."""

    def __init__(self, tokenizer: Tokenizer, *, has_tools: bool, n_top: int | None, post_sampling: bool) -> None:
        """`n_top`: how many tokens to show with each token of the answer; None: none are asked for."""
        self.content = ""
        self.calls: list[Call] = []
        self.done: DoneEvent | None = None
        self.probabilities: list[dict[str, Any]] = []
        self._tokenizer = tokenizer
        self._reader = MessageReader() if has_tools else None
        self._n_top = n_top
        self._post_sampling = post_sampling

    def add(self, event: TextEvent | DoneEvent) -> Iterator[MessagePiece]:
        """Take an event in; gives what it adds to the message, piece by piece, each when it is added."""
        if isinstance(event, DoneEvent):
            self.done = event
            pieces = self._reader.finish() if self._reader else []
        else:
            self._add_probabilities(event)
            pieces = self._read(event.text)
        for piece in pieces:
            if isinstance(piece, ContentPiece):
                self.content += piece.text
            elif isinstance(piece, CallStart):
                self.calls.append(Call(piece.name))
            else:
                self.calls[-1].arguments += piece.text
            yield piece

    @property
    def was_cut(self) -> bool:
        """Whether there were too many tokens, and so the answer may be unfinished."""
        return self.done is not None and self.done.reason in ("length", "context")

    def _read(self, text: str) -> list[MessagePiece]:
        if self._reader:
            return self._reader.push(text)
        return [ContentPiece(text)] if text else []

    def _add_probabilities(self, event: TextEvent) -> None:
        if self._n_top is None:
            return
        for found in probabilities_json(self._tokenizer, event, post_sampling=self._post_sampling):
            top = "top_probs" if self._post_sampling else "top_logprobs"
            self.probabilities.append({**found, top: found[top][: self._n_top]})
