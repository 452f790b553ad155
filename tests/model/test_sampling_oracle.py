"""Sampling against llama.cpp's own samplers: the same tokens from the same seeds, and the same candidates to the bit.

Each chain of llama.cpp is built here from our options by the rules of its `common_sampler_init`, samplers that are
turned off included. Every configuration draws 1,000 tokens from a small vocabulary and some from others, with the
tokens drawn fed back as text; each draw compares the token, and the ids, logits and probabilities left at the end.
"""

import ctypes
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pyggml.package_data import demo_model
from pyggml.sampling import Candidates, Sampler, SamplingOptions, Vocabulary, float32_math
from pyggml_reference.library import library
from pyggml_reference.samplers import Candidates as ReferenceCandidates
from pyggml_reference.samplers import ReferenceChain
from pyggml_reference.tokenizer import ReferenceVocabulary
from tests.fake_vocabulary import FakeVocabulary

Logits = npt.NDArray[np.float32]
DEMO_SIZE = 7936


class OracleVocabulary:
    """The first tokens of a vocabulary, all by default, as llama.cpp reads it."""

    def __init__(self, reference: ReferenceVocabulary, n_tokens: int | None = None) -> None:
        self.reference = reference
        self.n_tokens = n_tokens or reference.n_tokens
        ends = frozenset(token for token in range(self.n_tokens) if reference.is_eog(token))
        self.end_of_generation = ends or frozenset({self.n_tokens - 1})
        self.suppressed = ()

    def detokenize_bytes(self, tokens: Iterable[int], *, render_special: bool) -> bytes:
        return self.reference.detokenize(list(tokens), unparse_special=render_special)

    def tokenize(self, text: bytes, *, add_special: bool, parse_special: bool) -> list[int]:
        return self.reference.tokenize(text, add_special=add_special, parse_special=parse_special)


@pytest.fixture(scope="module")
def reference_vocabulary() -> Iterator[ReferenceVocabulary]:
    with ReferenceVocabulary(demo_model()) as reference:
        yield reference


@pytest.fixture(scope="module")
def vocabularies(reference_vocabulary: ReferenceVocabulary) -> dict[int, OracleVocabulary]:
    return {n: OracleVocabulary(reference_vocabulary, n) for n in (5, 32, DEMO_SIZE)}


def specification(options: SamplingOptions, end_of_generation: frozenset[int]) -> Iterator[tuple[str, dict[str, Any]]]:
    """llama.cpp's chain for these options; one bias sampler a list, for a mapping cannot name a token twice."""
    assert options.seed is not None
    if options.logit_bias:
        yield "logit_bias", {"biases": options.logit_bias}
    if options.ignore_eos:
        yield "logit_bias", {"biases": dict.fromkeys(sorted(end_of_generation), -np.inf)}
    if options.mirostat:
        names = {1: "mirostat", 2: "mirostat_v2"}
        yield "temp", {"temperature": max(options.temperature, 0.0)}
        tau, eta = options.mirostat_tau, options.mirostat_eta
        yield names[options.mirostat], {"seed": options.seed, "tau": tau, "eta": eta}
        return
    for name in options.samplers:
        if name != "adaptive_p":
            yield ARGUMENTS[name](options)
    if "adaptive_p" in options.samplers:
        target, decay = options.adaptive_target, options.adaptive_decay
        yield "adaptive_p", {"target": target, "decay": decay, "seed": options.seed}
        return
    last = options.samplers[-1] if options.samplers else ""
    is_cold = options.temperature <= 0 and options.dynatemp_range == 0
    is_greedy = (last == "temperature" and is_cold) or (last == "top_k" and options.top_k == 1)
    yield ("greedy", {}) if is_greedy and not options.n_probs else ("dist", {"seed": options.seed})


