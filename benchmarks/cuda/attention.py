"""Attention, with the rope and the cache's writes before it, beside its twin in NumPy; and how fast it is.

python -m benchmarks.cuda.attention
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cupy
import numpy as np
import numpy.typing as npt

from benchmarks.cuda.kernels import Doubles, buffers, failures, report, run, say
from benchmarks.cuda.times import COPY_RATE, seconds
from pyggml_cuda import attention, cache, convert, device, matmul, rope
from pyggml_cuda.cache_store import RowStore
from pyggml_cuda.formats import FLOATS
from pyggml_cuda.launch import Launch
from pyggml_kernels.cache_formats import CACHE_FORMATS
from pyggml_kernels.hadamard import hadamard_size
from pyggml_reference import cuda_twins as twins

RNG = np.random.default_rng(2)

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Case:
    """A batch for attention: sequences side by side, a paged cache in a mixed order."""

    n_heads: int
    n_kv_heads: int
    size: int
    value_size: int
    lengths: tuple[int, ...]
    """positions before the batch, of each sequence"""
    n_new: tuple[int, ...]
    formats: tuple[str, str] = ("f16", "f16")
    halves: bool = True
    page_size: int = 64

    @property
    def group(self) -> int:
        """Queries that share keys and values."""
        return self.n_heads // self.n_kv_heads

    @property
    def name(self) -> str:
        """What it is, in short."""
        sizes = f"{self.n_heads}/{self.n_kv_heads} heads of {self.size}, {self.value_size}"
        lengths, new = (str(each) if len(each) < 5 else f"{len(each)} sequences" for each in (self.lengths, self.n_new))
        return f"{'/'.join(self.formats)} {sizes}, {lengths} + {new}"


def rotation(name: str, size: int, largest: bool) -> int:
    """The length of the rotation around a format."""
    return hadamard_size(CACHE_FORMATS[name], size, largest=largest)


class Batch:
    """A case on the device, with room for what its kernels compute."""

    def __init__(self, case: Case) -> None:
        c = case
        n = sum(c.n_new)
        ends = [a + b for a, b in zip(c.lengths, c.n_new, strict=True)]
        n_pages = -(-max(ends) // c.page_size)
        self.case, self.n = c, n
        self.pages = RNG.permutation(len(ends) * n_pages).reshape(len(ends), -1).astype(np.int32)
        self.sequences = np.repeat(np.arange(len(ends)), c.n_new).astype(np.int32)
        starts = zip(c.lengths, ends, strict=True)
        self.positions = np.concatenate([np.arange(start, end) for start, end in starts]).astype(np.int32)
        shape = self.pages.size, 1, c.n_kv_heads, c.page_size
        self.rotations = rotation(c.formats[0], c.size, True), rotation(c.formats[1], c.value_size, False)
        self.stores = (
            RowStore(c.formats[0], shape, c.size, self.rotations[0]),
            RowStore(c.formats[1], shape, c.value_size, self.rotations[1]),
        )
        self.q = RNG.standard_normal((n, c.n_heads, c.size)).astype(np.float32) * 2
        self.k = RNG.standard_normal((n, c.n_kv_heads, c.size)).astype(np.float32)
        self.v = RNG.standard_normal((n, c.n_kv_heads, c.value_size)).astype(np.float32)
        arrays = self.q, self.k, self.v, self.positions, self.sequences, self.pages
        self.device = [cupy.asarray(each) for each in arrays]
        _, _, _, positions, sequences, pages = (each.data.ptr for each in self.device)
        self.table = cache.PageTable(pages, positions, sequences, n_pages)
        self.n_pairs = c.size // 2
        self.theta_scale = float(np.float32(10000.0 ** (-1 / self.n_pairs)))
        self.shape, tiles = self.cut(self.sequences, max(ends))
        self.tiles = cupy.asarray(tiles)
        self.factors = cupy.ones(self.n_pairs, cupy.float32)
        self.angles = cupy.zeros((n, 2, self.n_pairs), cupy.float32)
        self.make_room()

    def cut(self, sequences: Array, n_positions: int) -> tuple[attention.AttentionShape, Array]:
        """Tiles of queries of such sequences."""
        c = self.case
        kinds = cache.CACHE_FORMATS[c.formats[0]], cache.CACHE_FORMATS[c.formats[1]]
        warps = attention.most_query_warps(kinds, (c.size, c.value_size), device.shared_limit())
        return attention.cut(sequences, n_positions, c.group, warps)

    def make_room(self) -> None:
        """For results, with garbage in it."""
        parts = self.n, self.case.n_heads, self.shape.n_splits
        self.sums = cupy.full((*parts, self.case.value_size), cupy.nan, cupy.float32)
        self.states = cupy.full((*parts, 2), cupy.nan, cupy.float32)
        self.merged = cupy.zeros((*parts[:2], self.case.value_size), cupy.float32)

    def old_rows(self) -> list[tuple[Doubles, Doubles]]:
        """Fill the cache with what is before the batch; returns the keys and values of each sequence."""
        result = []
        for pages, length in zip(self.pages, self.case.lengths, strict=True):
            both = []
            for store, name in zip(self.stores, self.case.formats, strict=True):
                x = RNG.standard_normal((length, self.case.n_kv_heads, store.size)).astype(np.float32)
                rows = twins.encode_rows(name, x)
                store.write(pages.tolist(), length, rows[:, None])
                both.append(twins.decode_rows(name, rows).astype(np.float64))
            result.append((both[0], both[1]))
        return result

    def store(self) -> tuple[Launch, Launch]:
        """Angles, and what turns queries and keys and writes the cache."""
        c, (q, k, v, positions, *_) = self.case, (each.data.ptr for each in self.device)
        parameters = rope.Angles(self.n_pairs, self.factors.data.ptr, self.theta_scale, 1.0, 0.0, 1.0, 0.0, 0.0)
        heads = rope.Heads(c.n_heads, c.n_kv_heads, c.size, c.value_size, self.n_pairs, c.halves, *self.rotations)
        rows = self.stores[0].rows(0), self.stores[1].rows(0)
        angles = self.angles.data.ptr
        return (
            rope.angles(parameters, positions, angles, self.n),
            rope.turn_and_store(heads, q, k, v, angles, rows, self.table, self.n),
        )

    def attend(self) -> Launch:
        """Attention itself."""
        c = self.case
        addresses = (
            self.device[0].data.ptr, self.sums.data.ptr, self.states.data.ptr, self.tiles.data.ptr,
        )  # fmt: skip
        rows = self.stores[0].rows(0), self.stores[1].rows(0)
        return attention.attend(
            self.shape, c.n_heads, c.n_kv_heads, (c.size, c.value_size), c.size**-0.5, addresses, rows, self.table,
            device.shared_limit(),
        )  # fmt: skip

    def source(self) -> convert.Source:
        """Its result."""
        c = self.case
        return convert.Source(
            "Splits", c.n_heads * c.value_size, self.sums.data.ptr, self.states.data.ptr, self.device[3].data.ptr,
            0.0, c.value_size, self.shape.n_splits, attention.SPLIT_SIZE, self.rotations[1],
        )  # fmt: skip

    def merge(self) -> Launch:
        """Its result as floats."""
        target = matmul.Activation(self.merged.data.ptr, 0, 0, 4 * self.merged[0].size, 0, 0)
        return convert.merge(self.source(), FLOATS, target, self.n)


def check(case: Case) -> None:
    """Rope, the cache's writes and attention, for tokens that follow what is in the cache."""
    batch, c = Batch(case), case
    old = batch.old_rows()
    out = buffers(FLOATS, batch.n, c.n_heads * c.value_size)
    at_once = convert.convert_at_once(batch.source(), FLOATS, out.activation, batch.n)
    run(*batch.store(), batch.attend(), at_once, batch.merge())
    converted = cupy.asnumpy(out.levels)[: batch.merged.nbytes].view(np.float32).reshape(batch.merged.shape)
    found = cupy.asnumpy(batch.merged)
    if not batch.rotations[1]:
        report("merged splits: numbers that differ", np.count_nonzero(found != converted), 0)
    theta = batch.positions[:, None].astype(np.float64) * batch.theta_scale ** np.arange(batch.n_pairs)
    cosines, sines = np.cos(theta), np.sin(theta)
    turned = [twins.turn(each, cosines, sines, c.halves) for each in (batch.q, batch.k)]
    rows = [*turned, batch.v.astype(np.float64)]
    q, k, v = (twins.rotate(x, batch.rotations[i]) for x, i in zip(rows, (0, 0, 1), strict=True))
    q = twins.round_queries(c.formats[0], q)
    written = cupy.asnumpy(batch.device[0])
    report(f"rope {c.name}", _distance(written, q), 1e-4 if c.formats[0] != "q8_0" else _A_LEVEL)
    exact = np.zeros(found.shape)
    for sequence, before in enumerate(old):
        own, length = batch.sequences == sequence, c.lengths[sequence]
        both = []
        for store, name, x, rows_before in zip(batch.stores, c.formats, (k[own], v[own]), before, strict=True):
            encoded = store.read(batch.pages[sequence].tolist(), length + c.n_new[sequence])[length:, 0]
            new = twins.decode_rows(name, encoded).astype(np.float64)
            expected = twins.decode_rows(name, twins.encode_rows(name, x.astype(np.float32)))
            report(f"rows in {name}", _distance(new, expected), 1e-4 if name in ("f32", "f16") else _A_LEVEL)
            both.append(np.concatenate([rows_before, new]))
        own_queries = written[own].astype(np.float64)
        exact[own] = twins.attend(own_queries, both[0], both[1], batch.positions[own], c.size**-0.5)
    exact = twins.rotate(exact, batch.rotations[1])
    report(f"attention NMSE {c.name}", float(((found - exact) ** 2).sum() / (exact**2).sum()), 1e-7)


