"""Split files: from any shard to all, and an error that names the shard that is missing or foreign."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from pyggml.errors import GGUFError
from pyggml.gguf import GGUFFile, ValueType
from tests.unit.gguf_bytes import F32, FileBytes, entry, string, u16, u32, with_tensors

N_SHARDS = 3


def shards(n_tensors: int = N_SHARDS) -> list[FileBytes]:
    """One tensor a shard: t0, t1, t2, whose first byte tells them apart."""
    made = []
    for index in range(N_SHARDS):
        keys = [u16("split.no", index), u16("split.count", N_SHARDS), u32("split.tensors.count", n_tensors)]
        shard = with_tensors([(f"t{index}", (4,), F32)], keys)
        shard.data = bytes([index + 1]) + shard.data[1:]
        made.append(shard)
    made[0].entries.append(entry("general.name", ValueType.STRING, string("whole")))
    return made


def shard_name(index: int, count: int = N_SHARDS) -> str:
    return f"model-{index + 1:05d}-of-{count:05d}.gguf"


def write(folder: Path, made: list[FileBytes]) -> list[Path]:
    return [shard.write(folder, shard_name(index)) for index, shard in enumerate(made)]


@pytest.mark.parametrize("named", range(N_SHARDS))
def test_any_shard_leads_to_all(tmp_path: Path, named: int) -> None:
    paths = write(tmp_path, shards())
    with GGUFFile.open(paths[named]) as file:
        assert file.path == paths[0]
        assert file.paths == tuple(paths)
        assert file.require("general.name", str) == "whole"
        assert list(file.tensors) == ["t0", "t1", "t2"]
        for index, path in enumerate(paths):
            assert file.tensors[f"t{index}"].path == path
            assert file.tensor_bytes(f"t{index}")[0] == index + 1


def test_reads_what_the_gguf_package_split(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "big.gguf", "test", split_max_tensors=2)
    contents: dict[str, Any] = {f"t{index}": np.full((3, 5), index, np.float32) for index in range(5)}
    for name, values in contents.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    paths = sorted(tmp_path.glob("big-*"))
    assert len(paths) == 3
    with GGUFFile.open(paths[1]) as file:
        assert file.require("general.architecture", str) == "test"
        assert list(file.tensors) == list(contents)
        for name, values in contents.items():
            assert file.tensor_bytes(name).tobytes() == values.tobytes()


def test_close_closes_all_shards(tmp_path: Path) -> None:
    with GGUFFile.open(write(tmp_path, shards())[0]) as file:
        pass
    for name in file.tensors:
        with pytest.raises(GGUFError, match="the file was closed"):
            file.tensor_bytes(name)


@pytest.mark.parametrize("count", [0, 1])
def test_a_single_shard_needs_no_name(tmp_path: Path, count: int) -> None:
    path = with_tensors([("a", (4,), F32)], [u16("split.count", count)]).write(tmp_path, "any.gguf")
    with GGUFFile.open(path) as file:
        assert file.paths == (path,)


def test_a_name_alone_makes_no_shard(tmp_path: Path) -> None:
    path = with_tensors([("a", (4,), F32)]).write(tmp_path, shard_name(0))
    with GGUFFile.open(path) as file:
        assert file.paths == (path,)


def test_missing_shards_are_named(tmp_path: Path) -> None:
    paths = write(tmp_path, shards())
    paths[2].unlink()
    with pytest.raises(
        GGUFError, match=rf"{shard_name(0)}: this is shard 1 of 3; .* missing: {shard_name(2)}: put all"
    ):
        GGUFFile.open(paths[0])
    paths[0].unlink()
    with pytest.raises(GGUFError, match=rf"shard 2 of 3; .* missing: {shard_name(0)}, {shard_name(2)}: put all"):
        GGUFFile.open(paths[1])


def test_of_many_missing_shards_a_few_are_named(tmp_path: Path) -> None:
    path = FileBytes([u16("split.no", 0), u16("split.count", 65535)]).write(tmp_path, shard_name(0, 65535))
    with pytest.raises(GGUFError, match=r"model-00005-of-65535\.gguf, and perhaps more"):
        GGUFFile.open(path)


def test_a_renamed_shard_is_an_error(tmp_path: Path) -> None:
    path = shards()[1].write(tmp_path, "renamed.gguf")
    with pytest.raises(GGUFError, match=r"shard 2 of 3 .* name must end in '-00002-of-00003\.gguf'"):
        GGUFFile.open(path)


def replace_entry(shard: FileBytes, old: bytes, new: list[bytes]) -> None:
    assert old in shard.entries
    shard.entries = [each for each in shard.entries if each != old] + new


@pytest.mark.parametrize("named", [0, 2])
def test_a_shard_with_a_wrong_number(tmp_path: Path, named: int) -> None:
    made = shards()
    replace_entry(made[1], u16("split.no", 1), [u16("split.no", 2)])
    paths = write(tmp_path, made)
    with pytest.raises(GGUFError, match=rf"{shard_name(1)}: this is no shard .*'split\.no' is 2; .* allowed is 1"):
        GGUFFile.open(paths[named])


def test_a_shard_without_a_number(tmp_path: Path) -> None:
    made = shards()
    replace_entry(made[1], u16("split.no", 1), [])
    paths = write(tmp_path, made)
    for path in paths:
        with pytest.raises(GGUFError, match=rf"{shard_name(1)}: the metadata lack the key 'split\.no'"):
            GGUFFile.open(path)


def test_a_shard_with_a_wrong_count(tmp_path: Path) -> None:
    made = shards()
    replace_entry(made[1], u16("split.count", 3), [u16("split.count", 2)])
    with pytest.raises(GGUFError, match=rf"{shard_name(1)}: this is no shard .*'split\.count' is 2; allowed is 3"):
        GGUFFile.open(write(tmp_path, made)[0])


def test_numbers_out_of_range(tmp_path: Path) -> None:
    beyond = FileBytes([u16("split.no", 3), u16("split.count", 3)]).write(tmp_path, shard_name(3))
    with pytest.raises(GGUFError, match=r"'split\.no' is 3; allowed is 0 to 2"):
        GGUFFile.open(beyond)
    huge = FileBytes([u16("split.no", 0), u32("split.count", 65536)]).write(tmp_path, "huge.gguf")
    with pytest.raises(GGUFError, match=r"'split\.count' is 65536; allowed is 0 to 65535"):
        GGUFFile.open(huge)
    text = FileBytes([entry("split.count", ValueType.STRING, string("3"))]).write(tmp_path, "text.gguf")
    with pytest.raises(GGUFError, match=r"'split\.count' is the string '3'; allowed is an integer"):
        GGUFFile.open(text)


def test_the_number_of_tensors_must_be_right(tmp_path: Path) -> None:
    paths = write(tmp_path, shards(n_tensors=4))
    with pytest.raises(GGUFError, match=r"'split\.tensors\.count' is 4, but the 3 shards hold 3 tensors"):
        GGUFFile.open(paths[0])


def test_a_tensor_in_two_shards(tmp_path: Path) -> None:
    made = shards()
    made[2].infos = made[0].infos
    with pytest.raises(GGUFError, match=rf"{shard_name(2)}: tensor 't0' is in .*{shard_name(0)} as well"):
        GGUFFile.open(write(tmp_path, made)[0])


def test_shards_share_their_byte_order(tmp_path: Path) -> None:
    made = shards()
    keys = [
        entry("split.no", ValueType.UINT16, b"\x00\x01", ">"),
        entry("split.count", ValueType.UINT16, b"\x00\x03", ">"),
    ]
    made[1] = with_tensors([("t1", (4,), F32)], keys, order=">")
    with pytest.raises(
        GGUFError, match=rf"{shard_name(1)}: this is no shard .* it is big-endian; allowed is little-endian"
    ):
        GGUFFile.open(write(tmp_path, made)[0])


def test_a_broken_shard_is_named(tmp_path: Path) -> None:
    paths = write(tmp_path, shards())
    paths[1].write_bytes(b"# a text\n")
    with pytest.raises(GGUFError, match=rf"{shard_name(1)}: not a GGUF file"):
        GGUFFile.open(paths[0])
    paths[1].unlink()
    paths[1].mkdir()
    with pytest.raises(GGUFError, match=rf"{shard_name(1)}: this is a directory"):
        GGUFFile.open(paths[0])
