"""Chains that are given the largest logits: what they draw is what they draw from all, to the bit."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.errors import SamplingError
from pyggml.sampling import Candidates, Logits, Sampler, SamplingOptions
from pyggml_reference import cuda_twins
from tests.fake_vocabulary import FakeVocabulary

N_TOKENS = 700
RARE = [-np.inf, np.inf, np.nan, 0.0, -0.0]
OPTIONS = st.fixed_dictionaries(
    {"seed": st.integers(0, 1000), "top_k": st.sampled_from([0, 1, 2, 40, 130, 1000])},
    optional={
        "temperature": st.sampled_from([0.0, 0.5, 1.0]),
        "top_p": st.sampled_from([0.5, 1.0]),
        "typical_p": st.just(0.7),
        "min_p": st.sampled_from([0.0, 0.2]),
        "top_n_sigma": st.just(1.5),
        "xtc_probability": st.just(0.5),
        "dynatemp_range": st.just(0.3),
        "repeat_penalty": st.sampled_from([0.8, 1.3]),
        "presence_penalty": st.sampled_from([-1.0, 0.6]),
        "dry_multiplier": st.sampled_from([-0.5, 0.8]),
        "mirostat": st.sampled_from([1, 2]),
        "adaptive_target": st.just(0.4),
        "logit_bias": st.dictionaries(st.integers(0, N_TOKENS - 1), st.sampled_from([-np.inf, -2.0, 2.0]), max_size=5),
        "ignore_eos": st.booleans(),
        "n_probs": st.just(3),
        "min_keep": st.just(3),
        "samplers": st.sampled_from(
            [
                ("top_k", "temperature"),
                ("temperature", "top_k"),
                ("top_k", "penalties", "dry", "temperature"),
                ("penalties", "top_k", "adaptive_p"),
                ("min_p", "top_k", "temperature"),
                (),
            ]
        ),
    },
)


def random_logits(seed: int, n: int) -> npt.NDArray[np.float32]:
    """Rows of all kinds: all different, with many equal ones, with some that are no usual numbers."""
    random = np.random.default_rng(seed)
    logits = (random.standard_normal((n, N_TOKENS)) * 3).astype(np.float32)
    kinds = random.integers(0, 4, n)
    logits[kinds == 1] = np.round(logits[kinds == 1], 1)
    logits[kinds == 2] = np.where(random.random(N_TOKENS) < 0.002, random.choice(RARE, N_TOKENS), logits[kinds == 2])
    return logits


def partly(logits: npt.NDArray[np.float32], n_largest: int, fetched: list[int]) -> Logits:
    """As from a device; counts how often all are asked for."""
    (values,), (tokens,) = cuda_twins.largest(logits[None], n_largest)

    def fetch() -> npt.NDArray[np.float32]:
        fetched.append(1)
        return logits

    return Logits(fetch, Candidates(tokens, values, is_sorted=True))


def sampler_of(**options: Any) -> Sampler:
    pieces = tuple(bytes([97 + token % 26]) for token in range(N_TOKENS))
    return Sampler(SamplingOptions(**options), FakeVocabulary(N_TOKENS, frozenset({N_TOKENS - 1}), (), pieces))


def outcome(sampler: Sampler, logits: Logits | None, row: npt.NDArray[np.float32]) -> Any:
    try:
        token = sampler.sample(row) if logits is None else sampler.choose(logits)
    except SamplingError as error:
        return str(error)
    kept = sampler.candidates
    assert kept is not None
    probabilities = b"" if kept.probabilities is None else kept.probabilities.tobytes()
    return token, kept.ids.tobytes(), kept.logits.tobytes(), kept.is_sorted, probabilities


@settings(max_examples=400, deadline=None)
@given(options=OPTIONS, seed=st.integers(0, 10**6), n_largest=st.sampled_from([3, 64, 256, N_TOKENS]))
def test_the_largest_logits_draw_what_all_draw(options: dict[str, Any], seed: int, n_largest: int) -> None:
    whole, shortened = sampler_of(**options), sampler_of(**options)
    text = np.random.default_rng(seed).integers(0, 8, 12).tolist()
    for token in text:
        whole.accept(token)
        shortened.accept(token)
    for row in random_logits(seed, 6):
        # Tokens that were in the text before: penalties have something to do.
        row[:8] += 6
        expected = outcome(whole, None, row)
        assert outcome(shortened, partly(row, n_largest, []), row) == expected
        token = expected[0] if isinstance(expected, tuple) else 0
        whole.accept(token)
        shortened.accept(token)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.0},
        {"top_k": 200, "adaptive_target": 0.3, "samplers": ("top_k", "adaptive_p")},
        {"repeat_penalty": 1.2, "dry_multiplier": 0.8, "logit_bias": {3: -1.0}, "ignore_eos": True},
        {"typical_p": 0.7, "xtc_probability": 0.9, "dynatemp_range": 0.5, "min_keep": 2},
    ],
    ids=str,
)
def test_the_others_stay_where_they_are(options: dict[str, Any]) -> None:
    sampler = sampler_of(seed=1, **options)
    assert sampler.begins_with_the_largest
    fetched: list[int] = []
    for row in np.random.default_rng(2).standard_normal((20, N_TOKENS)).astype(np.float32):
        sampler.accept(sampler.choose(partly(row, 256, fetched)))
    assert not fetched


@pytest.mark.parametrize(
    "options",
    [
        {"top_k": 0},
        {"mirostat": 2},
        {"top_n_sigma": 1.0},
        {"logit_bias": {3: 1.0}},
        {"repeat_penalty": 0.9},
        {"presence_penalty": -0.5},
        {"frequency_penalty": -0.5},
        {"dry_multiplier": -0.5},
        {"samplers": ("temperature", "top_k")},
        {"samplers": ()},
    ],
    ids=str,
)
def test_chains_that_look_at_all_logits(options: dict[str, Any]) -> None:
    assert not sampler_of(**options).begins_with_the_largest


@pytest.mark.parametrize(
    ("changes", "n_largest", "options"),
    [
        ({39: 4.0, 40: 4.0}, 64, {}),
        ({5: 9.0, 6: 9.0}, 64, {}),
        ({5: np.nan}, 64, {}),
        ({0: np.inf}, 64, {"logit_bias": {0: -np.inf}}),
        ({0: np.inf}, 256, {"logit_bias": {0: -np.inf}, "top_k": 130}),
        (dict.fromkeys(range(60), 7.0), 64, {"logit_bias": dict.fromkeys(range(30), -100.0)}),
    ],
    ids=["the last two are equal", "two are equal", "NaN", "infinity taken away", "one of many", "too many taken away"],
)
def test_when_the_largest_do_not_decide(changes: dict[int, float], n_largest: int, options: dict[str, Any]) -> None:
    row = np.linspace(4, -4, N_TOKENS, dtype=np.float32)
    for token, value in changes.items():
        row[token] = value + (0 if len(changes) < 9 else token / 100)
    fetched: list[int] = []
    outcomes = [
        outcome(sampler_of(seed=3, **options), logits, row) for logits in (None, partly(row, n_largest, fetched))
    ]
    assert outcomes[0] == outcomes[1]
    assert fetched
