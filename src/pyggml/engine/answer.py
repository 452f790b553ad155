"""One answer as it grows: from logits to tokens to text, until something ends it."""

from typing import Protocol

from pyggml.engine.events import Reason, TextEvent
from pyggml.engine.lines import LineLimits
from pyggml.engine.options import GenerationOptions
from pyggml.engine.stopping import StopStrings
from pyggml.sampling import Logits
from pyggml.tokenizer import TextStream, Tokenizer


class TokenSampler(Protocol):
    """What generation asks of a sampler."""

    @property
    def begins_with_the_largest(self) -> bool:
        """Whether the largest logits are enough for most tokens."""

    def choose(self, logits: Logits) -> int:
        """The next token."""

    def accept(self, token: int) -> None:
        """Take a token into the history."""

    def reset(self) -> None:
        """Forget the history; begin with the first random number again."""


class Answer:
    """The tokens and the text of one answer. `reason` is set as soon as the answer itself ends.

    A full context ends it too, but that its owner knows.
    """

    def __init__(self, tokenizer: Tokenizer, sampler: TokenSampler, options: GenerationOptions) -> None:
        self.n_tokens = 0
        self.reason: Reason | None = "length" if options.max_tokens == 0 else None
        self._end_of_generation = tokenizer.end_of_generation
        self._max_tokens = options.max_tokens
        self._sampler = sampler
        self._stream = TextStream(tokenizer, special=options.special)
        self._stop = StopStrings(options.stop)
        self._lines = LineLimits(options.max_seconds, options.indent)

    @property
    def has_new_line(self) -> bool:
        """Whether the text shown so far has a line break."""
        return self._lines.has_new_line

    @property
    def stop_string(self) -> str | None:
        """The stop string that ended the text."""
        return self._stop.found

    def choose(self, logits: Logits) -> tuple[int, str]:
        """Sample a token; gives it and the text that is safe to show by now."""
        token = self._sampler.choose(logits)
        self._sampler.accept(token)
        self.n_tokens += 1
        if token in self._end_of_generation:
            self.reason = "eos"
            return token, ""
        text = self._lines.push(self._stop.push(self._stream.push(token)))
        if self._stop.found:
            self.reason = "stop"
        elif self._lines.is_over or self.n_tokens == self._max_tokens:
            self.reason = "length"
        return token, text

    def rest(self) -> TextEvent | None:
        """What was held back until the end, if there is any."""
        if self._stop.found or self._lines.is_over:
            return None
        text = self._stop.push(self._stream.finish()) + self._stop.finish()
        return TextEvent(None, text) if text else None
