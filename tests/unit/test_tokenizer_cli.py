"""`pyggml tokenize`."""

import ast
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pyggml.cli.main import main
from tests.vocabularies import Tokens, write_vocabulary

TEXTS = ["<unk>", "<s>", "</s>", "a", "b", "▁a", "▁", "<0x0A>", "<0xFF>", "<0xEF>", "<0xBF>", "<0xBD>", "\\", "n"]
TYPES = [2, 3, 3, 1, 1, 1, 1, 6, 6, 6, 6, 6, 1, 1]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("made") / "vocabulary.gguf"
    return str(write_vocabulary(path, "llama", Tokens(TEXTS, TYPES, [0.0] * len(TEXTS)), add_eos_token=True))


def run(*arguments: str, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(main, ["tokenize", *arguments], input=stdin)


def ids(*arguments: str, stdin: bytes = b"") -> list[int]:
    result = run("--ids", *arguments, stdin=stdin)
    assert result.exit_code == 0, result.output
    found = ast.literal_eval(result.stdout)
    assert isinstance(found, list)
    return found


def test_a_line_for_each_token(model: str) -> None:
    result = run("-m", model, "-p", "ab</s>")
    assert result.stdout == "     1 -> '<s>'\n     5 -> ' a'\n     4 -> 'b'\n     2 -> '</s>'\n     2 -> '</s>'\n"


def test_bytes_of_pieces_are_printed_as_they_are(model: str) -> None:
    result = run("-m", model, "--stdin", "--no-escape", "--no-bos", stdin=b"\xff")
    assert result.stdout_bytes == b"     6 -> ' '\n     8 -> '\xff'\n"


def test_ids_and_count(model: str) -> None:
    result = run("-m", model, "-p", "a", "--ids", "--show-count")
    assert result.stdout == "[1, 5, 2]\nTotal number of tokens: 3\n"
    assert run("-m", model, "-p", "", "--no-bos", "--show-count").stdout == "Total number of tokens: 0\n"


def test_bos_and_special_tokens(model: str) -> None:
    assert ids("-m", model, "-p", "a</s>") == [1, 5, 2, 2]
    assert ids("-m", model, "-p", "a</s>", "--no-bos") == [5, 2]
    spelled = run("--ids", "-m", model, "-p", "a</s>", "--no-parse-special")
    assert spelled.exit_code == 1
    assert "error: the vocabulary has neither a piece" in spelled.stderr


def test_sources_and_escapes(model: str, tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_bytes(b"a\\nb\n")
    for arguments in (["-p", "a\\nb\n"], ["-f", str(file)], ["--stdin"]):
        assert ids("-m", model, *arguments, stdin=file.read_bytes()) == [1, 5, 7, 4, 7, 2]
        assert ids("-m", model, *arguments, "--no-escape", stdin=file.read_bytes()) == [1, 5, 12, 13, 4, 7, 2]


def test_the_packaged_model_is_the_default() -> None:
    assert ids("-p", "<|im_end|>") == [7930]


@pytest.mark.parametrize("arguments", [[], ["-p", "a", "--stdin"], ["-p", "a", "-f", "b"], ["-f", "a", "--stdin"]])
def test_there_must_be_one_text(model: str, arguments: list[str]) -> None:
    result = run("-m", model, *arguments)
    assert result.exit_code == 2
    assert result.stderr.endswith("there must be one text: give -p TEXT, -f FILE or --stdin, just one of them\n")


def test_failures(model: str, tmp_path: Path) -> None:
    broken = run("-m", model, "--stdin", stdin=b"ab\xff")
    assert broken.exit_code == 2
    assert "byte 2 of the text is not UTF-8: --no-escape tokenizes such a text byte by byte" in broken.stderr
    for arguments in (["-m", str(tmp_path / "absent"), "-p", "a"], ["-m", model, "-f", str(tmp_path / "absent")]):
        result = run(*arguments)
        assert result.exit_code == 1
        assert result.stderr.count("\n") == 1
        assert "absent" in result.stderr
