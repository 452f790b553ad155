"""Vision towers on the GPU: kernels beside their twins, whole towers beside the CPU, and the time that a picture takes.

python -m benchmarks.cuda.towers            # all of it
python -m benchmarks.cuda.towers kernels    # or towers, times
"""

import io
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import cupy
import numpy as np
import numpy.typing as npt
from cupy.cuda import Event, Stream, get_elapsed_time
from PIL import Image

from benchmarks.cuda.kernels import RNG, buffers, failures, report, run
from pyggml.backend.cpu import CPUBackend
from pyggml.backend.cuda import CUDABackend
from pyggml.backend.protocol import PictureStep, TowerHeads
from pyggml.image import PatchGrid
from pyggml.models.tower import tower_graph
from pyggml.models.tower_config import TowerConfig
from pyggml.models.tower_weights import Normal, Product, TowerLayer, TowerWeights
from pyggml.models.windows import windows_of
from pyggml.tower import Tower
from pyggml_cuda import convert, device, patch_attention, sections
from pyggml_cuda.formats import FLOATS
from pyggml_cuda.launch import Launch
from pyggml_cuda.patch_attention import PatchHeads
from pyggml_reference import cuda_twins as twins
from pyggml_reference.random_tower import RandomTower, random_tower
from pyggml_reference.structures import TensorType

#: Qwen2-VL-2B's tower.
CONFIG = TowerConfig(
    is_second=False, n_layers=32, n_embd=1280, n_heads=16, n_out=1536, patch_size=14, epsilon=1e-6, activation="quick",
    image_mean=(0.5,) * 3, image_std=(0.5,) * 3, min_pixels=1, max_pixels=1 << 22, full_every=0, window=4,
)  # fmt: skip
N_FF = 5120
#: Towers that are small, and what each shows.
TOWERS = {
    "qwen2-vl": RandomTower(),
    "qwen2-vl, heads of 80": RandomTower(n_embd=320, n_ff=640),
    "qwen2-vl F32": RandomTower(tensor_type=TensorType.F32),
    "qwen2-vl BF16": RandomTower(tensor_type=TensorType.BF16),
    "qwen2-vl Q8_0": RandomTower(tensor_type=TensorType.Q8_0),
    "qwen2-vl Q4_K": RandomTower(tensor_type=TensorType.Q4_K, n_embd=256, n_ff=512),
    "tanh": RandomTower(use_gelu=True, n_head=2),
    "qwen2.5-vl": RandomTower(is_second=True),
    "qwen2.5-vl, networks of 100": RandomTower(is_second=True, n_ff=100),
    "qwen2.5-vl, heads of 36": RandomTower(is_second=True, n_embd=144, full_every=3, n_layers=4),
}
#: How far a tower may be from the CPU's. Activations are rounded to the weights' type, to 255 levels if these are
#: quantized, where a last bit may become a step.
BOUNDS = {"qwen2-vl BF16": 1e-4, "qwen2-vl Q8_0": 1e-3, "qwen2-vl Q4_K": 1e-3}

Floats = npt.NDArray[np.float32]


def nmse(found: npt.NDArray[Any], expected: npt.NDArray[Any]) -> float:
    """Normalized mean squared error."""
    wide = expected.astype(np.float64)
    return float(((found - wide) ** 2).sum() / (wide**2).sum())


def check_sources() -> None:
    """Norm and activations."""
    n_columns = 1280
    x = (RNG.standard_normal((9, n_columns)) * 3 + 1).astype(np.float32)
    weight, bias = (RNG.uniform(0.5, 2, n_columns).astype(np.float32) for _ in range(2))
    dx, dw, db = map(cupy.asarray, (x, weight, bias))
    norm = convert.Source("LayerNorm", n_columns, dx.data.ptr, dw.data.ptr, epsilon=1e-6, third=db.data.ptr)
    for source, exact in (
        (norm, twins.layer_norm(x, weight, bias, 1e-6)),
        (convert.Source("GELU<false>", n_columns, dx.data.ptr), twins.gelu(x, quick=False)),
        (convert.Source("GELU<true>", n_columns, dx.data.ptr, db.data.ptr), twins.gelu(x + bias, quick=True)),
    ):
        out = buffers(FLOATS, 9, n_columns)
        run(convert.convert(source, FLOATS, out.activation, 9))
        found = cupy.asnumpy(out.levels)[: 9 * n_columns * 4].view(np.float32).reshape(9, n_columns)
        report(source.kind, float(np.linalg.norm(found - exact) / np.linalg.norm(exact)), 3e-7)


