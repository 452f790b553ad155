from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pyggml.errors import SamplingError
from pyggml.sampling import Candidates, Sampler, SamplingOptions, Vocabulary
from tests.fake_vocabulary import FakeVocabulary

Logits = npt.NDArray[np.float32]
LOGITS = hnp.arrays(np.float32, st.integers(1, 300), elements=st.floats(-20.0, 20.0, width=32))
SEEDS = st.integers(0, 2**32 - 2)
EVERYTHING: dict[str, Any] = {
    "repeat_penalty": 1.3,
    "dry_multiplier": 0.8,
    "top_n_sigma": 2.0,
    "typical_p": 0.9,
    "xtc_probability": 0.5,
    "dynatemp_range": 0.3,
    "logit_bias": {0: 1.0},
    "ignore_eos": True,
}


def sampler_of(n_tokens: int, **options: Any) -> Sampler:
    return Sampler(SamplingOptions(**({"seed": 7} | options)), FakeVocabulary(n_tokens, frozenset({n_tokens - 1})))


def left_by(logits: Logits, *samplers: str, **options: Any) -> Candidates:
    """What a chain of these samplers draws from."""
    sampler = sampler_of(len(logits), samplers=samplers, **options)
    sampler.sample(logits)
    assert sampler.candidates is not None
    return sampler.candidates


def probabilities(logits: Logits) -> npt.NDArray[np.float64]:
    weights = np.exp(logits.astype(np.float64) - logits.max())
    result: npt.NDArray[np.float64] = weights / weights.sum()
    return result


@settings(max_examples=100, deadline=None)
@given(LOGITS, SEEDS, st.booleans())
def test_the_same_seed_gives_the_same_tokens_and_logits_stay(logits: Logits, seed: int, everything: bool) -> None:
    options = EVERYTHING if everything else {}
    before = logits.copy()
    first, second = (sampler_of(len(logits), seed=seed, **options) for _ in range(2))
    tokens = []
    for _ in range(5):
        tokens.append(first.sample(logits))
        assert second.sample(logits) == tokens[-1]
        assert 0 <= tokens[-1] < len(logits)
        first.accept(tokens[-1])
        second.accept(tokens[-1])
    assert (logits == before).all()
    second.reset()
    for token in tokens:
        assert second.sample(logits) == token
        second.accept(token)


@settings(max_examples=50, deadline=None)
@given(LOGITS)
def test_temperature_zero_takes_the_largest(logits: Logits) -> None:
    for temperature in (0.0, -1.0):
        token = sampler_of(len(logits), temperature=temperature).sample(logits)
        assert logits[token] == logits.max()


@settings(max_examples=100, deadline=None)
@given(LOGITS, st.integers(1, 400))
def test_top_k_keeps_the_largest(logits: Logits, k: int) -> None:
    left = left_by(logits, "top_k", top_k=k, n_probs=1)
    assert left.logits.tolist() == sorted(logits.tolist(), reverse=True)[:k]
    assert (logits[left.ids] == left.logits).all()
    assert len(set(left.ids.tolist())) == len(left)


@settings(max_examples=100, deadline=None)
@given(LOGITS, st.floats(0.0, 0.99), st.integers(0, 10))
def test_top_p_keeps_the_shortest_run(logits: Logits, p: float, min_keep: int) -> None:
    left = left_by(logits, "top_p", top_p=p, min_keep=min_keep)
    assert left.logits.tolist() == sorted(logits.tolist(), reverse=True)[: len(left)]
    kept = probabilities(logits)[left.ids]
    assert kept.sum() >= p - 1e-4
    if len(left) > max(min_keep, 1):
        assert kept[:-1].sum() < p + 1e-4


@settings(max_examples=100, deadline=None)
@given(LOGITS, st.floats(0.001, 0.99), st.integers(0, 10))
def test_min_p_keeps_what_is_near_the_largest(logits: Logits, p: float, min_keep: int) -> None:
    left = left_by(logits, "min_p", min_p=p, min_keep=min_keep)
    margin = float(np.log(p))
    near = set(np.flatnonzero(logits > logits.max() + margin + 1e-5).tolist())
    maybe = set(np.flatnonzero(logits > logits.max() + margin - 1e-5).tolist())
    kept = set(left.ids.tolist())
    assert near <= kept
    if len(kept) > min_keep:
        assert kept <= maybe
    assert len(kept) >= min(min_keep, len(logits))


