"""What `pyggml bench` does once its options are read."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from pyggml.bench import PRINTERS, BenchGrid, Printer, RunOptions, run_cases
from pyggml.cli.bench import BenchArguments
from pyggml.cli.console import Console
from pyggml.cli.loading import told_warnings
from pyggml.cli.logs import shown_logs
from pyggml.cli.model_options import ModelOptions
from pyggml.cli.model_source import locate_model
from pyggml.errors import UsageError


def bench(arguments: BenchArguments, warnings: Sequence[str]) -> None:
    """Run all tests and write each result as soon as it is there. Raises PyggmlError."""
    console = Console()
    grid = bench_grid(arguments)
    cases = list(grid.cases())
    if not cases:
        raise UsageError("there is nothing to measure: -p, -n or -pg has to ask for a token at least")
    for text in (*warnings, *_warnings(grid)):
        console.warn(text)
    printers = [
        (PRINTERS[name](), is_error)
        for name, is_error in ((arguments.output, False), (arguments.output_err, True))
        if name != "none"
    ]
    options = RunOptions(arguments.repetitions, not arguments.no_warmup, arguments.delay)
    with shown_logs(console, arguments.verbose), told_warnings(console):
        _write(printers, "header", grid)
        results = run_cases(
            cases,
            options,
            lambda text: console.remark(f"pyggml bench: {text}") if arguments.progress else None,
            lambda name: console.add_to_list("Compiling kernels for this machine (once)", name),
        )
        for result in results:
            _write(printers, "result", result)
        _write(printers, "footer")


def bench_grid(arguments: BenchArguments) -> BenchGrid:
    """The values of all parameters; those not given are llama-bench's. Raises UsageError, DownloadError."""
    names = (
        *("n_prompt", "n_gen", "n_depth", "n_batch", "n_ubatch"),
        *("type_k", "type_v", "n_threads", "n_gpu_layers", "flash_attn", "devices", "split_mode", "main_gpu"),
        *("tensor_split", "tensor_buft_overrides", "no_kv_offload"),
    )
    lists = {name: _joined(getattr(arguments, name)) for name in names if getattr(arguments, name)}
    return BenchGrid(tuple(_models(arguments)), n_prompt_gen=arguments.n_prompt_gen, **lists)


def _models(arguments: BenchArguments) -> Iterable[Path]:
    paths = [Path(name) for names in arguments.model for name in names.split(",")]
    if len(arguments.hf_file) > len(arguments.hf_repo):
        raise UsageError("-hff names a file of a Hugging Face repository: give the repository with -hf")
    files = (*arguments.hf_file, *[None] * len(arguments.hf_repo))
    downloads = [
        locate_model(ModelOptions(None, None, repo, file, arguments.hf_token, None, arguments.offline))
        for repo, file in zip(arguments.hf_repo, files, strict=False)
    ]
    return [*paths, *downloads] or [locate_model(ModelOptions(None, None, None, None, None, None, False))]


def _joined(lists: Iterable[Iterable[Any]]) -> tuple[Any, ...]:
    return tuple(value for values in lists for value in values)


def _warnings(grid: BenchGrid) -> Iterable[str]:
    if any(each >= 0 for each in grid.flash_attn):
        yield "--flash-attn has no effect: there is one kind of attention"


def _write(printers: Iterable[tuple[Printer, bool]], piece: str, *arguments: Any) -> None:
    for printer, is_error in printers:
        click.echo(getattr(printer, piece)(*arguments), nl=False, err=is_error)
