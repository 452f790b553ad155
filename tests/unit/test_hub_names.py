"""Names of GGUF files, places of the cache and of the hubs."""

import re
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.hub import Endpoints, cache_directory, default_endpoints
from pyggml.hub.names import all_shards, choose_model, choose_tower, is_model, is_safe_path


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.text(max_size=30), st.text(st.sampled_from("./\\:ab\0 *\ud800"), max_size=12)))
def test_safe_paths_stay_in_their_folder_everywhere(path: str) -> None:
    if is_safe_path(path):
        for kind in (PurePosixPath, PureWindowsPath):
            assert not kind(path).is_absolute()
            assert not kind(path).drive
            assert list(kind(path).parts) == path.split("/")
            assert not {"", ".", ".."} & set(kind(path).parts)
        assert path.isprintable() or not re.search(r"[\x00-\x1f]", path)
        assert len(path.encode()) < 1000


@pytest.mark.parametrize("path", ["a.gguf", "dir/a.gguf", "a b (1)+é,你.gguf", "...a", "console.gguf", "-x", "x" * 200])
def test_safe_paths(path: str) -> None:
    assert is_safe_path(path)


@pytest.mark.parametrize(
    "path",
    [
        *("", "/a", "a/", "a//b", "..", "a/../b", ".", "a/./b", "a\\b", "c:a", "a?", "a*", "a\0", "a\n", "\ud800"),
        *("con", "NUL.gguf", "d/com1.x", "a.", "a ", " a", "x" * 201, "é" * 101, "a/" * 300 + "b"),
    ],
)
def test_unsafe_paths(path: str) -> None:
    assert not is_safe_path(path)


PATHS = [
    "BF16/x-BF16-00002-of-00002.gguf",
    "BF16/x-BF16-00001-of-00002.gguf",
    "mmproj-x-Q4_K_M.gguf",
    "imatrix-Q4_K_M.gguf",
    "mtp-x-Q4_K_M.gguf",
    "x-Q4_K_M.txt",
    "x-IQ4_XS.gguf",
    "x-Q4_K_S.gguf",
    "x.Q4_K_M.gguf",
    "x-Q8_0.gguf",
]


@pytest.mark.parametrize(
    ("paths", "tag", "chosen"),
    [
        (PATHS, "", "x.Q4_K_M.gguf"),
        (PATHS, "q4_k_m", "x.Q4_K_M.gguf"),
        (PATHS, "Q4_K", None),
        (PATHS, "iq4_xs", "x-IQ4_XS.gguf"),
        (PATHS, "bf16", "BF16/x-BF16-00001-of-00002.gguf"),
        (PATHS, "f16", "BF16/x-BF16-00001-of-00002.gguf"),
        (PATHS, "Q4_K_.", None),
        (PATHS, "Q5_K_M", None),
        (["a-Q4_0.gguf", "x-q8_0.gguf"], "", "x-q8_0.gguf"),
        ([*PATHS[:2], "a-Q4_0.gguf"], "", "BF16/x-BF16-00001-of-00002.gguf"),
        (["Q4_K_M-files/a.gguf"], "Q4_K_M", "Q4_K_M-files/a.gguf"),
        (["mmproj.gguf", "README.md"], "", None),
        ([], "", None),
    ],
)
def test_choosing(paths: list[str], tag: str, chosen: str | None) -> None:
    assert choose_model(paths, tag) == chosen


def test_a_folder_does_not_decide_what_is_a_model() -> None:
    assert is_model("mmproj/x-Q8_0.gguf")
    assert not is_model("x/mmproj-Q8_0.gguf")


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(exclude_characters="\n"), max_size=9), st.integers(1, 99), st.data())
def test_any_shard_leads_to_all(prefix: str, count: int, data: st.DataObject) -> None:
    names = [f"x{prefix}-{index:05}-of-{count:05}.gguf" for index in range(1, count + 1)]
    assert all_shards(data.draw(st.sampled_from(names))) == names


@pytest.mark.parametrize(
    "path", ["x.gguf", "x-00001-of-00000.gguf", "x-1-of-2.gguf", "-00001-of-00002.gguf", "x-00001"]
)
def test_what_is_no_shard(path: str) -> None:
    assert all_shards(path) == [path]


def test_the_cache_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    base, default = str(tmp_path / "base"), tmp_path / ".cache" / "pyggml"
    assert cache_directory({"PYGGML_CACHE": "here", "XDG_CACHE_HOME": base}, "linux") == Path("here")
    assert cache_directory({"XDG_CACHE_HOME": base}, "linux") == Path(base) / "pyggml"
    assert cache_directory({"XDG_CACHE_HOME": "relative"}, "linux") == default
    assert cache_directory({"PYGGML_CACHE": "", "LOCALAPPDATA": base}, "linux") == default
    assert cache_directory({"LOCALAPPDATA": base}, "win32") == Path(base) / "pyggml"


def test_the_endpoints() -> None:
    assert default_endpoints({}) == Endpoints("https://huggingface.co", "https://www.modelscope.cn")
    assert default_endpoints({"HF_ENDPOINT": "a", "MODEL_ENDPOINT": "b"}).huggingface == "b"
    assert default_endpoints({"HF_ENDPOINT": "a", "MODEL_ENDPOINT": ""}).huggingface == "a"
    assert default_endpoints({"MODELSCOPE_ENDPOINT": "c"}).modelscope == "c"


@pytest.mark.parametrize(
    ("paths", "model", "expected"),
    [
        (["x-Q4_K_M.gguf"], "x-Q4_K_M.gguf", None),
        (["mmproj-x.gguf", "x.gguf"], "x.gguf", "mmproj-x.gguf"),
        (["mmproj-F16.gguf", "mmproj-Q8_0.gguf"], "x-Q4_K_M.gguf", "mmproj-Q8_0.gguf"),
        (["mmproj-F16.gguf", "mmproj-Q8_0.gguf"], "x-BF16.gguf", "mmproj-F16.gguf"),
        (["mmproj-BF16.gguf", "mmproj-F16.gguf"], "x-F16.gguf", "mmproj-BF16.gguf"),
        (["mmproj-Q4_0.gguf", "a/mmproj-F32.gguf"], "a/x-Q4_0.gguf", "a/mmproj-F32.gguf"),
        (["mmproj-Q4_0.gguf", "b/mmproj-F32.gguf"], "a/x-Q4_0.gguf", "mmproj-Q4_0.gguf"),
        (["b/mmproj-F32.gguf", "mmproj.json"], "a/x-Q4_0.gguf", None),
        (["mmproj-F16.gguf", "mmproj-Q4_0.gguf"], "x-Q4_K_M-00001-of-00002.gguf", "mmproj-Q4_0.gguf"),
    ],
)
def test_the_tower_nearest_to_a_model(paths: list[str], model: str, expected: str | None) -> None:
    assert choose_tower(paths, model) == expected
