"""Put load on `pyggml serve` and on llama-server, and print medians and their ratios.

python -m benchmarks.serving --llama-server ~/llama.cpp/build/bin/llama-server          # the model inside the package
python -m benchmarks.serving --llama-server PATH -m model.gguf --clients 4 -r 3 --json results.json

What makes it fair: both serve the same file with the same threads, slots and context, and nothing else set; they run
in turns, each alone; they get the same requests, whose prompts are random tokens with nothing in common, and have to
generate the same number of tokens with their own default sampling. Some requests come before the clock starts.
"""

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console

import pyggml
from benchmarks.errors import BenchmarkError
from benchmarks.report import as_json, table
from benchmarks.serving.overhead import overhead
from benchmarks.serving.rounds import Plan, compare
from benchmarks.serving.servers import Settings, llama_server, pyggml_server
from pyggml.bench.fields import cpu_name
from pyggml.cli.bench_values import numbers
from pyggml.cli.model_options import take
from pyggml.gguf import GGUFFile
from pyggml.models import DecoderConfig, architecture_of
from pyggml.package_data import demo_model

_WIDTH = 160
_EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)
_FILE = click.Path(path_type=Path)


@click.command()
@click.option("-m", "--model", type=_EXISTING, help="A GGUF file; default: the package's.")
@click.option("--llama-server", "path", type=_FILE, metavar="PATH", help="A llama-server to compare with.")
@click.option("-t", "--threads", "n_threads", type=click.IntRange(1), default=2, show_default=True)
@click.option("--clients", "n_clients", type=numbers, default="1,4,16", show_default=True, help="At a time.")
@click.option("--requests", "n_requests", type=click.IntRange(1), default=2, show_default=True, help="Of each client.")
@click.option("-p", "--n-prompt", type=click.IntRange(1), default=64, show_default=True, help="Tokens of a prompt.")
@click.option("-n", "--n-gen", type=click.IntRange(2), default=64, show_default=True, help="Tokens of an answer.")
@click.option("-np", "--parallel", "n_slots", type=click.IntRange(1), default=16, show_default=True)
@click.option("-c", "--n-ctx", type=click.IntRange(1), default=512, show_default=True, help="Tokens of a slot.")
@click.option("-r", "--repeat", type=click.IntRange(1), default=3, show_default=True, help="Runs of each.")
@click.option(
    "--http",
    "n_http",
    type=click.IntRange(0),
    default=50,
    show_default=True,
    help="Pairs of requests, for what HTTP adds.",
)
@click.option("--json", "json_path", type=_FILE, metavar="FILE", help="Write the figures to this file, too.")
def main(model: Path | None, path: Path | None, n_http: int, json_path: Path | None, **values: Any) -> None:
    """Measure `pyggml serve` beside llama-server, and what HTTP adds to the engine."""
    if json_path and not json_path.absolute().parent.is_dir():
        raise BenchmarkError(f"--json {json_path}: there is no folder {json_path.absolute().parent}; make it first")
    settings = take(Settings, {"model": model or demo_model(), **values})
    plan = take(Plan, values)
    servers = (pyggml_server(), *((llama_server(path),) if path else ()))
    with GGUFFile.open(settings.model) as file:
        n_vocab = DecoderConfig.from_file(file, architecture_of(file)).n_vocab
    conditions = {
        "cpu": cpu_name(),
        "pyggml": pyggml.__version__,
        "llama_cpp": servers[-1].name if path else None,
        "slots": settings.n_slots,
        "prompt": plan.n_prompt,
        "answer": plan.n_gen,
        "requests_of_a_client": plan.n_requests,
        "runs": plan.repeat,
    }
    figures = list(compare(servers, settings, plan, n_vocab, lambda text: click.echo(text, err=True)))
    if n_http:
        figures += overhead(settings, n_vocab, plan.n_gen, n_http)
    click.echo(", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in conditions.items()) + "\n")
    Console(width=_WIDTH).print(table(figures))
    if json_path:
        json_path.write_text(json.dumps({"conditions": conditions, "figures": as_json(figures)}, indent=2))


if __name__ == "__main__":
    main()
