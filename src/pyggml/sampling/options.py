"""The settings of a sampler chain."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pyggml.errors import SamplingError
from pyggml.sampling.names import DEFAULT_SAMPLERS, samplers_from_names
from pyggml.sampling.random import LARGEST_SEED

_LARGEST_INT32 = 2**31 - 1
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
_ANY_INT32 = (-(2**31), _LARGEST_INT32)
_COUNT = (0, _LARGEST_INT32)
_INTEGER_RANGES = {
    "top_k": _ANY_INT32,
    "repeat_last_n": _COUNT,
    "dry_allowed_length": _ANY_INT32,
    "dry_penalty_last_n": _COUNT,
    "mirostat": (0, 2),
    "min_keep": _COUNT,
    "n_probs": _COUNT,
}
_ANY_FLOAT32 = (-_LARGEST_FLOAT32, _LARGEST_FLOAT32)
_FLOAT_RANGES = {
    **dict.fromkeys(("temperature", "top_p", "min_p", "typical_p", "top_n_sigma"), _ANY_FLOAT32),
    **dict.fromkeys(("xtc_probability", "xtc_threshold", "dynatemp_range", "dynatemp_exponent"), _ANY_FLOAT32),
    **dict.fromkeys(("frequency_penalty", "presence_penalty", "dry_multiplier"), _ANY_FLOAT32),
    **dict.fromkeys(("mirostat_eta", "mirostat_tau", "adaptive_target"), _ANY_FLOAT32),
    # Below, 1/x is no float any more.
    "repeat_penalty": (1.0 / _LARGEST_FLOAT32, _LARGEST_FLOAT32),
    "dry_base": (1.0, _LARGEST_FLOAT32),
    "adaptive_decay": (0.0, 0.99),
}
_METADATA_PREFIX = "general.sampling."
_METADATA_INTEGERS = {"top_k": "top_k", "penalty_last_n": "repeat_last_n", "mirostat": "mirostat"}
_METADATA_FLOATS = {
    **{name: name for name in ("top_p", "min_p", "xtc_probability", "xtc_threshold", "mirostat_tau", "mirostat_eta")},
    "temp": "temperature",
    "penalty_repeat": "repeat_penalty",
}


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """All settings, with llama.cpp's defaults and rules; a value that turns a sampler off is named in brackets.

    Raises SamplingError for a value that llama.cpp refuses, or that it ignores without a word.

    `seed`: None, -1 or 4294967295 for a random one. `temperature`: 0 or less chooses the most likely. `top_k` [0 or
    less], `top_p` [1], `min_p` [0], `typical_p` [1], `top_n_sigma` [0 or less], `xtc_probability` [0], `xtc_threshold`
    [above 0.5], `dynatemp_range` [0], `dynatemp_exponent`. `repeat_last_n` [0] counts the tokens that
    `repeat_penalty` [1], `frequency_penalty` [0] and `presence_penalty` [0] look at. `dry_multiplier` [0], `dry_base`,
    `dry_allowed_length`, `dry_penalty_last_n` [0], `dry_sequence_breakers`. `mirostat`: 1 or 2 replaces all but bias
    and temperature [0], with `mirostat_tau` for the target and `mirostat_eta` for the learning rate.
    `adaptive_target` [negative] and `adaptive_decay` count if "adaptive_p" is among the samplers. `logit_bias` maps
    tokens to what is added to their logits; `ignore_eos` forbids the tokens that end generation. `samplers` is the
    order. `min_keep`: what top-p, min-p, typical and XTC leave at least. `n_probs`: more than 0 keeps the draw, and so
    the probabilities, where the largest logit would do.
    """

    seed: int | None = None
    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    typical_p: float = 1.0
    top_n_sigma: float = -1.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    dynatemp_range: float = 0.0
    dynatemp_exponent: float = 1.0
    repeat_last_n: int = 64
    repeat_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = 64
    dry_sequence_breakers: tuple[str, ...] = ("\n", ":", '"', "*")
    mirostat: int = 0
    mirostat_eta: float = 0.1
    mirostat_tau: float = 5.0
    adaptive_target: float = -1.0
    adaptive_decay: float = 0.9
    logit_bias: Mapping[int, float] = field(default_factory=dict, hash=False)
    ignore_eos: bool = False
    samplers: tuple[str, ...] = DEFAULT_SAMPLERS
    min_keep: int = 0
    n_probs: int = 0

    def __post_init__(self) -> None:
        """Check every field, and bring names and containers to one form."""
        if self.seed is not None:
            _check_integer("seed", self.seed, (-1, LARGEST_SEED))
        for name, range_ in _INTEGER_RANGES.items():
            _check_integer(name, getattr(self, name), range_)
        for name, limits in _FLOAT_RANGES.items():
            _check_float(name, getattr(self, name), limits)
        if not isinstance(self.ignore_eos, bool):
            raise SamplingError(f"ignore_eos is {self.ignore_eos!r}; allowed: True or False")
        for token, bias in self.logit_bias.items():
            _check_integer("logit_bias: token", token, _COUNT)
            _check_float(f"logit_bias of token {token}", bias, (-math.inf, math.inf))
        object.__setattr__(self, "logit_bias", dict(self.logit_bias))
        object.__setattr__(self, "samplers", samplers_from_names(_strings("samplers", self.samplers)))
        breakers = _strings("dry_sequence_breakers", self.dry_sequence_breakers)
        for breaker in breakers:
            _check_text("dry_sequence_breakers", breaker)
        object.__setattr__(self, "dry_sequence_breakers", breakers)

    @property
    def is_seed_random(self) -> bool:
        """Whether each chain chooses its own seed."""
        return self.seed in (None, -1, LARGEST_SEED)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any], **set_by_user: Any) -> "SamplingOptions":
        """Take what a GGUF file recommends in its keys `general.sampling.*`, unless the user set that field.

        Raises SamplingError for a value of either that cannot be used.
        """
        recommended: dict[str, Any] = {}
        sequence = metadata.get(_METADATA_PREFIX + "sequence")
        if "samplers" not in set_by_user and sequence:
            recommended["samplers"] = samplers_from_names(str(sequence).split(";"))
        for key, name in (_METADATA_INTEGERS | _METADATA_FLOATS).items():
            value = metadata.get(_METADATA_PREFIX + key)
            if value is not None and name not in set_by_user:
                number = _number(_METADATA_PREFIX + key, value)
                recommended[name] = int(number) if key in _METADATA_INTEGERS else number
        return cls(**recommended, **set_by_user)


def _number(key: str, value: Any) -> float:
    """Read a number as llama.cpp does, which turns it into text with six decimals first."""
    try:
        number = float(f"{value:f}") if isinstance(value, (float, np.floating)) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise SamplingError(f"{key} in the file's metadata is {value!r}; allowed: a number")
    return number


def _check_integer(name: str, value: Any, range_: tuple[int, int]) -> None:
    low, high = range_
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise SamplingError(f"{name} is {value!r}; allowed: a whole number from {low} to {high}")


def _check_float(name: str, value: Any, limits: tuple[float, float]) -> None:
    low, high = limits
    is_number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:
        allowed = "a finite float32" if limits == _ANY_FLOAT32 else f"a number from {low:g} to {high:g}"
        raise SamplingError(f"{name} is {value!r}; allowed: {allowed}")


def _strings(name: str, values: Sequence[str]) -> tuple[str, ...]:
    if isinstance(values, str) or not all(isinstance(value, str) for value in values):
        raise SamplingError(f"{name} is {values!r}; allowed: a sequence of strings")
    return tuple(values)


def _check_text(name: str, text: str) -> None:
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise SamplingError(f"{name} holds {text!r}; allowed: text that can be written in UTF-8") from None
