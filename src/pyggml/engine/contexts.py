"""Contexts that outlive their answers, so that what later prompts share with them is not computed again."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pyggml.kv_cache import PagedSequence


@dataclass(eq=False)
class Context:
    """Tokens whose keys and values are in the cache, and the pages that hold them."""

    sequence: PagedSequence
    tokens: list[int] = field(default_factory=list)
    n_pure: int | None = None
    """Positions at the beginning that are as if computed at once; None for all. Less after a context shift."""

    def n_shared(self, tokens: Sequence[int]) -> int:
        """How many of these tokens need not be computed again."""
        n = n_common(self.tokens, tokens)
        return n if self.n_pure is None else min(n, self.n_pure)

    def branch(self, n_tokens: int) -> "Context":
        """Another context of the first tokens, on the same pages."""
        sequence = self.sequence.fork()
        sequence.truncate(n_tokens)
        return Context(sequence, self.tokens[:n_tokens])

    def truncate(self, n_tokens: int) -> None:
        """Forget the tokens behind the first ones."""
        del self.tokens[n_tokens:]
        self.sequence.truncate(n_tokens)


class ContextStore:
    """Idle contexts, the least recently used first: these go when pages run out."""

    def __init__(self) -> None:
        self._contexts: list[Context] = []

    def __contains__(self, context: Context) -> bool:
        """Whether a context is idle here, neither taken nor given up."""
        return context in self._contexts

    def __len__(self) -> int:
        """The number of contexts."""
        return len(self._contexts)

    def put(self, context: Context) -> None:
        """Keep a context, as the last one used; those that it contains are given up."""
        if context.n_pure is not None:
            context.truncate(context.n_pure)
            context.n_pure = None
        for other in [other for other in self._contexts if _begins(other.tokens, context.tokens)]:
            self.discard(other)
        self._contexts.append(context)

    def longest(self, tokens: Sequence[int]) -> tuple[Context | None, int]:
        """The context that shares the longest beginning with these tokens, and its length."""
        shared = [(n_common(context.tokens, tokens), index) for index, context in enumerate(self._contexts)]
        n, index = max(shared, default=(0, 0))
        return (self._contexts[index], n) if n else (None, 0)

    def take(self, context: Context, n_tokens: int) -> Context:
        """A context of its first tokens, to be continued: itself if these are all, else a branch of it."""
        self._contexts.remove(context)
        if len(context.tokens) == n_tokens:
            return context
        self._contexts.append(context)
        return context.branch(n_tokens)

    def discard(self, context: Context) -> None:
        """Give up a context, if it is still here."""
        if context in self._contexts:
            self._contexts.remove(context)
            context.truncate(0)

    @property
    def oldest(self) -> Context:
        """The context that was used least recently."""
        return self._contexts[0]

    def clear(self) -> None:
        """Give up all of them."""
        while self._contexts:
            self.discard(self.oldest)


def n_common(one: Sequence[int], other: Sequence[int]) -> int:
    """The length of the longest beginning that two lists share; compares slices, as these are compared in C."""
    low, high = 0, min(len(one), len(other))
    step = 64
    while low < high:
        n = min(step, high - low)
        if one[low : low + n] == other[low : low + n]:
            low, step = low + n, step * 4
        elif n == 1:
            break
        else:
            high, step = low + n - 1, n // 2
    return low


def _begins(beginning: Sequence[int], tokens: Sequence[int]) -> bool:
    return len(beginning) <= len(tokens) and n_common(beginning, tokens) == len(beginning)
