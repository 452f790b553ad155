"""The list of block formats: complete, without duplicates, with ggml's sizes, and its errors."""

import importlib
import pkgutil

import numpy as np
import pytest

from pyggml_kernels import formats
from pyggml_kernels.formats import ACTIVATION_FORMATS, FORMATS, Format, LevelFormat, format_named
from pyggml_reference import quants
from pyggml_reference.structures import TensorType

ALL = [*FORMATS.values(), *ACTIVATION_FORMATS.values()]

every_format = pytest.mark.parametrize("block_format", FORMATS.values(), ids=lambda each: each.name)
every_format_even_of_activations = pytest.mark.parametrize("block_format", ALL, ids=lambda each: each.name)


def formats_by_file() -> dict[str, list[Format]]:
    """The formats that each module of the package defines."""
    names = [each.name for each in pkgutil.iter_modules(formats.__path__)]
    modules = {name: importlib.import_module(f"{formats.__name__}.{name}") for name in names}
    found = {
        name: [each for each in vars(module).values() if isinstance(each, Format)] for name, module in modules.items()
    }
    return {name: each for name, each in found.items() if each}


def test_each_file_defines_one_format_of_its_name_and_each_is_registered() -> None:
    by_file = formats_by_file()
    assert all(len(each) == 1 for each in by_file.values()), by_file
    assert {name: each.name.lower() for name, (each,) in by_file.items()} == {name: name for name in by_file}
    assert sorted(each.name for (each,) in by_file.values()) == sorted(each.name for each in ALL)


def test_no_name_number_or_kernel_is_used_twice() -> None:
    assert [each.type_id for each in ALL] == [*FORMATS, *ACTIVATION_FORMATS]
    assert len({each.type_id for each in ALL}) == len({each.name for each in ALL}) == len(ALL)
    decoders = [each.decode.name for each in ALL if isinstance(each, LevelFormat)]
    assert len(set(decoders)) == len(decoders)


@every_format_even_of_activations
def test_the_table_is_that_of_ggml(block_format: Format) -> None:
    assert TensorType(block_format.type_id).name == block_format.name
    assert block_format.block_size == quants.block_size(block_format.type_id)
    assert block_format.block_bytes == quants.type_size(block_format.type_id)
    assert block_format.activation == quants.vec_dot_type(block_format.type_id).name


@every_format_even_of_activations
@pytest.mark.parametrize("n_blocks", [0, 1, 2, 7])
def test_row_bytes_is_that_of_ggml(block_format: Format, n_blocks: int) -> None:
    n_weights = n_blocks * block_format.block_size
    expected = quants.row_size(block_format.type_id, n_weights) if n_blocks else 0
    assert block_format.row_bytes(n_weights) == expected


@every_format
def test_a_format_is_found_by_its_name_in_any_case(block_format: Format) -> None:
    assert format_named(block_format.name) is block_format
    assert format_named(block_format.name.lower()) is block_format


@pytest.mark.parametrize("name", ["Q4_K_M", "", "q4", "Q8_K"])
def test_an_unknown_name_is_an_error_that_lists_the_names(name: str) -> None:
    with pytest.raises(ValueError, match=rf"no block format is named '{name}'; known: F32, F16, BF16, Q4_0, .*NVFP4$"):
        format_named(name)


def test_a_row_that_is_no_whole_number_of_blocks_is_an_error() -> None:
    with pytest.raises(ValueError, match="a row of 100 weights is no multiple of the 32 in a Q4_0 block"):
        format_named("Q4_0").row_bytes(100)


def test_a_part_of_a_block_is_an_error() -> None:
    with pytest.raises(ValueError, match="143 bytes are no whole number of Q4_K blocks of 144 bytes"):
        format_named("Q4_K").dequantize(np.zeros(143, np.uint8))


@pytest.mark.parametrize("name", [each.name for each in FORMATS.values() if isinstance(each, LevelFormat)])
def test_groups_divide_blocks(name: str) -> None:
    block_format = format_named(name)
    assert isinstance(block_format, LevelFormat)
    assert block_format.group_size in (16, 32)
    assert block_format.block_size % block_format.group_size == 0
