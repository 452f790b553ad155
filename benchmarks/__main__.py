"""Run pyggml and the oracle's llama.cpp side by side on the same file, alternating, and print medians and their ratio.

python -m benchmarks                                  # the model inside the package
python -m benchmarks --shape 0.5B --format Q8_0       # random weights in a shape of Qwen2.5
python -m benchmarks -m model.gguf -t 1,2 -r 5 --json results.json
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import click
from rich.console import Console
from rich.table import Table

import pyggml
from benchmarks.random_models import SHAPES, write_random_model
from pyggml.engine import Part
from pyggml.package_data import demo_model
from pyggml_reference.model import ReferenceModel

_N_CTX = 1024


@dataclass(frozen=True)
class Result:
    """Medians over the runs, in tokens a second."""

    test: str
    n_threads: int
    pyggml: float
    llama_cpp: float

    @property
    def ratio(self) -> float:
        """How many times faster pyggml is."""
        return self.pyggml / self.llama_cpp


def seconds(action: Callable[[], object]) -> float:
    """How long an action takes."""
    start = perf_counter()
    action()
    return perf_counter() - start


def compare(path: Path, n_threads: int, n_prompt: int, n_generated: int, repeat: int) -> Iterator[Result]:
    """Time both engines on a prompt, and on tokens one at a time from the start; the first run does not count."""
    model = pyggml.load(path, n_ctx=_N_CTX, n_threads=n_threads)
    prompt = [token % model.config.n_vocab for token in range(1, n_prompt + 1)]

    def ours_prompt() -> None:
        sequence = model.engine.new_sequence()
        for start in range(0, n_prompt, model.engine.n_batch):
            part = prompt[start : start + model.engine.n_batch]
            model.engine.step([Part(sequence, start, part, [len(part) - 1])])
        sequence.truncate(0)

    def ours_generation() -> None:
        sequence = model.engine.new_sequence()
        for position in range(n_generated):
            model.engine.step([Part(sequence, position, [1 + position], [0])])
        sequence.truncate(0)

    with ReferenceModel(path, n_ctx=_N_CTX, n_threads=n_threads) as reference:
        pairs = (
            (f"prompt {n_prompt}", n_prompt, ours_prompt, lambda: reference.greedy(prompt, 1)),
            (f"generate {n_generated}", n_generated, ours_generation, lambda: reference.greedy([1], n_generated)),
        )
        for name, n, ours, theirs in pairs:
            times = [(seconds(ours), seconds(theirs)) for _ in range(repeat + 1)][1:]
            yield Result(name, n_threads, n / median(a for a, _ in times), n / median(b for _, b in times))


@contextmanager
def model_file(model: Path | None, shape: str | None, format_name: str) -> Iterator[Path]:
    """The file to measure: one that is there, or one made for the purpose and removed afterwards."""
    if shape is None:
        yield model or demo_model()
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"random-{shape}-{format_name}.gguf"
        write_random_model(path, SHAPES[shape], format_name)
        yield path


def show(path: Path, results: list[Result]) -> None:
    """Print the table."""
    table = Table(title=f"{path.name}, tokens a second")
    for column in ("test", "threads", "pyggml", "llama.cpp", "ratio"):
        table.add_column(column, justify="left" if column == "test" else "right")
    for each in results:
        figures = (f"{each.pyggml:.1f}", f"{each.llama_cpp:.1f}", f"{each.ratio:.2f}")
        table.add_row(each.test, str(each.n_threads), *figures)
    Console().print(table)


@click.command()
@click.option(
    "-m", "--model", type=click.Path(exists=True, path_type=Path), help="A GGUF file; default: the package's."
)
@click.option("--shape", type=click.Choice(list(SHAPES)), help="Random weights in this shape of Qwen2.5 instead.")
@click.option("--format", "format_name", default="Q8_0", show_default=True, help="The random weights' format.")
@click.option("-t", "--threads", default="1,2", show_default=True, help="Numbers of threads, separated by commas.")
@click.option("-p", "--n-prompt", default=128, show_default=True, help="Tokens of the prompt.")
@click.option("-n", "--n-gen", default=32, show_default=True, help="Tokens to generate.")
@click.option("-r", "--repeat", default=5, show_default=True, help="Runs of each.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the figures to this file, too.")
def main(
    model: Path | None,
    shape: str | None,
    format_name: str,
    threads: str,
    n_prompt: int,
    n_gen: int,
    repeat: int,
    json_path: Path | None,
) -> None:
    """Measure pyggml beside the llama.cpp in the wheel xllamacpp (built for AVX2)."""
    with ExitStack() as stack:
        path = stack.enter_context(model_file(model, shape, format_name))
        counts = [int(count) for count in threads.split(",")]
        results = [result for count in counts for result in compare(path, count, n_prompt, n_gen, repeat)]
    show(path, results)
    if json_path:
        json_path.write_text(json.dumps([asdict(each) | {"ratio": each.ratio} for each in results], indent=2))


if __name__ == "__main__":
    main()
