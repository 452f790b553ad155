"""What `pyggml formats` prints."""

from collections.abc import Sequence
from pathlib import Path

import click

from pyggml.formats import Formats, read_formats
from pyggml.gguf import GGUFFile
from pyggml.package_data import demo_model
from pyggml.quantize.measure import measure_format
from pyggml_kernels.formats import OwnFormat
from pyggml_kernels.threads import available_cores


def formats_of(files: Sequence[Path]) -> Formats:
    """ggml's formats, and those of files and of installed packages. Raises FormatError."""
    return Formats.of(form for file in files for form in read_formats(file)).with_installed()


def list_formats(files: Sequence[Path]) -> None:
    """A line for each format."""
    click.echo(f"{'format':32} {'bits per weight':>15} {'weights in a block':>18} {'bytes':>5}  defined by")
    for each in formats_of(files).by_number.values():
        bits = f"{8 * each.block_bytes / each.block_size:.4g}"
        source = each.source if isinstance(each, OwnFormat) else "ggml"
        click.echo(f"{each.name:32} {bits:>15} {each.block_size:18} {each.block_bytes:5}  {source}")


def show_errors(files: Sequence[Path], names: Sequence[str], model: Path | None) -> None:
    """A line for each format and kind of matrix."""
    formats = formats_of(files)
    measured = [formats.named(name) for name in names]
    click.echo(f"{'format':16} {'weights of':24} {'number':>12} {'rms error':>10} {'relative':>8} {'largest':>10}")
    with GGUFFile.open(model or demo_model()) as file:
        for form in measured:
            for each in measure_format(file, form, formats, available_cores()):
                click.echo(
                    f"{form.name:16} {each.kind:24} {each.n_weights:12} {each.rms:10.3e} {each.relative:8.2%} "
                    f"{each.largest:10.3e}"
                )
