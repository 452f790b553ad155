import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.sampling.random import MersenneTwister

SEEDS = st.integers(0, 2**32 - 1)


def seeded_state(seed: int) -> list[int]:
    """The state after seeding, by the recurrence of the reference implementation."""
    state = [seed]
    for i in range(1, 624):
        state.append((1812433253 * (state[-1] ^ state[-1] >> 30) + i) % 2**32)
    return state


def first_words(seed: int, n: int) -> list[int]:
    """The first words, n <= 227, straight from the definition of the generator."""
    state, words = seeded_state(seed), []
    for i in range(n):
        joined = state[i] & 0x80000000 | state[i + 1] & 0x7FFFFFFF
        word = state[i + 397] ^ joined >> 1 ^ (0x9908B0DF if joined & 1 else 0)
        word ^= word >> 11
        word ^= word << 7 & 0x9D2C5680
        word ^= word << 15 & 0xEFC60000
        words.append(word ^ word >> 18)
    return words


def test_words_of_the_cpp_standard() -> None:
    # [rand.predef]: the 10,000th invocation of a default-constructed std::mt19937 gives 4123659995.
    random = MersenneTwister(5489)
    words = [random.next_word() for _ in range(10_000)]
    assert words[:3] == [3499211612, 581869302, 3890346734]
    assert words[-1] == 4123659995


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_words_follow_the_definition(seed: int) -> None:
    random = MersenneTwister(seed)
    assert [random.next_word() for _ in range(200)] == first_words(seed, 200)


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_a_double_is_two_words_low_half_first(seed: int) -> None:
    random = MersenneTwister(seed)
    words = first_words(seed, 200)
    for low, high in zip(words[::2], words[1::2], strict=True):
        assert random.next_double() == (low + high * 2.0**32) / 2.0**64


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_a_float_is_one_word(seed: int) -> None:
    random = MersenneTwister(seed)
    for word in first_words(seed, 100):
        value = random.next_float()
        assert value.dtype == np.float32
        assert value == min(np.float32(word) / np.float32(2**32), np.float32(0.99999994))


def test_draws_stay_below_one() -> None:
    class AllOnes:
        def bytes(self, n: int) -> bytes:
            return b"\xff" * n

    random = MersenneTwister(0)
    random._state = AllOnes()  # type: ignore[assignment]  # no seed is known to give 64 ones
    assert random.next_float() == np.float32(0.99999994)
    assert random.next_double() == 1.0 - 2.0**-53


@settings(max_examples=50, deadline=None)
@given(SEEDS, st.lists(st.floats(0.0, 1.0, width=32), min_size=2, max_size=20).filter(lambda weights: sum(weights) > 0))
def test_an_index_is_where_the_cumulative_weight_reaches_the_double(seed: int, weights: list[float]) -> None:
    array = np.array(weights, np.float32)
    index = MersenneTwister(seed).next_index(array)
    target = MersenneTwister(seed).next_double() * float(array.astype(np.float64).sum())
    cumulative = np.cumsum(array.astype(np.float64))
    assert cumulative[index] >= target * (1 - 1e-12) or index == len(weights) - 1
    assert index == 0 or cumulative[index - 1] <= target * (1 + 1e-12)


def test_a_single_weight_draws_nothing() -> None:
    random = MersenneTwister(7)
    assert random.next_index(np.ones(1, np.float32)) == 0
    assert random.next_word() == first_words(7, 1)[0]