ARGUMENTS: dict[str, Callable[[SamplingOptions], tuple[str, dict[str, Any]]]] = {
    "penalties": lambda o: (
        "penalties",
        {
            **{"last_n": o.repeat_last_n, "repeat": o.repeat_penalty},
            **{"frequency": o.frequency_penalty, "presence": o.presence_penalty},
        },
    ),
    "dry": lambda o: (
        "dry",
        {
            **{"multiplier": o.dry_multiplier, "base": o.dry_base, "allowed_length": o.dry_allowed_length},
            **{"last_n": o.dry_penalty_last_n, "breakers": o.dry_sequence_breakers},
        },
    ),
    "top_n_sigma": lambda o: ("top_n_sigma", {"n": o.top_n_sigma}),
    "top_k": lambda o: ("top_k", {"k": o.top_k}),
    "typ_p": lambda o: ("typical", {"p": o.typical_p, "min_keep": o.min_keep}),
    "top_p": lambda o: ("top_p", {"p": o.top_p, "min_keep": o.min_keep}),
    "min_p": lambda o: ("min_p", {"p": o.min_p, "min_keep": o.min_keep}),
    "xtc": lambda o: (
        "xtc",
        {
            **{"probability": o.xtc_probability, "threshold": o.xtc_threshold},
            **{"seed": o.seed, "min_keep": o.min_keep},
        },
    ),
    "temperature": lambda o: (
        "temp_ext",
        {"temperature": max(o.temperature, 0.0), "delta": o.dynatemp_range, "exponent": o.dynatemp_exponent},
    ),
}

# The demo vocabulary's own text repeats: the tokens drawn are few, and drawn again.
REPEATING = {"dry_multiplier": 0.8, "dry_allowed_length": 1}
PENALIZING = {"repeat_penalty": 1.3, "frequency_penalty": 0.2, "presence_penalty": 0.1}
ALL_ON: dict[str, Any] = {
    **REPEATING,
    **PENALIZING,
    **{"top_n_sigma": 2.5, "top_k": 100, "typical_p": 0.95, "top_p": 0.98, "min_p": 0.02, "xtc_probability": 0.4},
    **{"xtc_threshold": 0.08, "dynatemp_range": 0.4, "dynatemp_exponent": 1.5, "min_keep": 2},
    **{"logit_bias": {0: 1.5, 3: -2.0, 4: -np.inf}, "ignore_eos": True},
}
BACKWARDS = ("temperature", "xtc", "min_p", "top_p", "typ_p", "top_k", "top_n_sigma", "dry", "penalties")

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "draw alone": {"samplers": ()},
    "top-k 1": {"samplers": ("top_k",), "top_k": 1},
    "top-k 7": {"samplers": ("top_k",), "top_k": 7},
    # At 128 llama.cpp changes from heap selection to buckets.
    "top-k 128": {"samplers": ("top_k",), "top_k": 128},
    "top-k 129": {"samplers": ("top_k",), "top_k": 129},
    "top-k 300": {"samplers": ("top_k",), "top_k": 300},
    "top-k twice": {"samplers": ("top_k", "temperature", "top_k"), "top_k": 12},
    "top-p": {"samplers": ("top_p",), "top_p": 0.9},
    "top-p, min-keep": {"samplers": ("top_p",), "top_p": 0.1, "min_keep": 5},
    "top-p 0": {"samplers": ("top_p",), "top_p": 0.0},
    "min-p": {"samplers": ("min_p",), "min_p": 0.1},
    "min-p, min-keep": {"samplers": ("min_p",), "min_p": 0.5, "min_keep": 20},
    "min-p, min-keep 2": {"samplers": ("min_p",), "min_p": 0.5, "min_keep": 2},
    "min-p above 1": {"samplers": ("min_p",), "min_p": 1.5},
    "min-p after top-k": {"samplers": ("top_k", "min_p"), "min_p": 0.3, "min_keep": 3},
    "typical": {"samplers": ("typ_p",), "typical_p": 0.6},
    "typical, min-keep": {"samplers": ("top_k", "typ_p"), "typical_p": 0.2, "min_keep": 4},
    "typical 0.95": {"samplers": ("top_k", "typ_p", "top_p"), "typical_p": 0.95},
    "top-n-sigma": {"samplers": ("top_n_sigma",), "top_n_sigma": 1.0},
    "top-n-sigma, defaults": {"top_n_sigma": 0.5},
    "xtc": {"samplers": ("xtc",), "xtc_probability": 0.5, "xtc_threshold": 0.05},
    "xtc always": {"samplers": ("top_k", "xtc"), "xtc_probability": 1.0, "xtc_threshold": 0.2, "min_keep": 3},
    "temperature": {"samplers": ("temperature",), "temperature": 1.7},
    "temperature 1": {"temperature": 1.0},
    "temperature 0": {"temperature": 0.0},
    "temperature below 0": {"temperature": -1.0},
    "temperature 0 with probabilities": {"temperature": 0.0, "n_probs": 5},
    "temperature 0 first": {"samplers": ("temperature", "top_k"), "temperature": 0.0},
    "dynamic temperature": {"samplers": ("temperature",), "dynatemp_range": 0.5, "dynatemp_exponent": 0.7},
    "dynamic temperature to 0": {"temperature": 0.3, "dynatemp_range": 0.6, "dynatemp_exponent": 2.0},
    "mirostat 1": {"mirostat": 1},
    "mirostat 1, low target": {"mirostat": 1, "mirostat_tau": 1.5, "mirostat_eta": 0.4, "temperature": 1.0},
    "mirostat 2": {"mirostat": 2},
    "mirostat 2, low target": {"mirostat": 2, "mirostat_tau": 1.5, "mirostat_eta": 0.4, "temperature": 1.3},
    "repeat penalty": {"samplers": ("penalties",), "repeat_penalty": 1.5, "repeat_last_n": 20},
    "frequency penalty": {"samplers": ("penalties",), "frequency_penalty": 0.7},
    "presence penalty": {"samplers": ("penalties",), "presence_penalty": -0.7},
    "penalties, defaults": PENALIZING,
    "penalties after top-k": {"samplers": ("top_k", "penalties", "top_p"), **PENALIZING},
    "dry": {"samplers": ("dry",), **REPEATING},
    "dry, defaults": {**REPEATING, "dry_penalty_last_n": 1000, "dry_base": 2.5},
    "dry, other breakers": {
        **{"dry_sequence_breakers": (" the", "\n\n", "you are", "\u4f60\u597d", "x" * 50), "dry_allowed_length": 0},
        **{"samplers": ("dry", "top_k"), "dry_multiplier": 3.0},
    },
    "dry after top-k": {"samplers": ("top_k", "dry"), "dry_sequence_breakers": (), **REPEATING},
    "logit bias": {"samplers": (), "logit_bias": {0: 3.0, 2: -5.0, 4: -np.inf}},
    "logit bias, ignore-eos": {"logit_bias": {1: 2.0}, "ignore_eos": True},
    "adaptive-p": {"samplers": ("min_p", "adaptive_p"), "adaptive_target": 0.4},
    "adaptive-p, sorted": {"samplers": ("adaptive_p", "top_k"), "adaptive_target": 0.1, "adaptive_decay": 0.5},
    "adaptive-p, no target": {"samplers": ("adaptive_p",)},
    "adaptive-p, target 1": {"samplers": ("top_p", "adaptive_p"), "adaptive_target": 1.0, "adaptive_decay": 0.99},
    "all": ALL_ON,
    "all backwards": {**ALL_ON, "samplers": BACKWARDS},
    "all shuffled": {**ALL_ON, "samplers": ("top_p", "dry", "temperature", "penalties", "xtc", "top_k", "typ_p")},
}


