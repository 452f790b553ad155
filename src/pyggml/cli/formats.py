"""`pyggml formats`: all formats of weights with their sizes, and what they do to the weights of a model."""

from pathlib import Path

import click

from pyggml.cli.model_options import format_file_option
from pyggml.cli.sections import debug_option


@click.command("formats")
@format_file_option
@click.option("--measure", metavar="NAME", multiple=True, help="Quantize a model's weights to it, and compare.")
@click.option(
    "-m", "--model", type=click.Path(path_type=Path), metavar="FILE", help="That model.  [default: demo-text]"
)
@debug_option
def formats_command(format_file: tuple[Path, ...], measure: tuple[str, ...], model: Path | None) -> None:
    """List the formats of weights: ggml's, those of installed packages, and those of files.

    With --measure, tell how far a model's weights are from themselves once they are quantized without importance: the
    root of the mean square error, that relative to the root of the weights' mean square, and the largest error.

    \b
    pyggml formats --format-file nf4.py
    pyggml formats --format-file nf4.py --measure NF4 --measure Q4_0 -m model-f16.gguf
    """
    # Imported here, so that --help needs neither NumPy nor Numba.
    from pyggml.cli.format_tables import list_formats, show_errors

    if measure:
        show_errors(format_file, measure, model)
    else:
        list_formats(format_file)
