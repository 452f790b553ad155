"""A request in its slot: what it still has to evaluate, and the answer as it grows."""

from collections.abc import Iterator
from time import perf_counter

from pyggml.engine.answer import Answer
from pyggml.engine.constraint import ConstrainedSampler
from pyggml.engine.contexts import Context
from pyggml.engine.events import DoneEvent, PromptEvent, Reason, TaskEvent, TextEvent, Timings
from pyggml.engine.pictures import text_tokens
from pyggml.engine.probabilities import TokenProbabilities, after_sampling, before_sampling
from pyggml.engine.task import Task
from pyggml.sampling import Logits, Sampler
from pyggml.tokenizer import Tokenizer


class Run:
    """`tokens` are the prompt and the answer so far; those of `context` are evaluated, the others are pending."""

    def __init__(self, task: Task, slot: int, tokenizer: Tokenizer) -> None:
        request = task.request
        self.task = task
        self.slot = slot
        self.tokens = list(request.tokens)
        self.n_prompt = len(self.tokens)
        self.context: Context | None = None
        self.n_cached = 0
        self.is_truncated = False
        self._sampler = Sampler(request.sampling, tokenizer)
        for token in text_tokens(self.tokens):
            self._sampler.accept(token)
        constraint = request.constraint
        sampler = self._sampler if constraint is None else ConstrainedSampler(self._sampler, constraint)
        self.answer = Answer(tokenizer, sampler, request.generation)
        self.reason: Reason | None = None
        self._started = self._prompt_end = self._last = perf_counter()

    @property
    def n_evaluated(self) -> int:
        """Tokens whose keys and values are in the cache."""
        return len(self.context.tokens) if self.context else 0

    @property
    def n_pending(self) -> int:
        """Tokens to be evaluated before the next one can be chosen."""
        return len(self.tokens) - self.n_evaluated

    def next_tokens(self, n: int) -> list[int]:
        """The first `n` of the pending tokens."""
        return self.tokens[self.n_evaluated : self.n_evaluated + n]

    @property
    def n_generated(self) -> int:
        """Tokens of the answer."""
        return self.answer.n_tokens

    @property
    def has_new_line(self) -> bool:
        """Whether the answer has a line break."""
        return self.answer.has_new_line

    @property
    def is_generating(self) -> bool:
        """Whether the prompt is done: each step then gives a token."""
        return self.n_generated > 0 and self.n_pending == 1

    def start(self, context: Context) -> None:
        """Begin with what a context has of the prompt."""
        self.context = context
        if not self.n_generated:
            self.n_cached = len(context.tokens)
            self._started = perf_counter()

    @property
    def begins_with_the_largest(self) -> bool:
        """Whether the largest logits are enough for most tokens."""
        request = self.task.request
        needs_all = request.sampling.n_probs and not request.post_sampling_probabilities
        return self._sampler.begins_with_the_largest and not needs_all

    def take_step(self, n_tokens: int, logits: Logits) -> Iterator[TaskEvent]:
        """The first `n_tokens` pending ones were evaluated, with these logits after the last.

        Raises SamplingError for logits that are no numbers.
        """
        if self.context is None:
            return
        was_generating = self.n_generated > 0
        self.context.tokens += self.next_tokens(n_tokens)
        if not was_generating:
            self._prompt_end = self._last = perf_counter()
            yield PromptEvent(self.n_evaluated, self.n_prompt, self._prompt_end - self._started)
        if self.n_pending:
            return
        self.reason = self.answer.reason
        if self.reason is None:
            token, text = self.answer.choose(logits)
            self.tokens.append(token)
            self.reason = self.answer.reason
            self._last = perf_counter()
            timings = self.timings() if self.task.request.token_timings else None
            yield TextEvent(token, text, self._probabilities(logits, token), timings)

    def finish(self) -> Iterator[TaskEvent]:
        """The events of the end."""
        if rest := self.answer.rest():
            yield rest
        yield DoneEvent(self.reason or "length", self.answer.stop_string, self.timings(), self.is_truncated)

    def timings(self) -> Timings:
        """How long the phases took until now."""
        return Timings(
            self.n_cached,
            self.n_prompt - self.n_cached,
            self._prompt_end - self._started,
            self.n_generated,
            self._last - self._prompt_end,
        )

    def _probabilities(self, logits: Logits, token: int) -> TokenProbabilities | None:
        n_top, candidates = self.task.request.sampling.n_probs, self._sampler.candidates
        if not n_top or candidates is None:
            return None
        if self.task.request.post_sampling_probabilities:
            return after_sampling(candidates, token, n_top)
        return before_sampling(logits.fetch(), token, n_top)