@settings(max_examples=100, deadline=None)
@given(LOGITS, st.floats(0.05, 0.95))
def test_typical_keeps_the_least_surprising_surprise(logits: Logits, p: float) -> None:
    left = left_by(logits, "typ_p", typical_p=p)
    likely = probabilities(logits)
    distance = np.abs(-np.log(likely) + (likely * np.log(likely)).sum())
    dropped = np.setdiff1d(np.arange(len(logits)), left.ids)
    assert likely[left.ids].sum() >= p - 1e-4
    if len(dropped):
        assert distance[left.ids].max() <= distance[dropped].min() + 1e-3


@settings(max_examples=100, deadline=None)
@given(LOGITS, st.floats(0.1, 3.0))
def test_top_n_sigma_masks_the_tail(logits: Logits, n: float) -> None:
    left = left_by(logits, "top_n_sigma", top_n_sigma=n)
    bound = logits.max() - n * logits.astype(np.float64).std()
    assert (left.logits[logits > bound + 1e-3] == logits[logits > bound + 1e-3]).all()
    if len(logits) > 1:
        assert (left.logits[logits < bound - 1e-3] == -np.inf).all()


@settings(max_examples=100, deadline=None)
@given(LOGITS, st.floats(0.01, 0.5))
def test_xtc_leaves_the_least_likely_of_the_top(logits: Logits, threshold: float) -> None:
    left = left_by(logits, "xtc", xtc_probability=1.0, xtc_threshold=threshold)
    likely = probabilities(logits)
    n_top = int(np.count_nonzero(likely >= threshold + 1e-5))
    n_top_at_most = int(np.count_nonzero(likely >= threshold - 1e-5))
    n_dropped = len(logits) - len(left)
    assert max(n_top - 1, 0) <= n_dropped <= max(n_top_at_most - 1, 0)
    assert left.logits.max() == np.sort(logits)[::-1][n_dropped]


def test_xtc_happens_as_often_as_asked() -> None:
    logits = np.array([3.0, 3.0, 0.0], np.float32)
    sampler = sampler_of(3, samplers=("xtc",), xtc_probability=0.3)
    n_changed = 0
    for _ in range(1000):
        sampler.sample(logits)
        assert sampler.candidates is not None
        n_changed += len(sampler.candidates) == 2
    assert 250 < n_changed < 350


@settings(max_examples=100, deadline=None)
@given(LOGITS, st.floats(0.1, 5.0))
def test_temperature_divides(logits: Logits, temperature: float) -> None:
    left = left_by(logits, "temperature", temperature=temperature)
    assert (left.logits == logits / np.float32(temperature)).all()


# In single precision an entropy near 0 has few correct digits, so the logits stay close together.
@settings(max_examples=100, deadline=None)
@given(
    hnp.arrays(np.float32, st.integers(2, 300), elements=st.floats(-2.0, 2.0, width=32)),
    st.floats(0.5, 2.0),
    st.floats(0.1, 0.5),
    st.floats(0.2, 3.0),
)
def test_dynamic_temperature_follows_the_entropy(logits: Logits, middle: float, reach: float, exponent: float) -> None:
    options = {"temperature": middle, "dynatemp_range": reach, "dynatemp_exponent": exponent}
    left = left_by(logits, "temperature", **options)
    likely = probabilities(logits)
    entropy = -(likely * np.log(likely)).sum() / np.log(len(logits))
    expected = middle - reach + 2 * reach * entropy**exponent
    np.testing.assert_allclose(left.logits * expected, logits[left.ids], rtol=1e-3, atol=1e-4)


