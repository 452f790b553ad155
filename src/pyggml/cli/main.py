"""The program `pyggml`: its commands, each imported when it is called for, and what becomes of errors."""

import errno
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

import click

from pyggml import __version__
from pyggml.cli.sections import debug_option, wants_traceback
from pyggml.errors import PyggmlError

INTERRUPTED = 130


class LazyCommand(NamedTuple):
    """Where a command is, and what the list of commands says of it, so that listing imports nothing."""

    module: str
    attribute: str
    summary: str


COMMANDS = {
    "run": LazyCommand("pyggml.cli.run", "run_command", "Continue a prompt, or hold a conversation."),
    "serve": LazyCommand("pyggml.cli.serve", "serve_command", "Serve the APIs of llama-server and OpenAI over HTTP."),
    "inspect": LazyCommand("pyggml.cli.inspect", "inspect_command", "Show the metadata and tensors of a GGUF file."),
    "tokenize": LazyCommand("pyggml.cli.tokenize", "tokenize_command", "Turn text into the token ids of a model."),
    "convert": LazyCommand("pyggml.cli.convert", "convert_command", "Convert a Hugging Face checkpoint to GGUF."),
    "quantize": LazyCommand("pyggml.cli.quantize", "quantize_command", "Write a model in a smaller format."),
    "imatrix": LazyCommand(
        "pyggml.cli.imatrix", "imatrix_command", "Measure the importance of weights for quantizing."
    ),
    "perplexity": LazyCommand(
        "pyggml.cli.perplexity", "perplexity_command", "Measure how well a model foretells a text."
    ),
    "formats": LazyCommand("pyggml.cli.formats", "formats_command", "List the formats of weights, or measure some."),
    "split": LazyCommand("pyggml.cli.split", "split_command", "Split a GGUF file into shards."),
    "merge": LazyCommand("pyggml.cli.split", "merge_command", "Join the shards of a split GGUF file."),
    "devices": LazyCommand("pyggml.cli.devices", "devices_command", "List the GPUs and the CPU that models run on."),
    "bench": LazyCommand("pyggml.cli.bench", "bench_command", "Measure the speed of models, as llama-bench does."),
    "completion": LazyCommand("pyggml.cli.completion", "completion_command", "Print a shell's completion script."),
}


class Program(click.Group):
    """The group of all commands. Every failure is one line on stderr; a traceback appears with `--debug` alone."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(import_module(entry.module), entry.attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the program and exit: 0, 1 for a failure, 2 for wrong use, 130 after Ctrl-C."""
        arguments: dict[str, Any] = {
            "args": args,
            "prog_name": prog_name,
            "complete_var": complete_var,
            "windows_expand_args": windows_expand_args,
        }
        if not standalone_mode:
            return super().main(**arguments, standalone_mode=False, **extra)
        try:
            status = super().main(**arguments, standalone_mode=False, **extra)
        except click.ClickException as error:
            report(error.format_message())
            status = error.exit_code
        except click.Abort:
            status = INTERRUPTED
        sys.exit(status if isinstance(status, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, turning what it raises into a line and an exit status."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:
            # The reader of our output has left: click ends quietly.
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise
            if wants_traceback(ctx):
                traceback.print_exc()
            report(explain(error))
            raise click.exceptions.Exit(error.exit_code if isinstance(error, PyggmlError) else 1) from error


def explain(error: Exception) -> str:
    """Say what went wrong, and what to do."""
    if isinstance(error, PyggmlError):
        return str(error)
    if isinstance(error, MemoryError):
        return "out of memory: a smaller context (-c), cache type (-ctk, -ctv) or model needs less"
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
    return f"this is a bug in pyggml, please report it with what --debug shows: {type(error).__name__}: {error}"


def report(message: str) -> None:
    """Write an error as one line on stderr."""
    click.echo(f"pyggml: error: {message.strip()}".replace("\n", " "), err=True)


@click.command(
    "pyggml", cls=Program, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, "--version", message="pyggml %(version)s")
@debug_option
@click.pass_context
def main(context: click.Context) -> None:
    """Run GGUF models with llama.cpp's numbers, in Python.

    \b
    pyggml run -p "Tell me a story about a fox and a lantern."
    pyggml run -m model.gguf
    pyggml COMMAND --help
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
