"""How many questions about pictures a model answers as llama.cpp does, and rightly, in each of some formats.

python -m benchmarks.picture_answers text-f16.gguf mmproj-f16.gguf pictures/answers.json --format Q8_0,Q4_K_M

The last file is a list of `file`, `prompt`, llama.cpp's `answer` and the `truth`, with the pictures beside it. Answers
are greedy, with the template chatml and without a system message. The tower stays as it is.
"""

import json
import tempfile
from pathlib import Path

import click

import pyggml
from pyggml.gguf import GGUFFile
from pyggml.quantize import QuantizeOptions, file_type_named, plan_quantization, write_quantized

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("text", type=_FILE)
@click.argument("mmproj", type=_FILE)
@click.argument("answers", type=_FILE)
@click.option("--format", "formats", default="F16,Q8_0,Q6_K,Q4_K_M,Q3_K_M,Q2_K", metavar="TYPE,...", show_default=True)
def main(text: Path, mmproj: Path, answers: Path, formats: str) -> None:
    """Print a table."""
    questions = json.loads(answers.read_text(encoding="utf-8"))
    click.echo("| format | as llama.cpp with F16 | true |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in formats.split(","):
            found = _answers(_in_format(text, name, Path(folder)), mmproj, questions, answers.parent)
            shares = (
                f"{sum(answer == each[key] for answer, each in zip(found, questions, strict=True))} of {len(questions)}"
                for key in ("answer", "truth")
            )
            click.echo(f"| {name} | {' | '.join(shares)} |")


def _in_format(source: Path, name: str, folder: Path) -> Path:
    """The model in a format, as llama-quantize would make it; F16 is the file itself."""
    if name == "F16":
        return source
    target = folder / f"{name}.gguf"
    with GGUFFile.open(source) as file:
        write_quantized(plan_quantization(file, target, file_type_named(name), QuantizeOptions()), 1)
    return target


def _answers(text: Path, mmproj: Path, questions: list[dict[str, str]], folder: Path) -> list[str]:
    model = pyggml.load(text, mmproj=mmproj)
    greedy = pyggml.SamplingOptions(temperature=0.0)
    found = []
    for each in questions:
        message = {"role": "user", "content": each["prompt"]}
        events = model.chat(
            [message], chat_template="chatml", images=[folder / each["file"]], sampling=greedy, max_tokens=100
        )
        found.append("".join(event.text for event in events if isinstance(event, pyggml.TextEvent)))
    return found


if __name__ == "__main__":
    main()