@settings(max_examples=50, deadline=None)
@given(LOGITS, SEEDS)
def test_the_draw_is_where_the_cumulative_probability_reaches_the_uniform(logits: Logits, seed: int) -> None:
    left = left_by(logits, seed=seed)
    assert left.probabilities is not None
    np.testing.assert_allclose(left.probabilities, probabilities(logits), rtol=1e-5, atol=1e-12)
    words = np.random.RandomState(seed).bytes(8)
    uniform = int.from_bytes(words, "little") / 2**64
    cumulative = np.cumsum(probabilities(logits))
    assert left.selected is not None
    assert cumulative[left.selected] >= uniform - 1e-6
    assert left.selected == 0 or cumulative[left.selected - 1] <= uniform + 1e-6


@settings(max_examples=100, deadline=None)
@given(
    hnp.arrays(np.float32, 10, elements=st.floats(-20.0, 20.0, width=32)),
    st.lists(st.integers(0, 9), max_size=30),
    st.integers(1, 12),
    st.floats(0.5, 2.0),
    st.floats(-1.0, 1.0),
    st.floats(-1.0, 1.0),
)
def test_penalties_count_the_last_tokens(
    logits: Logits, history: list[int], last_n: int, repeat: float, frequency: float, presence: float
) -> None:
    options = {"repeat_penalty": repeat, "frequency_penalty": frequency, "presence_penalty": presence}
    sampler = sampler_of(10, samplers=("penalties",), repeat_last_n=last_n, **options)
    for token in history:
        sampler.accept(token)
    sampler.sample(logits)
    assert sampler.candidates is not None
    for token, logit in enumerate(logits):
        count = history[-last_n:].count(token)
        expected = float(logit)
        if count:
            expected = expected * repeat if expected <= 0 else expected / repeat
            expected -= count * frequency + presence
        assert sampler.candidates.logits[token] == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_penalties_after_truncation_find_their_tokens() -> None:
    logits = np.array([1.0, 5.0, 2.0, 4.0, 3.0], np.float32)
    sampler = sampler_of(5, samplers=("top_k", "penalties"), top_k=3, presence_penalty=10.0)
    for token in (0, 3, 4):
        sampler.accept(token)
    sampler.sample(logits)
    assert sampler.candidates is not None
    assert sampler.candidates.ids.tolist() == [1, 3, 4]
    assert sampler.candidates.logits.tolist() == [5.0, -6.0, -7.0]


def test_biases_and_the_end_of_generation() -> None:
    logits = np.zeros(4, np.float32)
    left = left_by(logits, logit_bias={1: 2.5, 3: -1.0}, ignore_eos=True)
    assert left.logits.tolist() == [0.0, 2.5, 0.0, -np.inf]


def test_suppressed_tokens_are_never_chosen() -> None:
    vocabulary = FakeVocabulary(4, suppressed=(0, 2, 3))
    sampler = Sampler(SamplingOptions(logit_bias={0: 10.0}, seed=1), vocabulary)
    assert sampler.describe().startswith("sampler chain: logits -> bias on 3 tokens -> top-k 40")
    assert {sampler.sample(np.array([5, 0, 5, 5], np.float32)) for _ in range(20)} == {1}


def test_mirostat_approaches_the_target() -> None:
    logits = (np.random.default_rng(0).standard_normal(2000) * 2).astype(np.float32)
    for version in (1, 2):
        sampler = sampler_of(2000, mirostat=version, mirostat_tau=3.0, temperature=1.0)
        surprises = []
        for _ in range(400):
            sampler.sample(logits)
            left = sampler.candidates
            assert left is not None
            assert left.probabilities is not None
            surprises.append(-np.log2(left.probabilities[left.selected]))
        assert np.mean(surprises[200:]) == pytest.approx(3.0, abs=0.4)


def test_adaptive_p_prefers_tokens_near_the_target() -> None:
    logits = np.log(np.array([0.6, 0.3, 0.1], np.float32))
    counts = [0, 0, 0]
    sampler = sampler_of(3, samplers=("adaptive_p",), adaptive_target=0.3)
    for _ in range(500):
        token = sampler.sample(logits)
        sampler.accept(token)
        counts[token] += 1
    assert counts[1] > counts[0] > 0
    assert counts[1] > counts[2] > 0


def test_adaptive_p_without_target_draws_by_probability() -> None:
    left = left_by(np.zeros(4, np.float32), "adaptive_p")
    assert left.logits.tolist() == [0.0] * 4
    assert left.probabilities is not None
    assert left.probabilities.tolist() == [0.25] * 4


