"""Every CUDA kernel but attention's beside its twin in NumPy: how far it is off.

python -m benchmarks.cuda.kernels
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cupy
import numpy as np
import numpy.typing as npt
from cupy.cuda import Stream

from pyggml_cuda import convert, device, largest, layout, matmul, matmul_wide, pack
from pyggml_cuda.formats import FLOATS, Form, TileFormat, WideForm, device_format, quantized_form
from pyggml_cuda.launch import Launch
from pyggml_kernels.formats import Format, LevelFormat, format_named
from pyggml_reference import cuda_twins as twins

PACKED = ("Q4_K", "Q5_K", "Q6_K", "Q3_K", "Q2_K", "Q8_0", "Q4_0", "Q5_0")
OTHERS = ("Q4_1", "Q5_1", "IQ4_NL", "IQ4_XS", "IQ2_XS", "IQ1_S", "MXFP4", "NVFP4", "TQ2_0")
FLOAT_FORMATS = ("F32", "F16", "BF16")
#: What is added to products as a bias, and twice that as an addend.
BIAS = 2.0**-8
#: Floats that are no usual numbers.
SPECIAL = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0], np.float32)
RNG = np.random.default_rng(1)

Bytes = npt.NDArray[np.uint8]
Doubles = npt.NDArray[np.float64]
failures: list[str] = []


def say(line: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def report(name: str, error: float | np.integer[Any], bound: float) -> None:
    """Print a check."""
    good = error <= bound
    say(f"{'ok  ' if good else 'FAIL'} {name:60} {error:.2e} (bound {bound:.0e})")
    if not good:
        failures.append(name)


def run(*launches: Launch) -> None:
    """Launch and wait."""
    device.run_now(*launches)


def random_blocks(form: Format, n_rows: int, n_columns: int) -> Bytes:
    """Rows of random blocks with scales of a usual size."""
    n = n_rows * n_columns // form.block_size
    blocks = np.frombuffer(RNG.bytes(n * form.block_bytes), form.layout).copy()
    names = form.layout.names or ()
    if form.block_size == 1:
        numbers = (RNG.standard_normal(n) * 0.02).astype(np.float32)
        bits = numbers.view(np.uint32) >> 16
        encoded: dict[str, npt.NDArray[Any]] = {
            "F32": numbers,
            "F16": numbers.astype(np.float16),
            "BF16": bits.astype(np.uint16),
        }
        return encoded[form.name].view(np.uint8).reshape(n_rows, -1)
    for field in ("d", "dmin", "m"):
        if field in names and form.layout[field] == np.float16:
            blocks[field] = RNG.uniform(0.5, 1.5, n) * 2.0**-11
    if "e" in names:
        blocks["e"] = 118
    if form.name == "NVFP4":
        blocks["d"] &= 0x3F
    return blocks.view(np.uint8).reshape(n_rows, -1)


@dataclass(frozen=True)
class Buffers:
    """Device memory for activations in a form."""

    levels: Any
    scales: Any
    sums: Any
    activation: matmul.Activation


def buffers(form: Form | WideForm, n: int, n_columns: int) -> Buffers:
    """Room for `n` rows; garbage in it."""
    sizes = form.strides(n, n_columns)
    levels, scales, sums = (
        cupy.full(size + 16, 0xA5, cupy.uint8) for size in (sizes.level_bytes, sizes.scale_bytes, sizes.sum_bytes)
    )
    strides = sizes.level_stride, sizes.scale_stride, sizes.sum_stride
    addresses = levels.data.ptr, scales.data.ptr, sums.data.ptr
    return Buffers(levels, scales, sums, matmul.Activation(*addresses, *strides))


def to_form(form: Form | WideForm, x: Any, n_columns: int) -> Buffers:
    """Rows of floats on the device in a form."""
    out = buffers(form, len(x), n_columns)
    run(convert.convert(convert.Source("Plain", n_columns, x.data.ptr), form, out.activation, len(x)))
    return out


def natural_columns(n: int) -> npt.NDArray[np.int64]:
    """Where each column stands in a row of levels."""
    k = np.arange(n)
    within = k % 64
    return k - within + within // 4 % 4 * 16 + within // 32 * 8 + within // 16 % 2 * 4 + within % 4


def check_forms() -> None:
    """Quantized activations, number for number."""
    for block, sums, group in (("Q8_K", "WHOLE", 32), ("Q8_K", "WHOLE", 16), ("Q8_K", "FLOATS", 16),
                               ("Q8_0", "NONE", 32), ("Q8_1", "FLOATS", 32)):  # fmt: skip
        n_columns = 1280 if block == "Q8_K" else 1216
        x = (RNG.standard_normal((7, n_columns)) * 10.0 ** RNG.uniform(-2, 2, (7, 1))).astype(np.float32)
        x[3] = 0
        form = quantized_form(block, sums, group)
        out = to_form(form, cupy.asarray(x), n_columns)
        expected = twins.quantize(x, block, group)
        stride = form.strides(7, n_columns).level_stride
        levels = cupy.asnumpy(out.levels)[: 7 * stride].view(np.int8).reshape(7, stride)[:, natural_columns(stride)]
        wrong = np.count_nonzero(levels[:, :n_columns] != expected.levels) + np.count_nonzero(levels[:, n_columns:])
        scales = cupy.asnumpy(out.scales).view(np.float32)[: 7 * (stride // 32)].reshape(7, -1)
        wrong += np.count_nonzero(scales[:, : n_columns // 32] != expected.scales)
        if sums != "NONE":
            kind = np.int16 if sums == "WHOLE" else np.float32
            found = cupy.asnumpy(out.sums)[: form.strides(7, n_columns).sum_bytes].view(kind).reshape(7, -1)
            wanted = expected.sums
            if block == "Q8_K" and sums == "FLOATS":
                wanted = wanted * np.repeat(expected.scales, 2, axis=-1)
            wrong += np.count_nonzero(found[:, : n_columns // group] != wanted)
        report(f"form {form.expression}: numbers that differ", wrong, 0)


def check_wide_forms() -> None:
    """Levels as halves, number for number, where they belong."""
    for group in (32, 16):
        n, n_columns = 70, 1280
        x = (RNG.standard_normal((n, n_columns)) * 10.0 ** RNG.uniform(-2, 2, (n, 1))).astype(np.float32)
        x[3] = 0
        form = WideForm(group)
        out, padded, expected = to_form(form, cupy.asarray(x), n_columns), 128, twins.quantize(x, "Q8_K", group)
        levels, scales, sums = twins.wide_levels(expected, group, padded)
        found = cupy.asnumpy(out.levels)[: levels.nbytes].view(np.float16).reshape(levels.shape)
        wrong = np.count_nonzero((found != levels)[twins.wide_rows(levels.shape, n)])
        found_scales = cupy.asnumpy(out.scales)[: scales.nbytes].view(np.float32).reshape(scales.shape)
        wrong += np.count_nonzero((found_scales != scales)[:, :n])
        found_sums = cupy.asnumpy(out.sums)[: sums.nbytes].view(np.float16).reshape(sums.shape)
        wrong += np.count_nonzero((found_sums != sums)[twins.wide_rows(sums.shape, n)])
        report(f"form {form.expression}: numbers that differ", wrong, 0)


def exact_product(form: Format, data: Bytes, x: npt.NDArray[np.float32], n_columns: int) -> Doubles:
    """In float64 on the same operands."""
    n_rows = len(data)
    if not isinstance(form, LevelFormat):
        w: Doubles = form.dequantize(data).reshape(n_rows, n_columns).astype(np.float64)
        rounded = {"F32": lambda v: v, "F16": lambda v: v.astype(np.float16), "BF16": round_bfloat}[form.name](x)
        exact: Doubles = rounded.astype(np.float64) @ w.T
        return exact
    levels, scales, minimums = layout.decode(form, data, n_rows, n_columns)
    quantized = twins.quantize(x, form.activation, form.group_size)
    w = levels.astype(np.float64) * np.repeat(scales.astype(np.float64), form.group_size, axis=-1)
    result: Doubles = quantized.dequantized() @ w.T
    if form.has_minimum:
        sums = quantized.sums.astype(np.float64)
        if form.activation == "Q8_K":
            sums = sums * np.repeat(quantized.scales, 32, axis=-1)[:, :: form.group_size]
        result -= sums @ minimums.astype(np.float64).T
    return result


def round_bfloat(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """To the nearest bfloat."""
    bits = x.view(np.uint32)
    return ((bits + (0x7FFF + (bits >> 16 & 1))) & 0xFFFF0000).view(np.float32)


def place(form: Format, data: Bytes, n_rows: int, n_columns: int) -> Any:
    """A matrix on the device, packed."""
    layout_form = device_format(form)
    if not isinstance(layout_form, TileFormat):
        return cupy.asarray(data.reshape(-1))
    if not layout_form.packed_on_device and isinstance(form, LevelFormat):
        return cupy.asarray(layout.decoded_tiles(form, data.reshape(-1), n_rows, n_columns).reshape(-1))
    out = cupy.full(pack.packed_bytes(layout_form, n_rows, n_columns), 0xA5, cupy.uint8)
    source = cupy.asarray(data.reshape(-1))
    run(pack.pack(layout_form, form.block_size, source.data.ptr, out.data.ptr, n_rows, n_columns))
    if isinstance(form, LevelFormat):
        check_pack(form, layout_form, data, out, n_rows, n_columns)
    return out


PLANES = {"Q4_K": (4, 0), "Q5_K": (4, 1), "Q6_K": (4, 2), "Q3_K": (2, 1), "Q2_K": (2, 0), "Q8_0": (8, 0),
          "Q4_0": (4, 0), "Q5_0": (4, 1)}  # fmt: skip


def check_pack(form: LevelFormat, tiles: TileFormat, data: Bytes, out: Any, n_rows: int, n_columns: int) -> None:
    """The planes of tiles, byte for byte."""
    levels, _, _ = layout.decode(form, data, n_rows, n_columns)
    rows, columns = -(-n_rows // 16) * 16, -(-n_columns // 256) * 256
    planes = layout.level_planes(layout.padded(levels, rows, columns).astype(np.int8), *PLANES[form.name])
    found = cupy.asnumpy(out).reshape(*planes.shape[:2], tiles.tile_bytes)[..., : planes.shape[-1]]
    report(f"pack {form.name}: bytes that differ", np.count_nonzero(found != planes), 0)


def product(form: Format, weights: Any, x: Any, n_rows: int, n_columns: int, segments: int = 1) -> Any:
    """x times a matrix, on the device, with a bias of ones and an addend of twos."""
    chosen = device_format(form)
    wide = matmul_wide.wide_form(chosen, len(x), device.compute_capability())
    activation = to_form(wide or chosen.form, x, n_columns)
    outs = [cupy.full((len(x), n_rows), cupy.nan, cupy.float32) for _ in range(segments)]
    bias, addend = cupy.full(n_rows, BIAS, cupy.float32), cupy.full((len(x), n_rows), 2 * BIAS, cupy.float32)
    matrices = [matmul.Matrix(weights.data.ptr, n_rows, out.data.ptr, bias.data.ptr, addend.data.ptr) for out in outs]
    if wide and isinstance(chosen, TileFormat):
        n_bytes = matmul_wide.parts_bytes(chosen, [n_rows] * segments, len(x), n_columns)
        parts = cupy.full(n_bytes, 0xFF, cupy.uint8)
        run(*matmul_wide.multiply(chosen, matrices, activation.activation, len(x), n_columns, parts.data.ptr))
    elif isinstance(chosen, TileFormat) or not matmul.is_for_cublas(chosen, len(x), device.compute_capability()):
        run(matmul.multiply(chosen, matrices, activation.activation, len(x), n_columns, device.compute_capability()))
    else:
        device.multiplying(
            weights.data.ptr, activation.levels.data.ptr, outs[0].data.ptr, chosen.number_bytes,
            form.name == "BF16", n_rows, n_columns, len(x),
        )(Stream.null)  # fmt: skip
        run(matmul.finish(outs[0].data.ptr, bias.data.ptr, addend.data.ptr, n_rows, outs[0].size))
    report("matrices side by side: results that differ", sum(int((out != outs[0]).sum()) for out in outs), 0)
    return cupy.asnumpy(outs[0])


#: Sizes of a matrix with rows of whole blocks of 256 or of 32, and batches.
ROWS, COLUMNS, BATCHES = 261, {256: 1280, 32: 1216}, (1, 2, 5, 8, 9, 20, 64, 131)


def check_product(
    name: str, n_rows: int = ROWS, columns: Mapping[int, int] = COLUMNS, batches: Sequence[int] = BATCHES
) -> None:
    """A format's products against float64, and the same bits in every batch."""
    form = format_named(name)
    n_columns = columns[256 if form.block_size in (1, 256) else 32]
    data = random_blocks(form, n_rows, n_columns)
    weights = place(form, data, n_rows, n_columns)
    x = RNG.standard_normal((max(batches), n_columns)).astype(np.float32)
    exact = exact_product(form, data, x, n_columns)
    on_device = cupy.asarray(x)
    results = {}
    for n in batches:
        results[n] = product(
            form,
            weights,
            on_device[:n],
            n_rows,
            n_columns,
            3 if n < 9 or (n == 20 and isinstance(form, LevelFormat)) else 1,
        )
        error = np.linalg.norm(results[n] - 3 * BIAS - exact[:n]) / np.linalg.norm(exact[:n])
        bound = 1e-6 if n < 9 or isinstance(form, LevelFormat) else 1e-3
        report(f"product {name} {n} tokens", float(error), bound)
    if isinstance(form, LevelFormat):
        wrong = sum(np.count_nonzero(results[n] != results[max(batches)][:n]) for n in results)
        report(f"product {name}: results that depend on the batch", wrong, 0)


