"""Where a request's context comes from: what others computed is taken over, what they are computing is awaited."""

from collections.abc import Sequence

from pyggml.engine.contexts import Context, ContextStore, n_common
from pyggml.engine.eviction import Eviction
from pyggml.engine.run import Run
from pyggml.kv_cache import PagedSequence, PagePool


class Placing:
    """Finds contexts among idle ones and among those of running requests."""

    def __init__(self, pool: PagePool, store: ContextStore, eviction: Eviction) -> None:
        self._pool = pool
        self._store = store
        self._eviction = eviction

    def place(self, run: Run, earlier: Sequence[Run]) -> bool:
        """Give a run the context that saves most of its prompt; the last token is always evaluated.

        False if one of the `earlier` runs is just computing more of it than there is: then it is worth to wait.
        """
        tokens = run.tokens[:-1]
        if not run.task.request.reuse:
            run.start(self._empty())
            return True
        idle, n_idle = self._store.longest(tokens)
        running = [(other.context.n_shared(tokens), other.context) for other in earlier if other.context]
        n_running, context = max(running, key=lambda each: each[0], default=(0, None))
        reading = [n_common(other.tokens, tokens) for other in earlier if not other.n_generated]
        if max(reading, default=0) > max(n_idle, n_running):
            return False
        if back := self._eviction.restored(tokens, max(n_idle, n_running)):
            run.start(back)
        elif context and n_running > n_idle:
            run.start(context.branch(n_running))
        elif idle and idle in self._store:  # it may have made room for what was not brought back after all
            run.start(self._store.take(idle, n_idle))
        else:
            run.start(self._empty())
        return True

    def _empty(self) -> Context:
        return Context(PagedSequence(self._pool))