def logits_pools(n_vocab: int, seed: int) -> tuple[list[Logits], list[Logits]]:
    """Smooth logits, and awkward ones."""
    random = np.random.default_rng(seed)

    def normal(scale: float) -> Logits:
        return (random.standard_normal(n_vocab) * scale).astype(np.float32)

    peaked = normal(1.0)
    peaked[random.integers(n_vocab)] += 12
    masked = normal(4.0)
    masked[random.random(n_vocab) < 0.6] = -np.inf
    one_left = np.full(n_vocab, -np.inf, np.float32)
    one_left[random.integers(n_vocab)] = 1.0
    with_ties = (normal(3.0) * 4).round().astype(np.float32) / np.float32(4)
    outside_of_the_buckets = normal(30.0).round()
    smooth = [normal(scale) for scale in (0.1, 1.0, 2.0, 3.0, 5.0, 8.0) for _ in range(3)]
    awkward = [with_ties, np.zeros(n_vocab, np.float32), masked, one_left, outside_of_the_buckets]
    return [peaked, *smooth, normal(2.0) - np.float32(15)], awkward


def logits_to_draw_from(n_vocab: int, n_draws: int) -> Iterator[Logits]:
    """Awkward logits one time in five; of large vocabularies less often, for repeating llama.cpp's ties is slow."""
    smooth, awkward = logits_pools(n_vocab, n_draws)
    random = np.random.default_rng(n_vocab)
    for _ in range(n_draws):
        pool = awkward if random.random() < (0.2 if n_vocab < 100 else 0.03) else smooth
        yield pool[random.integers(len(pool))]


