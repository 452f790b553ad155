"""`pyggml perplexity` and `pyggml imatrix` as a person at a terminal sees them, with the model in the package."""

import sys
from pathlib import Path

import pytest

from tests.e2e.terminal import CTRL_C, Terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals in Python")

TEXT = str(Path(__file__).parents[1] / "data" / "heldout.txt")


def test_ctrl_c_leaves_no_half_written_file(tmp_path: Path) -> None:
    options = ("-f", TEXT, "-c", "64", "-b", "64", "--kl-divergence-base", str(tmp_path / "base"))
    with Terminal("perplexity", *options) as terminal:
        terminal.wait_for("minutes for all of them\n")
        terminal.wait_for("[2]")
        terminal.press(CTRL_C)
        assert terminal.wait_for_end() == 130
        assert "Traceback" not in terminal.screen
    assert not list(tmp_path.iterdir())


def test_estimates_are_not_wiped_away() -> None:
    with Terminal("perplexity", "-f", TEXT, "-c", "64", "-b", "64", "--chunks", "3") as terminal:
        assert terminal.wait_for_end() == 0
        last = terminal.colored_screen.rpartition("minutes for all of them\n")[2]
        assert last.startswith("[1]")
        assert last.count("\x1b") == 0
        assert last.count("\n") == 2


def test_a_status_line_where_nothing_else_is_shown(tmp_path: Path) -> None:
    options = ("-f", TEXT, "-c", "64", "-b", "128", "--chunks", "5", "--no-ppl", "-o", str(tmp_path / "out.gguf"))
    with Terminal("imatrix", *options) as terminal:
        terminal.wait_for("chunk 4 of 5, 0.0 minutes to go")
        assert terminal.wait_for_end() == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out.gguf"]
