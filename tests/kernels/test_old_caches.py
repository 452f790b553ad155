"""Directories of kernels compiled by other versions: removed after 30 days without use, and nothing else is."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyggml_kernels import jit
from pyggml_kernels.old_caches import STAMP, mark_used, remove_unused

DAY = 24 * 3600
OURS = ["0123456789abcdef", "0123456789abcdef-avx2", "00000000000000ff-avx512_vnni", "0" * 16 + ".removed-" + "f" * 32]
OTHERS = ["models", "0123456789ABCDEF", "0123456789abcde", "0123456789abcdef.old", "x0123456789abcdef", "0123-avx2"]


def make(base: Path, name: str, *, days: float, stamped: bool = True) -> Path:
    """A directory of a version last used so many days ago."""
    directory = base / name
    (directory / "kernels_1").mkdir(parents=True)
    (directory / "kernels_1" / "add.nbi").write_bytes(b"machine code")
    marked = directory / STAMP if stamped else directory
    if stamped:
        marked.touch()
    os.utime(marked, (time.time() - days * DAY,) * 2)
    return directory


@pytest.mark.parametrize("stamped", [True, False])
def test_what_was_not_used_for_30_days_is_removed(tmp_path: Path, stamped: bool) -> None:
    old = [make(tmp_path, name, days=31, stamped=stamped) for name in OURS]
    kept = make(tmp_path, "f" * 16, days=31, stamped=stamped)
    recent = make(tmp_path, "e" * 16, days=29, stamped=stamped)
    remove_unused(tmp_path, kept)
    assert not any(each.exists() for each in old)
    assert sorted(tmp_path.iterdir()) == sorted([kept, recent])
    assert (kept / "kernels_1" / "add.nbi").exists()


def test_nothing_that_is_not_ours_is_removed(tmp_path: Path) -> None:
    base = tmp_path / "kernels"
    others = [make(base, name, days=99) for name in OTHERS]
    outside = make(tmp_path, "a" * 16, days=99)
    (base / ("b" * 16)).symlink_to(outside, target_is_directory=True)
    (base / ("c" * 16)).touch()
    os.utime(base / ("c" * 16), (0, 0))
    before = sorted(base.iterdir())
    remove_unused(base, base / "kept")
    assert sorted(base.iterdir()) == before
    assert all((each / "kernels_1" / "add.nbi").exists() for each in [*others, outside])


def test_a_directory_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    remove_unused(tmp_path / "nothing", tmp_path)
    mark_used(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_several_may_remove_at_once(tmp_path: Path) -> None:
    old = [make(tmp_path, f"{i:016x}", days=40) for i in range(50)]
    start = threading.Barrier(4)

    def remove() -> None:
        start.wait()
        remove_unused(tmp_path, tmp_path / "kept")

    threads = [threading.Thread(target=remove) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert old
    assert list(tmp_path.iterdir()) == []


def test_one_that_cannot_be_removed_does_not_keep_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (make(tmp_path, name * 16, days=40) for name in "ab")
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path == first:
            raise PermissionError
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    remove_unused(tmp_path, tmp_path / "kept")
    assert first.exists()
    assert not second.exists()


def test_use_is_marked_once_a_day(tmp_path: Path) -> None:
    mark_used(tmp_path)
    stamp = tmp_path / STAMP
    for days, is_marked in ((0.9, False), (1.1, True)):
        before = time.time() - days * DAY
        os.utime(stamp, (before, before))
        mark_used(tmp_path)
        assert (stamp.stat().st_mtime > before + DAY / 2) == is_marked


@pytest.fixture
def removals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """The directories that were kept when old ones were removed, with the user's cache in `tmp_path`."""
    monkeypatch.setenv("PYGGML_CACHE", str(tmp_path))
    monkeypatch.delenv("PYGGML_SIMD", raising=False)
    monkeypatch.setattr(jit._SETTINGS, "CACHE_DIR", "")
    kept: list[Path] = []

    def remove(base: Path, directory: Path) -> None:
        kept.append(directory)
        remove_unused(base, directory)

    monkeypatch.setattr(jit, "remove_unused", remove)
    jit.kernel_cache_directory.cache_clear()
    yield kept
    jit.kernel_cache_directory.cache_clear()


def test_a_new_directory_is_marked_and_old_ones_go(tmp_path: Path, removals: list[Path]) -> None:
    old = make(tmp_path / "kernels", "a" * 16, days=40)
    expected = tmp_path / "kernels" / jit.source_hash()
    for _ in range(2):
        jit.kernel_cache_directory.cache_clear()
        assert jit.kernel_cache_directory() == expected
        assert (expected / STAMP).exists()
    assert not old.exists()
    assert removals == [expected], "only when it was made"
