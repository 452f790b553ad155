"""The bookkeeping of the cache's pages, under any sequence of operations."""

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from pyggml.errors import ContextError
from pyggml.kv_cache import PagedSequence, PagePool


class Sequences(RuleBasedStateMachine):
    """Sequences that come and go in one pool; beside them, what each position of theirs was written with."""

    sequences = Bundle("sequences")

    @initialize(n_pages=st.integers(0, 12), page_size=st.integers(1, 5))
    def begin(self, n_pages: int, page_size: int) -> None:
        self.n_pages, self.page_size = n_pages, page_size
        self.pool = PagePool(n_pages, page_size)
        self.alive: list[PagedSequence] = []
        # What a device would hold: pages of what was written last, and what each sequence believes to be in its own.
        self.memory = [[0] * page_size for _ in range(n_pages)]
        self.written: dict[int, list[int]] = {}
        self.clock = 0

    def _adopt(self, sequence: PagedSequence, written: list[int]) -> PagedSequence:
        self.alive.append(sequence)
        self.written[id(sequence)] = written
        return sequence

    def _state(self) -> tuple[object, ...]:
        return [list(each.pages) for each in self.alive], self.pool.n_free, [list(page) for page in self.memory]

    def _pages_for(self, n_positions: int) -> int:
        return -(-n_positions // self.page_size)

    @rule(target=sequences)
    def new(self) -> PagedSequence:
        return self._adopt(PagedSequence(self.pool), [])

    @rule(target=sequences, sequence=sequences)
    def fork(self, sequence: PagedSequence) -> PagedSequence:
        fork = sequence.fork()
        assert fork.pages == sequence.pages
        return self._adopt(fork, list(self.written[id(sequence)]))

    @rule(sequence=sequences, n_more=st.integers(0, 12))
    def write(self, sequence: PagedSequence, n_more: int) -> None:
        """As the engine does it: make room, own the pages that are written to, write."""
        written = self.written[id(sequence)]
        start, n_positions = len(written), len(written) + n_more
        before = self._state()
        n_free, n_new = self.pool.n_free, max(0, self._pages_for(n_positions) - len(sequence.pages))
        n_pages = len(sequence.pages)
        if n_new > n_free:
            with pytest.raises(ContextError, match=f"{n_new} more pages .* needed, and {n_free} of its {self.n_pages}"):
                sequence.reserve(n_positions)
            assert self._state() == before
            return
        sequence.reserve(n_positions)
        assert len(sequence.pages) == n_pages + n_new
        if not self._own(sequence, start):
            return
        for position in range(start, n_positions):
            self.clock += 1
            page = sequence.pages[position // self.page_size]
            self.memory[page][position % self.page_size] = self.clock
            written.append(self.clock)

    @rule(sequence=sequences, first=st.integers(0, 30))
    def own(self, sequence: PagedSequence, first: int) -> None:
        self._own(sequence, first)

    def _own(self, sequence: PagedSequence, first: int) -> bool:
        before, pages = self._state(), list(sequence.pages)
        shared = {page for page in pages[first // self.page_size :] if self.pool.is_shared(page)}
        n_free = self.pool.n_free
        if len(shared) > n_free:
            with pytest.raises(ContextError, match=f"{len(shared)} more pages .* needed, and {n_free} of its"):
                sequence.own(first)
            assert self._state() == before
            return False
        copies = sequence.own(first)
        assert {old for old, _ in copies} == shared
        assert self.pool.n_free == n_free - len(copies)
        for old, new in copies:
            assert sequence.pages[pages.index(old)] == new
            self.memory[new] = list(self.memory[old])
        assert not any(self.pool.is_shared(page) for page in sequence.pages[first // self.page_size :])
        return True

    @rule(sequence=sequences, n_positions=st.integers(0, 30))
    def truncate(self, sequence: PagedSequence, n_positions: int) -> None:
        pages = list(sequence.pages)
        sequence.truncate(n_positions)
        assert sequence.pages == pages[: self._pages_for(n_positions)]
        del self.written[id(sequence)][n_positions:]

    @rule(sequence=consumes(sequences))
    def end(self, sequence: PagedSequence) -> None:
        sequence.truncate(0)
        assert sequence.pages == []
        self.alive = [each for each in self.alive if each is not sequence]
        del self.written[id(sequence)]

    @invariant()
    def pages_are_free_or_held_as_often_as_counted(self) -> None:
        held = Counter(page for each in self.alive for page in each.pages)
        assert all(len(set(each.pages)) == len(each.pages) for each in self.alive)
        assert self.pool.n_free == self.n_pages - len(held)
        assert all(0 <= page < self.n_pages for page in held)
        for page, n in held.items():
            assert self.pool.is_shared(page) == (n > 1)

    @invariant()
    def nobody_writes_into_the_pages_of_others(self) -> None:
        for sequence in self.alive:
            for position, value in enumerate(self.written[id(sequence)]):
                page = sequence.pages[position // self.page_size]
                assert self.memory[page][position % self.page_size] == value


TestSequences = Sequences.TestCase
TestSequences.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_a_full_pool_says_what_is_missing() -> None:
    pool = PagePool(3, 4)
    sequence = PagedSequence(pool)
    sequence.reserve(5)
    with pytest.raises(ContextError, match="2 more pages of the key/value cache are needed, and 1 of its 3 are free"):
        sequence.reserve(13)
    assert len(sequence.pages) == 2
    assert pool.n_free == 1


def test_owning_needs_room_for_all_copies_or_changes_nothing() -> None:
    pool = PagePool(5, 1)
    sequence = PagedSequence(pool)
    sequence.reserve(3)
    fork = sequence.fork()
    with pytest.raises(ContextError, match="3 more pages of the key/value cache are needed, and 2 of its 5 are free"):
        fork.own(0)
    assert fork.pages == sequence.pages
    copies = fork.own(1)
    assert [old for old, _ in copies] == sequence.pages[1:]
    assert [new for _, new in copies] == fork.pages[1:]
    assert fork.pages[0] == sequence.pages[0]
    assert fork.own(1) == []
    assert sequence.own(1) == []
