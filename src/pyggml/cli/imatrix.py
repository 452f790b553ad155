"""`pyggml imatrix`: how much the columns of a model's weights count; llama-imatrix's way, in its files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from pyggml.cli.measuring_text import TextOptions, text_options
from pyggml.cli.model_options import LoadOptions, ModelOptions, measuring_options, take
from pyggml.cli.sections import SectionCommand, debug_option, section

_importance = section("Importance")
_FILE = click.Path(path_type=Path)


@dataclass(frozen=True)
class ImportanceOptions:
    """What is measured, where it goes on from, and where it goes."""

    output: Path
    output_format: str | None
    in_file: tuple[Path, ...]
    process_output: bool
    ppl: bool
    from_chunk: int
    parse_special: bool
    output_frequency: int
    save_frequency: int


@click.command(
    "imatrix", cls=SectionCommand, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@text_options
@_importance(
    "from_chunk",
    "--chunk",
    "--from-chunk",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    default_text="0",
    help="Chunks to skip at the beginning of the text.",
)
@_importance("parse_special", "--parse-special", is_flag=True, help="Read special tokens written in the text.")
@_importance(
    "output",
    "-o",
    "--output",
    "--output-file",
    type=_FILE,
    default=Path("imatrix.gguf"),
    metavar="FILE",
    default_text="imatrix.gguf",
    help="The file to be written.",
)
@_importance(
    "output_format",
    "--output-format",
    type=click.Choice(("gguf", "dat")),
    default_text="gguf",
    help="GGUF, or llama.cpp's older format.",
)
@_importance(
    "in_file",
    "--in-file",
    type=_FILE,
    metavar="FILE",
    multiple=True,
    help="Go on from this file, in either format; without a text, combine several.",
)
@_importance("process_output", "--process-output", is_flag=True, help="Measure the output matrix too.")
@_importance("ppl", "--ppl/--no-ppl", default=True, default_text="on", help="Print the perplexity meanwhile.")
@_importance(
    "output_frequency",
    "-ofreq",
    "--output-frequency",
    type=click.IntRange(1),
    default=10,
    metavar="N",
    default_text="10",
    help="Write the file every N chunks.",
)
@_importance(
    "save_frequency",
    "--save-frequency",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    default_text="0, never",
    help="Write a copy, FILE.at_CHUNKS, every N chunks.",
)
@measuring_options
@debug_option
def imatrix_command(**values: Any) -> None:
    """Measure the importance of weights on a text, for `pyggml quantize --imatrix`.

    \b
    pyggml imatrix -m model-f16.gguf -f text.txt -o imatrix.gguf
    pyggml imatrix --in-file first.gguf --in-file second.gguf -o both.gguf
    """
    # Imported here, so that --help needs neither NumPy nor Numba.
    from pyggml.cli.measuring_importance import measure

    options = take(ImportanceOptions, values)
    measure(take(ModelOptions, values), take(LoadOptions, values), take(TextOptions, values), options)
