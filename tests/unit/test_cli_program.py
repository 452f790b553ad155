"""The program `pyggml`: its commands, its errors and their statuses, its completion scripts."""

import errno
import os
import subprocess
import sys
from importlib import import_module

import click
import pytest

import pyggml
from pyggml.cli import running
from pyggml.cli.main import COMMANDS, main
from pyggml.errors import ContextError, GGUFError, PyggmlError, UsageError
from tests.unit.cli_running import invoke

PROGRAM = (sys.executable, "-c", "from pyggml.cli.main import main; main(prog_name='pyggml')")
HEAVY = ("numpy", "numba", "jinja2", "httpx", "rich", "tokenizers")


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def run(options: object) -> int:
        raise error

    monkeypatch.setattr(running, "run", run)


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["run", "--help"], ["completion", "bash"], []])
def test_what_tells_about_the_program_imports_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import sys
from pyggml.cli.main import main
main({arguments!r}, prog_name="pyggml", standalone_mode=False)
loaded = set({HEAVY}) & set(sys.modules)
sys.exit(f"loaded: {{loaded}}" if loaded else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell the processor time of children")
def test_help_is_quick() -> None:
    def processor_seconds() -> float:
        before = os.times()
        subprocess.run([*PROGRAM, "--help"], stdout=subprocess.DEVNULL, check=True)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert min(processor_seconds() for _ in range(3)) < 0.25


def test_commands_are_where_the_table_says() -> None:
    help_text = invoke("--help").stdout
    for name, entry in COMMANDS.items():
        command = getattr(import_module(entry.module), entry.attribute)
        assert isinstance(command, click.Command)
        assert command.name == name
        assert f"{name} " in help_text
        assert entry.summary in help_text


def test_version_and_help() -> None:
    assert invoke("--version").stdout == f"pyggml {pyggml.__version__}\n"
    for arguments in ([], ["-h"], ["--help"]):
        result = invoke(*arguments)
        assert result.exit_code == 0
        assert result.stdout.startswith("Usage: pyggml [OPTIONS]")


def test_unknown_commands_and_options() -> None:
    for arguments, message in ((["nope"], "No such command 'nope'"), (["--nope"], "No such option")):
        result = invoke(*arguments)
        assert result.exit_code == 2
        assert result.stderr.startswith(f"pyggml: error: {message}")
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "status"), [(UsageError("a\nb"), 2), (GGUFError("a\nb"), 1), (ContextError("a\nb"), 1)]
)
def test_errors_for_users_are_one_line(monkeypatch: pytest.MonkeyPatch, error: PyggmlError, status: int) -> None:
    fail_with(monkeypatch, error)
    result = invoke("run")
    assert (result.exit_code, result.stdout, result.stderr) == (status, "", "pyggml: error: a b\n")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (KeyError("x"), "this is a bug in pyggml, please report it with what --debug shows: KeyError: 'x'"),
        (PermissionError(errno.EACCES, "Permission denied", "file"), "file: Permission denied"),
        (OSError("no number"), "no number"),
        (MemoryError(), "out of memory: a smaller context (-c), cache type (-ctk, -ctv) or model needs less"),
    ],
)
def test_other_errors_are_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception, line: str) -> None:
    fail_with(monkeypatch, error)
    result = invoke("run")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"pyggml: error: {line}\n")


@pytest.mark.parametrize("arguments", [["--debug", "run"], ["run", "--debug"]])
def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    for error in (KeyError("x"), GGUFError("x")):
        fail_with(monkeypatch, error)
        result = invoke(*arguments)
        assert result.exit_code == 1
        assert result.stderr.startswith("Traceback (most recent call last):")
        assert result.stderr.splitlines()[-1].startswith("pyggml: error: ")


def test_ctrl_c_is_status_130(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, KeyboardInterrupt())
    result = invoke("run")
    assert (result.exit_code, result.stderr) == (130, "\n")


def test_a_reader_that_left_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, BrokenPipeError(errno.EPIPE, "Broken pipe"))
    result = invoke("run")
    assert (result.exit_code, result.stderr) == (1, "")


def test_called_from_python_the_program_returns() -> None:
    with pytest.raises(click.UsageError):
        main(["nope"], standalone_mode=False)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    script = invoke("completion", shell)
    assert script.exit_code == 0
    assert f"_PYGGML_COMPLETE={shell}_complete" in script.stdout


def test_completion_of_an_unknown_shell() -> None:
    result = invoke("completion", "csh")
    assert result.exit_code == 2
    assert "'csh' is not one of 'bash', 'zsh', 'fish'" in result.stderr


def test_options_are_completed() -> None:
    environment = {"_PYGGML_COMPLETE": "bash_complete", "COMP_WORDS": "pyggml run --tem", "COMP_CWORD": "2"}
    result = click.testing.CliRunner(env=environment).invoke(main, [], prog_name="pyggml")
    assert result.stdout.split() == ["plain,--temp", "plain,--temperature"]
