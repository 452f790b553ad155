"""POST /infill beside llama-server, with a model that has tokens for it: the same prompts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pyggml.gguf import GGUFFile
from pyggml.gguf.encoding import Field
from pyggml.gguf.splitting import copied, fields_of
from pyggml.gguf.values import FieldType, ValueType
from pyggml.gguf.writer import write_gguf
from pyggml.package_data import demo_model
from pyggml.server.service import ServerOptions
from tests.e2e.llama_server import llama_server, shape_of
from tests.e2e.serving import Served, served

GAP = {"fim_pre_token_id": 301, "fim_suf_token_id": 302, "fim_mid_token_id": 303}
FILES = {"fim_rep_token_id": 304, "fim_sep_token_id": 305}
N_BATCH = 64


@pytest.fixture(scope="module", params=["gap", "files"])
def servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Served, httpx.Client]]:
    file = GGUFFile.open(demo_model())
    roles = GAP if request.param == "gap" else GAP | FILES
    added = {f"tokenizer.ggml.{name}": Field(FieldType(ValueType.UINT32), token) for name, token in roles.items()}
    path: Path = tmp_path_factory.mktemp("infill") / "model.gguf"
    write_gguf(path, fields_of(file) | added, [copied(file, info) for info in file.tensors.values()])
    options = ServerOptions(n_batch=N_BATCH)
    with served(options, path=path) as own, llama_server(path, n_batch=N_BATCH, n_ubatch=N_BATCH) as theirs:
        yield own, theirs


@pytest.mark.parametrize(
    "body",
    [
        {"input_prefix": "def add(a, b):\n    return", "input_suffix": "\n\nprint(add(1, 2))"},
        {"input_prefix": "a " * 100, "input_suffix": " b" * 100, "prompt": "and then"},
        {"input_prefix": ["x", 5], "input_suffix": "", "input_extra": [{"text": "import os", "filename": "a.py"}]},
        {"input_prefix": "x", "input_suffix": "y", "input_extra": [{"text": "one"}, {"text": "two " * 400}]},
    ],
)
def test_prompts(servers: tuple[Served, httpx.Client], body: dict[str, Any]) -> None:
    own, theirs = servers
    body = {**body, "n_predict": 2, "temperature": 0}
    answers = [client.post("/infill", json=body).json() for client in (own.client, theirs)]
    assert shape_of(answers[0]) == shape_of(answers[1])
    assert answers[0]["prompt"] == answers[1]["prompt"]
    assert answers[0]["tokens_evaluated"] == answers[1]["tokens_evaluated"]


def test_a_model_without_the_tokens_says_which() -> None:
    with served(n_slots=1) as server:
        response = server.post("/infill", input_prefix="a", input_suffix="b")
        assert response.status_code == 501
        message = response.json()["error"]["message"]
        assert message == (
            "Infill is not supported by this model: prefix token is missing. suffix token is missing."
            " middle token is missing."
        )
