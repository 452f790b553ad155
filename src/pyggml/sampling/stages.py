"""Which samplers the options call for, in their order."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from pyggml.errors import SamplingError
from pyggml.sampling.adaptive import AdaptiveP
from pyggml.sampling.distribution import Draw, greedy
from pyggml.sampling.dry import Dry, sequence_breakers
from pyggml.sampling.mirostat import Mirostat, count_by_surprise, count_by_zipf
from pyggml.sampling.options import SamplingOptions
from pyggml.sampling.penalties import Penalties, logit_bias
from pyggml.sampling.stage import Filter, Stage
from pyggml.sampling.temperature import dynamic_temperature, temperature
from pyggml.sampling.truncation import min_p, min_p_margin, top_k, top_n_sigma, top_p, typical_p
from pyggml.sampling.vocabulary import Vocabulary
from pyggml.sampling.xtc import Xtc


def active_stages(options: SamplingOptions, vocabulary: Vocabulary, seed: int) -> Iterator[Stage]:
    """Build the stages that are turned on; the last one chooses, all others change or drop candidates.

    Settings are compared as float32, for llama.cpp has them so. Raises SamplingError for a bias on a token that the
    vocabulary lacks.
    """
    biases = _biases(options, vocabulary)
    if biases:
        yield _bias(biases)
    names = ("fixed_temperature",) if options.mirostat else options.samplers
    for name in names:
        stage = _STAGES[name](options, vocabulary, seed)
        if stage:
            yield stage
    yield _last_stage(options, vocabulary, seed)


def _biases(options: SamplingOptions, vocabulary: Vocabulary) -> dict[int, float]:
    """Tokens, and what is added to their logits."""
    biases = dict(options.logit_bias)
    for token in biases:
        if token >= vocabulary.n_tokens:
            raise SamplingError(
                f"logit_bias: token {token} is not in the vocabulary; allowed: 0 to {vocabulary.n_tokens - 1}"
            )
    forbidden = [*(sorted(vocabulary.end_of_generation) if options.ignore_eos else ()), *vocabulary.suppressed]
    return biases | {token: biases.get(token, 0.0) - np.inf for token in forbidden}


def _bias(biases: Mapping[int, float]) -> Stage:
    tokens = np.array(list(biases), np.int32)
    values = np.array(list(biases.values()), np.float32)
    function, n_lowered = (
        partial(logit_bias, tokens=tokens, biases=values),
        len(tokens) if (values <= 0).all() else None,
    )
    return Filter(f"bias on {len(biases)} tokens", function, n_lowered)


def _last_stage(options: SamplingOptions, vocabulary: Vocabulary, seed: int) -> Stage:
    if options.mirostat:
        count = partial(count_by_zipf, n_vocab=vocabulary.n_tokens) if options.mirostat == 1 else count_by_surprise
        return Mirostat(count, options.mirostat_tau, options.mirostat_eta, seed)
    if "adaptive_p" in options.samplers:
        return AdaptiveP(options.adaptive_target, options.adaptive_decay, seed)
    last = options.samplers[-1] if options.samplers else ""
    leaves_one = (last == "top_k" and options.top_k == 1) or (
        last == "temperature" and np.float32(options.temperature) <= 0 and np.float32(options.dynatemp_range) == 0
    )
    return Filter("largest", greedy) if leaves_one and not options.n_probs else Draw(seed)


def _penalties(options: SamplingOptions, _vocabulary: Vocabulary, _seed: int) -> Stage | None:
    repeat, frequency, presence = options.repeat_penalty, options.frequency_penalty, options.presence_penalty
    changes_nothing = np.float32(repeat) == 1 and np.float32(frequency) == 0 and np.float32(presence) == 0
    if options.repeat_last_n == 0 or changes_nothing:
        return None
    return Penalties(options.repeat_last_n, repeat, frequency, presence)


def _dry(options: SamplingOptions, vocabulary: Vocabulary, _seed: int) -> Stage | None:
    if np.float32(options.dry_multiplier) == 0 or options.dry_penalty_last_n == 0:
        return None
    breakers = sequence_breakers(vocabulary, options.dry_sequence_breakers)
    allowed_length, last_n = options.dry_allowed_length, options.dry_penalty_last_n
    return Dry(options.dry_multiplier, options.dry_base, allowed_length, last_n, breakers)


def _top_n_sigma(options: SamplingOptions, _vocabulary: Vocabulary, _seed: int) -> Stage | None:
    n = options.top_n_sigma
    return Filter(f"top-n-sigma {n:g}", partial(top_n_sigma, n=n)) if np.float32(n) > 0 else None


def _top_k(options: SamplingOptions, _vocabulary: Vocabulary, _seed: int) -> Stage | None:
    k = options.top_k
    return Filter(f"top-k {k}", partial(top_k, k=k), n_kept=k) if k > 0 else None


def _typical_p(options: SamplingOptions, _vocabulary: Vocabulary, _seed: int) -> Stage | None:
    p = options.typical_p
    function = partial(typical_p, p=p, min_keep=options.min_keep)
    return Filter(f"typical {p:g}", function) if np.float32(p) < 1 else None


def _top_p(options: SamplingOptions, _vocabulary: Vocabulary, _seed: int) -> Stage | None:
    p = options.top_p
    function = partial(top_p, p=p, min_keep=options.min_keep)
    return Filter(f"top-p {p:g}", function) if np.float32(p) < 1 else None


def _min_p(options: SamplingOptions, _vocabulary: Vocabulary, _seed: int) -> Stage | None:
    p = options.min_p
    function = partial(min_p, margin=min_p_margin(p), min_keep=options.min_keep)
    return Filter(f"min-p {p:g}", function) if np.float32(p) > 0 else None


def _xtc(options: SamplingOptions, _vocabulary: Vocabulary, seed: int) -> Stage | None:
    probability, threshold = options.xtc_probability, options.xtc_threshold
    if np.float32(probability) <= 0 or np.float32(threshold) > 0.5:
        return None
    return Xtc(probability, threshold, options.min_keep, seed)


def _temperature(options: SamplingOptions, vocabulary: Vocabulary, seed: int) -> Stage | None:
    middle, reach, exponent = max(options.temperature, 0.0), options.dynatemp_range, options.dynatemp_exponent
    if np.float32(reach) <= 0:
        return _fixed_temperature(options, vocabulary, seed)
    function = partial(dynamic_temperature, middle=middle, reach=reach, exponent=exponent)
    return Filter(f"temperature {middle:g} +- {reach:g} by entropy^{exponent:g}", function)


def _fixed_temperature(options: SamplingOptions, _vocabulary: Vocabulary, _seed: int) -> Stage | None:
    value = max(options.temperature, 0.0)
    return Filter(f"temperature {value:g}", partial(temperature, value=value)) if np.float32(value) != 1 else None


def _nothing(_options: SamplingOptions, _vocabulary: Vocabulary, _seed: int) -> Stage | None:
    """Adaptive-p stands at the end, wherever it is named."""
    return None


_STAGES: dict[str, Callable[[SamplingOptions, Vocabulary, int], Stage | None]] = {
    "penalties": _penalties,
    "dry": _dry,
    "top_n_sigma": _top_n_sigma,
    "top_k": _top_k,
    "typ_p": _typical_p,
    "top_p": _top_p,
    "min_p": _min_p,
    "xtc": _xtc,
    "temperature": _temperature,
    "fixed_temperature": _fixed_temperature,
    "adaptive_p": _nothing,
}
