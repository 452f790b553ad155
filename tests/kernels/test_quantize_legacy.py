"""Weights quantized to the formats other than the K ones, by the kernels: every byte as ggml's."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml_kernels.formats import Format, LevelFormat, format_named
from pyggml_reference import quants
from tests.kernels.comparing import Guarded

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

NAMES = [
    *("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL", "IQ4_XS"),
    *("TQ1_0", "TQ2_0", "MXFP4", "NVFP4", "Q1_0", "Q2_0"),
    *("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S"),
]
#: Formats with runs from a code book. ggml ends the process where the square of a difference overflows.
WITH_BOOKS = {"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S"}
FORMS = [format_named(name) for name in NAMES]
every_format = pytest.mark.parametrize("form", FORMS, ids=lambda each: each.name)

_FEW = np.array([-1.5, -0.25, 0.0, -0.0, 0.25, 1.0], np.float32)


def blocks_of(kind: str, generator: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Weights of one kind."""
    normal = generator.standard_normal(shape)
    if kind == "normal":
        x = normal * 10.0 ** generator.uniform(-6, 4)
    elif kind == "scales":  # from group to group
        x = normal * 10.0 ** np.repeat(generator.uniform(-12, 8, (shape[0], shape[1] // 32)), 32, axis=-1)
    elif kind == "zeros":
        x = np.zeros(shape)
    elif kind == "signed zeros":
        x = np.where(normal < 0, -0.0, 0.0)
    elif kind == "sparse":
        x = np.where(generator.random(shape) < 0.05, normal, np.where(normal < 0, -0.0, 0.0))
    elif kind == "denormal":
        x = normal * 10.0 ** generator.uniform(-45, -37)
    elif kind == "threshold":  # where a block counts as zeros, and where float16 scales underflow
        x = normal * 10.0 ** generator.uniform(-16, -6)
    elif kind == "huge":
        x = np.clip(normal, -3, 3) * 10.0 ** generator.uniform(8, 38)
    elif kind == "constant":
        x = np.full(shape, generator.standard_normal())
    elif kind == "outlier":
        x = normal * 1e-3
        x[:, generator.integers(shape[1])] = generator.choice([-1, 1]) * 10.0 ** generator.uniform(0, 5)
    elif kind == "few":
        x = generator.choice(_FEW, shape)
    elif kind == "positive":
        x = np.abs(normal) + generator.choice([0, 1, 100])
    else:  # ties: halves of a level, and the largest magnitude with both signs
        x = generator.integers(-16, 17, shape) * 0.5 * 2.0 ** generator.integers(-12, 12)
    with np.errstate(over="ignore"):
        single = x.astype(np.float32)
    clipped: Floats = np.clip(single, np.float32(-3e38), np.float32(3e38))
    return clipped


KINDS = [
    *("normal", "scales", "zeros", "signed zeros", "sparse", "denormal", "threshold", "huge"),
    *("constant", "outlier", "few", "positive", "ties"),
]


def kinds_for(form: Format) -> list[str]:
    """The kinds that ggml can quantize."""
    return [kind for kind in KINDS if kind != "huge" or form.name not in WITH_BOOKS]


def importance_of(kind: str, generator: np.random.Generator, n: int) -> Floats | None:
    """What the columns count."""
    if kind == "none":
        return None
    x = generator.random(n)
    if kind == "zeros in part":
        x[generator.random(n) < 0.5] = 0
    elif kind == "zeros":
        x[:] = 0
    elif kind == "ratios":
        x = 10.0 ** generator.uniform(-12, 12, n)
    return x.astype(np.float32)


IMPORTANCE = ["none", "uniform", "zeros in part", "zeros", "ratios"]


def importance_for(form: Format) -> list[str]:
    """The kinds of importance that a format can be quantized with."""
    return IMPORTANCE[1:] if isinstance(form, LevelFormat) and form.needs_importance else IMPORTANCE


def quantized(form: Format, x: Floats, importance: Floats | None, rows_per_chunk: int) -> Bytes:
    """By the kernel, chunks in backward order, between guard bytes."""
    out = Guarded((len(x), form.row_bytes(x.shape[1])), np.uint8)
    n_chunks = -(-len(x) // rows_per_chunk)
    words = np.array(
        [
            *(x.ctypes.data, len(x), x.shape[1], out.address, out.array.shape[1]),
            *(0 if importance is None else importance.ctypes.data, rows_per_chunk, form._extra_address()),
        ],
        np.int64,
    )
    kernel = form._quantizer(importance is not None)
    for chunk in reversed(range(n_chunks)):
        kernel(words.ctypes.data, chunk, 0)
    out.assert_intact()
    return out.array


def assert_as_ggml(form: Format, found: Bytes, x: Floats, importance: Floats | None) -> None:
    expected = quants.quantize(form.type_id, x, importance)
    shape = (len(x), -1, form.block_bytes)
    wrong = np.argwhere((found != expected).reshape(shape).any(axis=-1))
    if len(wrong):
        row, block = wrong[0]
        weights = x[row, block * form.block_size : (block + 1) * form.block_size]
        pytest.fail(
            f"{form.name}: {len(wrong)} blocks differ, the first in row {row}, block {block}: "
            f"{found.reshape(shape)[row, block].tobytes().hex()}, not "
            f"{expected.reshape(shape)[row, block].tobytes().hex()}, of {weights.tolist()}"
        )


@every_format
@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_rows=st.integers(1, 8),
    n_blocks=st.integers(1, 20),
    rows_per_chunk=st.integers(1, 9),
    draw=st.data(),
)
def test_every_byte_is_ggmls(
    form: Format, seed: int, n_rows: int, n_blocks: int, rows_per_chunk: int, draw: st.DataObject
) -> None:
    kind = draw.draw(st.sampled_from(kinds_for(form)), label="kind")
    importance_kind = draw.draw(st.sampled_from(importance_for(form)), label="importance")
    generator = np.random.default_rng(seed)
    x = blocks_of(kind, generator, (n_rows, n_blocks * form.block_size))
    importance = importance_of(importance_kind, generator, x.shape[1])
    assert_as_ggml(form, quantized(form, x, importance, rows_per_chunk), x, importance)


@pytest.mark.parametrize(
    ("form", "kind"),
    [pytest.param(form, kind, id=f"{form.name}-{kind}") for form in FORMS for kind in kinds_for(form)],
)
def test_every_kind_of_weights_with_every_kind_of_importance(form: Format, kind: str) -> None:
    generator = np.random.default_rng(KINDS.index(kind))
    for importance_kind in importance_for(form):
        x = blocks_of(kind, generator, (5, 9 * form.block_size))
        importance = importance_of(importance_kind, generator, x.shape[1])
        assert_as_ggml(form, quantized(form, x, importance, 2), x, importance)


@pytest.mark.parametrize(
    ("form", "importance_kind"),
    [
        pytest.param(form, kind, id=f"{form.name}-{kind}")
        for form in FORMS
        for kind in ("none", "uniform")
        if kind in importance_for(form)
    ],
)
def test_many_weights(form: Format, importance_kind: str) -> None:
    generator = np.random.default_rng(5)
    x = blocks_of("normal", generator, (128, 8192 + form.block_size))
    x[64:] *= np.exp(generator.standard_normal(x[64:].shape)).astype(np.float32)
    importance = importance_of(importance_kind, generator, x.shape[1])
    found = form.quantize(x, importance)
    assert_as_ggml(form, found, x, importance)


@pytest.mark.parametrize("name", sorted(WITH_BOOKS))
def test_large_weights_that_ggml_can_quantize_to_books(name: str) -> None:
    form = format_named(name)
    generator = np.random.default_rng(6)
    sizes = 10.0 ** np.linspace(4, 11, 57)[:, None]
    x = (np.clip(generator.standard_normal((57, 1024)), -3, 3) * sizes).astype(np.float32)
    for importance_kind in ("uniform", "zeros in part"):
        importance = importance_of(importance_kind, generator, x.shape[1])
        assert_as_ggml(form, quantized(form, x, importance, 8), x, importance)


def test_mxfp4_scales_of_all_powers_of_two_and_the_numbers_below_and_above() -> None:
    # ggml rounds log2 to a float before it takes the floor, so some numbers below a power of two count as that power.
    form = format_named("MXFP4")
    powers = (2.0 ** np.arange(-149, 128)).astype(np.float32).view(np.int32)
    largest = (powers[:, None] + np.arange(-100, 10, dtype=np.int32)).reshape(-1)
    largest = largest[largest > 0].view(np.float32)
    x = np.zeros((len(largest), 32), np.float32)
    x[:, 7] = largest
    assert_as_ggml(form, quantized(form, x, None, len(x)), x, None)


def test_nvfp4_scales_at_every_code_and_rounding() -> None:
    form = format_named("NVFP4")
    tops = (np.arange(0, 0x7F800, dtype=np.uint32) << np.uint32(12)).view(np.float32)
    largest = tops[(tops > 2.0**-12) & (tops < 5000)]
    x = np.zeros((len(largest), 64), np.float32)
    x[:, 3::16] = largest[:, None] * np.array([1, -1, 6, -5.9999995], np.float32)
    assert_as_ggml(form, quantized(form, x, None, len(x)), x, None)
