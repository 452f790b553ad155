"""Descending order, with exact ties in the order in which libstdc++ leaves them.

llama.cpp sorts candidates by `std::sort` and `std::partial_sort`, which are not stable, so among equal logits the order
depends on their steps. Where the wanted part holds no ties any sort gives the answer; only otherwise the steps are
repeated here: heap selection, which is compiled, and introsort with the median of three, whose last pass, an insertion
sort, is stable.
"""

import numpy as np
import numpy.typing as npt

from pyggml.sampling.addresses import address_of
from pyggml_kernels.choosing import largest

Float32Array = npt.NDArray[np.float32]
Positions = npt.NDArray[np.intp]

LARGEST_HEAP_SORT = 128
_N_BUCKETS = 128
_BUCKETS_PER_LOGIT = np.float32(6.4)
_BUCKET_OF_ZERO = np.float32(64.0)
_INTROSORT_LEAF = 16
_BLOCKS_PER_WANTED = 4


def partial_sort(keys: Float32Array, n_kept: int, n_wanted: int | None = None) -> Positions:
    """Give the positions of the `n_kept` largest keys in descending order, as llama.cpp's partial sort leaves them.

    Only the first `n_wanted` of them are returned (all by default), which spares work on ties behind.
    """
    n_wanted = n_kept if n_wanted is None else min(n_wanted, n_kept)
    if n_kept <= LARGEST_HEAP_SORT:
        return _heap_sort(keys, n_kept)[:n_wanted]
    leading = _largest(keys, n_wanted + 1)
    if not _has_ties(keys[leading]):
        return leading[:n_wanted]
    return _bucket_sort(keys, n_kept, n_wanted)


def sort(keys: Float32Array, n_wanted: int | None = None) -> Positions:
    """Give the positions of all keys, or the first `n_wanted`, in descending order as `std::sort` leaves them.

    Keys that are all NaN count as equal.
    """
    n_wanted = len(keys) if n_wanted is None else min(n_wanted, len(keys))
    if np.isnan(keys[0]):
        keys = np.zeros_like(keys)
    return _introsort(keys, n_wanted)[:n_wanted]


def _largest(keys: Float32Array, n_wanted: int) -> Positions:
    """Positions of the largest keys, descending; equal keys in any order."""
    width = len(keys) // (_BLOCKS_PER_WANTED * n_wanted)
    if width < 2:
        return np.argsort(-keys)[:n_wanted]
    # At least n_wanted keys reach the n_wanted-th largest of the maxima of disjoint blocks.
    n_blocks = len(keys) // width
    maxima = keys[: n_blocks * width].reshape(width, n_blocks).max(axis=0)
    bound = np.partition(maxima, n_blocks - n_wanted)[n_blocks - n_wanted]
    positions = np.flatnonzero(keys >= bound)
    return positions[np.argsort(-keys[positions])[:n_wanted]]


def _has_ties(ordered: Float32Array) -> bool:
    return bool((ordered[1:] == ordered[:-1]).any())


def _heap_sort(keys: Float32Array, n_kept: int) -> Positions:
    """`std::partial_sort`: the first keys make a heap, larger ones that follow push out its smallest."""
    keys = np.ascontiguousarray(keys)
    positions = np.empty(n_kept, np.intp)
    largest.quick(address_of(keys), len(keys), n_kept, address_of(positions))
    return positions


def _bucket_sort(keys: Float32Array, n_kept: int, n_wanted: int) -> Positions:
    """Buckets a 6.4th wide, each sorted alone; the lowest that is needed by heap selection."""
    scaled = _BUCKETS_PER_LOGIT * keys + _BUCKET_OF_ZERO
    scaled[~(scaled < 2.0**31)] = 0  # what x86 makes of a float outside of the integers counts as bucket 0
    depths = (_N_BUCKETS - 1 - np.clip(scaled, 0, _N_BUCKETS - 1).astype(np.int32)).astype(np.uint8)
    ends = np.cumsum(np.bincount(depths, minlength=_N_BUCKETS))
    last = int(np.searchsorted(ends, n_kept, side="left"))
    order = np.argsort(depths, kind="stable")[: ends[last]]
    start = 0
    for bucket in range(last + 1):
        end = int(ends[bucket])
        if start >= n_wanted:
            break
        members = order[start:end]
        n_needed = min(n_wanted - start, len(members))
        if bucket < last:
            order[start:end] = members[_introsort(keys[members], n_needed)]
        else:
            n_chosen = n_kept - start
            order[start : start + n_needed] = members[_select(keys[members], n_chosen, n_needed)]
        start = end
    return order[:n_wanted]


def _select(keys: Float32Array, n_kept: int, n_wanted: int) -> Positions:
    leading = _largest(keys, n_wanted + 1)
    return (_heap_sort(keys, n_kept) if _has_ties(keys[leading]) else leading)[:n_wanted]


def _introsort(keys: Float32Array, n_wanted: int) -> Positions:
    """`std::sort`; positions from `n_wanted` on are sorted, but ties among them stand in any order."""
    order = np.argsort(-keys, kind="stable")
    ordered = keys[order]
    equal = ordered[:-1] == ordered[1:]
    if len(keys) <= _INTROSORT_LEAF or not equal[:n_wanted].any():
        return order
    is_tied = np.zeros(len(keys), np.bool_)
    is_tied[order[:-1][equal]] = True
    is_tied[order[1:][equal]] = True
    arrangement = np.arange(len(keys))
    pending = [(0, len(keys), 2 * (len(keys).bit_length() - 1))]
    while pending:
        start, end, depth = pending.pop()
        range_ = arrangement[start:end]
        if end - start <= _INTROSORT_LEAF or start >= n_wanted or np.count_nonzero(is_tied[range_]) < 2:
            continue
        if depth == 0:
            range_[:] = range_[_heap_sort(keys[range_], len(range_))]
            continue
        cut = start + _partition(keys, range_)
        pending += [(start, cut, depth - 1), (cut, end, depth - 1)]
    return arrangement[np.argsort(-keys[arrangement], kind="stable")]


def _partition(keys: Float32Array, arrangement: Positions) -> int:
    """Hoare's partition around the median of three, in place; give the start of the right part."""
    values = keys[arrangement]
    median = _median_of_three(values)
    values[median], values[0] = values[0], values[median]
    arrangement[median], arrangement[0] = arrangement[0], arrangement[median]
    stops_left = (values <= values[0]).nonzero()[0][1:]
    stops_right = (values >= values[0]).nonzero()[0][:0:-1]
    n_pairs = min(len(stops_left), len(stops_right))
    n_swaps = int(np.count_nonzero(stops_left[:n_pairs] < stops_right[:n_pairs]))
    left, right = stops_left[:n_swaps], stops_right[:n_swaps]
    arrangement[left], arrangement[right] = arrangement[right], arrangement[left]
    # The left scan ends at its next stop or, first, at the last element that came from it.
    ends = [int(stops_left[n_swaps])] if n_swaps < len(stops_left) else []
    if n_swaps:
        ends.append(int(right[-1]))
    return min(ends)


def _median_of_three(values: Float32Array) -> int:
    """Give the place of the median of the second, middle and last, compared in libstdc++'s order."""
    second, middle, last = 1, len(values) // 2, len(values) - 1
    a, b, c = values.item(second), values.item(middle), values.item(last)
    if a > b:
        return middle if b > c else last if a > c else second
    return second if a > c else last if b > c else middle
