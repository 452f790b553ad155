"""`pyggml split` and `pyggml merge`: one GGUF file as several, and back, as llama.cpp's gguf-split does it."""

import re
from pathlib import Path

import click
from click.types import FuncParamType

from pyggml.cli.sections import debug_option
from pyggml.cli.write_progress import WriteProgress
from pyggml.errors import UsageError
from pyggml.gguf import GGUFFile
from pyggml.gguf.splitting import DEFAULT_MAX_TENSORS, SplitOptions, plan_merge, plan_split, write_shards

_FILE = click.Path(path_type=Path)
_UNITS = {"M": 1000**2, "G": 1000**3}


def _size(value: str) -> int:
    """`300M` or `2G`, in powers of 1000."""
    match = re.fullmatch(r"(\d+)([MG])", value)
    if not match or not int(match[1]):
        raise click.BadParameter(f"{value!r} is no size: allowed is a number from 1 with M or G, such as 300M or 2G.")
    return int(match[1]) * _UNITS[match[2]]


@click.command("split")
@click.argument("source", metavar="IN", type=_FILE)
@click.argument("prefix", metavar="OUT", type=_FILE)
@click.option(
    "--split-max-tensors",
    type=click.IntRange(1),
    metavar="N",
    help=f"Tensors in a shard.  [default: {DEFAULT_MAX_TENSORS}]",
)
@click.option(
    "--split-max-size", type=FuncParamType(_size), metavar="N(M|G)", help="Size of a shard, metadata not counted."
)
@click.option("--no-tensor-first-split", is_flag=True, help="Let the first shard hold metadata alone.")
@click.option("--dry-run", is_flag=True, help="Tell which shards there would be, and write none.")
@debug_option
def split_command(
    source: Path,
    prefix: Path,
    split_max_tensors: int | None,
    split_max_size: int | None,
    no_tensor_first_split: bool,
    dry_run: bool,
) -> None:
    """Split a GGUF file IN into shards OUT-00001-of-0000N.gguf."""
    if split_max_tensors is not None and split_max_size is not None:
        raise UsageError("--split-max-tensors and --split-max-size exclude each other: give one of them")
    options = SplitOptions(split_max_tensors or DEFAULT_MAX_TENSORS, split_max_size, no_tensor_first_split)
    with GGUFFile.open(source) as file:
        shards = plan_split(file, prefix, options)
        click.echo(f"n_split: {len(shards)}")
        for number, shard in enumerate(shards, start=1):
            megabytes = shard.n_bytes // 1000**2
            click.echo(f"split {number:05d}: n_tensors = {len(shard.tensors)}, total_size = {megabytes}M")
        if not dry_run:
            for shard in shards:
                with WriteProgress() as progress:
                    write_shards([shard], progress)
                click.echo(f"wrote {shard.path}", err=True)


@click.command("merge")
@click.argument("source", metavar="FIRST", type=_FILE)
@click.argument("target", metavar="OUT", type=_FILE)
@click.option("--dry-run", is_flag=True, help="Check all shards, and write nothing.")
@debug_option
def merge_command(source: Path, target: Path, dry_run: bool) -> None:
    """Join all shards of a split GGUF file, of which FIRST is any, in one file OUT."""
    with GGUFFile.open(source) as file:
        merged = plan_merge(file, target)
        if not dry_run:
            with WriteProgress() as progress:
                write_shards([merged], progress)
        click.echo(f"{target}: merged from {len(file.paths)} split with {len(file.tensors)} tensors", err=True)
