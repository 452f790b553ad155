"""What goes to stdout and what to stderr, and how lines are kept apart on a terminal."""

import io
import signal
import sys

import pytest

from pyggml.cli.console import Console
from pyggml.cli.interruption import Interruption


class Terminal(io.StringIO):
    """Both streams of a program that runs on a terminal."""

    def isatty(self) -> bool:
        return True


def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Put one in place; in the test itself, as pytest replaces the streams between a fixture and its test."""
    terminal = Terminal()
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return terminal


def test_pipes_get_bare_text(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.write("text \x1b[31m", color="yellow")
    console.show_status("never seen")
    console.remark("remark")
    console.warn("warning")
    console.write("more")
    assert capsys.readouterr() == ("text \x1b[31mmore", "remark\npyggml: warning: warning\n")
    assert not console.interactive


def test_colors_can_be_had_in_pipes(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console("on")
    console.write("text", color="yellow")
    console.write(" plain")
    console.remark("dim")
    assert capsys.readouterr() == ("\x1b[33mtext\x1b[0m plain", "\x1b[2mdim\n\x1b[0m")


def test_remarks_have_lines_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = at_a_terminal(monkeypatch)
    console = Console("off")
    assert console.interactive
    console.write("text")
    console.remark("remark")
    console.write("line\n")
    console.remark("remark")
    console.note_prompt()
    console.remark("after the prompt")
    console.note_new_line()
    console.warn("warning")
    console.end_line()
    assert terminal.getvalue() == "text\nremark\nline\nremark\n\nafter the prompt\npyggml: warning: warning\n"


def test_status_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = at_a_terminal(monkeypatch)
    console = Console("off")
    console.show_status("1 of 2")
    console.show_status("2 of 2")
    console.clear_status()
    console.write("text")
    assert terminal.getvalue() == "1 of 2\r\x1b[K2 of 2\r\x1b[Ktext"


def test_a_list_grows_until_something_else_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = at_a_terminal(monkeypatch)
    console = Console("off")
    for name in "abc":
        console.add_to_list("Letters", name)
    console.write("text\n")
    console.add_to_list("Letters", "d")
    console.remark("end")
    assert terminal.getvalue() == "Letters: a, b, c\ntext\nLetters: d\nend\n"


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", ""), ("TERM", "dumb")])
def test_automatic_colors(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    at_a_terminal(monkeypatch)
    assert Console().colored
    monkeypatch.setenv(variable, value)
    assert not Console().colored
    assert Console("on").colored


def test_what_an_encoding_lacks_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="latin-1"))
    Console().write("ä你")
    assert written.getvalue() == b"\xe4?"


def test_ctrl_c_asks_first_and_interrupts_then() -> None:
    with Interruption() as interruption:
        assert not interruption.requested
        signal.raise_signal(signal.SIGINT)
        assert interruption.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_an_ignored_ctrl_c_stays_ignored() -> None:
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            signal.raise_signal(signal.SIGINT)
            assert not interruption.requested
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, previous)
