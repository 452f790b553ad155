"""The same requests to llama-server and to pyggml: the same names and types, and where it can be, the same values."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from pyggml.engine import Pooling
from pyggml.server.service import ServerOptions
from tests.e2e.llama_server import llama_server, said_by, shape_of, slot_folder
from tests.e2e.serving import Served, served

GREEDY: dict[str, Any] = {"prompt": "Ravi was", "temperature": 0, "n_predict": 6}
#: What another machine, another moment or another name may make different.
VARYING = frozenset(
    {
        *("timings", "id_slot", "model", "created", "id", "system_fingerprint", "tokens_cached", "reasoning_format"),
        *("logprob", "prob", "prompt_progress", "tokens", "usage", "chat_template_caps"),
    }
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("slots")


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Iterator[httpx.Client]:
    with llama_server(slot_save_path=slot_folder(folder)) as client:
        yield client


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("own-slots")
    options = ServerOptions(slot_save_path=folder, metrics_endpoint=True, props_endpoint=True)
    with served(options) as server:
        yield server


def fixed(value: Any) -> Any:
    """An answer without what may vary."""
    if isinstance(value, dict):
        return {name: fixed(item) for name, item in value.items() if name not in VARYING}
    return [fixed(item) for item in value] if isinstance(value, list) else value


def both(server: Served, theirs: httpx.Client, path: str, body: Any) -> tuple[Any, Any]:
    """What the two say; the statuses are equal."""
    responses = [client.post(path, json=body) for client in (server.client, theirs)]
    assert responses[0].status_code == responses[1].status_code, responses[0].text
    own, other = map(said_by, responses)
    return own, other


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"n_probs": 3},
        {"stop": [" boy"]},
        {"stop": "ver b", "n_probs": 1, "n_predict": 12},
        {"prompt": ["Ravi was", "The fox"]},
        {"prompt": [264, "fox"]},
        {"prompt": [[264, 272], "The fox"], "n_cmpl": 2},
        {"prompt": {"prompt_string": "The fox"}},
        {"logit_bias": [[264, False], ["fox", 2.5], ["never", -1]]},
        {"logit_bias": {"264": -3, " curious": 1}},
        {"ignore_eos": True, "seed": 7, "samplers": "kpt", "top_k": 5, "n_discard": 3, "n_keep": 2},
        {"samplers": ["top_k", "temperature"], "repeat_penalty": 1.1, "min_keep": 2, "dry_multiplier": 0.5},
        {"response_fields": ["content", "generation_settings/n_predict", "timings/prompt_n", "nothing/at_all"]},
        {"post_sampling_probs": True, "n_probs": 2},
        {"n_predict": 40, "t_max_predict_ms": 100_000},
    ],
)
def test_completion(server: Served, theirs: httpx.Client, body: dict[str, Any]) -> None:
    own, other = both(server, theirs, "/completion", {**GREEDY, **body})
    assert shape_of(own) == shape_of(other)
    assert fixed(own) == fixed(other)


@pytest.mark.parametrize("body", [{}, {"n_probs": 1}, {"return_progress": True}, {"stop": ["ver b"]}])
def test_completion_in_a_stream(server: Served, theirs: httpx.Client, body: dict[str, Any]) -> None:
    own, other = both(server, theirs, "/completion", {**GREEDY, "stream": True, **body})
    # llama-server shows the timings already with the last token of a stop string, and token 0 where there is none.
    without = {"timings": 0, "tokens": 0}
    assert [shape_of({**each, **without}) for each in own] == [shape_of({**each, **without}) for each in other]
    assert [fixed(each) for each in own] == [fixed(each) for each in other]
    tokens = [[each["tokens"] for each in events if "prompt_progress" not in each] for events in (own, other)]
    assert tokens[0] == tokens[1]


def test_probabilities(server: Served, theirs: httpx.Client) -> None:
    for body in ({"n_probs": 5}, {"n_probs": 5, "post_sampling_probs": True, "temperature": 1.5, "seed": 3}):
        own, other = both(server, theirs, "/completion", {**GREEDY, **body})
        name = "prob" if "seed" in body else "logprob"
        pairs = zip(own["completion_probabilities"], other["completion_probabilities"], strict=True)
        for one, another in pairs:
            assert one["id"] == another["id"]
            np.testing.assert_allclose(one[name], another[name], atol=0.02)
            top = [[each[name] for each in item[f"top_{name}s"]] for item in (one, another)]
            np.testing.assert_allclose(np.exp(top[0]), np.exp(top[1]), atol=0.02)


@pytest.mark.parametrize("body", [{}, {"logprobs": 2}, {"prompt": ["Ravi was", "The fox"]}, {"n": 2, "max_tokens": 3}])
def test_openai_completion(server: Served, theirs: httpx.Client, body: dict[str, Any]) -> None:
    own, other = both(server, theirs, "/v1/completions", {**GREEDY, **body})
    assert shape_of(own) == shape_of(other)
    assert fixed(own) == fixed(other)


def test_openai_usage_counts_each_prompt_once(server: Served) -> None:
    body = {"prompt": ["Ravi was", "The fox"], "n": 2, "max_tokens": 3, "ignore_eos": True}
    usage = server.post("/v1/completions", **body).json()["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (6, 12, 18)
    events = server.stream("/v1/completions", **body, stream=True, stream_options={"include_usage": True})
    *_, last, done = (line.removeprefix("data: ") for line in events)
    assert done == "[DONE]"
    assert (json.loads(last)["choices"], json.loads(last)["usage"]["total_tokens"]) == ([], 18)


def test_openai_completion_in_a_stream(server: Served, theirs: httpx.Client) -> None:
    own, other = both(server, theirs, "/v1/completions", {**GREEDY, "stream": True, "logprobs": 1})
    assert own[-1] == other[-1] == "[DONE]"
    assert [shape_of(each) for each in own] == [shape_of(each) for each in other]
    assert [fixed(each) for each in own] == [fixed(each) for each in other]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tokenize", {"content": "Ravi été 😀<|im_end|>", "with_pieces": True}),
        ("/tokenize", {"content": "Ravi <|im_end|>", "add_special": True}),
        ("/tokenize", {"content": "Ravi <|im_end|>", "parse_special": False}),
        ("/tokenize", {"content": ["Ravi", 5, " was"]}),
        ("/tokenize", {}),
        ("/tokenize", {"content": 5}),
        ("/detokenize", {"tokens": [264, 272, 7930]}),
        ("/detokenize", {}),
        ("/detokenize", {"tokens": "x"}),
        ("/apply-template", {"messages": [{"role": "user", "content": "Hi"}]}),
        ("/apply-template", {"messages": []}),
        ("/apply-template", {}),
        ("/props", {}),
        ("/completion", {"prompt": []}),
        ("/completion", {"prompt": 5}),
        ("/completion", {"prompt": "a", "n_predict": "x"}),
        ("/completion", {"prompt": "a", "n_predict": -5}),
        ("/completion", {"prompt": "a", "n_cmpl": 9}),
        ("/completion", {"prompt": [999999]}),
        ("/completion", {"prompt": "Ravi " * 600}),
        ("/completion", {"prompt": "Ravi " * 600, "stream": True}),
        ("/v1/completions", {}),
        ("/embedding", {"content": "a"}),
        ("/v1/embeddings", {"input": "a"}),
        ("/rerank", {"query": "a", "documents": ["b"]}),
        ("/infill", {"input_prefix": "a", "input_suffix": "b"}),
        ("/nothing", {}),
        ("/slots/0?action=save", {"filename": "../a.bin"}),
        ("/slots/0?action=save", {"filename": ""}),
        ("/slots/0?action=save", {}),
        ("/slots/x?action=save", {"filename": "a"}),
        ("/slots/0?action=other", {"filename": "a"}),
        ("/slots/0?action=restore", {"filename": "none.bin"}),
    ],
)
def test_small_answers_and_errors(server: Served, theirs: httpx.Client, path: str, body: dict[str, Any]) -> None:
    own, other = both(server, theirs, path, body)
    assert shape_of(own) == shape_of(other)
    if "error" in own:
        assert {**own["error"], "message": ""} == {**other["error"], "message": ""}
    else:
        assert own == other


@pytest.mark.parametrize("path", ["/health", "/v1/health", "/props", "/models", "/v1/models", "/completion", "/none"])
def test_what_is_being_served(server: Served, theirs: httpx.Client, path: str) -> None:
    responses = [client.get(path) for client in (server.client, theirs)]
    assert responses[0].status_code == responses[1].status_code
    own, other = map(said_by, responses)
    own.pop("chat_template_caps", None), other.pop("chat_template_caps", None)
    for each in (own, other):
        for model in each.get("data", []):
            del model["aliases"]
    assert shape_of(own) == shape_of(other)
    if path == "/props":
        assert own["default_generation_settings"] == other["default_generation_settings"]
        for name in ("bos_token", "eos_token", "chat_template", "total_slots", "model_ftype", "modalities"):
            assert own[name] == other[name]
    if path == "/models":
        assert own["data"][0]["meta"] == other["data"][0]["meta"]


def test_slots(server: Served, theirs: httpx.Client) -> None:
    body = {**GREEDY, "id_slot": 2, "stream": True}
    both(server, theirs, "/completion", body)
    own, other = (client.get("/slots").json() for client in (server.client, theirs))
    assert [each["id"] for each in own] == [0, 1, 2, 3]
    assert shape_of(own[2]) == shape_of(other[2])
    own[2]["params"].pop("reasoning_format"), other[2]["params"].pop("reasoning_format")
    assert own[2]["params"] == other[2]["params"]
    kept = own[2]["n_prompt_tokens"]
    own_saved, other_saved = both(server, theirs, "/slots/2?action=save", {"filename": "slot.bin"})
    assert shape_of(own_saved) == shape_of(other_saved)
    assert own_saved["n_saved"] == kept
    for action in ("erase", "restore"):
        own, other = both(server, theirs, f"/slots/2?action={action}", {"filename": "slot.bin"})
        assert shape_of(own) == shape_of(other)
        assert own.get("n_erased", own.get("n_restored")) == kept


def test_metrics(server: Served, theirs: httpx.Client) -> None:
    own, other = (client.get("/metrics") for client in (server.client, theirs))

    def names(text: str) -> set[str]:
        return {line.split()[0] for line in text.splitlines() if line and not line.startswith("#")}

    assert names(own.text) == names(other.text)
    assert own.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert float(own.headers["Process-Start-Time-Unix"]) > 0


@pytest.mark.parametrize("pooling", ["last", "mean", "cls", "none"])
def test_embeddings(pooling: Pooling) -> None:
    parameters: dict[str, Any] = {"embedding": True, "pooling_type": POOLING_TYPES[pooling]}
    texts = ["Ravi was a boy", "The", [264, 272, 273]]
    with llama_server(**parameters) as theirs, served(ServerOptions(embeddings=True, pooling=pooling)) as server:
        for norm in (2, -1, 0, 1, 3):
            own, other = both(server, theirs, "/embedding", {"content": texts, "embd_normalize": norm})
            assert shape_of(own) == shape_of(other)
            for one, another in zip(own, other, strict=True):
                assert_alike(one["embedding"], another["embedding"])
        for body in ({"input": texts}, {"input": "The", "encoding_format": "base64"}, {"content": "The"}):
            own, other = both(server, theirs, "/v1/embeddings", body)
            assert shape_of(own) == shape_of(other)
        bad: list[dict[str, Any]] = [{"input": ""}, {}, {"input": "a", "encoding_format": "x"}]
        # Otherwise it wants all of a text in one batch, and calls it its own error.
        bad += [{"input": "a " * 600}] if pooling == "last" else []
        for body in bad:
            own, other = both(server, theirs, "/v1/embeddings", body)
            assert {**own["error"], "message": ""} == {**other["error"], "message": ""}
        if pooling == "last":
            encoded = server.post("/v1/embeddings", input="The", encoding_format="base64").json()["data"][0]
            vector = server.post("/v1/embeddings", input="The").json()["data"][0]["embedding"]
            decoded = np.frombuffer(base64.b64decode(encoded["embedding"]), np.float32)
            np.testing.assert_array_equal(decoded, np.array(vector, np.float32))


POOLING_TYPES = {"none": 0, "mean": 1, "cls": 2, "last": 3}


def assert_alike(own: list[list[float]], other: list[list[float]]) -> None:
    """llama-server's own vectors of these texts differ by up to 0.023 with flash attention and without."""
    one, another = np.array(own), np.array(other)
    assert one.shape == another.shape
    distances = np.linalg.norm(one - another, axis=1) / np.linalg.norm(another, axis=1)
    assert distances.max() < 0.025, distances
