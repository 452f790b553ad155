"""How an answer was generated, in llama-server's words: `generation_settings`, and `params` of slots and props."""

from typing import Any

import numpy as np

from pyggml.engine import GenerationOptions, GenerationRequest
from pyggml.sampling import SamplingOptions

_RANDOM_SEED = 2**32 - 1
_SAMPLING = (
    *("temperature", "dynatemp_range", "dynatemp_exponent", "top_k", "top_p", "min_p", "top_n_sigma"),
    *("xtc_probability", "xtc_threshold", "typical_p", "repeat_last_n", "repeat_penalty", "presence_penalty"),
    *("frequency_penalty", "dry_multiplier", "dry_base", "dry_allowed_length", "dry_penalty_last_n", "mirostat"),
    *("mirostat_tau", "mirostat_eta", "adaptive_target", "adaptive_decay"),
)


def settings_json(request: GenerationRequest, *, stream: bool, end_of_generation: frozenset[int]) -> dict[str, Any]:
    """All settings, those that it was asked for and those that are always so."""
    sampling = request.sampling
    biases = list(sampling.logit_bias.items())
    if sampling.ignore_eos:
        biases += [(token, -np.inf) for token in sorted(end_of_generation)]
    return {
        **short_settings_json(request, stream=stream),
        "dry_sequence_breakers": list(sampling.dry_sequence_breakers),
        "stop": list(request.generation.stop),
        "logit_bias": [{"bias": _finite(bias), "token": token} for token, bias in biases],
        "grammar": getattr(request.origin, "grammar", ""),
        "grammar_lazy": False,
        "grammar_triggers": [],
        "preserved_tokens": [],
    }


def short_settings_json(request: GenerationRequest, *, stream: bool) -> dict[str, Any]:
    """The settings without those that may be long: what slots and props show."""
    sampling, generation = request.sampling, request.generation
    seed = sampling.seed
    return {
        "seed": _RANDOM_SEED if seed is None or sampling.is_seed_random else seed,
        **{name: _single(getattr(sampling, name)) for name in _SAMPLING},
        "max_tokens": generation.max_tokens,
        "n_predict": generation.max_tokens,
        "n_keep": generation.keep,
        "n_discard": generation.discard,
        "ignore_eos": sampling.ignore_eos,
        "stream": stream,
        "n_probs": sampling.n_probs,
        "min_keep": sampling.min_keep,
        "chat_format": "Content-only",
        "reasoning_format": "none",
        "reasoning_in_content": False,
        "generation_prompt": "",
        "samplers": list(sampling.samplers),
        "speculative.types": "none",
        "timings_per_token": request.token_timings,
        "post_sampling_probs": request.post_sampling_probabilities,
        "backend_sampling": False,
        "lora": [],
    }


def default_settings_json(sampling: SamplingOptions, generation: GenerationOptions) -> dict[str, Any]:
    """What holds for a request that says nothing."""
    return short_settings_json(GenerationRequest(tokens=(), sampling=sampling, generation=generation), stream=False)


def _single(value: float) -> float:
    """A number as llama-server shows it, which keeps single precision."""
    return float(np.float32(value)) if isinstance(value, float) else value


def _finite(bias: float) -> float | None:
    """JSON has no infinity."""
    return _single(float(bias)) if np.isfinite(bias) else None
