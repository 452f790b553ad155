"""Show a picture to `pyggml run` and to llama-mtmd-cli, and print medians and their ratios.

python -m benchmarks.pictures --llama-mtmd-cli ~/llama.cpp/build/bin/llama-mtmd-cli
python -m benchmarks.pictures --llama-mtmd-cli PATH --format F16,Q8_0 --layers 4 --text-layers 1 --size 1000

What makes it fair: both get the same files, with random weights in the shape of Qwen2-VL-2B, the same picture and
threads, and run in turns, each alone. Each says itself how long its tower took.
"""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import click
import numpy as np
from PIL import Image
from rich.console import Console

import pyggml
from benchmarks.comparison import Figure
from benchmarks.errors import BenchmarkError
from benchmarks.pictures.random_towers import TOWER_2B, write_random_tower
from benchmarks.pictures.seeing import Scene, Seen, llama_program, pyggml_program, see
from benchmarks.programs import Program
from benchmarks.random_models import SHAPES, write_random_model
from benchmarks.report import as_json, table
from pyggml.bench.fields import cpu_name

_WIDTH = 160
#: Formats of the tower by their names in `--format`, which are llama-quantize's file types for the text model, too.
_TYPES = {"F32": 0, "F16": 1, "Q8_0": 8}
_FILE = click.Path(path_type=Path)


def _formats(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    names = tuple(value.split(","))
    if unknown := [name for name in names if name not in _TYPES]:
        raise click.BadParameter(f"{unknown[0]!r} is no format for this; allowed are {', '.join(_TYPES)}.")
    return names


@click.command()
@click.option(
    "--llama-mtmd-cli", "path", type=_FILE, required=True, metavar="PATH", help="The program to compare with."
)
@click.option("--format", "formats", callback=_formats, default="F16", metavar="TYPE,...", show_default=True)
@click.option("--layers", "n_layers", type=click.IntRange(1), default=TOWER_2B.n_layers, help="Of the tower.")
@click.option("--text-layers", type=click.IntRange(1), default=SHAPES["VL-2B"].n_layers, help="Of the text model.")
@click.option("--size", type=click.IntRange(28), default=1000, show_default=True, help="Pixels on a side.")
@click.option("-t", "--threads", "n_threads", type=click.IntRange(1), default=2, show_default=True)
@click.option("-r", "--repeat", type=click.IntRange(1), default=3, show_default=True, help="Runs of each.")
@click.option("--models", "folder", type=_FILE, metavar="FOLDER", help="Keep what is made there, use what is there.")
@click.option("--json", "json_path", type=_FILE, metavar="FILE", help="Write the figures to this file, too.")
def main(
    path: Path,
    formats: tuple[str, ...],
    n_layers: int,
    text_layers: int,
    size: int,
    n_threads: int,
    repeat: int,
    folder: Path | None,
    json_path: Path | None,
) -> None:
    """Measure `pyggml run --image` beside llama-mtmd-cli."""
    if json_path and not json_path.absolute().parent.is_dir():
        raise BenchmarkError(f"--json {json_path}: there is no folder {json_path.absolute().parent}; make it first")
    programs = pyggml_program(), llama_program(path)
    conditions = {"cpu": cpu_name(), "pyggml": pyggml.__version__, "llama_cpp": programs[1].name, "runs": repeat}
    figures: list[Figure] = []
    with ExitStack() as stack:
        target = folder or Path(stack.enter_context(TemporaryDirectory()))
        target.mkdir(parents=True, exist_ok=True)
        for name in formats:
            text, mmproj = _files(target, name, n_layers, text_layers)
            scene = Scene(text, mmproj, _picture(target, size), n_threads)
            figures += _compare(programs, scene, repeat)
    click.echo(", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in conditions.items()) + "\n")
    Console(width=_WIDTH).print(table(figures))
    if json_path:
        json_path.write_text(json.dumps({"conditions": conditions, "figures": as_json(figures)}, indent=2))


def _files(folder: Path, format_name: str, n_layers: int, text_layers: int) -> tuple[Path, Path]:
    """The text model and the tower, made if they are not there."""
    text = folder / f"VL-2B-{text_layers}-layers-{format_name}.gguf"
    mmproj = folder / f"tower-2B-{n_layers}-layers-{format_name}.gguf"
    if not text.exists():
        write_random_model(text, replace(SHAPES["VL-2B"], n_layers=text_layers), format_name)
    if not mmproj.exists():
        write_random_tower(mmproj, replace(TOWER_2B, n_layers=n_layers), _TYPES[format_name])
    return text, mmproj


def _picture(folder: Path, size: int) -> Path:
    """Blurred noise."""
    path = folder / f"{size}.png"
    colours = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(colours).resize((size, size)).save(path)
    return path


def _compare(programs: tuple[Program, Program], scene: Scene, repeat: int) -> list[Figure]:
    """One program, then the other, so many times."""
    rounds = []
    for number in range(1, repeat + 1):
        click.echo(f"{scene.mmproj.name}, round {number} of {repeat}", err=True)
        rounds.append([see(program, scene) for program in programs])
    ours, theirs = zip(*rounds, strict=True)
    return [
        _figure(scene, "tower", "s", *([each.tower_seconds for each in runs] for runs in (ours, theirs))),
        _figure(scene, "whole program", "s", *([each.seconds for each in runs] for runs in (ours, theirs))),
        *_memory(scene, ours, theirs),
    ]


def _memory(scene: Scene, *both: Sequence[Seen]) -> list[Figure]:
    """Nothing where the system does not tell."""
    peaks = [[each.peak_bytes / 2**20 for each in runs if each.peak_bytes is not None] for runs in both]
    return [_figure(scene, "peak memory", "MiB", *peaks)] if all(peaks) else []


def _figure(scene: Scene, test: str, unit: str, ours: Sequence[float], theirs: Sequence[float]) -> Figure:
    samples = tuple(ours), tuple(theirs)
    medians = median(ours), median(theirs)
    return Figure(scene.mmproj.stem, scene.n_threads, test, unit, *medians, None, samples)


if __name__ == "__main__":
    main()
