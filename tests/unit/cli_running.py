"""Running the command line in tests, with a fake model."""

import click.testing
import pytest

from pyggml.cli.main import main
from tests.unit.cli_fakes import FakeModel


def invoke(*arguments: str, stdin: str = "") -> click.testing.Result:
    """Run the program; stdin is no terminal."""
    return click.testing.CliRunner().invoke(main, arguments, input=stdin, prog_name="pyggml")


def run_fake(
    monkeypatch: pytest.MonkeyPatch, model: FakeModel, *arguments: str, stdin: str = ""
) -> click.testing.Result:
    """Run `pyggml run` with this model, without the line of timings."""
    monkeypatch.setattr("pyggml.cli.loading.load", model.load)
    return invoke("run", "--no-perf", *arguments, stdin=stdin)
