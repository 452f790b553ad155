"""The engine: one model on its devices, its cache, and the step that advances sequences."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from threading import RLock

import numpy as np
import numpy.typing as npt

from pyggml.backend.observation import Observer
from pyggml.backend.protocol import Cache, CacheShape, Executable, Executor, RankingExecutable, Step
from pyggml.engine.pictures import NO_PICTURES, PlacedPictures
from pyggml.errors import ModelError
from pyggml.kv_cache import PagedSequence, PagePool
from pyggml.models import DecoderConfig, DecoderWeights, decoder_graph
from pyggml.sampling import Candidates, Logits

#: Positions in a page of the cache.
PAGE_SIZE = 64


@dataclass(frozen=True)
class Part:
    """Tokens of one sequence in a step: they take positions from `start` on."""

    sequence: PagedSequence
    start: int
    tokens: Sequence[int]
    outputs: Sequence[int]
    """The tokens whose result is wanted, as indices into `tokens`."""
    pictures: PlacedPictures = NO_PICTURES
    """Those of the whole sequence."""


class Engine:
    """Owns the state on the devices; `step` is the only way to advance it, one caller at a time.

    `n_ctx` positions are the most that a sequence has, `n_cache` those that all of them share; `pool` says which are
    free.
    """

    def __init__(
        self,
        config: DecoderConfig,
        weights: DecoderWeights,
        executor: Executor,
        *,
        n_ctx: int,
        n_cache: int,
        n_batch: int,
        cache_formats: tuple[str, str],
    ) -> None:
        self.config = config
        self.n_ctx = n_ctx
        self.n_batch = n_batch
        self._executor = executor
        self._weights = weights
        shape = cache_shape(config, n_cache, cache_formats)
        self.pool = PagePool(shape.n_pages, PAGE_SIZE)
        self.cache = _allocate(executor, shape, n_ctx)
        self._executables: dict[tuple[int | None, bool, Observer | None], Executable] = {}
        #: Who holds it is the only caller: logits stay valid meanwhile.
        self.lock = RLock()

    def new_sequence(self) -> PagedSequence:
        """A sequence with nothing in it."""
        return PagedSequence(self.pool)

    def observer(self, names: Sequence[str], min_rows: int = 1) -> Observer:
        """Sums, zero as yet, for the inputs of the products with these weights that have `min_rows` rows at least."""
        matrices = self._weights.matrices()
        return Observer({name: matrices[name] for name in names}, min_rows)

    @property
    def can_shift(self) -> bool:
        """Whether `discard` is possible: positions by section do not move down together."""
        return not self.config.architecture.has_sections

    @property
    def matrix_names(self) -> list[str]:
        """The weights that activations are multiplied with, named as in the file."""
        return list(self._weights.matrices())

    def step(
        self,
        parts: Sequence[Part],
        n_layers: int | None = None,
        *,
        has_head: bool = True,
        observer: Observer | None = None,
    ) -> npt.NDArray[np.float32]:
        """Evaluate all parts' tokens, `n_batch` at most in all, and write their keys and values.

        Returns the logits (n_outputs, n_vocab) of the wanted tokens, part after part; without the head, the normalized
        states (n_outputs, n_embd) that it reads; with `n_layers`, their hidden states (n_outputs, n_embd) after so
        many layers: valid until the next step, which needs their memory. An observer sees all rows that its weights are
        multiplied with. ContextError if the cache has no room.
        """
        with self.lock:
            self._make_room(parts)
            return self._executable(n_layers, has_head, observer).run(self._gather(parts))

    def logits(self, parts: Sequence[Part], *, largest_first: bool) -> list[Logits]:
        """Evaluate as `step` does; the logits of each wanted token, part after part, valid until the next step.

        With `largest_first`, a device that can find the largest of them gives these, and the others when asked.
        """
        with self.lock:
            executable = self._executable(None, True, None)
            if not (largest_first and isinstance(executable, RankingExecutable)):
                return [Logits.of(row) for row in self.step(parts)]
            self._make_room(parts)
            largest = executable.rank(self._gather(parts))
            return [
                Logits(partial(executable.row, output), Candidates(tokens, values, is_sorted=True))
                for output, (tokens, values) in enumerate(zip(largest.places, largest.values, strict=True))
            ]

    def _make_room(self, parts: Sequence[Part]) -> None:
        """Pages for all tokens, which are their sequences' own."""
        for part in parts:
            part.sequence.reserve(part.start + len(part.tokens))
            for shared, own in part.sequence.own(part.start):
                self.cache.copy_page(shared, own)

    def discard(self, sequence: PagedSequence, start: int, n: int, n_positions: int) -> None:
        """Let a sequence of `n_positions` forget the `n` positions from `start` on; those behind move down."""
        with self.lock:
            for shared, own in sequence.own(start):
                self.cache.copy_page(shared, own)
            rope = self.config.rope.parameters(self.config.architecture.rope_halves, self._weights.rope_factors)
            self.cache.move(sequence.pages, start + n, start, n_positions - start - n, rope)
            sequence.truncate(n_positions - n)

    def _gather(self, parts: Sequence[Part]) -> Step:
        """The parts as one batch."""
        step = _gather(parts)
        if not self.config.architecture.has_sections:
            return step
        pieces = [(part.pictures, part.start, len(part.tokens)) for part in parts]
        positions = np.concatenate([pictures.positions(start, n) for pictures, start, n in pieces])
        vectors = [pictures.vectors(start, n) for pictures, start, n in pieces]
        given = [each for each, _ in vectors if each is not None]
        # Each part counts its own vectors from 0.
        firsts = np.cumsum([0, *[0 if each is None else len(each) for each, _ in vectors]])
        rows = [np.where(rows < 0, -1, rows + first) for first, (_, rows) in zip(firsts, vectors, strict=False)]
        return replace(
            step,
            section_positions=positions,
            given=np.concatenate(given) if given else None,
            given_rows=np.concatenate(rows).astype(np.int32),
        )

    def _executable(self, n_layers: int | None, has_head: bool, observer: Observer | None) -> Executable:
        key = n_layers, has_head, observer
        if key not in self._executables:
            graph = decoder_graph(self.config, self._weights, n_layers, has_head=has_head)
            if observer is not None:
                graph.nodes = observer.insert(graph.nodes)
            self._executables[key] = self._executor.compile(graph, self.cache)
        return self._executables[key]


