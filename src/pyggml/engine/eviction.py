"""Making room in the cache, and bringing back what had to make room."""

from collections.abc import Callable

from pyggml.engine.contexts import Context, ContextStore
from pyggml.engine.engine import Engine
from pyggml.engine.spilled import LEAST_SPILLED, SpilledContexts
from pyggml.errors import ContextError


class Eviction:
    """Idle contexts, the least recently used first, go from the cache to the computer's memory, and back."""

    def __init__(self, engine: Engine, store: ContextStore, max_bytes: int | None) -> None:
        self._engine = engine
        self._store = store
        self._spilled = SpilledContexts(max_bytes)

    def free(self, n_pages: int) -> bool:
        """Have so many pages free, if idle contexts hold enough of them; else all of these are gone, and False."""
        while self._engine.pool.n_free < n_pages and len(self._store):
            oldest, n = self._store.oldest, len(self._store.oldest.tokens)
            if self._spilled.wants(n, self._engine.cache.bytes_of(n)):
                self._spilled.put(oldest.tokens, self._engine.cache.read(oldest.sequence.pages, n))
            self._store.discard(oldest)
        return self._engine.pool.n_free >= n_pages

    def make_room(self, n_pages: int, pause: Callable[[], bool]) -> None:
        """Have so many pages free; `pause` takes those of a running request, False if there is none. ContextError."""
        while not self.free(n_pages):
            if not pause():
                raise ContextError(f"{n_pages} pages of the key/value cache are needed, and it has not as many")

    def restored(self, tokens: list[int], n_found: int) -> Context | None:
        """What memory has of these tokens, back in the cache, if that is much more than `n_found`, and fits."""
        kept, n = self._spilled.longest(tokens)
        sequence = self._engine.new_sequence()
        if n < n_found + LEAST_SPILLED:
            return None
        data = self._spilled.get(kept)
        if not self.free(sequence.n_needed(0, len(kept))):
            return None
        sequence.reserve(len(kept))
        self._engine.cache.write(sequence.pages, len(kept), data)
        context = Context(sequence, list(kept))
        context.truncate(n)
        return context

    def clear(self) -> None:
        """Give up all idle contexts, wherever they are."""
        self._store.clear()
        self._spilled.clear()
