"""Every CUDA kernel beside its twin in NumPy: how far it is off, and how fast it is.

python -m benchmarks.cuda.kernels            # all of it, in about a minute
python -m benchmarks.cuda.kernels --no-times
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import cupy
import numpy as np
import numpy.typing as npt
from cupy.cuda import Stream

from pyggml_cuda import attention, cache, convert, device, layout, matmul, pack, rope
from pyggml_cuda.formats import FLOATS, Form, TileFormat, device_format, quantized_form
from pyggml_cuda.launch import Launch
from pyggml_kernels.formats import Format, LevelFormat, format_named
from pyggml_reference import cuda_twins as twins

PACKED = ("Q4_K", "Q5_K", "Q6_K", "Q3_K", "Q2_K", "Q8_0", "Q4_0", "Q5_0")
OTHERS = ("Q4_1", "Q5_1", "IQ4_NL", "IQ4_XS", "IQ2_XS", "IQ1_S", "MXFP4", "NVFP4", "TQ2_0")
FLOAT_FORMATS = ("F32", "F16", "BF16")
#: What a copy within the memory of an H200 reads and writes a second.
COPY_RATE = 4.3e12
BIAS = 2.0**-8
RNG = np.random.default_rng(1)

Bytes = npt.NDArray[np.uint8]
failures: list[str] = []


def report(name: str, error: float, bound: float) -> None:
    """Print a check."""
    good = error <= bound
    print(f"{'ok  ' if good else 'FAIL'} {name:60} {error:.2e} (bound {bound:.0e})", flush=True)
    if not good:
        failures.append(name)


def run(*launches: Launch) -> None:
    """Launch and wait."""
    stream = Stream.null
    device.run([device.launching(each) for each in launches], stream)
    stream.synchronize()


def random_blocks(form: Format, n_rows: int, n_columns: int) -> Bytes:
    """Rows of random blocks with scales of a usual size."""
    n = n_rows * n_columns // form.block_size
    blocks = np.frombuffer(RNG.bytes(n * form.block_bytes), form.layout).copy()
    names = form.layout.names or ()
    if form.block_size == 1:
        numbers = (RNG.standard_normal(n) * 0.02).astype(np.float32)
        bits = numbers.view(np.uint32) >> 16
        blocks = {"F32": numbers, "F16": numbers.astype(np.float16), "BF16": bits.astype(np.uint16)}[form.name]
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


def buffers(form: Form, n: int, n_columns: int) -> Buffers:
    """Room for `n` rows; garbage in it."""
    strides = form.level_stride(n_columns), form.scale_stride(n_columns), form.sum_stride(n_columns)
    sizes = [n * each + 16 for each in (strides[0], 4 * strides[1], strides[2])]
    parts = [cupy.full(size, 0xA5, cupy.uint8) for size in sizes]
    return Buffers(*parts, matmul.Activation(*(each.data.ptr for each in parts), *strides))


def to_form(form: Form, x: Any, n_columns: int) -> Buffers:
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
        stride = form.level_stride(n_columns)
        levels = cupy.asnumpy(out.levels)[: 7 * stride].view(np.int8).reshape(7, stride)[:, natural_columns(stride)]
        wrong = np.count_nonzero(levels[:, :n_columns] != expected.levels) + np.count_nonzero(levels[:, n_columns:])
        scales = cupy.asnumpy(out.scales).view(np.float32)[: 7 * (stride // 32)].reshape(7, -1)
        wrong += np.count_nonzero(scales[:, : n_columns // 32] != expected.scales)
        if sums != "NONE":
            kind = np.int16 if sums == "WHOLE" else np.float32
            found = cupy.asnumpy(out.sums)[: 7 * form.sum_stride(n_columns)].view(kind).reshape(7, -1)
            wanted = expected.sums
            if block == "Q8_K" and sums == "FLOATS":
                wanted = wanted * np.repeat(expected.scales, 2, axis=-1)
            wrong += np.count_nonzero(found[:, : n_columns // group] != wanted)
        report(f"form {form.expression}: numbers that differ", wrong, 0)


def exact_product(form: Format, data: Bytes, x: npt.NDArray[np.float32], n_columns: int) -> tuple[Any, Any]:
    """In float64 on the same operands; also the norm of its terms."""
    n_rows = len(data)
    if not isinstance(form, LevelFormat):
        w = form.dequantize(data).reshape(n_rows, n_columns).astype(np.float64)
        rounded = {"F32": lambda v: v, "F16": lambda v: v.astype(np.float16), "BF16": round_bfloat}[form.name](x)
        return rounded.astype(np.float64) @ w.T, None
    levels, scales, minimums = layout.decode(form, data, n_rows, n_columns)
    quantized = twins.quantize(x, form.activation, form.group_size)
    w = levels * np.repeat(scales.astype(np.float64), form.group_size, axis=-1)
    result = quantized.dequantized() @ w.T
    if form.has_minimum:
        sums = quantized.sums.astype(np.float64)
        if form.activation == "Q8_K":
            sums = sums * np.repeat(quantized.scales, 32, axis=-1)[:, :: form.group_size]
        result -= sums @ minimums.astype(np.float64).T
    return result, None


def round_bfloat(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """To the nearest bfloat."""
    bits = x.view(np.uint32)
    return ((bits + (0x7FFF + (bits >> 16 & 1))) & 0xFFFF0000).view(np.float32)


def place(form: Format, data: Bytes, n_rows: int, n_columns: int) -> Any:
    """A matrix on the device, packed."""
    layout_form = device_format(form)
    if not isinstance(layout_form, TileFormat):
        return cupy.asarray(data.reshape(-1))
    if not layout_form.packed_on_device:
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
    activation = to_form(chosen.form, x, n_columns)
    outs = [cupy.full((len(x), n_rows), cupy.nan, cupy.float32) for _ in range(segments)]
    bias, addend = cupy.full(n_rows, BIAS, cupy.float32), cupy.full((len(x), n_rows), 2 * BIAS, cupy.float32)
    matrices = [matmul.Matrix(weights.data.ptr, n_rows, out.data.ptr, bias.data.ptr, addend.data.ptr) for out in outs]
    if isinstance(chosen, TileFormat) or len(x) <= matmul.FEW_TOKENS_OF_ROWS:
        run(matmul.multiply(chosen, matrices, activation.activation, len(x), n_columns))
    else:
        device.multiplying(
            weights.data.ptr, activation.levels.data.ptr, outs[0].data.ptr, chosen.number_bytes,
            form.name == "BF16", n_rows, n_columns, len(x),
        )(Stream.null)  # fmt: skip
        run(matmul.finish(outs[0].data.ptr, bias.data.ptr, addend.data.ptr, n_rows, outs[0].size))
    for out in outs[1:]:
        assert bool((out == outs[0]).all()), "matrices side by side differ"
    return cupy.asnumpy(outs[0])


def check_products() -> None:
    """Products against float64, and the same bits in every batch."""
    for name in (*PACKED, *OTHERS, *FLOAT_FORMATS):
        form = format_named(name)
        n_rows, n_columns = 165, (1280 if form.block_size in (1, 256) else 1216)
        data = random_blocks(form, n_rows, n_columns)
        weights = place(form, data, n_rows, n_columns)
        x = RNG.standard_normal((131, n_columns)).astype(np.float32)
        exact, _ = exact_product(form, data, x, n_columns)
        on_device = cupy.asarray(x)
        results = {}
        for n in (1, 2, 5, 8, 9, 20, 64, 131):
            results[n] = product(form, weights, on_device[:n], n_rows, n_columns, 3 if n < 9 else 1)
            error = np.linalg.norm(results[n] - 3 * BIAS - exact[:n]) / np.linalg.norm(exact[:n])
            bound = 1e-6 if n < 9 or isinstance(form, LevelFormat) else 1e-3
            report(f"product {name} {n} tokens", float(error), bound)
        if isinstance(form, LevelFormat):
            wrong = sum(np.count_nonzero(results[n] != results[131][:n]) for n in results)
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


@dataclass
class Case:
    """A batch for attention: sequences side by side, a paged cache in a mixed order."""

    n_heads: int
    n_kv_heads: int
    size: int
    value_size: int
    lengths: tuple[int, ...]
    """positions before the batch, of each sequence"""
    n_new: tuple[int, ...]
    format: str = "f16"
    halves: bool = True
    page_size: int = 64


def check_attention(case: Case) -> None:
    """Rope, the cache's writes and attention, for tokens that follow what is in the cache."""
    c = case
    group, n = c.n_heads // c.n_kv_heads, sum(c.n_new)
    n_pages_each = -(-max(a + b for a, b in zip(c.lengths, c.n_new, strict=True)) // c.page_size)
    n_sequences = len(c.lengths)
    table = RNG.permutation(n_sequences * n_pages_each).reshape(n_sequences, -1).astype(np.int32)
    sequences = np.repeat(np.arange(n_sequences), c.n_new).astype(np.int32)
    positions = np.concatenate([np.arange(a, a + b) for a, b in zip(c.lengths, c.n_new, strict=True)]).astype(np.int32)
    n_pairs = c.size // 2
    number = {"f32": np.float32, "f16": np.float16}[c.format]
    old = [
        (RNG.standard_normal((length, c.n_kv_heads, c.size)).astype(number),
         RNG.standard_normal((length, c.n_kv_heads, c.value_size)).astype(number)) for length in c.lengths
    ]  # fmt: skip
    key_cache = np.zeros((table.size, c.n_kv_heads, c.page_size, c.size), number)
    value_cache = np.zeros((table.size, c.n_kv_heads, c.page_size, c.value_size), number)
    for sequence, (keys, values) in enumerate(old):
        at = np.arange(len(keys))
        index = table[sequence][at // c.page_size], slice(None), at % c.page_size
        key_cache[index], value_cache[index] = keys, values
    q = RNG.standard_normal((n, c.n_heads, c.size)).astype(np.float32) * 2
    k = RNG.standard_normal((n, c.n_kv_heads, c.size)).astype(np.float32)
    v = RNG.standard_normal((n, c.n_kv_heads, c.value_size)).astype(np.float32)
    dq, dk, dv, dkc, dvc, dp, ds, dt = map(cupy.asarray, (q, k, v, key_cache, value_cache, positions, sequences, table))
    factors = cupy.ones(n_pairs, cupy.float32)
    angles = cupy.zeros((n, 2, n_pairs), cupy.float32)
    theta_scale = float(np.float32(10000.0 ** (-1 / n_pairs)))
    parameters = rope.Angles(n_pairs, factors.data.ptr, theta_scale, 1.0, 0.0, 1.0, 0.0, 0.0)
    rows = tuple(
        cache.CacheRows(c.format, each.data.ptr, each.strides[0], each.strides[2], c.page_size) for each in (dkc, dvc)
    )
    page_table = cache.PageTable(dt.data.ptr, dp.data.ptr, ds.data.ptr, table.shape[1])
    heads = rope.Heads(c.n_heads, c.n_kv_heads, c.size, c.value_size, n_pairs, c.halves)
    shape, tiles = attention.cut(sequences, int(positions.max()) + 1, group)
    d_tiles = cupy.asarray(tiles)
    sums = cupy.full((n, c.n_heads, shape.n_splits, c.value_size), cupy.nan, cupy.float32)
    states = cupy.full((n, c.n_heads, shape.n_splits, 2), cupy.nan, cupy.float32)
    out = buffers(FLOATS, n, c.n_heads * c.value_size)
    source = convert.Source(
        "Splits", c.n_heads * c.value_size, sums.data.ptr, states.data.ptr, dp.data.ptr, 0.0, c.value_size,
        shape.n_splits, attention.SPLIT_SIZE,
    )  # fmt: skip
    run(
        rope.angles(parameters, dp.data.ptr, angles.data.ptr, n),
        rope.turn_and_store(heads, dq.data.ptr, dk.data.ptr, dv.data.ptr, angles.data.ptr, rows, page_table, n),
        attention.attend(
            shape, c.n_heads, c.n_kv_heads, (c.size, c.value_size), c.size**-0.5,
            (dq.data.ptr, sums.data.ptr, states.data.ptr, d_tiles.data.ptr), rows, page_table,
        ),
        convert.convert(source, FLOATS, out.activation, n),
    )  # fmt: skip
    found = cupy.asnumpy(out.levels)[: n * c.n_heads * c.value_size * 4].view(np.float32)
    found = found.reshape(n, c.n_heads, c.value_size)
    theta = positions[:, None].astype(np.float64) * theta_scale ** np.arange(n_pairs)
    cosines, sines = np.cos(theta), np.sin(theta)
    turned_q, turned_k = (twins.turn(each, cosines, sines, c.halves) for each in (q, k))
    error = np.linalg.norm(cupy.asnumpy(dq) - turned_q) / np.linalg.norm(turned_q)
    name = f"{c.format} {c.n_heads}/{c.n_kv_heads} heads of {c.size}, {c.lengths} + {c.n_new}"
    report(f"rope {name}", float(error), 1e-4)
    exact = np.zeros(found.shape)
    for sequence, (keys, values) in enumerate(old):
        own = sequences == sequence
        all_keys = np.concatenate([keys.astype(np.float64), turned_k[own].astype(number).astype(np.float64)])
        all_values = np.concatenate([values.astype(np.float64), v[own].astype(number).astype(np.float64)])
        exact[own] = twins.attend(turned_q[own], all_keys, all_values, positions[own], c.size**-0.5)
    report(f"attention NMSE {name}", float(((found - exact) ** 2).sum() / (exact**2).sum()), 1e-7)


ATTENTION = (
    Case(12, 2, 128, 128, (0,), (1,)),
    Case(12, 2, 128, 128, (63,), (1,)),
    Case(40, 8, 128, 128, (1000,), (1,)),
    Case(28, 4, 128, 128, (300, 5, 64), (1, 2, 1)),
    Case(28, 4, 128, 128, (0,), (200,)),
    Case(28, 4, 128, 128, (100, 0), (37, 150)),
    Case(4, 2, 16, 16, (70,), (9,), halves=False, page_size=4),
    Case(4, 2, 16, 16, (70,), (1,), halves=False, page_size=4),
    Case(32, 1, 64, 32, (70,), (3,), "f16"),
)


# --- times ------------------------------------------------------------------------------------------------------------


def seconds(actions: list[device.Action], repeat: int = 15) -> float:
    """The median time of one of the actions, all of them in a graph."""
    stream = Stream(non_blocking=True)
    device.run(actions, stream)
    stream.synchronize()
    graph = device.captured(actions, stream)
    times = []
    for _ in range(repeat):
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        start.record(stream)
        graph.launch(stream)
        end.record(stream)
        end.synchronize()
        times.append(cupy.cuda.get_elapsed_time(start, end) / 1e3)
    return median(times) / len(actions)


def copy_rate() -> float:
    """Bytes read and written a second by a large copy."""
    a, b = cupy.zeros(1 << 31, cupy.uint8), cupy.zeros(1 << 31, cupy.uint8)
    return 2 * a.nbytes / seconds([lambda stream: b.data.copy_from_device_async(a.data, a.nbytes, stream)] * 3)


def time_products() -> Iterator[str]:
    """Speeds of products with weights that do not fit into the cache."""
    rate = COPY_RATE
    yield f"copy: {copy_rate() / 1e12:.2f} TB/s"
    for name in (*PACKED, "IQ4_XS", "F16"):
        form = format_named(name)
        chosen = device_format(form)
        for n_rows, n_columns in ((5120, 5120), (13824, 5120), (5120, 13824), (1024, 5120)):
            if isinstance(chosen, TileFormat):
                n_bytes = pack.packed_bytes(chosen, n_rows, n_columns)
            else:
                n_bytes = n_rows * n_columns * chosen.number_bytes
            copies = max(2, min(40, int(600e6 // n_bytes)))
            pool = cupy.random.randint(0, 60, n_bytes * copies, dtype=cupy.uint8)
            line = f"{name:7} {n_rows:6} x {n_columns:6}"
            for n in (1, 8, 16, 64, 512) if n_rows != 1024 else (1,):
                if n > 8 and not isinstance(chosen, TileFormat):
                    continue
                x = buffers(chosen.form, n, n_columns)
                x.levels[:] = cupy.random.randint(0, 255, x.levels.size, dtype=cupy.uint8)
                x.scales[:] = 0
                out = cupy.empty((n, n_rows), cupy.float32)
                actions = [
                    device.launching(
                        matmul.multiply(
                            chosen, [matmul.Matrix(pool.data.ptr + i * n_bytes, n_rows, out.data.ptr)],
                            x.activation, n, n_columns,
                        )
                    )
                    for i in range(copies if n <= 64 else 3)
                ]  # fmt: skip
                time = seconds(actions)
                speed = (
                    f"{n_bytes / time / rate:4.0%}" if n <= 8 else f"{2 * n_rows * n_columns * n / time / 1e12:4.0f} T"
                )
                line += f" | {n} {time * 1e6:7.1f} us {speed}"
            yield line
            del pool


def time_shapes() -> Iterator[str]:
    """Speeds of the shapes of blocks for many tokens."""
    for name in ("Q3_K", "Q4_K", "Q6_K", "Q8_0"):
        chosen = device_format(format_named(name))
        assert isinstance(chosen, TileFormat)
        for n_rows, n_columns in ((5120, 5120), (13824, 5120), (5120, 13824)):
            n_bytes = pack.packed_bytes(chosen, n_rows, n_columns)
            pool = cupy.random.randint(0, 60, n_bytes, dtype=cupy.uint8)
            for n in (64, 512):
                x, out = buffers(chosen.form, n, n_columns), cupy.empty((n, n_rows), cupy.float32)
                line = f"{name} {n_rows} x {n_columns}, {n} tokens:"
                for shape in ((64, 8), (64, 4), (32, 8), (32, 4)):
                    launch = matmul.multiply(
                        chosen, [matmul.Matrix(pool.data.ptr, n_rows, out.data.ptr)], x.activation, n, n_columns,
                        matmul.BlockShape(*shape),
                    )  # fmt: skip
                    time = seconds([device.launching(launch)] * 3, 7)
                    line += f" {shape} {time * 1e6:.1f} us {2 * n_rows * n_columns * n / time / 1e12:.0f} T;"
                yield line


def time_others() -> Iterator[str]:
    """Times of the small operations of a 14B and of a 7B decoder, and of attention at depths."""
    for n in (1, 512):
        for n_columns in (5120, 13824):
            x, w = cupy.ones((n, n_columns), cupy.float32), cupy.ones(n_columns, cupy.float32)
            form = quantized_form("Q8_K", "WHOLE", 32)
            out = buffers(form, n, n_columns)
            for kind, second in (("RMSNorm", w), ("SwiGLU", x)):
                source = convert.Source(kind, n_columns, x.data.ptr, second.data.ptr)
                action = device.launching(convert.convert(source, form, out.activation, n))
                yield f"{kind} + quantize, {n} x {n_columns}: {seconds([action] * 20) * 1e6:.1f} us"
    for n, depth in ((1, 100), (1, 2000), (1, 8192), (1, 32000), (512, 512), (2048, 2048)):
        n_heads, n_kv_heads, size = 28, 4, 128
        n_pages = -(-depth // 64)
        keys = cupy.zeros((n_pages, n_kv_heads, 64, size), cupy.float16)
        positions = cupy.arange(depth - n, depth, dtype=cupy.int32)
        sequences = cupy.zeros(n, cupy.int32)
        table = cupy.arange(n_pages, dtype=cupy.int32)
        shape, tiles = attention.cut(np.zeros(n, np.int32), depth, n_heads // n_kv_heads)
        d_tiles = cupy.asarray(tiles)
        q = cupy.ones((n, n_heads, size), cupy.float32)
        sums = cupy.zeros((n, n_heads, shape.n_splits, size), cupy.float32)
        states = cupy.zeros((n, n_heads, shape.n_splits, 2), cupy.float32)
        rows = cache.CacheRows("f16", keys.data.ptr, keys.strides[0], keys.strides[2], 64)
        page_table = cache.PageTable(table.data.ptr, positions.data.ptr, sequences.data.ptr, n_pages)
        action = device.launching(
            attention.attend(
                shape, n_heads, n_kv_heads, (size, size), 0.1,
                (q.data.ptr, sums.data.ptr, states.data.ptr, d_tiles.data.ptr), (rows, rows), page_table,
            )
        )  # fmt: skip
        form = quantized_form("Q8_K", "WHOLE", 32)
        out = buffers(form, n, n_heads * size)
        source = convert.Source("Splits", n_heads * size, sums.data.ptr, states.data.ptr, positions.data.ptr, 0.0, size,
                                shape.n_splits, attention.SPLIT_SIZE)  # fmt: skip
        merge = device.launching(convert.convert(source, form, out.activation, n))
        yield (f"attention 28/4 heads, {n} tokens at {depth}: {seconds([action] * 10) * 1e6:.1f} us,"
               f" merge {seconds([merge] * 10) * 1e6:.1f} us")  # fmt: skip


def main() -> int:
    """Check, then time."""
    checks: list[Callable[[], None]] = [check_forms, check_products, check_sources]
    for check in [*checks, *((lambda case=case: check_attention(case)) for case in ATTENTION)]:
        try:
            check()
        except Exception as error:  # noqa: BLE001  # the other checks are wanted, too
            import traceback

            traceback.print_exc()
            failures.append(f"{getattr(check, '__name__', 'check')}: {error}")
    print(f"{len(failures)} failures: {failures}", flush=True)
    if "--no-times" not in sys.argv:
        for line in (*time_products(), *time_others(), *(time_shapes() if "--shapes" in sys.argv else ())):
            print(line, flush=True)
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
