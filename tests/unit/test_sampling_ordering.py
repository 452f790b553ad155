"""The order of ties against the algorithms of libstdc++, spelled out here one comparison at a time."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.sampling import ordering
from pyggml.sampling.ordering import partial_sort, sort

Pair = tuple[float, int]
FEW_VALUES = st.lists(st.sampled_from([-12.0, -1.5, -1.0, 0.0, 0.1, 0.2, 3.0, 11.0, -np.inf]), min_size=1, max_size=600)


def precedes(a: Pair, b: Pair) -> bool:
    return a[0] > b[0]


def adjust_heap(heap: list[Pair], hole: int, length: int, value: Pair) -> None:
    top, child = hole, hole
    while child < (length - 1) // 2:
        child = 2 * (child + 1)
        if precedes(heap[child], heap[child - 1]):
            child -= 1
        heap[hole] = heap[child]
        hole = child
    if length % 2 == 0 and child == (length - 2) // 2:
        child = 2 * (child + 1)
        heap[hole] = heap[child - 1]
        hole = child - 1
    parent = (hole - 1) // 2
    while hole > top and precedes(heap[parent], value):
        heap[hole] = heap[parent]
        hole = parent
        parent = (hole - 1) // 2
    heap[hole] = value


def naive_partial_sort(items: list[Pair], n_kept: int) -> list[Pair]:
    heap, rest = items[:n_kept], items[n_kept:]
    for parent in range((n_kept - 2) // 2, -1, -1):
        adjust_heap(heap, parent, n_kept, heap[parent])
    for item in rest:
        if precedes(item, heap[0]):
            adjust_heap(heap, 0, n_kept, item)
    for last in range(n_kept - 1, 0, -1):
        value, heap[last] = heap[last], heap[0]
        adjust_heap(heap, 0, last, value)
    return heap


def naive_partition(items: list[Pair], first: int, last: int) -> int:
    a, b, c = first + 1, first + (last - first) // 2, last - 1
    if precedes(items[a], items[b]):
        median = b if precedes(items[b], items[c]) else c if precedes(items[a], items[c]) else a
    else:
        median = a if precedes(items[a], items[c]) else c if precedes(items[b], items[c]) else b
    items[first], items[median] = items[median], items[first]
    pivot, left, right = items[first], first + 1, last
    while True:
        while precedes(items[left], pivot):
            left += 1
        right -= 1
        while precedes(pivot, items[right]):
            right -= 1
        if not left < right:
            return left
        items[left], items[right] = items[right], items[left]
        left += 1


def naive_sort(items: list[Pair]) -> list[Pair]:
    items = list(items)

    def introsort(first: int, last: int, depth: int) -> None:
        while last - first > 16:
            if depth == 0:
                items[first:last] = naive_partial_sort(items[first:last], last - first)
                return
            depth -= 1
            cut = naive_partition(items, first, last)
            introsort(cut, last, depth)
            last = cut

    if len(items) > 1:
        introsort(0, len(items), 2 * (len(items).bit_length() - 1))
    return sorted(items, key=lambda item: -item[0])


def naive_bucket_sort(items: list[Pair], n_kept: int) -> list[Pair]:
    buckets: list[list[Pair]] = [[] for _ in range(128)]
    for item in items:
        scaled = np.float32(6.4) * np.float32(item[0]) + np.float32(64)
        buckets[int(min(max(scaled, np.float32(0)), np.float32(127)))].append(item)
    result: list[Pair] = []
    for bucket in reversed(buckets):
        if len(result) + len(bucket) >= n_kept:
            return result + naive_partial_sort(bucket, n_kept - len(result))
        result += naive_sort(bucket)
    raise AssertionError("unreachable: all buckets together hold n_kept")


def pairs(keys: npt.NDArray[np.float32]) -> list[Pair]:
    return [(float(key), position) for position, key in enumerate(keys)]


def positions(items: list[Pair]) -> list[int]:
    return [position for _, position in items]


@settings(max_examples=150, deadline=None)
@given(FEW_VALUES)
def test_sort_leaves_ties_as_std_sort(values: list[float]) -> None:
    keys = np.array(values, np.float32)
    assert sort(keys).tolist() == positions(naive_sort(pairs(keys)))


@settings(max_examples=150, deadline=None)
@given(FEW_VALUES, st.data())
def test_the_first_of_a_sort_are_exact(values: list[float], data: st.DataObject) -> None:
    keys = np.array(values, np.float32)
    n_wanted = data.draw(st.integers(1, len(values)))
    assert sort(keys, n_wanted).tolist() == positions(naive_sort(pairs(keys)))[:n_wanted]


@settings(max_examples=200, deadline=None)
@given(FEW_VALUES, st.data())
def test_partial_sort_leaves_ties_as_llama_cpp(values: list[float], data: st.DataObject) -> None:
    keys = np.array(values, np.float32)
    n_kept = data.draw(st.integers(1, len(values)))
    n_wanted = data.draw(st.integers(1, n_kept))
    expected = naive_partial_sort(pairs(keys), n_kept) if n_kept <= 128 else naive_bucket_sort(pairs(keys), n_kept)
    assert partial_sort(keys, n_kept).tolist() == positions(expected)
    assert partial_sort(keys, n_kept, n_wanted).tolist() == positions(expected)[:n_wanted]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5000), st.data())
def test_without_ties_it_is_the_descending_order(seed: int, n: int, data: st.DataObject) -> None:
    keys = np.random.default_rng(seed).permutation(n).astype(np.float32)
    n_kept = data.draw(st.integers(1, n))
    assert partial_sort(keys, n_kept).tolist() == np.argsort(-keys).tolist()[:n_kept]


def test_an_organ_pipe_runs_out_of_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    # Its halves are each other's mirror: the median of three is a bad pivot, and introsort falls back to a heap.
    keys = np.abs(np.arange(4000) - 1999.5).astype(np.float32)
    lengths: list[int] = []

    def counting_heap_sort(part: npt.NDArray[np.float32], n_kept: int) -> npt.NDArray[np.intp]:
        lengths.append(len(part))
        return heap_sort(part, n_kept)

    heap_sort = ordering._heap_sort
    monkeypatch.setattr(ordering, "_heap_sort", counting_heap_sort)
    assert sort(keys).tolist() == positions(naive_sort(pairs(keys)))
    assert lengths


def test_all_nan_counts_as_all_equal() -> None:
    keys = np.full(1000, np.nan, np.float32)
    assert sort(keys).tolist() == positions(naive_sort(pairs(keys)))
