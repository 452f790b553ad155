"""Perplexity and divergence against what llama-perplexity prints.

The expected texts in tests/data/evaluate were printed by it with `-fa off -ctk f32 -ctv f32` and models whose weights
are F32, so that hardly anything is rounded and all digits can be compared. demo-f32 is the packaged model in F32,
demo-q2k-f32 the same by way of Q2_K.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from pyggml.evaluate.base_file import BaseFile
from pyggml.evaluate.log_probabilities import HEAD_WORDS, decoded, encoded
from pyggml.package_data import demo_model
from pyggml_reference.files import quantize_model
from tests.unit.cli_running import invoke
from tests.unit.printed_numbers import assert_same_report

TEXT = Path(__file__).parents[1] / "data" / "heldout.txt"
EXPECTED = Path(__file__).parents[1] / "data" / "evaluate"
#: Lines of a report whose figure is that of one token, or lies between those of two.
_OF_ONE_TOKEN = re.compile(r"(Maximum|Median|Minimum|[ \d.]+%) +(KLD|Δp)")
EXACT = ("-ctk", "f32", "-ctv", "f32")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    folder = tmp_path_factory.mktemp("f32")
    quantize_model(demo_model(), folder / "demo-f32.gguf", "F32")
    quantize_model(demo_model(), folder / "demo-q2k.gguf", "Q2_K")
    quantize_model(folder / "demo-q2k.gguf", folder / "demo-q2k-f32.gguf", "F32")
    return {path.stem: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def base(models: Mapping[str, Path]) -> Path:
    """The base file of demo-f32."""
    path = models["demo-f32"].with_name("base")
    run("-m", models["demo-f32"], "-f", TEXT, "-c", 64, "-b", 192, "--chunks", 8, "--kl-divergence-base", path)
    return path


def run(*arguments: str | int | Path) -> str:
    result = invoke("perplexity", *EXACT, *map(str, arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


def assert_printed(found: str, expected: str, n_units: int = 1, n_units_of_one: int | None = None) -> None:
    """What `assert_same_report` says, with a bound of its own for the figures of single tokens."""
    text = (EXPECTED / expected).read_text(encoding="utf-8")
    lines = [[line for line in each.splitlines() if line.strip()] for each in (found, text)]
    of_one = n_units if n_units_of_one is None else n_units_of_one
    for line, wanted in zip(*lines, strict=True):
        assert_same_report(line, wanted, of_one if _OF_ONE_TOKEN.match(line) else n_units)


# Steps of several chunks, of parts of them, and of parts that do not divide a chunk.
@pytest.mark.parametrize("batch", [(192, 512), (192, 100), (64, 64), (16, 16), (64, 24)])
def test_perplexity_however_the_tokens_are_batched(models: Mapping[str, Path], batch: tuple[int, int]) -> None:
    options = ("-f", TEXT, "-c", 64, "-b", batch[0], "-ub", batch[1], "--chunks", 8)
    assert_printed(run("-m", models["demo-f32"], *options), "perplexity.txt")


def test_a_line_for_each_chunk(models: Mapping[str, Path]) -> None:
    options = ("-f", TEXT, "-c", 64, "-b", 192, "--chunks", 5, "--ppl-output-type", 1)
    assert_printed(run("-m", models["demo-f32"], *options), "perplexity-lines.txt")


def test_strided_perplexity(models: Mapping[str, Path]) -> None:
    options = ("-m", models["demo-f32"], "-f", TEXT, "-c", 100, "--ppl-stride", 30, "--chunks", 5)
    assert_printed(run(*options), "perplexity-strided.txt")
    assert_printed(run(*options, "--ppl-output-type", 1), "perplexity-strided-lines.txt")


def test_divergence(models: Mapping[str, Path], base: Path) -> None:
    found = run("-m", models["demo-q2k-f32"], "-b", 192, "--kl-divergence", "--kl-divergence-base", base)
    # The base file rounds log probabilities to steps of some 4e-4, and where a 16-bit code falls on the other side, the
    # divergence of a single token changes by up to a step times that probability. Means over all tokens do not show it.
    assert_printed(found, "divergence.txt", n_units=3, n_units_of_one=20)


def test_a_model_does_not_diverge_from_itself(models: Mapping[str, Path], base: Path) -> None:
    found = run("-m", models["demo-f32"], "-b", 64, "--kl-divergence", "--kl-divergence-base", base, "--chunks", 4)
    assert "Same top p: 100.000 ± 0.000 %" in found
    assert "Median  KLD:   0.0000" in found
    assert found.count("\n   ") == 4


def test_a_base_file_that_llama_perplexity_wrote(shared: Path) -> None:
    """stories-bf16.base: stories260K in BF16; stories260K itself, in F32, is compared with it."""
    path = EXPECTED / "stories-bf16.base"
    found = run(
        "-m", shared / "models" / "stories260K.gguf", "-b", 192, "--kl-divergence", "--kl-divergence-base", path
    )
    assert_printed(found, "divergence-stories.txt", n_units=4)


def test_codes_are_those_that_llama_perplexity_wrote() -> None:
    """Its probabilities, taken for logits, have to be coded as it did: they are what they were made from, rounded."""
    base = BaseFile(EXPECTED / "stories-bf16.base")
    assert base.tokens.shape == (4, 64)
    rows = base.rows((1, slice(0, 31)))
    words, _ = encoded(decoded(rows, 512), base.tokens[1, 33:])
    np.testing.assert_array_equal(words[:, HEAD_WORDS:], rows[:, HEAD_WORDS:])
    heads = [each[:, :HEAD_WORDS].copy().view(np.float32) for each in (words, rows)]
    np.testing.assert_allclose(heads[0], heads[1], rtol=1e-5)
