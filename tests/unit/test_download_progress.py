"""What downloads show on stderr."""

import io

import pytest
from rich.console import Console

from pyggml.cli.progress import DownloadProgress


def test_lines_where_there_is_no_terminal() -> None:
    file = io.StringIO()
    with DownloadProgress(Console(file=file, width=20)) as progress:
        assert file.getvalue() == ""
        for done in (0, 500_000, 1_000_000):
            progress("[b]first-of-two-with-a-long-name.gguf", done, 1_000_000)
        for done in (2_000, 3_000):
            progress("second.gguf", done, None)
    assert file.getvalue().splitlines() == [
        "downloading [b]first-of-two-with-a-long-name.gguf, 1.0 MB",
        "downloaded [b]first-of-two-with-a-long-name.gguf",
        "downloading second.gguf, going on from 2.0 kB",
        "downloaded second.gguf",
    ]


def test_no_last_line_after_an_error() -> None:
    file = io.StringIO()
    progress = DownloadProgress(Console(file=file))
    progress("model.gguf", 0, 10)
    progress.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert file.getvalue().splitlines() == ["downloading model.gguf, 10 bytes"]


def test_bars_on_a_terminal() -> None:
    file = io.StringIO()
    with DownloadProgress(Console(file=file, force_terminal=True, width=100)) as progress:
        progress("[b]model.gguf", 0, 1_000_000)
        progress("[b]model.gguf", 1_000_000, 1_000_000)
        progress("unknown.gguf", 5_000, None)
    assert "[b]model.gguf" in file.getvalue()
    assert "1.0/1.0 MB" in file.getvalue()
    assert "5.0/? kB" in file.getvalue()
    assert "downloaded" not in file.getvalue()


def test_silence_when_nothing_is_downloaded(capsys: pytest.CaptureFixture[str]) -> None:
    with DownloadProgress():
        pass
    assert capsys.readouterr() == ("", "")


def test_stderr_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    with DownloadProgress() as progress:
        progress("model.gguf", 0, 10)
    assert capsys.readouterr() == ("", "downloading model.gguf, 10 bytes\ndownloaded model.gguf\n")
