"""Contexts in memory: what is kept, and what is given up."""

from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.engine.contexts import n_common
from pyggml.engine.spilled import LEAST_SPILLED, SpilledContexts

TOKENS = st.lists(st.integers(0, 2), min_size=1, max_size=6)


@given(puts=st.lists(TOKENS, max_size=10), wanted=TOKENS, max_bytes=st.integers(0, 30))
@settings(max_examples=300, deadline=None)
def test_the_longest_of_those_that_fit_is_found(puts: list[list[int]], wanted: list[int], max_bytes: int) -> None:
    spilled, alive = SpilledContexts(max_bytes), list[list[int]]()
    for tokens in puts:
        spilled.put(tokens, bytes(len(tokens)))
        alive = [other for other in alive if n_common(other, tokens) < len(other)] + [tokens]
        while sum(map(len, alive)) > max_bytes:
            del alive[0]
    assert (len(spilled), spilled.n_bytes) == (len(alive), sum(map(len, alive)))
    kept, n = spilled.longest(wanted)
    assert n == max((n_common(each, wanted) for each in alive), default=0)
    if n:
        assert spilled.get(kept) == bytes(len(kept))


def test_which_are_worth_it() -> None:
    assert not SpilledContexts(0).wants(LEAST_SPILLED, 1)
    assert not SpilledContexts(None).wants(LEAST_SPILLED - 1, 1)
    assert SpilledContexts(10).wants(LEAST_SPILLED, 10)
    spilled = SpilledContexts(None)
    spilled.put([1, 2], b"ab")
    spilled.clear()
    assert (len(spilled), spilled.n_bytes) == (0, 0)
