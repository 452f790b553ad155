"""`pyggml tokenize`: the token ids of a text, with their pieces or alone."""

import sys
from pathlib import Path

import click

from pyggml.cli.escapes import process_escapes
from pyggml.cli.parameter_types import TEXT
from pyggml.cli.sections import debug_option
from pyggml.errors import UsageError
from pyggml.gguf import GGUFFile
from pyggml.package_data import demo_model
from pyggml.tokenizer import Tokenizer, load_tokenizer

_FILE = click.Path(path_type=Path)
_SOURCES = "-p TEXT, -f FILE or --stdin"


@click.command("tokenize")
@click.option(
    "-m", "--model", type=_FILE, metavar="FILE", help="The GGUF file with the vocabulary.  [default: demo-text]"
)
@click.option("-p", "--prompt", type=TEXT, help="The text.")
@click.option("-f", "--file", type=_FILE, metavar="FILE", help="Read the text from a file.")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read the text from standard input.")
@click.option(
    "-e/--no-escape",
    "--escape",
    default=True,
    show_default=True,
    help=r"Process \n, \r, \t, \', \", \\ and \xHH in the text.",
)
@click.option("--ids", "ids_only", is_flag=True, help="Print nothing but the ids, as a list in Python.")
@click.option("--no-bos", is_flag=True, help="Add no BOS token, even if the vocabulary wants one.")
@click.option("--no-parse-special", is_flag=True, help="Take the texts of control tokens for text like any other.")
@click.option("--show-count", is_flag=True, help="Print the number of tokens at the end.")
@debug_option
def tokenize_command(
    model: Path | None,
    prompt: str | None,
    file: Path | None,
    from_stdin: bool,
    escape: bool,
    ids_only: bool,
    no_bos: bool,
    no_parse_special: bool,
    show_count: bool,
) -> None:
    """Print the token ids of a text, each with the text of its token, as llama-tokenize does."""
    if [prompt is not None, file is not None, from_stdin].count(True) != 1:
        raise UsageError(f"there must be one text: give {_SOURCES}, just one of them")
    with GGUFFile.open(model or demo_model()) as opened:
        tokenizer = load_tokenizer(opened)
    text = _read_text(prompt, file)
    ids = tokenizer.tokenize(
        _unescaped(text) if escape else text,
        # Without BOS, EOS is not added either.
        add_special=tokenizer.add_bos and not no_bos,
        parse_special=not no_parse_special,
    )
    click.echo(str(ids) if ids_only else _table(tokenizer, ids), nl=ids_only)
    if show_count:
        click.echo(f"Total number of tokens: {len(ids)}")


def _read_text(prompt: str | None, file: Path | None) -> bytes:
    if prompt is not None:
        return prompt.encode()
    if file is not None:
        return file.read_bytes()
    return sys.stdin.buffer.read()


def _unescaped(text: bytes) -> str:
    try:
        return process_escapes(text.decode())
    except UnicodeDecodeError as error:
        raise UsageError(
            f"byte {error.start} of the text is not UTF-8: --no-escape tokenizes such a text byte by byte"
        ) from None


def _table(tokenizer: Tokenizer, ids: list[int]) -> bytes:
    """A line for each token, with the bytes of its piece, which need not be whole characters."""
    return b"".join(b"%6d -> '%b'\n" % (token, tokenizer.piece(token, special=True)) for token in ids)
