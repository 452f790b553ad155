"""What slots keep of their last requests: saved to files, restored, erased."""

from collections.abc import Callable, Sequence
from pathlib import Path

from pyggml.engine.contexts import Context, ContextStore
from pyggml.engine.engine import Engine
from pyggml.engine.session_file import read_session, write_session
from pyggml.engine.slots import Slot


class SlotContexts:
    """Works on idle slots, on the thread that owns the engine. `make_room` frees that many pages."""

    def __init__(
        self, engine: Engine, slots: Sequence[Slot], store: ContextStore, make_room: Callable[[int], None]
    ) -> None:
        self._engine = engine
        self._slots = slots
        self._store = store
        self._make_room = make_room

    def save(self, slot: int, path: Path, fingerprint: str) -> tuple[int, int]:
        """Write a slot's context to a file; gives its tokens and the file's bytes. Raises SessionFileError."""
        context = self._context(slot)
        tokens, pages = (context.tokens, context.sequence.pages) if context else ([], [])
        write_session(path, fingerprint, tokens, self._engine.cache.read(pages, len(tokens)))
        return len(tokens), path.stat().st_size

    def restore(self, slot: int, path: Path, fingerprint: str) -> tuple[int, int]:
        """Replace a slot's context by what `save` wrote; gives the same. Raises SessionFileError, ContextError."""
        tokens, data = read_session(path, fingerprint, self._engine.n_ctx, self._engine.cache.bytes_of)
        self.erase(slot)
        sequence = self._engine.new_sequence()
        self._make_room(sequence.n_needed(0, len(tokens)))
        sequence.reserve(len(tokens))
        self._engine.cache.write(sequence.pages, len(tokens), data)
        context = Context(sequence, tokens)
        self._store.put(context)
        self._slots[slot].last = context
        return len(tokens), path.stat().st_size

    def erase(self, slot: int) -> int:
        """Give up a slot's context; gives how many tokens it had."""
        context = self._context(slot)
        n = len(context.tokens) if context else 0
        if context:
            self._store.discard(context)
        self._slots[slot].last = None
        return n

    def _context(self, slot: int) -> Context | None:
        """None if another request has taken it over by now, or its pages were needed."""
        context = self._slots[slot].last
        return context if context and context in self._store else None
