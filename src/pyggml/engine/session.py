"""One user's sequence: its tokens in the cache, and generation from any context that shares a beginning with them."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pyggml.engine.engine import Engine, Part
from pyggml.engine.events import DoneEvent, Event, PromptEvent, Reason, TextEvent, Timings
from pyggml.engine.session_file import read_session, write_session
from pyggml.engine.stopping import StopStrings
from pyggml.errors import ContextError, UsageError
from pyggml.tokenizer import TextStream, Tokenizer


class TokenSampler(Protocol):
    """What generation asks of a sampler."""

    def sample(self, logits: npt.NDArray[np.float32]) -> int:
        """The next token."""

    def accept(self, token: int) -> None:
        """Take a token into the history."""

    def reset(self) -> None:
        """Forget the history; begin with the first random number again."""


@dataclass(frozen=True)
class GenerationOptions:
    """When to stop, and what to do when the context is full."""

    max_tokens: int = -1
    """-1: no limit; -2: until the context is full, without shifting"""
    stop: tuple[str, ...] = ()
    """Strings that end the text; they are not part of it."""
    keep: int = 0
    """Prompt tokens to keep when the context is shifted; -1: all"""
    context_shift: bool = False
    """When the context is full, forget half of what is not kept, instead of ending."""
    special: bool = False
    """Show control tokens."""

    def __post_init__(self) -> None:
        """Refuse counts that mean nothing."""
        if self.max_tokens < -2:
            raise UsageError(
                f"max_tokens is {self.max_tokens}; allowed are -2 (fill the context), -1 (no limit) and up"
            )
        if self.keep < -1:
            raise UsageError(f"keep is {self.keep}; allowed are -1 (the whole prompt), 0 and up")


class Session:
    """A context that grows; `tokens` are those whose keys and values are in the cache."""

    def __init__(self, engine: Engine, tokenizer: Tokenizer, fingerprint: str) -> None:
        self.tokens: list[int] = []
        self._engine = engine
        self._tokenizer = tokenizer
        self._fingerprint = fingerprint
        self._sequence = engine.new_sequence()

    def clear(self) -> None:
        """Forget everything."""
        self._truncate(0)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the tokens and their keys and values to a file; SessionFileError if that fails."""
        data = self._engine.cache.read(self._sequence.pages, len(self.tokens))
        write_session(path, self._fingerprint, self.tokens, data)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Take over what `save` wrote; SessionFileError for a damaged file or one of another model or cache format."""
        tokens, data = read_session(path, self._fingerprint, self._engine.n_ctx, self._engine.cache.bytes_of)
        self._truncate(0)
        self._sequence.reserve(len(tokens))
        self._engine.cache.write(self._sequence.pages, len(tokens), data)
        self.tokens = tokens

    def generate(self, tokens: Sequence[int], sampler: TokenSampler, options: GenerationOptions) -> Iterator[Event]:
        """Continue a context, given as all of its tokens; what it shares with the cache is not evaluated again.

        The sampler is reset and fed the context. Raises ContextError for a context that does not fit. Whenever the
        iterator is left, `tokens` is what was evaluated.
        """
        context = list(tokens)
        self._check(context)
        n_cached = self._reuse(context)
        sampler.reset()
        for token in context:
            sampler.accept(token)
        return self._run(context, n_cached, sampler, options)

    def _run(
        self, context: list[int], n_cached: int, sampler: TokenSampler, options: GenerationOptions
    ) -> Iterator[Event]:
        start = perf_counter()
        logits = np.empty(0, np.float32)  # replaced: at least one token of the context is evaluated
        for first in range(n_cached, len(context), self._engine.n_batch):
            logits = self._evaluate(context[first : first + self._engine.n_batch])
            yield PromptEvent(len(self.tokens), len(context))
        prompt_end = perf_counter()
        stream, stop = TextStream(self._tokenizer, special=options.special), StopStrings(options.stop)
        n_generated, reason = 0, self._spent(0, len(context), options)
        while reason is None:
            token = sampler.sample(logits)
            sampler.accept(token)
            n_generated += 1
            if token in self._tokenizer.end_of_generation:
                reason = "eos"
                break
            text = stop.push(stream.push(token))
            yield TextEvent(token, text)
            reason = "stop" if stop.found else self._spent(n_generated, len(context), options)
            if reason is None:
                logits = self._evaluate([token])
        end = perf_counter()
        if not stop.found and (rest := stop.push(stream.finish()) + stop.finish()):
            yield TextEvent(None, rest)
        timings = Timings(n_cached, len(context) - n_cached, prompt_end - start, n_generated, end - prompt_end)
        yield DoneEvent(reason, stop.found, timings)

    def _spent(self, n_generated: int, n_prompt: int, options: GenerationOptions) -> Reason | None:
        """Why no further token can be had; makes room for one if the context is full and may be shifted."""
        if n_generated == options.max_tokens:
            return "length"
        if len(self.tokens) < self._engine.n_ctx:
            return None
        if not options.context_shift or options.max_tokens == -2:
            return "context"
        keep = n_prompt if options.keep < 0 else min(n_prompt, options.keep + int(self._tokenizer.add_bos))
        n_discarded = (len(self.tokens) - keep) // 2
        if not n_discarded:
            return "context"
        self._engine.discard(self._sequence, keep, n_discarded, len(self.tokens))
        del self.tokens[keep : keep + n_discarded]
        return None

    def _evaluate(self, tokens: Sequence[int]) -> npt.NDArray[np.float32]:
        """The logits (n_vocab,) after the last of these tokens, which join the cache."""
        part = Part(self._sequence, len(self.tokens), tokens, [len(tokens) - 1])
        logits: npt.NDArray[np.float32] = self._engine.step([part])[0]
        self.tokens.extend(tokens)
        return logits

    def _check(self, context: list[int]) -> None:
        if not context:
            raise ContextError("the context is empty: at least one token is needed to continue from")
        if len(context) >= self._engine.n_ctx:
            raise ContextError(
                f"the prompt is too long: {len(context)} tokens, and the context holds {self._engine.n_ctx} with at"
                " least one for the answer; shorten the prompt or choose a larger context with -c"
            )
        n_vocab = self._engine.config.n_vocab
        if bad := [token for token in context if not 0 <= token < n_vocab]:
            raise UsageError(f"token {bad[0]} is not in the vocabulary of {n_vocab}")

    def _reuse(self, context: list[int]) -> int:
        """Cut the cache to what it shares with the context, one token less at least; returns how much that is."""
        pairs = zip(self.tokens, context[:-1], strict=False)
        n_shared = next(
            (i for i, (old, new) in enumerate(pairs) if old != new), min(len(self.tokens), len(context) - 1)
        )
        self._truncate(n_shared)
        return n_shared

    def _truncate(self, n: int) -> None:
        del self.tokens[n:]
        self._sequence.truncate(n)
