"""Weights and activations of every kind that a product can meet: random, zero, tiny, huge, and any bits at all."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from pyggml_kernels.formats import Format, NumberFormat
from tests.kernels.calling import Bytes, Floats, encode, normals

Rows = Callable[[Format, np.random.Generator, int, int], Floats]

_TOP_BITS_OF_HALF = 0x7C00


def largest_activation(form: Format) -> float:
    """About the largest activation that the format of the other operand can hold: its scales may be halves."""
    return {"F32": 1e37, "BF16": 1e37, "Q8_K": 1e37, "F16": 6e4, "Q8_0": 6e4 * 127, "Q8_1": 6e4 * 4}[form.activation]


def _normal(form: Format, generator: np.random.Generator, n_rows: int, n_columns: int) -> Floats:
    return normals(generator, n_rows, n_columns)


def _zero(form: Format, generator: np.random.Generator, n_rows: int, n_columns: int) -> Floats:
    zeros: Floats = np.zeros((n_rows, n_columns), np.float32)
    zeros[generator.random(zeros.shape) < 0.5] = -0.0
    return zeros


def _denormal(form: Format, generator: np.random.Generator, n_rows: int, n_columns: int) -> Floats:
    """Subnormal numbers, or numbers whose scales are subnormal halves."""
    exponents = np.array([-41, -38, -7, -6])[generator.integers(4, size=(n_rows, 1))]
    return (generator.standard_normal((n_rows, n_columns)) * 10.0**exponents).astype(np.float32)


def _huge(form: Format, generator: np.random.Generator, n_rows: int, n_columns: int) -> Floats:
    size = largest_activation(form) * 10.0 ** generator.uniform(-8, 0, (n_rows, 1))
    return (generator.uniform(-1, 1, (n_rows, n_columns)) * size).astype(np.float32)


def _some_huge(form: Format, generator: np.random.Generator, n_rows: int, n_columns: int) -> Floats:
    """Huge and tiny blocks side by side."""
    size = 10.0 ** generator.uniform(-40, np.log10(largest_activation(form)), (n_rows, -(-n_columns // 32)))
    columns = np.repeat(size, 32, axis=1)[:, :n_columns]
    return (generator.uniform(-1, 1, (n_rows, n_columns)) * columns).astype(np.float32)


#: Activations by kind.
ACTIVATION_KINDS: dict[str, Rows] = {
    "normal": _normal,
    "zero": _zero,
    "denormal": _denormal,
    "huge": _huge,
    "some huge": _some_huge,
}


def _huge_weights(form: Format, generator: np.random.Generator, n_rows: int, n_columns: int) -> Floats:
    """Weights up to the largest half."""
    size = 6e4 * 10.0 ** generator.uniform(-1, 0, (n_rows, 1))
    return (generator.uniform(-1, 1, (n_rows, n_columns)) * size).astype(np.float32)


#: Weights to be quantized by kind.
WEIGHT_KINDS: dict[str, Rows] = {"normal": _normal, "zero": _zero, "denormal": _denormal, "huge": _huge_weights}


def _encoded(rows: Rows) -> Callable[[Format, np.random.Generator, int, int], Bytes]:
    return lambda form, generator, n_rows, n_columns: encode(form, rows(form, generator, n_rows, n_columns))


def _any_bits(form: Format, generator: np.random.Generator, n_rows: int, n_columns: int) -> Bytes:
    """Every byte any byte, but for the exponents of scales: finite, and such that sums of products are, too."""
    data = generator.integers(0, 256, (n_rows, form.row_bytes(n_columns)), np.uint8)
    if isinstance(form, NumberFormat) and form.name != "F16":
        data[:, form.block_bytes - 1 :: form.block_bytes] &= 0xBF  # below 2
        return data
    fields = data.view(form.layout)
    for name in form.layout.names or ():
        if form.layout[name] == np.float16:
            _make_finite(fields[name].view(np.uint16))
    if form.name == "IQ1_M":
        fields["scales"][..., 3] &= 0xBFFF  # of the scale's exponent the highest bit
    if form.name == "MXFP4":
        fields["e"] &= 0x7F
    return data


def _make_finite(halves: npt.NDArray[np.uint16]) -> None:
    infinite = (halves & _TOP_BITS_OF_HALF) == _TOP_BITS_OF_HALF
    halves[infinite] ^= 0x4000


#: Encoded weights (n_rows, row_bytes) by kind.
BLOCK_KINDS: dict[str, Callable[[Format, np.random.Generator, int, int], Bytes]] = {
    **{name: _encoded(rows) for name, rows in WEIGHT_KINDS.items()},
    "any bits": _any_bits,
}
