"""Whatever a checkpoint holds, converting it ends well or in an error of ours."""

import json
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.convert import ConvertOptions, plan_conversion
from pyggml.errors import PyggmlError
from pyggml.gguf.splitting import write_shards
from tests.checkpoints import CHECKPOINTS, write_checkpoint

Files = Mapping[str, bytes]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Files]:
    parent = tmp_path_factory.mktemp("checkpoints")
    folders = {name: write_checkpoint(parent, name) for name in CHECKPOINTS}
    return {
        name: {path.name: path.read_bytes() for path in sorted(folder.iterdir())} for name, folder in folders.items()
    }


def changed(data: bytes, place: float, what: bytes, n_removed: int) -> bytes:
    """With some bytes at a place, mostly near the beginning, replaced by others."""
    start = int(place**3 * len(data))
    return data[:start] + what + data[start + n_removed :]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(CHECKPOINTS)),
    st.integers(0, 99),
    st.floats(0, 1),
    st.sampled_from(
        [b"", b"\0", b"\xff", b"null", b"-1", b'"', b"{", b"[", b"9" * 30, b"1e999", b"\\ud800", b"\x80\x02]"]
    ),
    st.sampled_from([0, 1, 1, 4, 10**9]),
    st.booleans(),
)
def test_a_changed_file_never_ends_in_a_bug(
    checkpoints: Mapping[str, Files], name: str, index: int, place: float, what: bytes, n_removed: int, is_vision: bool
) -> None:
    files = dict(checkpoints[name])
    victim = sorted(files)[index % len(files)]
    files[victim] = changed(files[victim], place, what, n_removed)
    convert(files, name, is_vision=is_vision)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(CHECKPOINTS)),
    st.randoms(use_true_random=False),
    st.sampled_from([None, True, -1, 0, 3, 2**70, 1.5, "x", "", [], {}, [[]], ["x"], [1], {"a": 1}, {"a": None}]),
    st.booleans(),
)
def test_another_value_never_ends_in_a_bug(
    checkpoints: Mapping[str, Files], name: str, random: Random, value: object, is_vision: bool
) -> None:
    files = dict(checkpoints[name])
    victim = random.choice(sorted(file for file in files if file.endswith(".json")))
    files[victim] = json.dumps(replaced(json.loads(files[victim]), random, value)).encode()
    convert(files, name, is_vision=is_vision)


def replaced(node: Any, random: Random, value: object) -> Any:
    """With one value somewhere within replaced, taken out or, in an object, moved to another key."""
    if not isinstance(node, (dict, list)) or not node or random.random() < 0.1:
        return value
    if isinstance(node, list):
        index = random.randrange(len(node))
        return [*node[:index], replaced(node[index], random, value), *node[index + 1 :]]
    key = random.choice(list(node))
    if random.random() < 0.1:
        return {other: each for other, each in node.items() if other != key} | ({"": node[key]} if value else {})
    return {**node, key: replaced(node[key], random, value)}


def convert(files: Files, name: str, *, is_vision: bool) -> None:
    """Convert a folder of these files, and pass over errors of ours."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / name
        folder.mkdir()
        for file_name, data in files.items():
            (folder / file_name).write_bytes(data)
        with suppress(PyggmlError):
            options = ConvertOptions(output_type="F32", is_vision=is_vision and "vl" in name)
            write_shards(plan_conversion(folder, Path(made) / "out.gguf", options))
