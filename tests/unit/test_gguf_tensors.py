"""Tensors: infos and bytes, against what was written and what the package gguf reads."""

import gc
import tracemalloc
import weakref
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.errors import GGUFError
from pyggml.gguf import GGML_TYPES, GGUFFile, TensorInfo
from tests.unit.gguf_bytes import F32, I8, Q8_0, FileBytes, info, u32, with_tensors

# The package has the size of Q8_1 wrong, and does not know Q2_0.
TYPES = sorted(set(GGML_TYPES) & {int(each) for each in gguf.GGML_QUANT_SIZES} - {9})
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=15)

Tensor = tuple[int, tuple[int, ...]]


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    """A type, and a shape in ggml's order whose rows are whole blocks."""
    type_id = draw(st.sampled_from(TYPES))
    n_blocks, *others = draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    return type_id, (n_blocks * GGML_TYPES[type_id].block_size, *others)


def random_bytes(tensor: Tensor, seed: int) -> npt.NDArray[np.uint8]:
    type_id, shape = tensor
    row_bytes = shape[0] // GGML_TYPES[type_id].block_size * GGML_TYPES[type_id].block_bytes
    data: npt.NDArray[np.uint8] = np.random.default_rng(seed).integers(
        0, 256, (*reversed(shape[1:]), row_bytes), dtype=np.uint8
    )
    return data


