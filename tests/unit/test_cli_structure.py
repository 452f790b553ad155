"""The options of grammars and JSON schemas."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from pyggml.cli import structure
from pyggml.cli.grammar_options import GrammarOptions
from pyggml.cli.structure import Structure
from pyggml.errors import GrammarError, MissingExtraError, UsageError
from tests.unit.cli_running import invoke
from tests.unit.following import demo_tokenizer, follows


def options(**given: Any) -> GrammarOptions:
    return GrammarOptions(**{**dict.fromkeys(("grammar", "grammar_file", "json_schema", "json_schema_file")), **given})


def test_texts_and_files_bind_the_answers(tmp_path: Path) -> None:
    grammar, schema = 'root ::= "yes" | "no"\n', '{"enum": ["yes", "no"]}'
    (tmp_path / "grammar").write_text(grammar)
    (tmp_path / "schema").write_text(schema)
    for given in ({"grammar": grammar}, {"grammar_file": tmp_path / "grammar"}):
        constraint = Structure(options(**given)).constraint(demo_tokenizer())
        assert constraint is not None
        assert [follows(constraint, text) for text in ("yes", '"yes"')] == [True, False]
    for given in ({"json_schema": schema}, {"json_schema_file": tmp_path / "schema"}):
        constraint = Structure(options(**given)).constraint(demo_tokenizer())
        assert constraint is not None
        assert [follows(constraint, text) for text in ("yes", '"yes"')] == [False, True]
    constraint = Structure(options(json_schema="{}")).constraint(demo_tokenizer())
    assert constraint is not None
    assert [follows(constraint, text) for text in ("1", '{"a": 1}')] == [False, True]


def test_nothing_binds_without_options() -> None:
    assert Structure(options()).constraint(demo_tokenizer()) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"grammar": "", "json_schema": "{}"}, "cannot be followed at once"),
        ({"grammar": "", "grammar_file": Path("a")}, "--grammar and --grammar-file both give the text"),
        ({"json_schema": "{", "json_schema_file": None}, "the JSON schema is no JSON: "),
        ({"json_schema": "[" * 100_000}, "the JSON schema is no JSON: "),
        ({"json_schema": "3"}, "the JSON schema is of type int; it has to be an object"),
        ({"grammar_file": Path("/nowhere/at/all")}, "--grammar-file /nowhere/at/all: the file cannot be read"),
    ],
)
def test_what_cannot_be(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Structure(options(**given))


@pytest.mark.parametrize("given", [{"grammar": "root ::= a"}, {"json_schema": '{"not": {}}'}, {"json_schema": "false"}])
def test_what_cannot_be_enforced(given: dict[str, Any]) -> None:
    with pytest.raises(GrammarError):
        Structure(options(**given)).constraint(demo_tokenizer())


def test_llguidance_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        structure, "find_spec", lambda name: None if name == "llguidance" else importlib.util.find_spec(name)
    )
    with pytest.raises(MissingExtraError, match=r'need llguidance: install it with pip install "pyggml\[grammar\]"'):
        Structure(options(grammar='root ::= "a"'))
    assert Structure(options()).constraint(demo_tokenizer()) is None


def test_an_answer_on_the_command_line() -> None:
    ended = invoke(
        "run", "-p", "What is 37 + 48?", "--temp", "0", "--no-perf", "--grammar", 'root ::= "<" [0-9]{3} ">"'
    )
    assert ended.exit_code == 0
    text = ended.stdout.strip()
    assert (text[0], text[1:4].isdigit(), text[4:]) == ("<", True, ">")