def test_no_finite_logit_takes_the_last() -> None:
    assert sampler_of(5, samplers=()).sample(np.full(5, -np.inf, np.float32)) == 4


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "top-k 40 -> top-p 0.95 -> min-p 0.05 -> temperature 0.8 -> draw"),
        ({"temperature": 0.0}, "top-k 40 -> top-p 0.95 -> min-p 0.05 -> temperature 0 -> largest"),
        ({"temperature": -2.0}, "top-k 40 -> top-p 0.95 -> min-p 0.05 -> temperature 0 -> largest"),
        ({"temperature": 0.0, "n_probs": 1}, "top-k 40 -> top-p 0.95 -> min-p 0.05 -> temperature 0 -> draw"),
        ({"samplers": ("temp", "top_k"), "top_k": 1}, "temperature 0.8 -> top-k 1 -> largest"),
        ({"samplers": ()}, "draw"),
        ({"mirostat": 2}, "temperature 0.8 -> mirostat to 5 bits, learning rate 0.1"),
        ({"mirostat": 1, "temperature": 1.0}, "mirostat to 5 bits, learning rate 0.1"),
        ({"samplers": ("adaptive_p", "min_p")}, "min-p 0.05 -> adaptive-p -1, decay 0.9"),
        (
            EVERYTHING,
            "bias on 2 tokens -> penalties of 1.3/0/0 over 64 tokens -> dry 0.8 * 1.75^(n - 2) over 64 tokens -> "
            "top-n-sigma 2 -> top-k 40 -> typical 0.9 -> top-p 0.95 -> min-p 0.05 -> xtc 0.5 above 0.1 -> "
            "temperature 0.8 +- 0.3 by entropy^1 -> draw",
        ),
        (
            {
                **{"top_k": 0, "top_p": 1.0, "min_p": 0.0, "temperature": 1.0, "xtc_probability": 1.0},
                **{"xtc_threshold": 0.51, "repeat_last_n": 0, "repeat_penalty": 2.0, "dry_multiplier": 1.0},
                **{"dry_penalty_last_n": 0, "top_n_sigma": 0.0},
            },
            "draw",
        ),
        # As float32 these are 1, 1 and 0: off.
        ({"top_p": 1 - 1e-9, "temperature": 1 + 1e-9, "min_p": 1e-50}, "top-k 40 -> draw"),
    ],
)
def test_description_and_what_is_left_out(options: dict[str, Any], expected: str) -> None:
    assert sampler_of(9, **options).describe() == f"sampler chain: logits -> {expected} (seed 7)"


def test_random_seeds_differ_and_can_be_used_again() -> None:
    vocabulary: Vocabulary = FakeVocabulary(1000)
    logits = np.zeros(1000, np.float32)
    sampler = Sampler(SamplingOptions(samplers=()), vocabulary)
    first_seed = sampler.seed
    tokens = [sampler.sample(logits) for _ in range(5)]
    sampler.reset()
    assert sampler.seed != first_seed
    again = Sampler(SamplingOptions(samplers=(), seed=first_seed), vocabulary)
    assert again.seed == first_seed
    assert [again.sample(logits) for _ in range(5)] == tokens


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (np.zeros(4, np.float32), r"logits are float32 of shape \(4,\); allowed: float32 of shape \(5,\)"),
        (np.zeros((1, 5), np.float32), r"logits are float32 of shape \(1, 5\); allowed: float32 of shape \(5,\)"),
        (np.zeros(5), r"logits are float64 of shape \(5,\); allowed: float32 of shape \(5,\)"),
        (np.array([0, 1, np.nan, 3, np.nan], np.float32), r"logits hold NaN, first for token 2; the model's weights"),
    ],
)
def test_logits_that_cannot_be(logits: Any, message: str) -> None:
    with pytest.raises(SamplingError, match=f"^{message}"):
        sampler_of(5).sample(logits)


def test_a_bias_outside_of_the_vocabulary() -> None:
    with pytest.raises(SamplingError, match=r"^logit_bias: token 5 is not in the vocabulary; allowed: 0 to 4$"):
        sampler_of(5, logit_bias={5: 1.0})