@given(
    contents=st.dictionaries(NAMES, tensors(), max_size=6),
    alignment=st.sampled_from([None, 8, 32, 256]),
)
@settings(max_examples=100, deadline=None)
def test_reads_what_the_gguf_package_wrote(
    tmp_path_factory: pytest.TempPathFactory, contents: dict[str, Tensor], alignment: int | None
) -> None:
    path = tmp_path_factory.getbasetemp() / "tensors.gguf"
    writer = gguf.GGUFWriter(path, "test")
    if alignment is not None:
        writer.add_custom_alignment(alignment)
    for seed, (name, tensor) in enumerate(contents.items()):
        writer.add_tensor(name, random_bytes(tensor, seed), raw_dtype=gguf.GGMLQuantizationType(tensor[0]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with GGUFFile.open(path) as file:
        assert file.alignment == (alignment or 32)
        assert list(file.tensors) == list(contents)
        oracle = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
        for seed, (name, tensor) in enumerate(contents.items()):
            check_tensor(file, file.tensors[name], oracle[name])
            assert file.tensors[name].shape == tensor[1]
            assert file.tensor_bytes(name).tobytes() == random_bytes(tensor, seed).tobytes()


def check_tensor(file: GGUFFile, found: TensorInfo, oracle: Any) -> None:
    assert found.path == file.path
    assert found.name == oracle.name
    assert found.type_id == oracle.tensor_type
    assert found.type_name == oracle.tensor_type.name
    assert found.shape == tuple(oracle.shape.tolist())
    assert found.n_elements == oracle.n_elements
    assert found.n_bytes == oracle.n_bytes
    assert found.offset == oracle.data_offset
    assert file.tensor_bytes(found.name).tobytes() == oracle.data.tobytes()


def sound(tmp_path: Path) -> Path:
    return with_tensors([("a", (4, 3), F32), ("b", (64,), Q8_0), ("c", (5,), I8)]).write(tmp_path)


def test_bytes_are_read_only_views_of_the_map(tmp_path: Path) -> None:
    with GGUFFile.open(sound(tmp_path)) as file:
        first, second = file.tensor_bytes("b"), file.tensor_bytes("b")
        assert first.dtype == np.uint8
        assert first.shape == (68,)
        assert first.ctypes.data == second.ctypes.data
        assert not first.flags.writeable
        assert not first.flags.owndata


def test_opening_and_viewing_copies_no_data(tmp_path: Path) -> None:
    n_bytes = 2**27
    path = FileBytes([], [info("a", (n_bytes,), I8)]).write(tmp_path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + n_bytes)  # a hole, which takes no room on the disk
    tracemalloc.start()
    with GGUFFile.open(path) as opened:
        assert opened.tensor_bytes("a")[-1] == 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_views_outlive_close(tmp_path: Path) -> None:
    file = GGUFFile.open(sound(tmp_path))
    view = file.tensor_bytes("c")
    file.close()
    assert view.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(GGUFError, match=r"file\.gguf: tensor 'c' cannot be read: the file was closed"):
        file.tensor_bytes("c")
    file.close()


def test_the_last_view_takes_the_map_with_it(tmp_path: Path) -> None:
    file = GGUFFile.open(sound(tmp_path))
    view: Any = file.tensor_bytes("c")
    root = view
    while isinstance(root, np.ndarray):
        root = root.base
    mapped = weakref.ref(root.obj if isinstance(root, memoryview) else root)
    del root
    file.close()
    assert mapped() is not None
    del view
    gc.collect()
    assert mapped() is None


def resident_bytes(path: Path) -> int:
    """How much of a mapped file is in this process's memory."""
    lines = Path("/proc/self/smaps").read_text().splitlines()
    mappings = [number for number, line in enumerate(lines) if line.endswith(str(path))]
    sizes = [next(line for line in lines[number:] if line.startswith("Rss:")) for number in mappings]
    return sum(int(size.split()[1]) * 1024 for size in sizes)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells what of a mapped file is in memory")
def test_released_pages_leave_memory_and_come_back(tmp_path: Path) -> None:
    n_bytes = 1 << 22
    data = np.random.default_rng(0).integers(0, 256, 2 * n_bytes, np.uint8)
    infos = [info("first", (n_bytes,), I8), info("second", (n_bytes,), I8, n_bytes)]
    path = FileBytes(infos=infos, data=data.tobytes()).write(tmp_path)
    with GGUFFile.open(path) as file:
        first, second = file.tensor_bytes("first"), file.tensor_bytes("second")
        assert (first == data[:n_bytes]).all()
        assert (second == data[n_bytes:]).all()
        before = resident_bytes(path)
        assert before >= 2 * n_bytes
        file.release("first")
        # Pages that tensors share stay, and the system maps some around those that are read.
        assert resident_bytes(path) <= before - n_bytes + (1 << 17)
        assert (first == data[:n_bytes]).all()
        assert (second == data[n_bytes:]).all()


def test_alignment_moves_the_data(tmp_path: Path) -> None:
    shapes = [("a", (3,), F32), ("b", (3,), F32)]
    for alignment in (1, 8, 64, 4096):
        path = with_tensors(shapes, [u32("general.alignment", alignment)], alignment).write(tmp_path)
        with GGUFFile.open(path) as file:
            assert file.alignment == alignment
            assert all(each.offset % alignment == 0 for each in file.tensors.values())
            assert file.tensor_bytes("b").tolist() == list(range(12))


def test_zero_dimensions_are_accepted(tmp_path: Path) -> None:
    path = with_tensors([("a", (4, 0), F32), ("b", (0, 5), Q8_0), ("c", (4,), F32)]).write(tmp_path)
    with GGUFFile.open(path) as file:
        assert [file.tensors[name].n_elements for name in "abc"] == [0, 0, 4]
        assert file.tensor_bytes("a").shape == (0,)
        assert file.tensor_bytes("c").tolist() == list(range(16))


def test_a_scalar_has_one_element(tmp_path: Path) -> None:
    with GGUFFile.open(with_tensors([("a", (), F32)]).write(tmp_path)) as file:
        assert file.tensors["a"].shape == (1,)
        assert file.tensor_bytes("a").shape == (4,)


def test_padding_behind_the_last_tensor_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "file.gguf"
    path.write_bytes(with_tensors([("a", (3,), F32)]).build()[:-20])
    with GGUFFile.open(path) as file:
        assert file.tensor_bytes("a").tolist() == list(range(12))


@pytest.mark.parametrize(("type_id", "name"), [(77, "type 77"), (2**32 - 1, "type 4294967295"), (31, "Q4_0_4_4")])
def test_an_unknown_type_is_an_error_only_when_used(tmp_path: Path, type_id: int, name: str) -> None:
    # Behind a tensor of unknown size a gap is no error.
    infos = [info("a", (4,), F32, 0), info("odd", (4,), type_id, 32), info("b", (4,), F32, 96)]
    path = FileBytes([], infos, bytes(range(112))).write(tmp_path)
    with GGUFFile.open(path) as file:
        assert file.tensor_bytes("b").tolist() == list(range(96, 112))
        odd = file.tensors["odd"]
        assert (odd.type_name, odd.n_bytes, odd.n_elements) == (name, None, 4)
        with pytest.raises(
            GGUFError, match=rf"file\.gguf: tensor 'odd' has type {type_id} \({name}\).* unknown.* allowed are F32, F16"
        ):
            file.tensor_bytes("odd")


def test_no_such_tensor(tmp_path: Path) -> None:
    with (
        GGUFFile.open(sound(tmp_path)) as file,
        pytest.raises(GGUFError, match=r"file\.gguf: there is no tensor 'd' among the 3 of the file"),
    ):
        file.tensor_bytes("d")


def test_big_endian_data_are_refused_unless_of_single_bytes(tmp_path: Path) -> None:
    path = with_tensors([("a", (4,), F32), ("q", (32,), Q8_0), ("b", (3,), I8)], order=">").write(tmp_path)
    with GGUFFile.open(path) as file:
        assert file.byte_order == "big"
        assert file.tensors["a"].shape == (4,)
        assert file.tensor_bytes("b").tolist() == [0, 1, 2]
        for name in "aq":
            with pytest.raises(
                GGUFError, match=rf"file\.gguf: the data of tensor '{name}' are big-endian; .*gguf-convert-endian"
            ):
                file.tensor_bytes(name)
