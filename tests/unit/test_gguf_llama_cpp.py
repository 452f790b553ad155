"""The reader takes and refuses the same files as llama.cpp, but for differences that are named here."""

import ctypes
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from pyggml.errors import GGUFError
from pyggml.gguf import GGUFFile, ValueType
from pyggml_reference.library import library
from tests.unit.gguf_bytes import F32, FileBytes, every_type, info, with_tensors
from tests.unit.gguf_mutations import mutant, seeds, write_siblings

# llama.cpp's gguf_init neither decodes texts, nor looks for tensors' data or other shards.
MORE_IS_REFUSED = re.compile(r"is not UTF-8|the data of tensor .* but the file ends|'split\.|this is shard \d")


class _Parameters(ctypes.Structure):
    _fields_ = (("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p))


@pytest.fixture(scope="module")
def llama_accepts() -> Callable[[bytes], bool]:
    read, free = library()["gguf_init_from_buffer"], library()["gguf_free"]
    read.restype, read.argtypes = ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_size_t, _Parameters)
    free.restype, free.argtypes = None, (ctypes.c_void_p,)

    def accepts(content: bytes) -> bool:
        context = read(content, len(content), _Parameters(True, None))
        if context:
            free(context)
        return bool(context)

    return accepts


def more_is_accepted(file: GGUFFile) -> bool:
    """What llama.cpp has no way to hold: big-endian numbers, arrays of arrays, types without blocks."""
    return (
        file.byte_order == "big"
        or any(each.element is ValueType.ARRAY for each in file.metadata_types.values())
        or any(each.n_bytes is None for each in file.tensors.values())
    )


def verdict(path: Path, llama_accepts: bool) -> str:
    """Whether both agree; an unexplained difference fails."""
    try:
        file = GGUFFile.open(path)
    except GGUFError as error:
        message = str(error)
    else:
        with file:
            assert llama_accepts or more_is_accepted(file)
        return "accepted" if llama_accepts else "accepted here only"
    assert not llama_accepts or MORE_IS_REFUSED.search(message), message
    return "refused here only" if llama_accepts else "refused"


def test_verdicts_on_mutants(tmp_path: Path, llama_accepts: Callable[[bytes], bool]) -> None:
    write_siblings(tmp_path)
    sources, verdicts = seeds(), Counter[str]()
    for index in range(5_000):
        made = mutant(index, sources)
        path = tmp_path / made.name
        path.write_bytes(made.content)
        verdicts[verdict(path, llama_accepts(made.content))] += 1
    assert min(verdicts["accepted"], verdicts["refused"], verdicts["accepted here only"]) > 100


@pytest.mark.parametrize(
    ("built", "expected"),
    [
        (FileBytes(), "accepted"),
        (FileBytes(version=2), "accepted"),
        (FileBytes(version=1), "refused"),
        (with_tensors([("a", (4, 0), F32), ("b", (4,), F32)], every_type()[:-2]), "accepted"),
        (FileBytes([], [info("x" * 63)], bytes(32)), "accepted"),
        (FileBytes([], [info("x" * 64)], bytes(32)), "refused"),
        (FileBytes([], [info("")], bytes(32)), "accepted"),
        (FileBytes([], [info("a", (2**62, 2**62, 0))]), "refused"),
        (FileBytes([], [info("a", (0, 2**62, 2**62))]), "accepted"),
        (FileBytes([], [info("a"), info("b", offset=64)], bytes(96)), "refused"),
        (FileBytes([], [info("a", (4,), 31)], bytes(32)), "accepted here only"),
        (FileBytes(every_type()), "accepted here only"),
        (FileBytes(order=">"), "accepted here only"),
        (FileBytes([], [info("a", (64,))], bytes(32)), "refused here only"),
    ],
)
def test_verdicts_on_edges(
    tmp_path: Path, llama_accepts: Callable[[bytes], bool], built: FileBytes, expected: str
) -> None:
    assert verdict(built.write(tmp_path), llama_accepts(built.build())) == expected
