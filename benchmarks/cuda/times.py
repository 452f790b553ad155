"""How fast the CUDA kernels are, in the shapes of a 14B and a 7B decoder, each in a graph of many calls.

python -m benchmarks.cuda.times             # products by format and batch, norms
python -m benchmarks.cuda.times --shapes    # the shapes of blocks for prompts, too
"""

import sys
from collections.abc import Iterator
from statistics import median

import cupy
from cupy.cuda import Stream

from benchmarks.cuda.kernels import PACKED, buffers
from pyggml_cuda import convert, device, largest, matmul, matmul_wide, pack
from pyggml_cuda.formats import TileFormat, device_format, quantized_form
from pyggml_kernels.formats import format_named

#: What a copy within the memory of an H200 reads and writes a second.
COPY_RATE = 4.3e12


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
    return float(median(times)) / len(actions)


def copy_rate() -> float:
    """Bytes read and written a second by a large copy."""
    a, b = cupy.zeros(1 << 31, cupy.uint8), cupy.zeros(1 << 31, cupy.uint8)
    return float(2 * a.nbytes) / seconds([lambda stream: b.data.copy_from_device_async(a.data, a.nbytes, stream)] * 3)


def time_products() -> Iterator[str]:
    """Speeds of products with weights that do not fit into the cache."""
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
                            x.activation, n, n_columns, device.compute_capability(),
                        )
                    )
                    for i in range(copies if n <= 64 else 3)
                ]  # fmt: skip
                time = seconds(actions)
                speed = (
                    f"{n_bytes / time / COPY_RATE:4.0%}"
                    if n <= 8
                    else f"{2 * n_rows * n_columns * n / time / 1e12:4.0f} T"
                )
                line += f" | {n} {time * 1e6:7.1f} us {speed}"
            yield line
            del pool


def time_shapes() -> Iterator[str]:
    """Speeds of the shapes of blocks for many tokens."""
    for name in ("Q3_K", "Q4_K", "Q6_K", "Q8_0"):
        chosen = device_format(format_named(name))
        for n_rows, n_columns in ((5120, 5120), (13824, 5120), (5120, 13824)):
            if not isinstance(chosen, TileFormat):
                continue
            n_bytes = pack.packed_bytes(chosen, n_rows, n_columns)
            pool = cupy.random.randint(0, 60, n_bytes, dtype=cupy.uint8)
            for n in (64, 512):
                x, out = buffers(chosen.form, n, n_columns), cupy.empty((n, n_rows), cupy.float32)
                line = f"{name} {n_rows} x {n_columns}, {n} tokens:"
                for shape in ((64, 8), (64, 4), (32, 8), (32, 4)):
                    launch = matmul.multiply(
                        chosen, [matmul.Matrix(pool.data.ptr, n_rows, out.data.ptr)], x.activation, n, n_columns,
                        device.compute_capability(), matmul.BlockShape(*shape),
                    )  # fmt: skip
                    time = seconds([device.launching(launch)] * 3, 7)
                    line += f" {shape} {time * 1e6:.1f} us {2 * n_rows * n_columns * n / time / 1e12:.0f} T;"
                yield line


def time_wide() -> Iterator[str]:
    """Speeds of products by warpgroups, with blocks of 64 and 128 tokens, whole and split into parts."""
    for name in ("Q3_K", "Q4_K", "Q5_K", "Q6_K", "Q2_K"):
        chosen = device_format(format_named(name))
        if not isinstance(chosen, TileFormat) or chosen.wide_form is None:
            continue
        for n_rows, n_columns in ((6144, 5120), (5120, 5120), (27648, 5120), (5120, 13824), (3584, 18944)):
            n_bytes = pack.packed_bytes(chosen, n_rows, n_columns)
            pool = cupy.random.randint(0, 60, n_bytes, dtype=cupy.uint8)
            parts = cupy.empty(16 * 2048 * n_rows, cupy.float32)
            for n in (64, 512, 2048):
                x, out = buffers(chosen.wide_form, n, n_columns), cupy.empty((n, n_rows), cupy.float32)
                line = f"{name} {n_rows} x {n_columns}, {n} tokens:"
                for width, is_split in ((64, False), (64, True), (128, False), (128, True)):
                    if (width == 128 and n == 64) or (is_split and n == 2048):
                        continue
                    launches = matmul_wide.multiply(
                        chosen, [matmul.Matrix(pool.data.ptr, n_rows, out.data.ptr)], x.activation, n, n_columns,
                        parts.data.ptr, matmul_wide.WideShape(width, is_split),
                    )  # fmt: skip
                    actions = [device.launching(each) for each in launches]
                    time = seconds(actions * 3, 5) * len(actions)
                    work = 2 * n_rows * n_columns * n
                    line += f" {width}{' split' * is_split} {time * 1e6:.0f} us {work / time / 1e12:.0f} T;"
                yield line


def time_others() -> Iterator[str]:
    """Times of the small operations of a 14B decoder."""
    for n in (1, 512):
        for n_columns in (5120, 13824):
            x, w = cupy.ones((n, n_columns), cupy.float32), cupy.ones(n_columns, cupy.float32)
            form = quantized_form("Q8_K", "WHOLE", 32)
            out = buffers(form, n, n_columns)
            for kind, second in (("RMSNorm", w), ("SwiGLU", x)):
                source = convert.Source(kind, n_columns, x.data.ptr, second.data.ptr)
                action = device.launching(convert.convert(source, form, out.activation, n))
                yield f"{kind} + quantize, {n} x {n_columns}: {seconds([action] * 20) * 1e6:.1f} us"


def time_largest() -> Iterator[str]:
    """Times of finding the largest logits."""
    n_columns, n_kept = 152064, largest.MAX_KEPT
    for n in (1, 16, 64):
        x = cupy.random.standard_normal((n, n_columns), dtype=cupy.float32)
        maxima = cupy.empty(largest.maxima_bytes(n, n_columns), cupy.uint8)
        values, places = cupy.empty((n, n_kept), cupy.float32), cupy.empty((n, n_kept), cupy.int32)
        addresses = x.data.ptr, maxima.data.ptr
        first = device.launching(largest.group_maxima(*addresses, n, n_columns))
        second = device.launching(largest.largest(*addresses, values.data.ptr, places.data.ptr, n, n_columns, n_kept))
        times = [seconds([first] * 10), seconds([second] * 10)]
        yield f"the {n_kept} largest of {n} x {n_columns}: {times[0] * 1e6:.1f} + {times[1] * 1e6:.1f} us"


def main() -> None:
    """Print it all."""
    shapes = (*time_wide(), *time_shapes()) if "--shapes" in sys.argv else ()
    for line in (*time_products(), *time_others(), *time_largest(), *shapes):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
