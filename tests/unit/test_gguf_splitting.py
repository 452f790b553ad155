"""Splitting GGUF files and joining them: bytes as gguf-split writes them, limits, messages, the two commands."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.errors import GGUFError, UsageError
from pyggml.gguf import GGUFFile
from pyggml.gguf.splitting import SplitOptions, plan_merge, plan_split, write_shards
from pyggml.package_data import demo_model
from tests.unit.cli_running import invoke
from tests.unit.gguf_bytes import entry, string, with_tensors

# sha256sum of what `gguf-split --no-tensor-first-split --split-max-size 3M demo-text-q8_0.gguf demo` wrote, and of what
# `gguf-split --merge demo-00001-of-00004.gguf merged.gguf` made of it.
SHARD_HASHES = {
    "demo-00001-of-00004.gguf": "745dab604c126bb67b3293a070febddbab005cd2c474a1eea7d85914b86182d9",
    "demo-00002-of-00004.gguf": "efc9682f8b889616d5983dcad6c4eee347bc8f119fb65699c7469180302993f8",
    "demo-00003-of-00004.gguf": "6fc07111b1fc14b4eb69822bb0cf6a8ce5762e21722587993bf59eaf80531c08",
    "demo-00004-of-00004.gguf": "86fe0107743518755a1e2d8d50fa85caa758397687adbe58bcc5f09d6494956c",
}
MERGED_HASH = "466b836ad1d936b8494a864eb8a8ab7c0e035ca5e6a9aff612d50e719a0b115d"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def small_file(folder: Path, sizes: list[int]) -> Path:
    shapes = [(f"t{index}", (size,), 0) for index, size in enumerate(sizes)]
    return with_tensors(shapes, [entry("general.name", 8, string("x"))]).write(folder)


def test_shards_and_their_union_have_the_bytes_of_gguf_split(tmp_path: Path) -> None:
    with GGUFFile.open(demo_model()) as file:
        write_shards(plan_split(file, tmp_path / "demo", SplitOptions(max_bytes=3_000_000, no_tensor_first=True)))
    assert {path.name: digest(path) for path in tmp_path.iterdir()} == SHARD_HASHES
    with GGUFFile.open(tmp_path / "demo-00002-of-00004.gguf") as file:
        write_shards([plan_merge(file, tmp_path / "merged.gguf")])
    assert digest(tmp_path / "merged.gguf") == MERGED_HASH


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=12),
    st.integers(1, 5),
    st.none() | st.integers(160, 400),
    st.booleans(),
)
def test_shards_keep_the_limits_and_join_to_the_same_tensors(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[int],
    max_tensors: int,
    max_bytes: int | None,
    no_tensor_first: bool,
) -> None:
    folder = tmp_path_factory.mktemp("split")
    with GGUFFile.open(small_file(folder, sizes)) as file:
        shards = plan_split(file, folder / "s", SplitOptions(max_tensors, max_bytes, no_tensor_first))
        write_shards(shards)
        for index, shard in enumerate(shards):
            assert bool(shard.tensors) == (index > 0 or not no_tensor_first)
            if max_bytes is None:
                assert len(shard.tensors) <= max_tensors
            else:
                assert sum(-(-tensor.n_bytes // 32) * 32 for tensor in shard.tensors) <= max_bytes
        with GGUFFile.open(shards[-1].path) as split:
            assert split.paths == tuple(shard.path for shard in shards)
            assert split.metadata["general.name"] == "x"
            write_shards([plan_merge(split, folder / "merged.gguf")])
        with GGUFFile.open(folder / "merged.gguf") as merged:
            assert list(merged.tensors) == list(file.tensors)
            for name in file.tensors:
                assert merged.tensor_bytes(name).tobytes() == file.tensor_bytes(name).tobytes()


def test_a_tensor_larger_than_the_limit_at_the_start_is_an_error(tmp_path: Path) -> None:
    path = small_file(tmp_path, [40])
    with (
        GGUFFile.open(path) as file,
        pytest.raises(GGUFError, match="'t0' of 160 bytes does not fit into a shard of 100"),
    ):
        plan_split(file, tmp_path / "s", SplitOptions(max_bytes=100))


def test_too_many_shards_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyggml.gguf.splitting.MAX_SHARDS", 2)
    with (
        GGUFFile.open(small_file(tmp_path, [1, 1, 1])) as file,
        pytest.raises(GGUFError, match="3 shards; allowed are 2"),
    ):
        plan_split(file, tmp_path / "s", SplitOptions(max_tensors=1))


@pytest.mark.parametrize("options", [{"max_tensors": 0}, {"max_bytes": 0}])
def test_limits_below_one_are_an_error(options: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="are not possible: at least 1"):
        SplitOptions(**options)  # type: ignore[arg-type]


def test_a_whole_file_cannot_be_merged(tmp_path: Path) -> None:
    path = small_file(tmp_path, [1])
    with GGUFFile.open(path) as file, pytest.raises(GGUFError, match=r"this is no split file: .*'split.count'"):
        plan_merge(file, tmp_path / "out.gguf")


def test_the_commands(tmp_path: Path) -> None:
    path, prefix = small_file(tmp_path, [4, 4, 4]), tmp_path / "s"
    dry = invoke("split", "--dry-run", "--split-max-tensors", "2", str(path), str(prefix))
    assert dry.exit_code == 0
    assert "n_split: 2\nsplit 00001: n_tensors = 2, total_size = 0M\nsplit 00002: n_tensors = 1" in dry.output
    assert len(list(tmp_path.iterdir())) == 1
    split = invoke("split", "--split-max-tensors", "2", str(path), str(prefix))
    assert (tmp_path / "s-00002-of-00002.gguf").exists()
    assert f"wrote {prefix}-00001-of-00002.gguf" in split.output
    target = str(tmp_path / "merged.gguf")
    assert invoke("merge", "--dry-run", f"{prefix}-00001-of-00002.gguf", target).exit_code == 0
    assert not Path(target).exists()
    assert "merged from 2 split with 3 tensors" in invoke("merge", f"{prefix}-00001-of-00002.gguf", target).output
    again = invoke("merge", f"{prefix}-00001-of-00002.gguf", target)
    assert again.exit_code == 1
    assert "merged.gguf: the file exists already: remove it, or give another name" in again.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--split-max-size", "3K"], "'3K' is no size: allowed is a number from 1 with M or G, such as 300M or 2G"),
        (["--split-max-size", "0M"], "'0M' is no size"),
        (
            ["--split-max-size", "3M", "--split-max-tensors", "2"],
            "--split-max-tensors and --split-max-size exclude each",
        ),
    ],
)
def test_wrong_options(tmp_path: Path, options: list[str], message: str) -> None:
    result = invoke("split", *options, str(small_file(tmp_path, [1])), str(tmp_path / "s"))
    assert result.exit_code == 2
    assert message in result.output
