"""`pyggml serve`: what is refused before a model is loaded, and what comes of the options."""

from importlib import util
from pathlib import Path

import pytest

from tests.unit.cli_running import invoke


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-np", "0"], "-np is 0; allowed are -1"),
        (["--api-key", ","], "holds no key"),
        (["--temp", "nan"], "temperature is nan"),
        (["--api-prefix", "llm"], "--api-prefix is 'llm'; it begins with a slash, such as /llm"),
    ],
)
def test_options_that_cannot_be(arguments: list[str], message: str) -> None:
    result = invoke("serve", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    certificate.touch()
    result = invoke("serve", "--ssl-cert-file", str(certificate))
    assert result.exit_code == 2
    assert "HTTPS needs both" in result.stderr


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find = util.find_spec
    monkeypatch.setattr("pyggml.cli.serving.find_spec", lambda name: None if name == "fastapi" else find(name))
    result = invoke("serve")
    assert result.exit_code == 1
    assert 'pyggml serve needs fastapi: install it with pip install "pyggml[server]"' in result.stderr


def test_a_model_that_fails_to_load(tmp_path: Path) -> None:
    result = invoke("serve", "-m", str(tmp_path / "none.gguf"))
    assert result.exit_code == 1
    assert "none.gguf" in result.stderr


def test_help_is_in_sections() -> None:
    shown = invoke("serve", "--help").stdout
    for title in ("Address and access:", "Requests:", "Endpoints:", "Model:", "--slot-save-path", "-np"):
        assert title in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", ","], "--host names no address"),
        (["--reranking"], "--reranking needs a model made for it"),
        (["--log-file", "/no/such/folder/log", "--port", "0"], "--log-file /no/such/folder/log: No such file"),
        (["--max-body-size", "0"], "--max-body-size"),
        (["--pooling", "rank"], "--pooling"),
    ],
)
def test_more_options_that_cannot_be(arguments: list[str], message: str) -> None:
    result = invoke("serve", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_comments_in_a_file_of_keys_are_no_keys(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("# for the team\n\n", encoding="utf-8")
    result = invoke("serve", "--api-key-file", str(keys))
    assert result.exit_code == 2
    assert "holds no key" in result.stderr
