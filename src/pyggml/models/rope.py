"""The parameters of rotary position embedding in a GGUF file, and what a graph makes of them."""

import math
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from pyggml.backend.graph import Rope, SectionRope
from pyggml.errors import ModelError
from pyggml.gguf import GGUFFile

#: With a base of 1 all pairs would turn alike, and at no wavelength could YaRN begin.
_LEAST_BASE = 1.0 + 1e-6
_SCALINGS = ("none", "linear", "yarn")
# YaRN's beta and alpha (arXiv:2309.00071, section 3.2), which files for these architectures do not change.
_FAST_TURNS, _SLOW_TURNS = 32.0, 1.0


@dataclass(frozen=True)
class RopeConfig:
    """Base and scaling."""

    n_dims: int
    base: float
    scaling: str
    """none, linear or yarn"""
    factor: float
    """How many times longer the context is than in training."""
    n_ctx_original: int
    attention_factor: float
    sections: tuple[int, ...] = ()
    """Pairs that turn by each of a token's positions; none where it has only one."""

    @classmethod
    def from_file(cls, file: GGUFFile, prefix: str, key_size: int, *, has_sections: bool = False) -> "RopeConfig":
        """Read `<prefix>.rope.*`; ModelError for a kind of scaling that is not known."""
        key = f"{prefix}.rope"
        n_dims = file.get(f"{key}.dimension_count", int, key_size)
        if n_dims != key_size or n_dims % 2:
            raise ModelError(
                f"{file.path}: {key}.dimension_count is {n_dims}; supported is an even number equal to the head size,"
                f" {key_size}"
            )
        scaling = file.get(f"{key}.scaling.type", str, "linear")
        if scaling not in _SCALINGS:
            raise ModelError(f"{file.path}: {key}.scaling.type is {scaling!r}; supported are {', '.join(_SCALINGS)}")
        if has_sections and scaling == "yarn":
            raise ModelError(
                f"{file.path}: {key}.scaling.type is 'yarn'; for a model that sees pictures, none and linear are"
                " supported"
            )
        # Old files have the factor under another name.
        factor = file.get(f"{key}.scaling.factor", float, 0.0, low=0.0) or file.get(
            f"{key}.scale_linear", float, 0.0, low=0.0
        )
        n_ctx_train = file.require(f"{prefix}.context_length", int)
        return cls(
            n_dims=n_dims,
            base=file.get(f"{key}.freq_base", float, 10000.0, low=_LEAST_BASE),
            scaling=scaling,
            factor=factor if factor and scaling != "none" else 1.0,
            n_ctx_original=file.get(f"{key}.scaling.original_context_length", int, n_ctx_train, low=1),
            attention_factor=file.get(f"{key}.scaling.attn_factor", float, 1.0),
            sections=_sections(file, f"{key}.dimension_sections", n_dims // 2) if has_sections else (),
        )

    def section_parameters(self) -> SectionRope:
        """What a graph needs where a token has several positions."""
        ends = list(accumulate(self.sections))
        return SectionRope(
            n_pairs=self.n_dims // 2,
            theta_scale=self._theta_scale(),
            frequency_scale=float(np.float32(1.0) / np.float32(self.factor)),
            sections=tuple((end - n, end, 0) for n, end in zip(self.sections, ends, strict=True)),
        )

    def _theta_scale(self) -> float:
        """The ratio of one pair's angle to the pair's before, in float32 as ggml has it."""
        return float(np.float32(float(np.float32(self.base)) ** float(np.float32(-2.0) / np.float32(self.n_dims))))

    def parameters(self, halves: bool, factors: npt.NDArray[np.float32] | None) -> Rope:
        """What a graph needs; `factors` divide each pair's angle, (n_dims / 2,)."""
        n_pairs = self.n_dims // 2
        yarn = self.scaling == "yarn"
        return Rope(
            n_pairs=n_pairs,
            halves=halves,
            theta_scale=self._theta_scale(),
            frequency_scale=float(np.float32(1.0) / np.float32(self.factor)),
            extrapolation=float(yarn),
            amplitude=self.attention_factor * (_temperature(self.factor) if yarn else 1.0),
            ramp=self._ramp() if yarn else (0.0, 0.0),
            factors=np.ones(n_pairs, np.float32) if factors is None else factors,
        )

    def _ramp(self) -> tuple[float, float]:
        """The pairs that turn 32 times, and once, over the original context: above and below, nothing is mixed."""

        def pair_that_turns(times: float) -> float:
            turns = self.n_ctx_original / (times * 2 * math.pi)
            return self.n_dims * math.log(turns) / (2 * math.log(self.base))

        first, last = math.floor(pair_that_turns(_FAST_TURNS)), math.ceil(pair_that_turns(_SLOW_TURNS))
        return float(max(0, first)), float(min(self.n_dims - 1, last))


def _temperature(factor: float) -> float:
    """The square root of 1/t in the paper's equation 15."""
    return 0.1 * math.log(factor) + 1.0 if factor > 1 else 1.0


def _sections(file: GGUFFile, key: str, n_pairs: int) -> tuple[int, ...]:
    """The lengths of the sections for time, row and column; a fourth one, which files have, is empty."""
    found: list[int] = file.require(key, list[int])
    if len(found) not in (3, 4) or min(found) < 0 or sum(found[:3]) != n_pairs or any(found[3:]):
        raise ModelError(
            f"{file.path}: {key} is {found}; supported are three sections that are {n_pairs} pairs together, and a"
            " fourth of 0"
        )
    return tuple(found[:3])
