"""Run pyggml and llama.cpp side by side on the same files, and print medians and their ratios.

python -m benchmarks                                          # the model inside the package
python -m benchmarks --shape 1.5B --format Q3_K_M,Q8_0        # random weights in a shape of Qwen2.5
python -m benchmarks --shape 72B --layers 8 --format Q4_K_M --llama-bench ~/llama.cpp/build/bin/llama-bench
python -m benchmarks -m model.gguf -t 1,2 -r 5 --busy --json results.json

What makes it fair: both get the same file, the same threads and the same tests, in turns (one run of one, one of the
other), each run in a process of its own. Both warm up before the clock starts, fill the depth before it too, and read
random tokens; nothing is sampled, and loading does not count. Both map the file and keep what they convert in memory,
as they do by default. llama.cpp's flash attention is at its default unless -fa says otherwise; the first line
of the output tells.
"""

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console

import pyggml
from benchmarks.comparison import Figure, Plan, compare
from benchmarks.engines import native_engine, pyggml_engine, wheel_engine
from benchmarks.errors import BenchmarkError
from benchmarks.machine import busy_core
from benchmarks.model_files import Models, model_files
from benchmarks.random_models import SHAPES
from benchmarks.report import as_json, table
from pyggml.bench.fields import cpu_name
from pyggml.cli.bench_values import numbers
from pyggml.cli.model_options import take
from pyggml.errors import PyggmlError

_WIDTH = 160


def _names(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    return tuple(value.split(",")) if value else ()


def _shapes(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    names = _names(context, parameter, value)
    if unknown := [name for name in names if name not in SHAPES]:
        raise click.BadParameter(f"{unknown[0]!r} is no shape; allowed are {', '.join(SHAPES)}.")
    return names


_FILE = click.Path(path_type=Path)
_EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("-m", "--model", "paths", type=_EXISTING, multiple=True, help="A GGUF file; default: the package's.")
@click.option("--shape", "shapes", callback=_shapes, metavar="NAME,...", help=f"Random weights: {', '.join(SHAPES)}.")
@click.option(
    "--format", "formats", callback=_names, metavar="TYPE,...", help="llama-quantize's types for them; default: Q8_0."
)
@click.option("--layers", "n_layers", type=click.IntRange(1), help="So many layers instead of the shape's own.")
@click.option(
    "--models", "folder", type=_FILE, metavar="FOLDER", help="Keep what is made there, and use what is there."
)
@click.option("--llama-bench", type=_FILE, metavar="PATH", help="A llama-bench, instead of the wheel's llama.cpp.")
@click.option(
    "-t", "--threads", "n_threads", type=numbers, default="1,2", show_default=True, help="Numbers of threads."
)
@click.option("-p", "--n-prompt", type=numbers, default="128,512", show_default=True, help="Tokens of prompts.")
@click.option("-n", "--n-gen", type=click.IntRange(1), default=32, show_default=True, help="Tokens to generate.")
@click.option("-d", "--n-depth", type=numbers, default="0,4096", show_default=True, help="Tokens in the cache before.")
@click.option("-r", "--repeat", type=click.IntRange(1), default=5, show_default=True, help="Runs of each.")
@click.option("-fa", "--flash-attn", type=click.Choice(["auto", "on", "off"]), default="auto", help="For llama.cpp.")
@click.option("--busy", is_flag=True, help="Keep one core busy with another process meanwhile.")
@click.option("--json", "json_path", type=_FILE, metavar="FILE", help="Write the figures to this file, too.")
def main(llama_bench: Path | None, busy: bool, json_path: Path | None, **values: Any) -> None:
    """Measure pyggml beside llama.cpp."""
    models, plan = take(Models, values), take(Plan, values)
    _check(models, json_path)
    engines = (pyggml_engine(), native_engine(llama_bench) if llama_bench else wheel_engine())
    conditions = {
        "cpu": cpu_name(),
        "pyggml": pyggml.__version__,
        "llama_cpp": engines[1].name,
        "flash_attention": plan.flash_attn,
        "busy_core": busy,
        "runs": plan.repeat,
    }
    figures: list[Figure] = []
    try:
        with model_files(models) as paths, busy_core(busy):
            for path in paths:
                for figure in compare(path, engines, plan, lambda text: click.echo(text, err=True)):
                    figures.append(figure)
    except (PyggmlError, OSError) as error:
        raise BenchmarkError(str(error)) from None
    finally:
        # What was measured before a failure is not lost.
        if figures:
            _show(figures, conditions, json_path)


def _check(models: Models, json_path: Path | None) -> None:
    """Find out before hours of measuring what cannot work."""
    if not models.shapes and (models.formats or models.n_layers or models.folder):
        raise BenchmarkError("--format, --layers and --models are for models that --shape makes: give it, such as 1.5B")
    if json_path and not json_path.absolute().parent.is_dir():
        raise BenchmarkError(f"--json {json_path}: there is no folder {json_path.absolute().parent}; make it first")


def _show(figures: list[Figure], conditions: dict[str, Any], json_path: Path | None) -> None:
    click.echo(", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in conditions.items()) + "\n")
    Console(width=_WIDTH).print(table(figures))
    if json_path:
        json_path.write_text(json.dumps({"conditions": conditions, "figures": as_json(figures)}, indent=2))


if __name__ == "__main__":
    main()
