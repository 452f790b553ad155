"""What a request has to fulfil before it is taken on."""

from collections.abc import Sequence

from pyggml.engine.engine import Engine
from pyggml.engine.pictures import NO_PICTURES, PlacedPictures, unknown_tokens
from pyggml.engine.task import GenerationRequest
from pyggml.errors import ContextError, PromptTooLongError, UsageError
from pyggml.sampling import Sampler
from pyggml.tokenizer import Tokenizer


class RequestChecks:
    """Refuses what could not be computed, on the thread of who asks for it."""

    def __init__(self, engine: Engine, tokenizer: Tokenizer, n_slots: int) -> None:
        self._engine = engine
        self._tokenizer = tokenizer
        self._n_slots = n_slots

    def request(self, request: GenerationRequest) -> None:
        """Raises as `tokens` and `slot` do, and SamplingError for a sampler that cannot be."""
        self.tokens(request.tokens, request.pictures)
        self.slot(request.slot)
        Sampler(request.sampling, self._tokenizer)

    def tokens(self, tokens: Sequence[int], pictures: PlacedPictures = NO_PICTURES) -> None:
        """Raises ContextError for a prompt that is empty or does not fit, UsageError for tokens that do not exist."""
        n, n_vocab, n_ctx = len(tokens), self._engine.config.n_vocab, self._engine.n_ctx
        if not n:
            raise ContextError("the prompt is empty: at least one token is needed to continue from")
        if n >= n_ctx:
            raise PromptTooLongError(
                f"the prompt is too long: {n} tokens, and the context holds {n_ctx} with at least one for"
                " the answer; shorten the prompt or choose a larger context with -c",
                n,
                n_ctx,
            )
        if bad := unknown_tokens(tokens, pictures, n_vocab):
            raise UsageError(f"token {bad[0]} is not in the vocabulary of {n_vocab}")

    def slot(self, slot: int | None) -> None:
        """Raises UsageError for a slot that does not exist."""
        if slot is not None and not 0 <= slot < self._n_slots:
            raise UsageError(f"slot {slot} does not exist; allowed are 0 to {self._n_slots - 1}")
