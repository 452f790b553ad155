"""Any body to any endpoint: an answer, or an error that is the client's; never one of the server's."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.server.service import ServerOptions
from tests.e2e.serving import Served, served

#: What the schema says a field may be, and what it may not; numbers that are hard to hold.
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 5),
    st.sampled_from([2**31, 2**63, 2**64, -(2**63), 10**400, 1e308, -1e308, 1e-320, -0.0, math.nan, math.inf]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["Ravi was", "last", "float", "\ud800", "\x00", "none"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda children: st.one_of(
        st.lists(children, max_size=3), st.dictionaries(st.text(max_size=5), children, max_size=2)
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("slots")
    options = ServerOptions(embeddings=True, pooling="mean", slot_save_path=folder, metrics_endpoint=True, n_predict=4)
    with served(options) as server:
        yield server


def posts(server: Served) -> dict[str, list[str]]:
    """The paths that take a body, with the fields of each, by the server's own schema."""
    schema = server.client.get("/openapi.json").json()
    found = {}
    for path, methods in schema["paths"].items():
        if "post" not in methods:
            continue
        content = methods["post"].get("requestBody", {}).get("content", {})
        reference = content.get("application/json", {}).get("schema", {}).get("$ref", "")
        fields = schema["components"]["schemas"].get(reference.rsplit("/", 1)[-1], {}).get("properties", {})
        found[path] = sorted(fields)
    return found


def check(response: Any, said: str) -> None:
    assert response.status_code < 500 or response.status_code == 501, (said, response.text)
    if response.status_code >= 400:
        error = response.json()["error"]
        assert error["message"]
        assert error["type"]
        assert error.get("code", response.status_code) == response.status_code  # Anthropic's errors have none


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_no_body_is_the_servers_fault(server: Served, data: st.DataObject) -> None:
    endpoints = posts_of(server)
    path = data.draw(st.sampled_from(sorted(endpoints)))
    fields = endpoints[path]
    body: dict[str, Any] = {}
    if fields:
        body = data.draw(st.dictionaries(st.sampled_from(fields), VALUES, max_size=4))
    if "prompt" in fields and data.draw(st.booleans()):
        body["prompt"] = "Ravi was"
    for name in ("n_predict", "max_tokens"):  # an answer of any length takes its time, and tells nothing more
        if isinstance(body.get(name), int) and body[name] > 8:
            body[name] = 8
    said = json.dumps(body, ensure_ascii=True)
    check(server.client.post(path.replace("{id_slot}", "0"), content=said), f"{path} {said}")


_SEEN: dict[int, dict[str, list[str]]] = {}


def posts_of(server: Served) -> dict[str, list[str]]:
    return _SEEN.setdefault(id(server), posts(server))


@given(path=st.text(max_size=20), action=st.text(max_size=8), name=st.text(max_size=20))
@settings(max_examples=60, deadline=None)
def test_no_path_is_the_servers_fault(server: Served, path: str, action: str, name: str) -> None:
    address = f"/slots/{quote(path, safe='', errors='replace')}?action={quote(action, errors='replace')}"
    response = server.client.post(address, content=json.dumps({"filename": name}))
    check(response, repr((path, action, name)))


@given(name=st.text(max_size=300))
@settings(max_examples=80, deadline=None)
def test_slots_are_saved_in_their_folder_alone(server: Served, name: str) -> None:
    folder = server.service.options.slot_save_path
    assert folder is not None
    before = set(folder.parent.rglob("*"))
    response = server.client.post("/slots/1", params={"action": "save"}, content=json.dumps({"filename": name}))
    check(response, repr(name))
    new = set(folder.parent.rglob("*")) - before
    assert all(each.parent == folder for each in new)
    assert not [each for each in folder.iterdir() if response.status_code != 200 and each in new]
    for each in new:
        each.unlink()


@pytest.mark.parametrize(
    ("path", "content", "field"),
    [
        ("/completion", b'{"prompt": "a", "temperature": NaN}', "temperature"),
        ("/completion", b'{"prompt": "a", "n_keep": -2}', "n_keep"),
        ("/completion", b'{"prompt": "a", "top_k": "many"}', "top_k"),
        ("/completion", b'{"prompt": "a", "stop": 5}', "stop"),
        ("/completion", b'{"prompt": "a", "logit_bias": [[1, true]]}', "logit_bias"),
        ("/completion", b'{"prompt": "a", "logit_bias": [[1]]}', "logit_bias"),
        ("/completion", b'{"prompt": "a", "samplers": "?"}', "samplers"),
        ("/completion", b'{"prompt": "a", "grammar": 5}', "grammar"),
        ("/completion", b'{"prompt": "a", "max_tokenz": 5}', "max_tokenz"),
        ("/completion", b'{"prompt": [1, [2]]}', "prompt"),
        ("/completion", b'{"prompt": {"prompt_string": "a", "multimodal_data": ["x"]}}', "multimodal_data"),
        ("/v1/completions", b'{"prompt": "a", "n": 0}', "n: "),
        ("/tokenize", b'{"content": {"a": 1}}', "content"),
        ("/detokenize", b'{"tokens": [9999999]}', "token 9999999"),
        ("/apply-template", b'{"messages": [{"content": "x"}]}', "role"),
        ("/apply-template", b'{"messages": [], "chat_template_kwargs": {"tools": 1}}', "tools"),
        ("/v1/embeddings", b'{"input": "a", "embd_normalize": -2}', "embd_normalize"),
        ("/infill", b'{"input_prefix": 5, "input_suffix": ""}', "input_prefix"),
        ("/completion", b"\xff", "body"),
    ],
)
def test_errors_name_the_field(server: Served, path: str, content: bytes, field: str) -> None:
    response = server.client.post(path, content=content)
    assert response.status_code == 400, response.text
    assert field in response.json()["error"]["message"]
