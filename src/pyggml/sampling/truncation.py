"""Samplers that drop unlikely candidates: top-k, top-p, min-p, locally typical, top-n-sigma."""

from ctypes import addressof, c_float, c_int64

import numpy as np
import numpy.typing as npt

from pyggml.sampling.addresses import address_of
from pyggml.sampling.candidates import Candidates, softmax
from pyggml.sampling.float32_math import log, running_sum, sequential_sum, sum_doubles_into_float
from pyggml.sampling.ordering import partial_sort, sort
from pyggml_kernels.choosing import count_nucleus

_LARGEST_SORTED_WHOLE = 1024
_FIRST_GUESS = 256
_FLOAT32_LOWEST = np.finfo(np.float32).min


def top_k(candidates: Candidates, k: int) -> Candidates:
    """Keep the k largest, in descending order (Fan et al. 2018, arXiv:1805.04833)."""
    k = min(k, len(candidates))
    if candidates.is_sorted:
        return candidates.take(slice(k), is_sorted=True)
    return candidates.take(partial_sort(candidates.logits, k), is_sorted=True)


def top_p(candidates: Candidates, p: float, min_keep: int = 0) -> Candidates:
    """Keep the shortest run of the most likely whose probabilities reach p (Holtzman et al. 2019, arXiv:1904.09751).

    Probabilities are summed in single precision from the largest down. Fewer than `min_keep` are never left.
    """
    if candidates.is_sorted:
        return candidates.take(slice(_nucleus(candidates.logits, p, min_keep)), is_sorted=True)
    probabilities = candidates.softmax()
    n_candidates = len(candidates)
    if n_candidates > _LARGEST_SORTED_WHOLE:
        leading = partial_sort(candidates.logits, _FIRST_GUESS)
        length = _length(np.greater_equal, probabilities[leading], p, min_keep)
        if length <= _FIRST_GUESS:
            return candidates.take(leading[:length], is_sorted=True)
    # Tied logits have equal probabilities, so the length does not depend on their order.
    length = _length(np.greater_equal, probabilities[np.argsort(-candidates.logits)], p, min_keep)
    return candidates.take(partial_sort(candidates.logits, n_candidates, length), is_sorted=True)


def _nucleus(logits: npt.NDArray[np.float32], p: float, min_keep: int) -> int:
    """Count the leading logits, which are sorted, until their probabilities sum to p."""
    logits, bound, length = np.ascontiguousarray(logits), c_float(p), c_int64()
    count_nucleus.quick(address_of(logits), len(logits), addressof(bound), min_keep, addressof(length))
    return length.value


def _length(compare: np.ufunc, probabilities: npt.NDArray[np.float32], p: float, min_keep: int) -> int:
    """Count the leading probabilities until their sum compares so to p; one more than there are if it never does."""
    index = _first_true(compare(running_sum(probabilities), np.float32(p)), max(min_keep - 1, 0))
    return len(probabilities) + 1 if index is None else index + 1


def _first_true(mask: npt.NDArray[np.bool_], start: int) -> int | None:
    tail = mask[start:]
    if not len(tail):
        return None
    index = int(tail.argmax())
    return start + index if tail[index] else None


def min_p_margin(p: float) -> np.float32:
    """How far below the largest logit one is that is p times as likely; negative."""
    return np.float32(log(np.array([p], np.float32))[0])


def min_p(candidates: Candidates, margin: np.float32, min_keep: int = 0) -> Candidates:
    """Keep those whose logits are within the margin of `min_p_margin` (Nguyen et al. 2024, arXiv:2407.01082)."""
    if not candidates.is_sorted:
        passing = candidates.logits >= max(_FLOAT32_LOWEST, candidates.logits.max()) + margin
        if np.count_nonzero(passing) >= max(min_keep, 1):
            return candidates.take(passing, is_sorted=False)
    candidates = candidates.sorted_by_logit()
    first_failing = _first_true(candidates.logits < candidates.logits[0] + margin, max(min_keep, 1))
    return candidates.take(slice(first_failing), is_sorted=True)


def typical_p(candidates: Candidates, p: float, min_keep: int = 0) -> Candidates:
    """Keep those whose surprise is closest to the entropy, until they sum to more than p; they stay in that order.

    Meister et al. 2022, arXiv:2202.00666.
    """
    logits = candidates.descending_logits()
    probabilities = softmax(logits, logits[0])
    logarithms = log(probabilities)
    entropy = sequential_sum(-probabilities * logarithms)
    closeness = -np.abs(-logarithms - entropy)
    # Ties can move the end a little, so take some more, or all, before the exact order decides.
    n_wanted = 2 * _length(np.greater, probabilities[np.argsort(-closeness)], p, min_keep)
    order = sort(closeness, n_wanted)
    length = _length(np.greater, probabilities[order], p, min_keep)
    if length > len(order):
        order = sort(closeness)
        length = _length(np.greater, probabilities[order], p, min_keep)
    kept = order[:length]
    ordered = candidates.first_by_logit(int(kept.max()) + 1)
    return ordered.take(kept, is_sorted=False)


def top_n_sigma(candidates: Candidates, n: float) -> Candidates:
    """Mask logits more than n standard deviations below the largest (Tang et al. 2024, arXiv:2411.07641).

    Masked ones stay, as -inf; those masked before do not count in the deviation.
    """
    if len(candidates) <= 1:
        return candidates
    logits = candidates.logits
    finite = logits[logits != -np.inf]
    deviation = np.float32(0)
    if len(finite):
        count = np.float32(len(finite))
        differences = (finite - sequential_sum(finite) / count).astype(np.float64)
        deviation = np.sqrt(sum_doubles_into_float(differences * differences) / count)
    bound = logits.max() - np.float32(n) * deviation
    masked = np.where(logits < bound, np.float32(-np.inf), logits)
    return candidates.with_logits(masked, is_sorted=candidates.is_sorted)
