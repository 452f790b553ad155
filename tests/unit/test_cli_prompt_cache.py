"""`--prompt-cache` with a fake session."""

import json
from pathlib import Path

import pytest

from tests.unit.cli_fakes import CHATML, FakeModel, FakeTokenizer
from tests.unit.cli_running import run_fake


def tokens_in(path: Path) -> str:
    return FakeTokenizer().detokenize(json.loads(path.read_text(encoding="utf-8")), render_special=True)


def test_the_prompt_is_kept_and_with_all_the_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "cache"
    run_fake(monkeypatch, FakeModel("bc"), "-p", "a", "--prompt-cache", str(path))
    assert tokens_in(path) == "<s>a"
    run_fake(monkeypatch, FakeModel("bc"), "-p", "a", "--prompt-cache", str(path), "--prompt-cache-all")
    assert tokens_in(path) == "<s>abc"


def test_without_a_prompt_the_cache_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "cache"
    path.touch()
    run_fake(monkeypatch, FakeModel("bc"), "-p", "a", "--prompt-cache", str(path), "--prompt-cache-all")
    model = FakeModel("d")
    assert run_fake(monkeypatch, model, "--prompt-cache", str(path)).stdout == "abcd"
    assert model.asked == ["<s>abc"]


def test_read_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "cache"
    run_fake(monkeypatch, FakeModel("b"), "-p", "a", "--prompt-cache", str(path), "--prompt-cache-ro")
    assert not path.exists()
    run_fake(monkeypatch, FakeModel("b"), "-p", "a", "--prompt-cache", str(path))
    run_fake(monkeypatch, FakeModel("b"), "-p", "other", "--prompt-cache", str(path), "--prompt-cache-ro")
    assert tokens_in(path) == "<s>a"


def test_what_came_from_the_file_is_not_written_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "cache"
    run_fake(monkeypatch, FakeModel("bc"), "-p", "a", "--prompt-cache", str(path), "--prompt-cache-all")
    run_fake(monkeypatch, FakeModel("bc"), "-p", "a", "--prompt-cache", str(path))
    assert tokens_in(path) == "<s>abc"
    run_fake(monkeypatch, FakeModel("bc"), "-p", "x", "--prompt-cache", str(path))
    assert tokens_in(path) == "<s>x"


def test_a_conversation_keeps_its_first_prompt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "cache"
    model = FakeModel("1", "2", template=CHATML)
    run_fake(monkeypatch, model, "--prompt-cache", str(path), stdin="Hi\nHi\n")
    assert tokens_in(path) == model.asked[0]
