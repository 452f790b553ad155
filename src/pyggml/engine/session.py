"""One user's sequence: its tokens in the cache, and generation from any context that shares a beginning with them."""

import os
from collections.abc import Iterator, Sequence
from time import perf_counter

import numpy as np
import numpy.typing as npt

from pyggml.engine.answer import Answer, TokenSampler
from pyggml.engine.constraint import ConstrainedSampler, Constraint
from pyggml.engine.engine import Engine, Part
from pyggml.engine.events import DoneEvent, Event, PromptEvent, Reason, TextEvent, Timings
from pyggml.engine.options import GenerationOptions
from pyggml.engine.pictures import NO_PICTURES, PlacedPictures, text_tokens, unknown_tokens
from pyggml.engine.session_file import read_session, write_session
from pyggml.errors import ContextError, UsageError
from pyggml.sampling import Logits
from pyggml.tokenizer import Tokenizer


class Session:
    """A context that grows; `tokens` are those whose keys and values are in the cache."""

    def __init__(self, engine: Engine, tokenizer: Tokenizer, fingerprint: str) -> None:
        self.tokens: list[int] = []
        self._engine = engine
        self._tokenizer = tokenizer
        self._fingerprint = fingerprint
        self._sequence = engine.new_sequence()
        self._pictures = NO_PICTURES

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

    def generate(
        self,
        tokens: Sequence[int],
        sampler: TokenSampler,
        options: GenerationOptions,
        constraint: Constraint | None = None,
        pictures: PlacedPictures = NO_PICTURES,
    ) -> Iterator[Event]:
        """Continue a context, given as all of its tokens; what it shares with the cache is not evaluated again.

        The sampler is reset and fed the context; the constraint is reset, and binds the answer alone. Raises
        ContextError for a context that does not fit. Whenever the iterator is left, `tokens` is what was evaluated.
        """
        context = list(tokens)
        self._check(context, pictures)
        self._pictures = pictures
        n_cached = self._reuse(context)
        sampler.reset()
        for token in text_tokens(context):
            sampler.accept(token)
        if constraint is not None:
            constraint.reset()
            sampler = ConstrainedSampler(sampler, constraint)
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
        answer = Answer(self._tokenizer, sampler, options)
        reason = answer.reason or self._full(len(context), options)
        token, text = answer.choose(Logits.of(logits)) if reason is None else (0, "")
        while reason is None:
            if answer.reason == "eos":
                reason = "eos"
                break
            yield TextEvent(token, text)
            reason = answer.reason or self._full(len(context), options)
            if reason is None:
                token, text = self._next(token, sampler, answer)
        end = perf_counter()
        if rest := answer.rest():
            yield rest
        timings = Timings(n_cached, len(context) - n_cached, prompt_end - start, answer.n_tokens, end - prompt_end)
        is_truncated = reason == "context" or len(self.tokens) < len(context) + answer.n_tokens - 1
        yield DoneEvent(reason, answer.stop_string, timings, is_truncated)

    def _full(self, n_prompt: int, options: GenerationOptions) -> Reason | None:
        """Why no further token can be evaluated; makes room for one if the context is full and may be shifted."""
        if len(self.tokens) < self._engine.n_ctx:
            return None
        forgotten = options.discarded(len(self.tokens), n_prompt, add_bos=self._tokenizer.add_bos)
        if not forgotten or not self._engine.can_shift:
            return "context"
        self._engine.discard(self._sequence, forgotten.start, len(forgotten), len(self.tokens))
        del self.tokens[forgotten.start : forgotten.stop]
        return None

    def _next(self, token: int, sampler: TokenSampler, answer: Answer) -> tuple[int, str]:
        """Evaluate a token, which joins the cache, and choose the one behind it, before others use the engine."""
        with self._engine.lock:
            part = self._part([token])
            (logits,) = self._engine.logits([part], largest_first=sampler.begins_with_the_largest)
            self.tokens.append(token)
            return answer.choose(logits)

    def _part(self, tokens: Sequence[int]) -> Part:
        """The next tokens; the result of the last is wanted."""
        return Part(self._sequence, len(self.tokens), tokens, [len(tokens) - 1], self._pictures)

    def _evaluate(self, tokens: Sequence[int]) -> npt.NDArray[np.float32]:
        """The logits (n_vocab,) after the last of these tokens, which join the cache.

        A copy, as others may use the engine before the next token is chosen by them.
        """
        logits: npt.NDArray[np.float32] = self._engine.step([self._part(tokens)])[0].copy()
        self.tokens.extend(tokens)
        return logits

    def _check(self, context: list[int], pictures: PlacedPictures) -> None:
        if not context:
            raise ContextError("the context is empty: at least one token is needed to continue from")
        if len(context) >= self._engine.n_ctx:
            raise ContextError(
                f"the prompt is too long: {len(context)} tokens, and the context holds {self._engine.n_ctx} with at"
                " least one for the answer; shorten the prompt or choose a larger context with -c"
            )
        n_vocab = self._engine.config.n_vocab
        if bad := unknown_tokens(context, pictures, n_vocab):
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
