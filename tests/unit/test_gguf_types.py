"""The table of tensor types, against ggml itself and the package gguf."""

import ctypes

import gguf
import pytest

from pyggml.gguf import GGML_TYPES
from pyggml.gguf.types import REMOVED_TYPES, type_name
from pyggml_kernels.formats import FORMATS
from pyggml_reference.library import library

# Counted behind the last type ggml has today; a new one makes the first test below fail.
N_NUMBERS = 43


def _ggml_type(type_id: int) -> tuple[str, int, int]:
    core = library()
    name, block_size, type_size = core["ggml_type_name"], core["ggml_blck_size"], core["ggml_type_size"]
    name.restype, block_size.restype, type_size.restype = ctypes.c_char_p, ctypes.c_int64, ctypes.c_size_t
    return name(type_id).decode(), block_size(type_id), type_size(type_id)


def test_table_has_every_type_of_ggml() -> None:
    live = {type_id for type_id in range(N_NUMBERS) if _ggml_type(type_id)[1]}
    assert set(GGML_TYPES) == live
    assert set(REMOVED_TYPES) == set(range(N_NUMBERS)) - live


@pytest.mark.parametrize("type_id", GGML_TYPES)
def test_names_and_sizes_are_those_of_ggml(type_id: int) -> None:
    entry = GGML_TYPES[type_id]
    name, block_size, block_bytes = _ggml_type(type_id)
    assert (entry.type_id, entry.name, entry.block_size, entry.block_bytes) == (
        type_id,
        name.upper(),
        block_size,
        block_bytes,
    )


def test_sizes_are_those_of_the_gguf_package() -> None:
    # The package counts 40 bytes for Q8_1, as before ggml made its two scales 16-bit floats; ggml itself has 36.
    sizes = {int(each): size for each, size in gguf.GGML_QUANT_SIZES.items() if each.name != "Q8_1"}
    assert sizes == {
        type_id: (entry.block_size, entry.block_bytes) for type_id, entry in GGML_TYPES.items() if type_id in sizes
    }


def test_the_formats_of_the_kernels_are_in_the_table() -> None:
    for type_id, each in FORMATS.items():
        entry = GGML_TYPES[type_id]
        assert (entry.name, entry.block_size, entry.block_bytes) == (each.name, each.block_size, each.block_bytes)


def test_names_of_types_without_blocks() -> None:
    assert type_name(12) == "Q4_K"
    assert type_name(31) == "Q4_0_4_4"
    assert type_name(77) == "type 77"
