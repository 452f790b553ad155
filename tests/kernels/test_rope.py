"""Rotary embedding against ggml_rope_ext (level 3): both kinds, scalings, factors, positions up to a million."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.backend.cpu.arguments import angle_arguments, rotate_arguments
from pyggml.models.rope import RopeConfig
from pyggml_kernels.rope import rope_angles, rope_rotate
from pyggml_reference import operations
from pyggml_reference.operations import RopeParameters
from tests.kernels.calling import MAX_NMSE, Floats, nmse, normals
from tests.kernels.comparing import Guarded, assert_same_bits

SEEDS = st.integers(0, 2**32 - 1)
Mode = Literal["norm", "neox"]


@dataclass(frozen=True)
class Case:
    """What is rotated, and how: heads (n, n_heads, head_size) at their positions (n,)."""

    x: Floats
    positions: npt.NDArray[np.int32]
    mode: Mode
    config: RopeConfig
    factors: Floats | None

    def run(self, tokens: slice = slice(None), seed: int = 0) -> Floats:
        """Rotated by pyggml, some of the tokens only."""
        x, positions = self.x[tokens], np.ascontiguousarray(self.positions[tokens])
        n, n_heads, head_size = x.shape
        rope = self.config.parameters(self.mode == "neox", self.factors)
        angles, out = Guarded((n, 2, rope.n_pairs), np.float32), Guarded(x.shape, np.float32)
        out.array[...] = x
        order = np.random.default_rng(seed).permutation(n).tolist()
        words = angle_arguments(positions, rope, angles.address)
        for token in order:
            rope_angles(words.ctypes.data, token, 0)
        words = rotate_arguments(out.address, n_heads, head_size, angles.address, rope)
        for token in reversed(order):
            rope_rotate(words.ctypes.data, token, 0)
        for each in (angles, out):
            each.assert_intact()
        return out.array

    def expected(self) -> Floats:
        """Rotated by ggml."""
        c = self.config
        yarn = c.scaling == "yarn"
        parameters = RopeParameters(
            mode=self.mode,
            n_dims=c.n_dims,
            freq_base=c.base,
            freq_scale=float(np.float32(1) / np.float32(c.factor)),
            ext_factor=float(yarn),
            attn_factor=c.attention_factor,
            n_ctx_original=c.n_ctx_original,
        )
        return operations.rope(self.x, self.positions, parameters, self.factors)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    generator = np.random.default_rng(draw(SEEDS))
    n, n_heads = draw(st.integers(1, 70)), draw(st.integers(1, 8))
    head_size = 2 * draw(st.integers(4, 128))
    n_dims = draw(st.sampled_from([head_size, max(2, head_size // 4 * 2)]))
    highest = draw(st.sampled_from([100, 40_000, 1_000_000]))
    scaling = draw(st.sampled_from(["none", "linear", "yarn"]))
    config = RopeConfig(
        n_dims=n_dims,
        base=draw(st.sampled_from([10_000.0, 500_000.0, 1_000_000.0, 123.5])),
        scaling=scaling,
        factor=1.0 if scaling == "none" else draw(st.sampled_from([2.0, 4.0, 3.7, 40.0])),
        n_ctx_original=draw(st.sampled_from([512, 4096, 32768])),
        attention_factor=draw(st.sampled_from([1.0, 0.8])),
    )
    factors = generator.uniform(1, 9, n_dims // 2).astype(np.float32) if draw(st.booleans()) else None
    positions = generator.integers(0, highest, n, endpoint=True).astype(np.int32)
    mode: Mode = draw(st.sampled_from(["norm", "neox"]))
    return Case(normals(generator, n, n_heads, head_size), positions, mode, config, factors)


@settings(max_examples=150, deadline=None)
@given(case=cases(), seed=SEEDS)
def test_rope_is_that_of_ggml(case: Case, seed: int) -> None:
    found = case.run(seed=seed)
    assert nmse(found, case.expected()) <= MAX_NMSE
    n_dims = case.config.n_dims
    assert_same_bits(np.ascontiguousarray(found[..., n_dims:]), np.ascontiguousarray(case.x[..., n_dims:]))


@settings(max_examples=150, deadline=None)
@given(case=cases())
def test_angles_are_those_of_ggml_to_the_last_bit(case: Case) -> None:
    # Turned from (1, 0), a pair shows its cosine and sine: an angle of a million that is off by one bit is off by 0.06.
    x = np.zeros_like(case.x)
    n_pairs = case.config.n_dims // 2
    x[..., slice(0, 2 * n_pairs, 2) if case.mode == "norm" else slice(0, n_pairs)] = 1
    turned = replace(case, x=x)
    np.testing.assert_allclose(turned.run(), turned.expected(), rtol=0, atol=3e-7)


@settings(max_examples=30, deadline=None)
@given(case=cases())
def test_a_token_has_the_same_bits_in_every_batch(case: Case) -> None:
    whole = case.run()
    assert_same_bits(case.run(slice(0, 1)), whole[:1])
    assert_same_bits(case.run(slice(len(whole) // 2, None)), whole[len(whole) // 2 :])


def test_pairs_are_neighbours_or_half_a_head_apart() -> None:
    x = np.arange(1, 9, dtype=np.float32).reshape(1, 1, 8)
    # With base 1 each pair turns by the position: a quarter turn takes (a, b) to (-b, a), nearly so at 11 radians.
    config = RopeConfig(8, 1.0, "none", 1.0, 512, 1.0)
    eleven = np.array([11], np.int32)
    cosine, sine = np.cos(11.0), np.sin(11.0)
    for mode, first, second in (("norm", [0, 2, 4, 6], [1, 3, 5, 7]), ("neox", [0, 1, 2, 3], [4, 5, 6, 7])):
        rotated = Case(x, eleven, "norm" if mode == "norm" else "neox", config, None).run()[0, 0]
        a, b = x[0, 0, first], x[0, 0, second]
        np.testing.assert_allclose(rotated[first], a * cosine - b * sine, rtol=1e-5)
        np.testing.assert_allclose(rotated[second], a * sine + b * cosine, rtol=1e-5)
