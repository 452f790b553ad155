"""The kernels that choose tokens, bit for bit against the same in NumPy. `largest` is tested as `partial_sort`."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.sampling.float32_math import exp, running_sum, sequential_sum
from pyggml_kernels.choosing import count_nucleus, draw
from tests.kernels.calling import Floats, address
from tests.kernels.comparing import Guarded, assert_same_bits

LOGITS = st.lists(st.floats(-150, 150, width=32) | st.sampled_from([-np.inf, 0.0, -104.0]), min_size=1, max_size=200)


def weigh(logits: Floats, highest: np.float32) -> Floats:
    with np.errstate(all="ignore"):
        return exp(logits - highest)


def found_count(logits: Floats, p: float, min_keep: int) -> int:
    bound, length = np.array([p], np.float32), Guarded((1,), np.int64)
    count_nucleus(address(logits), len(logits), address(bound), min_keep, length.address)
    length.assert_intact()
    return int(length.array[0])


def found_draw(logits: Floats, highest: int, uniform: float) -> tuple[int, Floats]:
    number, position = np.array([uniform]), Guarded((1,), np.int64)
    probabilities = Guarded(logits.shape, np.float32)
    draw(address(logits), len(logits), highest, address(number), probabilities.address, position.address)
    position.assert_intact()
    probabilities.assert_intact()
    return int(position.array[0]), probabilities.array


@settings(max_examples=200, deadline=None)
@given(values=LOGITS, p=st.floats(0, 1.125, width=32), min_keep=st.integers(0, 30))
def test_a_nucleus_ends_where_sums_of_floats_reach_p(values: list[float], p: float, min_keep: int) -> None:
    logits = np.sort(np.array(values, np.float32))[::-1].copy()
    weights = weigh(logits, logits[0])
    reached = running_sum(weights / sequential_sum(weights)) >= np.float32(p)
    reached[: max(min_keep - 1, 0)] = False
    expected = int(reached.argmax()) + 1 if reached.any() else len(logits)
    assert found_count(logits, p, min_keep) == expected


@settings(max_examples=200, deadline=None)
@given(values=LOGITS, uniform=st.floats(0, 1, exclude_max=True))
def test_a_draw_ends_where_sums_of_doubles_reach_the_number(values: list[float], uniform: float) -> None:
    logits = np.array(values, np.float32)
    highest = int(logits.argmax())
    weights = weigh(logits, logits[highest]).astype(np.float64)
    sums = np.add.accumulate(weights)
    reached = sums >= sums[-1] * uniform
    position, probabilities = found_draw(logits, highest, uniform)
    assert position == (int(reached.argmax()) if reached.any() else len(logits) - 1)
    assert_same_bits(probabilities, (weights / sums[-1]).astype(np.float32))


def test_weights_are_those_of_expf() -> None:
    logits = np.random.default_rng(0).uniform(-104, 0, 500_000).astype(np.float32)
    logits[:3] = 0.0, -0.0, -104.0
    weights = weigh(logits, np.float32(0)).astype(np.float64)
    _, probabilities = found_draw(logits, 0, 0.5)
    assert_same_bits(probabilities, (weights / np.add.accumulate(weights)[-1]).astype(np.float32))


def test_without_a_finite_logit_all_of_them_count_and_the_last_is_drawn() -> None:
    logits = np.full(5, -np.inf, np.float32)
    assert found_count(logits, 0.5, 0) == 5
    position, probabilities = found_draw(logits, 0, 0.5)
    assert position == 4
    assert np.isnan(probabilities).all()
