"""Weights and importance that are hard to quantize: ties, zeros, subnormal and huge numbers, sums that overflow."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

Floats = npt.NDArray[np.float32]
Maker = Callable[[np.random.Generator, tuple[int, ...]], npt.NDArray[Any]]


def _normal(generator: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    return np.asarray(generator.standard_normal(shape) * 10.0 ** generator.uniform(-8, 8))


def _normal_of_many_scales(generator: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    return np.asarray(generator.standard_normal(shape) * 10.0 ** generator.uniform(-12, 6, shape))


def _zeros(generator: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    return np.where(generator.random(shape) < 0.5, 0.0, -0.0)


def _subnormal(generator: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    return np.asarray(generator.standard_normal(shape) * 10.0 ** generator.uniform(-45, -37))


def _tiny(generator: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    # Around 1e-15, below which ggml takes a group for zero; the squares and cubes of these underflow.
    return np.asarray(generator.standard_normal(shape) * 10.0 ** generator.uniform(-19, -13))


def _huge(generator: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    numbers = generator.standard_normal(shape) * 10.0 ** generator.uniform(15, 38.4)
    return np.asarray(np.clip(numbers, -3.4e38, 3.4e38))


def _constant(generator: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    return np.full(shape, generator.standard_normal())


def _one_outlier(generator: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    numbers = generator.standard_normal(shape)
    flat = numbers.reshape(-1)
    flat[generator.integers(flat.size)] *= 10.0 ** generator.uniform(1, 6)
    return numbers


def _few_values(generator: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    return generator.choice(generator.standard_normal(generator.integers(2, 6)), shape)


def _ties(generator: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    # Multiples of one half: between two levels wherever a scale is a power of two.
    return np.asarray(generator.integers(-64, 65, shape) * 0.5 * 2.0 ** generator.integers(-8, 8))


def _positive(generator: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    return np.asarray(np.abs(generator.standard_normal(shape)) + generator.choice([0.0, 1.0, 100.0]))


def _sparse(generator: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    return generator.standard_normal(shape) * (generator.random(shape) < 0.1)


KINDS: dict[str, Maker] = {
    "normal": _normal,
    "normal of many scales": _normal_of_many_scales,
    "zeros": _zeros,
    "subnormal": _subnormal,
    "tiny": _tiny,
    "huge": _huge,
    "constant": _constant,
    "one outlier": _one_outlier,
    "few values": _few_values,
    "ties": _ties,
    "positive": _positive,
    "sparse": _sparse,
}


def _unit(generator: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    return generator.random(shape)


def _zero_in_part(generator: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    return generator.random(shape) * (generator.random(shape) < 0.5)


def _all_zero(generator: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    return np.zeros(shape)


def _large_ratios(generator: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    return 10.0 ** generator.uniform(-30, 30, shape)


IMPORTANCE_KINDS: dict[str, Maker] = {
    "uniform": _unit,
    "zero in part": _zero_in_part,
    "all zero": _all_zero,
    "large ratios": _large_ratios,
}


@st.composite
def difficult_weights(draw: st.DrawFn, block_size: int = 256, group_size: int = 16) -> Floats:
    """Rows of 1 to 6 blocks, finite: of one kind, or each group of a kind of its own."""
    n_rows, n_columns = draw(st.integers(1, 8)), draw(st.integers(1, 6)) * block_size
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["mixed", *KINDS]))
    if kind != "mixed":
        return KINDS[kind](generator, (n_rows, n_columns)).astype(np.float32)
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=2, max_size=4, unique=True))
    groups = [
        KINDS[kinds[which]](generator, (group_size,))
        for which in generator.integers(len(kinds), size=n_rows * n_columns // group_size)
    ]
    return np.concatenate(groups).astype(np.float32).reshape(n_rows, n_columns)


@st.composite
def difficult_importance(draw: st.DrawFn, n_columns: int) -> Floats | None:
    """None, or importance of columns that is not negative."""
    kind = draw(st.sampled_from([None, *IMPORTANCE_KINDS]))
    if kind is None:
        return None
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return IMPORTANCE_KINDS[kind](generator, (n_columns,)).astype(np.float32)