def cache_shape(config: DecoderConfig, n_cache: int, formats: tuple[str, str]) -> CacheShape:
    """A cache of `n_cache` positions at least, keys and values in these formats."""
    n_pages = -(-n_cache // PAGE_SIZE)
    return CacheShape(
        config.n_layers, config.n_kv_heads, config.key_size, config.value_size, n_pages, PAGE_SIZE, *formats
    )


def _allocate(executor: Executor, shape: CacheShape, n_ctx: int) -> Cache:
    try:
        return executor.cache(shape)
    except (MemoryError, ValueError) as error:
        raise ModelError(
            f"no memory for the key/value cache of {n_ctx} positions ({shape.n_layers} layers, {shape.n_kv_heads}"
            f" heads, keys {shape.key_format}, values {shape.value_format}): {error}; choose a smaller context with -c"
        ) from error


def _gather(parts: Sequence[Part]) -> Step:
    """The parts as one batch."""
    # A picture's tokens are no row of the embedding table; whichever is looked up for them is replaced.
    tokens = [max(token, 0) for part in parts for token in part.tokens]
    positions = [part.start + i for part in parts for i in range(len(part.tokens))]
    sequences = [row for row, part in enumerate(parts) for _ in part.tokens]
    firsts = accumulate((len(part.tokens) for part in parts), initial=0)
    outputs = [first + output for first, part in zip(firsts, parts, strict=False) for output in part.outputs]
    page_table = np.zeros((len(parts), max(len(part.sequence.pages) for part in parts)), np.int32)
    for row, part in zip(page_table, parts, strict=True):
        row[: len(part.sequence.pages)] = part.sequence.pages
    return Step(
        tokens=np.array(tokens, np.int32),
        positions=np.array(positions, np.int32),
        sequences=np.array(sequences, np.int32),
        page_table=page_table,
        outputs=np.array(outputs, np.int32),
    )