def assert_equal_draws(
    options: SamplingOptions, vocabulary: Vocabulary, reference_vocabulary: ReferenceVocabulary, n_draws: int
) -> None:
    """Draw side by side with feedback, and compare the token and all that it was drawn from."""
    n_vocab = vocabulary.n_tokens
    sampler = Sampler(options, vocabulary)
    description = sampler.describe()
    chain = list(specification(options, vocabulary.end_of_generation))
    with ReferenceChain(chain, n_vocab, reference_vocabulary) as reference:
        for token in np.random.default_rng(1).integers(0, 5, 100).tolist():
            sampler.accept(token)
            reference.accept(token)
        for draw, logits in enumerate(logits_to_draw_from(n_vocab, n_draws)):
            where = f"draw {draw}: {description}"
            token = sampler.sample(logits)
            expected = reference.candidates(logits)
            assert expected.selected is not None, where
            assert token == expected.ids[expected.selected], where
            assert_equal_candidates(sampler.candidates, expected, where)
            if draw % 5:  # not every token drawn need be used
                sampler.accept(token)
                reference.accept(token)


def assert_equal_candidates(found: Candidates | None, expected: ReferenceCandidates, where: str) -> None:
    assert found is not None
    assert found.ids.tobytes() == expected.ids.tobytes(), where
    assert found.logits.tobytes() == expected.logits.tobytes(), where
    if found.probabilities is not None:
        assert np.array_equal(found.probabilities, expected.p, equal_nan=True), where


def configured(name: str, n_vocab: int) -> SamplingOptions:
    return SamplingOptions(seed=zlib.crc32(name.encode()) + n_vocab, **CONFIGURATIONS[name])


@pytest.mark.parametrize(("n_vocab", "n_draws"), [(5, 200), (32, 1000), (DEMO_SIZE, 200)])
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_draws(
    name: str,
    n_vocab: int,
    n_draws: int,
    vocabularies: dict[int, OracleVocabulary],
    reference_vocabulary: ReferenceVocabulary,
) -> None:
    assert_equal_draws(configured(name, n_vocab), vocabularies[n_vocab], reference_vocabulary, n_draws)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_thousand_draws_from_the_demo_vocabulary(
    name: str, vocabularies: dict[int, OracleVocabulary], reference_vocabulary: ReferenceVocabulary
) -> None:
    assert_equal_draws(configured(name, DEMO_SIZE), vocabularies[DEMO_SIZE], reference_vocabulary, 1000)


@pytest.mark.parametrize("seed", [0, 2**32 - 2])
def test_a_thousand_draws_from_other_seeds(
    seed: int, vocabularies: dict[int, OracleVocabulary], reference_vocabulary: ReferenceVocabulary
) -> None:
    for options in ({}, ALL_ON, {"mirostat": 1}, {"mirostat": 2}):
        assert_equal_draws(SamplingOptions(seed=seed, **options), vocabularies[32], reference_vocabulary, 1000)


@pytest.mark.parametrize(
    "name",
    [
        *("defaults", "temperature 0", "draw alone", "top-k 300", "top-p", "min-p", "top-n-sigma", "typical 0.95"),
        *("xtc always", "mirostat 1", "mirostat 2", "penalties, defaults", "logit bias, ignore-eos", "adaptive-p"),
    ],
)
def test_some_draws_from_a_large_vocabulary(name: str, reference_vocabulary: ReferenceVocabulary) -> None:
    vocabulary = FakeVocabulary(151936, frozenset({151643, 151645}))
    assert_equal_draws(SamplingOptions(seed=11, **CONFIGURATIONS[name]), vocabulary, reference_vocabulary, 12)