#: How far rows are apart of which some numbers are rounded another way.
_A_LEVEL = 2e-3


def _distance(found: Array, exact: Array) -> float:
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


CASES = (
    Case(12, 2, 128, 128, (0,), (1,)),
    Case(12, 2, 128, 128, (63,), (1,)),
    Case(40, 8, 128, 128, (1000,), (1,)),
    Case(28, 4, 128, 128, (5000,), (1,)),
    Case(28, 4, 128, 128, (20000,), (1,)),
    Case(28, 4, 128, 128, (300, 5, 64), (1, 2, 1)),
    Case(28, 4, 128, 128, (300, 5, 64), (4, 2, 1)),
    Case(28, 4, 128, 128, (3000,), (9,)),
    Case(28, 4, 128, 128, (0,), (200,)),
    Case(28, 4, 128, 128, (1000,), (300,)),
    Case(28, 4, 128, 128, (100, 0), (37, 150)),
    Case(4, 2, 16, 16, (70,), (9,), halves=False, page_size=4),
    Case(4, 2, 16, 16, (70,), (1,), halves=False, page_size=4),
    Case(4, 2, 80, 112, (700,), (2,)),
    Case(4, 2, 80, 112, (700,), (200,)),
    Case(4, 2, 256, 256, (700,), (1,)),
    Case(4, 2, 256, 256, (700,), (200,)),
    Case(32, 1, 64, 32, (70,), (3,)),
    Case(28, 4, 128, 128, (600,), (1,), ("bf16", "bf16")),
    Case(28, 4, 128, 128, (600,), (100,), ("f16", "bf16")),
    Case(28, 4, 128, 128, (600,), (1,), ("q8_0", "q8_0")),
    Case(28, 4, 128, 128, (600,), (100,), ("q8_0", "q8_0")),
    Case(28, 4, 128, 128, (600,), (1,), ("f32", "f32")),
    Case(28, 4, 128, 128, (600,), (100,), ("f32", "f32")),
    Case(4, 2, 32, 96, (70,), (9,), ("q8_0", "f16"), page_size=8),
    Case(4, 2, 64, 96, (70,), (9,), ("f32", "q8_0"), page_size=16),
)


