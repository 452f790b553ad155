"""Which page of the cache belongs to whom: pages with reference counts, and sequences made of pages.

Only the bookkeeping: the numbers themselves lie on a device. A page that several sequences share is copied before one
of them writes to it (Kwon et al., 2023, arXiv:2309.06180).
"""

from dataclasses import dataclass, field

from pyggml.errors import ContextError


class PagePool:
    """`n_pages` pages of `page_size` positions each."""

    def __init__(self, n_pages: int, page_size: int) -> None:
        self.page_size = page_size
        self._references = [0] * n_pages
        self._free = list(range(n_pages - 1, -1, -1))

    @property
    def n_free(self) -> int:
        """Pages that nobody holds."""
        return len(self._free)

    def allocate(self, n: int) -> list[int]:
        """`n` free pages, now held once; ContextError, with nothing changed, if there are fewer."""
        if n > len(self._free):
            raise ContextError(
                f"{n} more pages of the key/value cache are needed, and {len(self._free)} of its"
                f" {len(self._references)} are free; load the model with a larger context, or end a session"
            )
        pages = [self._free.pop() for _ in range(n)]
        for page in pages:
            self._references[page] = 1
        return pages

    def share(self, page: int) -> None:
        """Hold a page once more."""
        self._references[page] += 1

    def release(self, page: int) -> None:
        """Hold a page once less."""
        self._references[page] -= 1
        if not self._references[page]:
            self._free.append(page)

    def is_shared(self, page: int) -> bool:
        """Whether more than one sequence holds a page."""
        return self._references[page] > 1


@dataclass
class PagedSequence:
    """The pages of one sequence, in order of positions."""

    pool: PagePool
    pages: list[int] = field(default_factory=list)

    def reserve(self, n_positions: int) -> None:
        """Make room for positions 0 to `n_positions` - 1; ContextError, with nothing changed, if there is none."""
        n_missing = -(-n_positions // self.pool.page_size) - len(self.pages)
        if n_missing > 0:
            self.pages += self.pool.allocate(n_missing)

    def n_needed(self, first: int, n_positions: int) -> int:
        """The pages that `reserve` of so many positions and then `own` from position `first` on would take."""
        n_pages, size = len(self.pages), self.pool.page_size
        n_shared = sum(self.pool.is_shared(page) for page in self.pages[first // size :])
        return max(0, -(-n_positions // size) - n_pages) + n_shared

    def truncate(self, n_positions: int) -> None:
        """Give back the pages behind the first `n_positions` positions."""
        n_pages = -(-n_positions // self.pool.page_size)
        while len(self.pages) > n_pages:
            self.pool.release(self.pages.pop())

    def fork(self) -> "PagedSequence":
        """Another sequence with the same pages."""
        for page in self.pages:
            self.pool.share(page)
        return PagedSequence(self.pool, list(self.pages))

    def own(self, first: int) -> list[tuple[int, int]]:
        """Replace shared pages, from the one that holds position `first` on, by pages of its own.

        Returns the (shared, own) pairs whose contents the caller has to copy. ContextError, with nothing changed, if
        the pool is too small.
        """
        behind = range(first // self.pool.page_size, len(self.pages))
        places = [index for index in behind if self.pool.is_shared(self.pages[index])]
        if not places:
            return []
        copies = []
        for index, own in zip(places, self.pool.allocate(len(places)), strict=True):
            shared, self.pages[index] = self.pages[index], own
            self.pool.release(shared)
            copies.append((shared, own))
        return copies
