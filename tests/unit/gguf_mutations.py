"""Deterministic mutations of sound GGUF files, of 43 bytes to 64 KB, for the fuzz tests of the reader."""

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyggml.gguf import GGML_TYPES, ValueType
from tests.unit.gguf_bytes import (
    F32,
    I8,
    Q8_0,
    FileBytes,
    array,
    entry,
    every_type,
    info,
    string,
    u16,
    u32,
    with_tensors,
)

MIN_BYTES = 43
MAX_BYTES = 2**16

# Lengths, counts, types and offsets at the edges of what fits into 8, 16, 32 and 64 bits, signed or not.
EDGES = sorted(
    {max(0, 2**bits + step) for bits in (0, 3, 5, 7, 8, 15, 16, 30, 31, 32, 60, 61, 62, 63, 64) for step in (-1, 0, 1)}
)


@dataclass(frozen=True)
class Seed:
    """A sound file, under a name of its own, as the name of a shard has a meaning."""

    name: str
    content: bytes


def write_siblings(folder: Path) -> None:
    """The second shard of the seed that is a first one."""
    keys = [u16("split.no", 1), u16("split.count", 2), u32("split.tensors.count", 2)]
    with_tensors([("second", (4,), F32)], keys).write(folder, "split-00002-of-00002.gguf")


def seeds() -> list[Seed]:
    """Sound files of all sorts; the small ones several times, so that most mutants are quick to read."""
    tiny = entry("abcdef", ValueType.UINT8, b"\x07")
    contents = [("abc", (4, 3), F32), ("b", (32,), Q8_0), ("c", (5,), I8), ("d", (2, 0), F32)]
    words = [string(f"Ġ{index}") for index in range(2000)]
    scores = [struct.pack("<f", -index) for index in range(2000)]
    vocabulary = [
        entry("tokenizer.ggml.tokens", ValueType.ARRAY, array(ValueType.STRING, words)),
        entry("tokenizer.ggml.scores", ValueType.ARRAY, array(ValueType.FLOAT32, scores)),
    ]
    inner = [array(ValueType.UINT8, [b"\x01"])] * 4000
    nested = [entry("n", ValueType.ARRAY, array(ValueType.ARRAY, inner))]
    split = [u16("split.no", 0), u16("split.count", 2), u32("split.tensors.count", 2)]
    each_type = [(f"t{type_id}", (each.block_size, 2), type_id) for type_id, each in GGML_TYPES.items()]
    unknown = FileBytes([], [info("odd", (3, 3), 1000), info("a", (4,), F32, 64)], bytes(96))
    small = [
        Seed("tiny.gguf", FileBytes([tiny]).build()),
        Seed("tensors.gguf", with_tensors(contents).build()),
        Seed("aligned.gguf", with_tensors(contents, [u32("general.alignment", 8)], 8).build()),
        Seed("version2.gguf", FileBytes([tiny, tiny.replace(b"abc", b"xyz")], version=2).build()),
        Seed("big.gguf", with_tensors(contents, every_type(">"), order=">").build()),
        Seed("metadata.gguf", with_tensors(contents, every_type()).build()),
        Seed("unknown.gguf", unknown.build()),
        Seed("types.gguf", with_tensors(each_type).build()),
        Seed("split-00001-of-00002.gguf", with_tensors([("first", (4,), F32)], split).build()),
    ]
    large = [
        Seed("vocabulary.gguf", with_tensors(contents, vocabulary).build()),
        Seed("nested.gguf", FileBytes(nested).build()),
        Seed("many.gguf", with_tensors([(f"blk.{index}", (4,), F32) for index in range(600)]).build()),
    ]
    return small * 4 + large


Mutation = Callable[[random.Random, bytearray, Sequence[Seed]], None]


def _place(rng: random.Random, content: bytearray) -> int:
    """Anywhere, but every other time near the start, where the counts and lengths are."""
    return rng.randrange(min(len(content), rng.choice((256, MAX_BYTES))))


def _flip_bit(rng: random.Random, content: bytearray, _: Sequence[Seed]) -> None:
    content[_place(rng, content)] ^= 1 << rng.randrange(8)


def _set_byte(rng: random.Random, content: bytearray, _: Sequence[Seed]) -> None:
    content[_place(rng, content)] = rng.randrange(256)


def _set_edge(rng: random.Random, content: bytearray, _: Sequence[Seed]) -> None:
    n_bytes = rng.choice((4, 8))
    start = rng.choice((4, 8, 16, 24, _place(rng, content), _place(rng, content), _place(rng, content)))
    value = rng.choice(EDGES) % 2 ** (8 * n_bytes)
    content[start : start + n_bytes] = value.to_bytes(n_bytes, rng.choice(("little", "big")))


def _add_little(rng: random.Random, content: bytearray, _: Sequence[Seed]) -> None:
    n_bytes = rng.choice((4, 8))
    start = _place(rng, content)
    value = int.from_bytes(content[start : start + n_bytes], "little") + rng.randint(-40, 40)
    content[start : start + n_bytes] = (value % 2 ** (8 * n_bytes)).to_bytes(n_bytes, "little")


def _truncate(rng: random.Random, content: bytearray, _: Sequence[Seed]) -> None:
    del content[rng.randrange(len(content)) :]


def _delete(rng: random.Random, content: bytearray, _: Sequence[Seed]) -> None:
    start = _place(rng, content)
    del content[start : start + rng.randint(1, 32)]


def _insert(rng: random.Random, content: bytearray, _: Sequence[Seed]) -> None:
    start = _place(rng, content)
    content[start:start] = rng.randbytes(rng.randint(1, 32))


def _repeat(rng: random.Random, content: bytearray, _: Sequence[Seed]) -> None:
    source, target = _place(rng, content), _place(rng, content)
    content[target:target] = content[source : source + rng.choice((8, 24, 64, 512))]


def _overwrite(rng: random.Random, content: bytearray, _: Sequence[Seed]) -> None:
    source, target = _place(rng, content), _place(rng, content)
    piece = content[source : source + rng.randint(1, 64)]
    content[target : target + len(piece)] = piece


def _splice(rng: random.Random, content: bytearray, others: Sequence[Seed]) -> None:
    other = rng.choice(others).content
    content[_place(rng, content) :] = other[rng.randrange(len(other)) :]


MUTATIONS: tuple[Mutation, ...] = (
    _flip_bit,
    _set_byte,
    _set_edge,
    _set_edge,
    _add_little,
    _truncate,
    _delete,
    _insert,
    _repeat,
    _overwrite,
    _splice,
)


def mutant(index: int, sources: Sequence[Seed]) -> Seed:
    """The mutant of that number: always the same."""
    rng = random.Random(index)
    source = rng.choice(sources)
    content = bytearray(source.content)
    for _ in range(rng.randint(1, 4)):
        rng.choice(MUTATIONS)(rng, content, sources)
        if len(content) < MIN_BYTES:
            content += rng.randbytes(MIN_BYTES - len(content))
    return Seed(source.name, bytes(content[:MAX_BYTES]))