def test_reset_starts_both_over(
    vocabularies: dict[int, OracleVocabulary], reference_vocabulary: ReferenceVocabulary
) -> None:
    options = SamplingOptions(seed=5, **ALL_ON)
    sampler = Sampler(options, vocabularies[32])
    chain = list(specification(options, vocabularies[32].end_of_generation))
    with ReferenceChain(chain, 32, reference_vocabulary) as reference:
        for _ in range(3):
            for logits in logits_to_draw_from(32, 30):
                token = sampler.sample(logits)
                assert token == reference.sample(logits)
                sampler.accept(token)
                reference.accept(token)
            sampler.reset()
            reference.reset()


def check_dry_on_texts(path: Path, text: str, breakers: tuple[str, ...]) -> None:
    """Feed a few pieces of a text again and again, and compare all logits."""
    random = np.random.default_rng(8)
    options: dict[str, Any] = {"dry_multiplier": 1.0, "dry_allowed_length": 1, "dry_penalty_last_n": 80}
    with ReferenceVocabulary(path) as reference_vocabulary:
        vocabulary = OracleVocabulary(reference_vocabulary)
        tokens = reference_vocabulary.tokenize(text)
        samplers = SamplingOptions(seed=0, samplers=("dry",), dry_sequence_breakers=breakers, **options)
        sampler, n_vocab = Sampler(samplers, vocabulary), vocabulary.n_tokens
        n_lowered = 0
        with ReferenceChain(list(specification(samplers, frozenset())), n_vocab, reference_vocabulary) as reference:
            for _ in range(100):
                for start in random.choice(random.integers(0, len(tokens), 3), 12).tolist():
                    for token in tokens[start : start + int(random.choice([1, 6]))]:
                        sampler.accept(token)
                        reference.accept(token)
                sampler.sample(np.zeros(n_vocab, np.float32))
                expected = reference.candidates(np.zeros(n_vocab, np.float32))
                assert_equal_candidates(sampler.candidates, expected, str(breakers))
                n_lowered += int(np.count_nonzero(expected.logits))
        assert n_lowered > 10


BREAKERS = [("\n", ":", '"', "*"), (), ("ne day", " was a", "big, red"), (" ", "day,"), ("\u4f60\u597d\u5417", "o\n")]
TEXT = 'One day, one day, there was a big, red ball. "You are so big!" One day: \u4f60\u597d\u5417, \u4f60\u597d\n' * 2


@pytest.mark.parametrize("breakers", BREAKERS)
def test_dry_breakers_of_a_byte_level_vocabulary(breakers: tuple[str, ...]) -> None:
    check_dry_on_texts(demo_model(), TEXT, breakers)


@pytest.mark.parametrize("breakers", BREAKERS)
def test_dry_breakers_of_a_sentencepiece_vocabulary(breakers: tuple[str, ...], shared: Path) -> None:
    check_dry_on_texts(shared / "models" / "stories260K.gguf", TEXT, breakers)


@pytest.mark.parametrize("name", ["expf", "logf", "log2f"])
def test_functions_of_the_c_library(name: str) -> None:
    function = getattr(library(), name)
    function.restype, function.argtypes = ctypes.c_float, [ctypes.c_float]
    random = np.random.default_rng(3)
    bits = random.integers(0, 0x7F800000, 100_000, dtype=np.uint32)
    values = bits.view(np.float32)
    if name == "expf":
        near = random.uniform(-104, 89, 100_000).astype(np.float32)
        values = np.concatenate((near, -values[values < 110], values[values < 89]))
    ours = {"expf": float32_math.exp, "logf": float32_math.log, "log2f": float32_math.log2}[name]
    expected = np.array([function(value) for value in values.tolist()], np.float32)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(ours(values), expected)


def test_powf_of_the_c_library() -> None:
    function = library().powf
    function.restype, function.argtypes = ctypes.c_float, [ctypes.c_float] * 2
    random = np.random.default_rng(4)
    bases = np.concatenate((np.exp2(random.uniform(-150, 128, 20_000)), random.uniform(0, 2, 20_000)))
    exponents = np.concatenate((random.uniform(-3, 3, 20_000), random.uniform(-200, 200, 20_000)))
    for base, exponent in zip(bases.astype(np.float32), exponents.astype(np.float32), strict=True):
        with np.errstate(all="ignore"):
            assert float32_math.power(base, exponent) == function(float(base), float(exponent)), (base, exponent)