def check_alike(case: Case) -> None:
    """A token gets the same bits whether it comes alone or with others."""
    batch = Batch(case)
    batch.old_rows()
    run(*batch.store(), batch.attend(), batch.merge())
    expected, queries = cupy.asnumpy(batch.merged), batch.device[0]
    for n in (1, 2, 4, 5, 20):
        positions = batch.positions[-n:]
        batch.shape, tiles = batch.cut(np.zeros(n, np.int32), int(positions[-1]) + 1)
        batch.tiles, batch.n, batch.device[0] = cupy.asarray(tiles), n, cupy.asarray(queries[-n:])
        batch.device[3][:n] = cupy.asarray(positions)
        batch.make_room()
        run(batch.attend(), batch.merge())
        wrong = np.count_nonzero(cupy.asnumpy(batch.merged) != expected[-n:])
        report(f"attention of {n} tokens alone and among 40: numbers that differ", wrong, 0)


def check_all() -> None:
    """Every check."""
    for case in CASES:
        check(case)
    check_alike(Case(28, 4, 128, 128, (700,), (40,)))


SEVEN, FOURTEEN = (28, 4, 128, 128), (40, 8, 128, 128)
TIMED = (
    *(Case(*SEVEN, (depth,), (1,)) for depth in (0, 500, 8192, 32768)),
    *(Case(*SEVEN, (32768,), (1,), (name, name)) for name in ("q8_0", "bf16")),
    Case(*SEVEN, (300,) * 64, (1,) * 64),
    Case(*SEVEN, (32768,), (8,)),
    Case(*FOURTEEN, (0,), (512,)),
    Case(*FOURTEEN, (0,), (2048,)),
    Case(*FOURTEEN, (1536,), (512,)),
)


def time_cases() -> Iterator[str]:
    """Times of a layer: attention alone, and with what writes the cache and merges splits."""
    for case in TIMED:
        batches = [Batch(case) for _ in range(6)]
        alone = seconds([device.launching(each.attend()) for each in batches])
        stored = seconds([device.launching(launch) for each in batches for launch in (each.store()[1], each.attend())])
        chain = [(each.store()[1], each.attend(), each.merge()) for each in batches]
        whole = seconds([device.launching(launch) for each in chain for launch in each])
        n_positions = sum(a + b for a, b in zip(case.lengths, case.n_new, strict=True))
        n_bytes = n_positions * case.n_kv_heads * sum(store.row_bytes for store in batches[0].stores)
        yield (
            f"{case.name}: {alone * 1e6:.1f} us alone ({n_bytes / alone / COPY_RATE:.0%} of the memory's rate),"
            f" {2 * stored * 1e6:.1f} with the cache's writes, {3 * whole * 1e6:.1f} with merging"
        )


def main() -> None:
    """Check and time."""
    check_all()
    for line in time_cases():
        say(line)


if __name__ == "__main__":
    main()
    sys.exit(bool(failures))