def check_sources() -> None:
    """Norm, activation."""
    n_columns = 1216
    x, y = (RNG.standard_normal((9, n_columns)).astype(np.float32) * 3 for _ in range(2))
    weight = RNG.uniform(0.5, 2, n_columns).astype(np.float32)
    dx, dy, dw = map(cupy.asarray, (x, y, weight))
    for source, exact in (
        (convert.Source("RMSNorm", n_columns, dx.data.ptr, dw.data.ptr, epsilon=1e-6), twins.rms_norm(x, weight, 1e-6)),
        (convert.Source("SwiGLU", n_columns, dx.data.ptr, dy.data.ptr), twins.swiglu(x, y)),
    ):
        out = buffers(FLOATS, 9, n_columns)
        run(convert.convert(source, FLOATS, out.activation, 9))
        found = cupy.asnumpy(out.levels)[: 9 * n_columns * 4].view(np.float32).reshape(9, n_columns)
        report(source.kind, float(np.linalg.norm(found - exact) / np.linalg.norm(exact)), 3e-7)


def check_largest() -> None:
    """The largest of rows, number for number: ties, infinities, NaN, large numbers side by side."""
    for n_rows, n_columns, n_kept in ((1, 152064, 256), (5, 2051, 256), (3, 32, 32), (2, 7, 3), (2, 262144, 40)):
        x = (RNG.standard_normal((n_rows, n_columns)) * 4).astype(np.float32)
        rough = np.round(x) * np.float32(0.5)
        special = np.where(RNG.random(x.shape) < 0.01, RNG.choice(SPECIAL, x.shape), x)
        equal = np.full_like(x, -np.inf)
        for kind, rows in {
            "random": x,
            "tied": rough,
            "sorted": np.sort(x),
            "special": special,
            "equal": equal,
        }.items():
            given = cupy.asarray(rows)
            maxima = cupy.empty(largest.maxima_bytes(n_rows, n_columns), cupy.uint8)
            values, places = cupy.full((n_rows, n_kept), 7.0, cupy.float32), cupy.zeros((n_rows, n_kept), cupy.int32)
            addresses = given.data.ptr, maxima.data.ptr
            run(
                largest.group_maxima(*addresses, n_rows, n_columns),
                largest.largest(*addresses, values.data.ptr, places.data.ptr, n_rows, n_columns, n_kept),
            )
            expected = twins.largest(rows, n_kept)
            wrong = np.count_nonzero(cupy.asnumpy(places) != expected[1])
            wrong += np.count_nonzero(cupy.asnumpy(values).view(np.uint32) != expected[0].view(np.uint32))
            report(f"the {n_kept} largest of {n_rows} x {n_columns}, {kind}", wrong, 0)


def check_all() -> None:
    """Every check; `failures` then names those that failed."""
    check_forms()
    check_wide_forms()
    for name in (*PACKED, *OTHERS, *FLOAT_FORMATS):
        check_product(name)
    check_sources()
    check_largest()
    report(f"{len(failures)} checks failed", len(failures), 0)


if __name__ == "__main__":
    check_all()
    sys.exit(bool(failures))