def check_attention(
    n_heads: int, size: int, window_sizes: Sequence[int], *, n_groups: int = 0, through_bfloats: bool = False
) -> None:
    """Angles, heads and attention of patches in windows of these sizes; `n_groups` as in `patch_attention.cut`."""
    windows = np.repeat(np.arange(len(window_sizes)), window_sizes).astype(np.int32)
    n, quarter = len(windows), size // 4
    shape, heads = (n, n_heads, size), PatchHeads(n, n_heads, size)
    q, k, v = (RNG.standard_normal(shape).astype(np.float32) * factor for factor in (2, 1, 1))
    bias = RNG.standard_normal(shape[1:]).astype(np.float32)
    places = RNG.integers(0, 90, (n, 2), np.int32)
    parts, scale = [(0, quarter, 0), (quarter, 2 * quarter, quarter)], size**-0.5
    theta_scale = float(np.float32(10000.0 ** (-1 / (2 * quarter))))
    tiles = patch_attention.cut(windows, size, n_groups)
    dq, dk, dv, db, dp, dt = map(cupy.asarray, (q, k, v, bias, places, tiles.rows))
    angles, out = cupy.zeros((n, 2, size // 2), cupy.float32), cupy.full(shape, cupy.nan, cupy.float32)
    halves = [cupy.full((n_heads, n, heads.padded_size), cupy.nan, cupy.float16) for _ in range(3)]
    targets = halves[0].data.ptr, halves[1].data.ptr, halves[2].data.ptr
    run(
        sections.section_angles(
            sections.SectionAngles(size // 2, theta_scale, 1.0, parts), dp.data.ptr, angles.data.ptr, n
        ),
        patch_attention.place_heads(
            heads, (dq.data.ptr, dk.data.ptr, dv.data.ptr), angles.data.ptr, targets, scale,
            biases=(db.data.ptr, 0, db.data.ptr), through_bfloats=through_bfloats,
        ),
        patch_attention.attend(heads, targets, out.data.ptr, dt.data.ptr, len(tiles.rows), tiles.n_groups),
    )  # fmt: skip
    name = f"{n_heads} heads of {size}, {len(window_sizes)} windows of {n} patches"
    cosines, sines = twins.section_angles(places, parts, theta_scale)
    exact = np.stack([cosines, sines], axis=1)
    report(f"angles {name}", float(np.abs(cupy.asnumpy(angles) - exact).max()), 1e-5)
    expected = [
        twins.patch_heads(q + bias, (cosines, sines), scale * np.log2(np.e)),
        twins.patch_heads(k, (cosines, sines)),
        twins.patch_heads(v + bias, None),
    ]
    found = [cupy.asnumpy(each).swapaxes(0, 1) for each in halves]
    for part, each, other in zip(("queries", "keys", "values"), found, expected, strict=True):
        report(f"{part} {name}", nmse(each[..., :size], other), 1e-5 if through_bfloats else 1e-8)
        report(f"{part} {name}: numbers behind a head", np.count_nonzero(each[..., size:]), 0)
    wide = [each[..., :size].astype(np.float64) for each in found]
    attended = twins.attend_patches(wide[0], wide[1], wide[2], windows)
    report(f"attention NMSE {name}", nmse(cupy.asnumpy(out), attended), 3e-7)


def check_kernels() -> None:
    """All kernels of towers."""
    check_sources()
    check_attention(4, 32, [20])
    check_attention(16, 80, [700])
    check_attention(3, 80, [64, 64, 32, 16, 4])
    check_attention(2, 80, [1100])
    check_attention(2, 36, [1, 63, 65, 128])
    check_attention(2, 128, [200])
    check_attention(2, 64, [1030])
    check_attention(2, 96, [130], through_bfloats=True)


def grid_step(config: TowerConfig, n_rows: int, n_columns: int, n_numbers: int) -> PictureStep:
    """A picture of random patches, of so many merged ones."""
    grid = PatchGrid(n_rows, n_columns)
    order, windows = windows_of(grid, config.window if config.full_every else max(n_rows, n_columns))
    rows = (4 * order[:, None] + np.arange(4)).ravel()
    patches = RNG.standard_normal((len(rows), n_numbers)).astype(np.float32)
    return PictureStep(
        patches, np.ascontiguousarray(grid.places()[rows]), np.repeat(windows, 4).astype(np.int32),
        np.argsort(order).astype(np.int32),
    )  # fmt: skip


def noise(width: int, height: int) -> bytes:
    """A picture."""
    file = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (height, width, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def check_tower(name: str, sizes: Sequence[tuple[int, int]] = ((60, 90), (500, 400))) -> None:
    """A small tower beside the CPU's, on pictures of these sizes."""
    shape = TOWERS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tower.gguf"
        random_tower(path, shape)
        cpu, gpu = (
            Tower(path, backend, shape.n_out, 1 << 16) for backend in (CPUBackend(None, 1, 1), CUDABackend(1, 1))
        )
        for size in sizes:
            picture = noise(*size)
            error = nmse(gpu.look(picture).vectors, cpu.look(picture).vectors)
            report(f"{name}, {size[0]} x {size[1]}: NMSE", error, BOUNDS.get(name, 1e-5))


def random_weights(backend: CUDABackend, config: TowerConfig) -> TowerWeights:
    """Of the shape, in F16."""

    def vector(n: int) -> Any:
        return backend.vector(np.zeros(4 * n, np.uint8), 0, n)

    def product(n_rows: int, n_columns: int) -> Product:
        numbers = RNG.standard_normal((n_rows, n_columns), np.float32) * n_columns**-0.5
        data = numbers.astype(np.float16).view(np.uint8).reshape(-1)
        return Product(backend.matrix(data, 1, n_rows, n_columns), vector(n_rows))

    def norm() -> Normal:
        ones = backend.vector(np.ones(n, np.float32).view(np.uint8), 0, n)
        return Normal(ones, vector(n))

    n = config.n_embd
    square, up, down = product(n, n), product(N_FF, n), product(n, N_FF)

    def layer() -> TowerLayer:
        # With memory of its own, so that no layer finds its weights in the cache.
        q, k, v, out = (_copied(square) for _ in range(4))
        return TowerLayer(norm(), q, k, v, out, norm(), None, _copied(up), _copied(down))

    layers = tuple(layer() for _ in range(config.n_layers))
    patches = product(n, 592).weight
    return TowerWeights((patches, patches), layers, norm(), product(4 * n, 4 * n), product(config.n_out, 4 * n))


def _copied(product: Product) -> Product:
    weight: Any = product.weight
    memory = device.allocate(weight.memory.nbytes)
    memory[...] = weight.memory
    return replace(product, weight=replace(weight, memory=memory))


class Stopwatch:
    """Takes the place of `device.launching` and `device.multiplying`, and times what they start, by kind."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Event, Event]] = []

    def timed(self, make: Callable[..., device.Action]) -> Callable[..., device.Action]:
        """The maker of actions that are timed."""

        def making(*arguments: Any) -> device.Action:
            action = make(*arguments)
            first = arguments[0]
            name = first.kernel.expression if isinstance(first, Launch) else "cuBLAS"

            def start(stream: Stream) -> None:
                begin, end = Event(), Event()
                begin.record(stream)
                action(stream)
                end.record(stream)
                self.events.append((name, begin, end))

            return start

        return making

    def by_kind(self) -> dict[str, float]:
        """Milliseconds of each kind."""
        times: Counter[str] = Counter()
        for name, begin, end in self.events:
            times[name] += get_elapsed_time(begin, end)
        return dict(times)


def used_bytes() -> int:
    """Of the device's memory."""
    return int(cupy.get_default_memory_pool().total_bytes())


def time_tower(n_merged: int = 36, runs: int = 5) -> Iterator[str]:
    """The tower of Qwen2-VL-2B with random weights on a square picture; 36 merged patches a side are 1008 pixels."""
    backend = CUDABackend(1, 1)
    graph = tower_graph(CONFIG, random_weights(backend, CONFIG))
    step, heads = grid_step(CONFIG, n_merged, n_merged, 592), TowerHeads(CONFIG.n_heads, CONFIG.head_size, "f16")
    backend.look(graph, step, heads)
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        backend.look(graph, step, heads)
        times.append((time.perf_counter() - start) * 1e3)
    spread = f"{median(times):.1f} ms (from {min(times):.1f} to {max(times):.1f})"
    yield f"{len(step.patches)} patches: {spread}; {used_bytes() / 1e6:.0f} MB of memory with the weights"
    watch = Stopwatch()
    launching, multiplying = device.launching, device.multiplying
    device.launching, device.multiplying = watch.timed(launching), watch.timed(multiplying)
    try:
        backend.look(graph, step, heads)
    finally:
        device.launching, device.multiplying = launching, multiplying
    kinds = watch.by_kind()
    yield f"  kernels alone: {sum(kinds.values()):.1f} ms"
    for name, milliseconds in sorted(kinds.items(), key=lambda item: -item[1]):
        yield f"  {name:45} {milliseconds:7.2f} ms"


def main(names: Sequence[str]) -> None:
    """Do what is named, or all."""
    for name in names or ("kernels", "towers", "times"):
        if name == "kernels":
            check_kernels()
        elif name == "towers":
            for tower in TOWERS:
                check_tower(tower)
        else:
            for line in time_tower():
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
    sys.exit(bool(failures))
