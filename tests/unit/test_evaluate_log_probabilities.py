"""Probabilities, their codes, and what is made of them, against plain loops."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.evaluate.divergence import compare, median, percentile, statistics
from pyggml.evaluate.log_probabilities import (
    HEAD_WORDS,
    decoded,
    encoded,
    n_code_words,
    negative_log_likelihoods,
    row_blocks,
)
from pyggml.evaluate.perplexity import estimate


def random_logits(seed: int, n_rows: int, n_vocab: int, spread: float) -> npt.NDArray[np.float32]:
    return (np.random.default_rng(seed).standard_normal((n_rows, n_vocab)) * spread).astype(np.float32)


def targets_of(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    return np.array([row * 7 % logits.shape[1] for row in range(len(logits))], np.int32)


def log_probabilities(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    exact = logits.astype(np.float64)
    exact -= exact.max(axis=1, keepdims=True)
    exact -= np.log(np.exp(exact).sum(axis=1, keepdims=True))
    return exact


shapes = {
    "seed": st.integers(0, 1000),
    "n_rows": st.integers(1, 5),
    "n_vocab": st.integers(1, 80),
    "spread": st.sampled_from([0.0, 1.0, 5.0, 40.0]),
}


@given(**shapes)
@settings(max_examples=100, deadline=None)
def test_codes_stand_for_probabilities(seed: int, n_rows: int, n_vocab: int, spread: float) -> None:
    logits = random_logits(seed, n_rows, n_vocab, spread)
    targets, exact = targets_of(logits), log_probabilities(logits)
    words, likelihoods = encoded(logits, targets)
    assert words.shape == (n_rows, n_code_words(n_vocab))
    assert n_code_words(n_vocab) - HEAD_WORDS in (n_vocab, n_vocab + 1)
    floored = np.maximum(exact, exact.max(axis=1, keepdims=True) - 16)
    np.testing.assert_allclose(decoded(words, n_vocab), floored, atol=16 / 65535 / 2 + 1e-4)
    expected = -exact[np.arange(n_rows), targets]
    np.testing.assert_allclose(likelihoods, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(negative_log_likelihoods(logits, targets), expected, rtol=1e-5, atol=1e-5)


@given(**shapes)
@settings(max_examples=100, deadline=None)
def test_divergence_of_each_token(seed: int, n_rows: int, n_vocab: int, spread: float) -> None:
    base_logits, logits = (random_logits(seed + other, n_rows, n_vocab, spread) for other in (0, 5000))
    targets = targets_of(logits)
    words, _ = encoded(base_logits, targets)
    found = compare(logits, targets, words)
    ours, base = log_probabilities(logits), decoded(words, n_vocab).astype(np.float64)
    for row in range(n_rows):
        divergence = sum(
            math.exp(base[row, i]) * (base[row, i] - ours[row, i]) for i in range(n_vocab) if base[row, i] > -16
        )
        assert found.divergence[row] == pytest.approx(divergence, rel=1e-4, abs=1e-4)
        target = targets[row]
        assert found.likelihood[row] == pytest.approx(-ours[row, target], rel=1e-5, abs=1e-5)
        assert found.base_likelihood[row] == pytest.approx(-base[row, target], rel=1e-5, abs=1e-5)
        difference = math.exp(ours[row, target]) - math.exp(base[row, target])
        assert found.difference[row] == pytest.approx(difference, abs=1e-5)
        assert found.same_top[row] == (ours[row].argmax() == base[row].argmax())


def test_many_tokens_are_worked_on_in_blocks() -> None:
    assert [(rows.start, rows.stop) for rows in row_blocks(5, 1 << 19)] == [(0, 2), (2, 4), (4, 6)]
    assert len(list(row_blocks(3, 1 << 21))) == 3
    logits = random_logits(1, 5, 1 << 19, 3.0)
    together = negative_log_likelihoods(logits, targets_of(logits))
    alone = [
        negative_log_likelihoods(row[None], target[None])[0]
        for row, target in zip(logits, targets_of(logits), strict=True)
    ]
    assert together.tolist() == alone


def test_statistics_against_their_definitions() -> None:
    logits, base_logits = random_logits(3, 300, 20, 2.0), random_logits(4, 300, 20, 2.0)
    words, _ = encoded(base_logits, targets_of(logits))
    tokens = compare(logits, targets_of(logits), words)
    found = statistics(tokens)
    ours, base = tokens.likelihood.astype(np.float64), tokens.base_likelihood.astype(np.float64)

    def error(values: npt.NDArray[np.float64]) -> float:
        return float(values.std() / math.sqrt(values.size - 1))

    assert found.log_perplexity.value == pytest.approx(ours.mean())
    assert found.log_perplexity.error == pytest.approx(error(ours), rel=1e-4)
    assert found.log_ratio.value == pytest.approx((ours - base).mean())
    assert found.log_ratio.error == pytest.approx(error(ours - base), rel=1e-4)
    assert found.correlation == pytest.approx(float(np.corrcoef(ours, base)[0, 1]), abs=1e-5)
    assert found.divergence.error == pytest.approx(error(tokens.divergence), rel=1e-6)
    assert found.probability_rms.value == pytest.approx(math.sqrt(np.square(tokens.difference).mean()), rel=1e-5)
    assert found.same_top.value == pytest.approx(tokens.same_top.mean())
    few = statistics(compare(logits[:10], targets_of(logits[:10]), words[:10]))
    assert (few.log_perplexity.error, few.divergence.error) == (0.0, 0.0)
    one = statistics(compare(logits[:1], targets_of(logits[:1]), words[:1]))
    assert math.isnan(one.correlation)
    assert one.same_top.error == 0.0


@given(values=st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=50), fraction=st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_quantiles(values: list[float], fraction: float) -> None:
    ordered = np.sort(np.array(values, np.float32))
    # Near a value the place among 50 of them, a float, may be off by some 3e-6.
    assert percentile(ordered, fraction) == pytest.approx(float(np.quantile(ordered, fraction)), abs=1e-4)
    assert median(ordered) == pytest.approx(float(np.median(ordered)), abs=1e-6)


def test_estimates() -> None:
    likelihoods = np.array([[1.0, 2.0], [4.0, 0.5]])
    found = estimate(likelihoods)
    assert found.n_chunks == 2
    assert found.perplexity == pytest.approx(math.exp(likelihoods.mean()))
    assert found.error == pytest.approx(found.perplexity * likelihoods.std() / math.sqrt(3))
    assert estimate(np.ones((1, 2))).error is None
    assert estimate(np.ones((1, 1))).error is None
