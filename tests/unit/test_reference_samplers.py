"""The oracle's sampler chains: each sampler runs, and a few do what their names say."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyggml_reference.library import OracleError
from pyggml_reference.random_model import RandomModel, random_model
from pyggml_reference.samplers import SAMPLERS, ReferenceChain
from pyggml_reference.tokenizer import ReferenceVocabulary

LOGITS = np.log(np.array([0.05, 0.1, 0.4, 0.2, 0.25], np.float32))
ARGUMENTS: dict[str, dict[str, Any]] = {
    "penalties": {"last_n": 8, "repeat": 1.5, "frequency": 0.1, "presence": 0.2},
    "dry": {"multiplier": 0.8},
    "grammar": {"text": "root ::= .*"},
    "top_n_sigma": {"n": 1.0},
    "top_k": {"k": 2},
    "typical": {"p": 0.5},
    "top_p": {"p": 0.6},
    "min_p": {"p": 0.5},
    "xtc": {"probability": 1.0, "threshold": 0.1, "seed": 1},
    "temp": {"temperature": 0.5},
    "temp_ext": {"temperature": 0.5, "delta": 0.2, "exponent": 1.5},
    "dist": {"seed": 1},
    "greedy": {},
    "mirostat": {"seed": 1},
    "mirostat_v2": {"seed": 1},
    "logit_bias": {"biases": {0: 5.0, 2: -5.0}},
    "adaptive_p": {"target": 0.3, "seed": 1},
}
CHOOSERS = ("dist", "greedy", "mirostat", "mirostat_v2", "adaptive_p")


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReferenceVocabulary]:
    path = tmp_path_factory.mktemp("toy") / "toy.gguf"
    random_model(path, RandomModel())
    with ReferenceVocabulary(path) as opened:
        yield opened


def test_every_sampler_is_tried() -> None:
    assert ARGUMENTS.keys() == SAMPLERS.keys()


@pytest.mark.parametrize("name", SAMPLERS)
def test_each_sampler_runs_in_a_chain_and_repeats_after_reset(name: str, vocabulary: ReferenceVocabulary) -> None:
    logits = np.random.default_rng(0).standard_normal(vocabulary.n_tokens)
    samplers = [(name, ARGUMENTS[name])]
    if name not in CHOOSERS:
        samplers.append(("dist", {"seed": 7}))
    with ReferenceChain(samplers, vocabulary.n_tokens, vocabulary) as chain:
        runs = []
        for _ in range(2):
            run = []
            for _ in range(10):
                run.append(chain.sample(logits))
                chain.accept(run[-1])
            runs.append(run)
            chain.reset()
    assert runs[0] == runs[1]
    assert all(0 <= token < vocabulary.n_tokens for token in runs[0])


def test_dist_draws_by_probability() -> None:
    with ReferenceChain([("dist", {"seed": 3})], 5) as chain:
        counts = Counter(chain.sample(LOGITS) for _ in range(4000))
    # Five standard deviations of a count are below 5 * sqrt(4000 / 4).
    np.testing.assert_allclose([counts[token] for token in range(5)], 4000 * np.exp(LOGITS), atol=160)


@pytest.mark.parametrize(
    ("name", "kept"), [("top_k", [2, 4]), ("top_p", [2, 4]), ("min_p", [2, 3, 4]), ("xtc", [0, 1])]
)
def test_truncation_keeps_the_right_tokens(name: str, kept: list[int]) -> None:
    with ReferenceChain([(name, ARGUMENTS[name])], 5) as chain:
        left = chain.candidates(LOGITS)
    assert sorted(left.ids.tolist()) == kept
    assert left.selected is None
    np.testing.assert_allclose(left.logits, LOGITS[left.ids], rtol=1e-6)


def test_logits_change_as_documented() -> None:
    with ReferenceChain([("logit_bias", {"biases": {0: 5.0}}), ("temp", {"temperature": 0.5})], 5) as chain:
        left = chain.candidates(LOGITS)
    expected = (LOGITS + np.array([5, 0, 0, 0, 0])) / 0.5
    np.testing.assert_allclose(left.logits[np.argsort(left.ids)], expected, rtol=1e-6)
    with ReferenceChain([("penalties", {"repeat": 2.0, "presence": 0.5})], 5) as chain:
        chain.accept(3)
        left = chain.candidates(LOGITS)
    np.testing.assert_allclose(left.logits[3], LOGITS[3] * 2.0 - 0.5, rtol=1e-6)
    np.testing.assert_allclose(np.delete(left.logits, 3), np.delete(LOGITS, 3))


def test_dry_lowers_the_token_that_would_repeat(vocabulary: ReferenceVocabulary, tmp_path: Path) -> None:
    logits = np.zeros(vocabulary.n_tokens, np.float32)
    with ReferenceChain([("dry", {"multiplier": 1.0})], vocabulary.n_tokens, vocabulary) as chain:
        for token in vocabulary.tokenize("abcXabc"):
            chain.accept(token)
        left = chain.candidates(logits)
    repeating = vocabulary.tokenize("X")[0]
    assert left.logits[repeating] == pytest.approx(-(1.75 ** (3 - 2)))
    assert np.count_nonzero(left.logits) == 1


def test_errors_say_what_is_wrong(vocabulary: ReferenceVocabulary) -> None:
    with pytest.raises(OracleError, match="no sampler is called 'topk'; known: penalties, dry"):
        ReferenceChain([("topk", {})], 5)
    with pytest.raises(OracleError, match="the sampler dry needs a vocabulary"):
        ReferenceChain([("dry", {"multiplier": 1.0})], 5)
    with ReferenceChain([("top_k", {"k": 3})], 5) as chain:
        with pytest.raises(OracleError, match="the chain chose no token: end it with dist"):
            chain.sample(LOGITS)
        with pytest.raises(OracleError, match=r"logits must have shape \(5,\), found \(4,\)"):
            chain.sample(LOGITS[:4])
    with pytest.raises(OracleError, match="the chain is closed"):
        chain.sample(LOGITS)
