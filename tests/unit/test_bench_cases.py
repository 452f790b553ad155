"""Which tests `pyggml bench` makes of the values given, and in which order."""

from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.bench import BenchGrid

COUNTS = st.lists(st.integers(0, 4), max_size=3, unique=True).map(tuple)
MODELS = (Path("a.gguf"), Path("b.gguf"))


@settings(max_examples=100, deadline=None)
@given(n_prompt=COUNTS, n_gen=COUNTS, pairs=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2))), n_depth=COUNTS)
def test_all_combinations_and_no_empty_ones(
    n_prompt: tuple[int, ...], n_gen: tuple[int, ...], pairs: list[tuple[int, int]], n_depth: tuple[int, ...]
) -> None:
    grid = BenchGrid(MODELS, n_prompt, n_gen, tuple(pairs), n_depth, n_threads=(1, 2))
    cases = list(grid.cases())
    n_tests = sum(map(bool, (*n_prompt, *n_gen))) + sum(any(each) for each in pairs)
    assert len(cases) == 2 * 2 * len(n_depth) * n_tests
    assert all(case.n_tokens for case in cases)
    # A model is loaded once for each setup.
    setups = [case.setup for case in cases]
    assert sum(before != after for before, after in pairwise(setups)) <= max(0, len(set(setups)) - 1)


def test_the_order_is_llama_benchs() -> None:
    grid = BenchGrid(MODELS[:1], (8, 16), (4,), ((8, 4), (0, 0)), (0, 32), type_k=("f16", "q8_0"), n_threads=(2, 1))
    cases = list(grid.cases())
    names = ["pp8", "pp16", "tg4", "pp8+tg4"]
    assert [case.name for case in cases] == 4 * [*names, *(f"{name} @ d32" for name in names)]
    assert [(case.setup.type_k, case.setup.n_threads) for case in cases[::8]] == [
        *(("f16", 2), ("f16", 1), ("q8_0", 2), ("q8_0", 1))
    ]


def test_the_defaults_are_llama_benchs() -> None:
    assert [case.name for case in BenchGrid(MODELS[:1]).cases()] == ["pp512", "tg128"]
