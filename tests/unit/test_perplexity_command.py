"""`pyggml perplexity`: what it refuses; its figures are compared in tests/model/test_evaluate_perplexity.py."""

from pathlib import Path

import pytest

from tests.unit.cli_running import invoke


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["-f", "x", "-c", "2"], 2, "-c is 2; allowed are 3 and up"),
        (["--kl-divergence"], 2, "--kl-divergence needs a base model's probabilities"),
        (
            ["-f", "x", "--ppl-stride", "4", "--kl-divergence-base", "y"],
            2,
            "--ppl-stride and --kl-divergence-base excl",
        ),
        (["-f", "x", "-c", "10", "--ppl-stride", "512"], 2, "--ppl-stride is 512; allowed are 1 to 511"),
        ([], 2, "there is no text to measure on: give one with -f FILE or -p TEXT"),
        (["-f", "x", "-p", "y"], 2, "-p and -f both give the text"),
        (["-f", "none"], 2, "-f none: the file cannot be read: No such file"),
        (["-p", "Hello", "-c", "8"], 1, "the text has 2 tokens; with chunks of 8 at least 16 are needed"),
        (["--kl-divergence", "--kl-divergence-base", "none"], 1, "none: the probabilities cannot be read"),
    ],
)
def test_what_cannot_be_measured(arguments: list[str], status: int, message: str) -> None:
    result = invoke("perplexity", *arguments)
    assert result.exit_code == status, result.output
    assert message in result.stderr


def test_a_base_file_of_another_vocabulary() -> None:
    path = Path(__file__).parents[1] / "data" / "evaluate" / "stories-bf16.base"
    result = invoke("perplexity", "-p", "left aside", "--kl-divergence", "--kl-divergence-base", str(path))
    assert result.exit_code == 1
    assert "the text is left aside: --kl-divergence takes that of the base model's file" in result.stderr
    assert "are those of a vocabulary of 512 tokens, and the model has 7936" in result.stderr


def test_one_chunk_is_enough(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"Once upon a time there was a fox.\r\nIt had a lantern, and a friend.\n")
    result = invoke("perplexity", "-f", str(tmp_path / "text"), "-c", "8", "--chunks", "1")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("[1]")
    assert "Final estimate: PPL = " in result.stdout
    assert "1 chunks of 8, 3 scored in each" in result.stderr
    none = invoke("perplexity", "-f", str(tmp_path / "text"), "-c", "8", "--chunks", "0")
    assert (none.exit_code, none.stdout) == (0, "\n")
