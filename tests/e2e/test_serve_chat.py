"""POST /v1/chat/completions over HTTP."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.serving import Served, served

PATH = "/v1/chat/completions"
USER = {"role": "user", "content": "What is 2 + 3?"}
GREEDY: dict[str, Any] = {"messages": [USER], "temperature": 0, "max_tokens": 12}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Rome", "Paris"]}, "days": {"type": "integer", "maximum": 9}},
            "required": ["city", "days"],
        },
    },
}


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served() as server:
        yield server


def chunks(server: Served, **body: Any) -> list[dict[str, Any]]:
    *lines, done = server.stream(PATH, **body, stream=True)
    assert done == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_an_answer(server: Served) -> None:
    answer = server.post(PATH, **GREEDY).json()
    (choice,) = answer["choices"]
    assert choice["message"] == {"role": "assistant", "content": choice["message"]["content"]}
    assert choice["message"]["content"]
    assert (answer["object"], choice["index"]) == ("chat.completion", 0)
    assert answer["id"].startswith("chatcmpl-")
    usage, timings = answer["usage"], answer["timings"]
    assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"]
    assert usage["completion_tokens"] == timings["predicted_n"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == timings["cache_n"]


def test_the_stream_says_the_same(server: Served) -> None:
    whole = server.post(PATH, **GREEDY).json()
    first, *texts, last, usage = chunks(server, **GREEDY, stream_options={"include_usage": True})
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": None}
    content = "".join(chunk["choices"][0]["delta"]["content"] for chunk in texts)
    assert content == whole["choices"][0]["message"]["content"]
    assert (last["choices"][0]["delta"], last["choices"][0]["finish_reason"]) == (
        {},
        whole["choices"][0]["finish_reason"],
    )
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], whole["usage"]["total_tokens"])
    assert {chunk["object"] for chunk in (first, last, usage)} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in (first, *texts, last, usage)}) == 1


def test_without_usage_the_last_chunk_has_the_timings(server: Served) -> None:
    *_, last = chunks(server, **GREEDY)
    assert last["timings"]["predicted_n"] > 0
    assert "usage" not in last


def test_the_prompt_is_the_template_s(server: Served) -> None:
    prompt = server.service.model.choose_chat_template(None).render([USER])
    raw = server.post("/completion", prompt=prompt, temperature=0, n_predict=12).json()
    assert server.post(PATH, **GREEDY).json()["choices"][0]["message"]["content"] == raw["content"]
    parts = [{"role": "user", "content": [{"type": "text", "text": USER["content"]}]}]
    assert (
        server.post(PATH, **{**GREEDY, "messages": parts}).json()["usage"]["prompt_tokens"] == raw["tokens_evaluated"]
    )


def test_a_second_turn_computes_only_what_is_new(server: Served) -> None:
    first = server.post(PATH, **GREEDY).json()
    answer = first["choices"][0]["message"]
    messages = [USER, answer, {"role": "user", "content": "And 3 + 4?"}]
    second = server.post(PATH, **{**GREEDY, "messages": messages}).json()
    assert second["timings"]["cache_n"] >= first["usage"]["prompt_tokens"]


def test_an_answer_that_is_begun_goes_on(server: Served) -> None:
    whole = server.post(PATH, **GREEDY).json()["choices"][0]["message"]["content"]
    begun = whole[: len(whole) // 2]
    messages = [USER, {"role": "assistant", "content": begun}]
    rest = server.post(PATH, **{**GREEDY, "messages": messages}).json()["choices"][0]["message"]["content"]
    assert rest
    assert not rest.startswith(begun)


def test_several_answers(server: Served) -> None:
    story = {"role": "user", "content": "Tell me a story."}
    body = {"messages": [story], "n": 3, "seed": 7, "temperature": 2, "max_tokens": 6}
    answer = server.post(PATH, **body).json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    texts = [choice["message"]["content"] for choice in answer["choices"]]
    assert len(set(texts)) > 1
    assert texts == [choice["message"]["content"] for choice in server.post(PATH, **body).json()["choices"]]
    alone = [server.post(PATH, **{**body, "n": 1, "seed": 7 + i}).json() for i in range(3)]
    assert texts == [each["choices"][0]["message"]["content"] for each in alone]
    streamed = dict.fromkeys(range(3), "")
    for chunk in chunks(server, **body):
        (choice,) = chunk["choices"]
        streamed[choice["index"]] += choice["delta"].get("content") or ""
    assert list(streamed.values()) == texts
    assert answer["usage"]["prompt_tokens"] == alone[0]["usage"]["prompt_tokens"]


@pytest.mark.parametrize(("top", "n_top"), [({}, 20), ({"top_logprobs": 3}, 3), ({"top_logprobs": 0}, 0)])
def test_logprobs(server: Served, top: dict[str, int], n_top: int) -> None:
    body = {**GREEDY, "logprobs": True, **top}
    answer = server.post(PATH, **body).json()
    items = answer["choices"][0]["logprobs"]["content"]
    assert len(items) == answer["usage"]["completion_tokens"]
    assert "".join(item["token"] for item in items) == answer["choices"][0]["message"]["content"]
    assert all(len(item["top_logprobs"]) == n_top and item["logprob"] <= 0 for item in items)
    if n_top:
        assert all(item["top_logprobs"][0]["token"] == item["token"] for item in items)
    parts = [chunk["choices"][0].get("logprobs") for chunk in chunks(server, **body)]
    assert [item for part in parts if part for item in part["content"]] == items


def test_stop_and_bias(server: Served) -> None:
    whole = server.post(PATH, **GREEDY).json()["choices"][0]["message"]["content"]
    stop = whole[2:5]
    stopped = server.post(PATH, **GREEDY, stop=stop).json()["choices"][0]
    assert (stopped["message"]["content"], stopped["finish_reason"]) == (whole.split(stop)[0], "stop")
    token = server.service.model.tokenize("z")[0]
    assert (
        server.post(PATH, **GREEDY, logit_bias={str(token): 100})
        .json()["choices"][0]["message"]["content"]
        .startswith("zzz")
    )


SCHEMA = {
    "type": "object",
    "properties": {"sum": {"type": "integer", "minimum": 0, "maximum": 99}, "odd": {"type": "boolean"}},
    "required": ["sum", "odd"],
}


@pytest.mark.parametrize(
    "structure",
    [
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}}},
        {"response_format": {"type": "json_object", "schema": SCHEMA}},
        {"response_format": {"type": "json_object"}, "json_schema": SCHEMA},
        {"json_schema": SCHEMA},
    ],
)
def test_json_by_a_schema(server: Served, structure: dict[str, Any]) -> None:
    answer = server.post(PATH, **{**GREEDY, "max_tokens": 60}, **structure).json()["choices"][0]
    value = json.loads(answer["message"]["content"])
    assert (sorted(value), answer["finish_reason"]) == (["odd", "sum"], "stop")
    assert isinstance(value["sum"], int)
    assert isinstance(value["odd"], bool)


def test_any_object_and_a_grammar(server: Served) -> None:
    body = {**GREEDY, "max_tokens": 400, "logit_bias": {'"': 5, "}": 3}}
    content = server.post(PATH, **body, response_format={"type": "json_object"}).json()["choices"][0]["message"][
        "content"
    ]
    assert content.startswith("{")
    answer = server.post(PATH, **GREEDY, grammar='root ::= [0-9] ("," [0-9]){2}').json()["choices"][0]
    digits = answer["message"]["content"].split(",")
    assert (len(digits), answer["finish_reason"]) == (3, "stop")
    assert all(digit.isdigit() for digit in digits)


NAMED = {"type": "function", "function": {"name": "get_weather"}}
CALLING: dict[str, Any] = {**GREEDY, "max_tokens": 200, "tools": [WEATHER]}


def check_call(call: dict[str, Any]) -> None:
    assert (call["type"], call["function"]["name"]) == ("function", "get_weather")
    arguments = json.loads(call["function"]["arguments"])
    assert arguments["city"] in ("Rome", "Paris")
    assert arguments["days"] <= 9


@pytest.mark.parametrize("choice", [{"tool_choice": "required", "parallel_tool_calls": False}, {"tool_choice": NAMED}])
def test_a_call_that_is_required(server: Served, choice: dict[str, Any]) -> None:
    (answer,) = server.post(PATH, **CALLING, **choice).json()["choices"]
    message = answer["message"]
    assert (answer["finish_reason"], message["content"]) == ("tool_calls", None)
    (call,) = message["tool_calls"]
    check_call(call)
    role, begun, *rest, end = chunks(server, **CALLING, **choice)
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": None}
    (start,) = begun["choices"][0]["delta"]["tool_calls"]
    assert start["id"].startswith("call_")
    assert (start["index"], start["function"]) == (0, {"name": "get_weather", "arguments": ""})
    parts = [chunk["choices"][0]["delta"]["tool_calls"][0] for chunk in rest]
    assert len(parts) > 2
    assert "".join(part["function"]["arguments"] for part in parts) == call["function"]["arguments"]
    assert (end["choices"][0]["delta"], end["choices"][0]["finish_reason"]) == ({}, "tool_calls")


def test_several_calls(server: Served) -> None:
    (answer,) = server.post(PATH, **CALLING, tool_choice="required").json()["choices"]
    calls = answer["message"]["tool_calls"]
    whole = calls[:-1] if answer["finish_reason"] == "length" else calls
    assert len({call["id"] for call in calls}) == len(calls)
    assert whole
    for call in whole:
        check_call(call)


def test_results_go_back_into_the_conversation(server: Served) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}}
    messages = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]
    answer = server.post(PATH, **{**GREEDY, "messages": messages}, tools=[WEATHER]).json()
    assert answer["choices"][0]["finish_reason"] in ("stop", "length")
    with_tools = server.post(PATH, **GREEDY, tools=[WEATHER], tool_choice="none").json()["usage"]["prompt_tokens"]
    assert with_tools == server.post(PATH, **GREEDY).json()["usage"]["prompt_tokens"]


def test_a_call_or_json(server: Served) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    body = {**GREEDY, "max_tokens": 200, "tools": [WEATHER], "response_format": form}
    message = server.post(PATH, **body).json()["choices"][0]["message"]
    assert message.get("tool_calls") or json.loads(message["content"])["sum"] >= 0


def test_a_tool_whose_schema_need_not_be_enforced(server: Served) -> None:
    function = {"name": "f", "parameters": {"type": "object", "not": {}}, "strict": False}
    body = {**GREEDY, "max_tokens": 2, "tools": [{"type": "function", "function": function}]}
    assert server.post(PATH, **body).status_code == 200


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "messages: Field required"),
        ({"messages": [{"content": "a"}]}, "messages[0].role: "),
        ({"messages": [{"role": "user"}]}, "messages[0].content: missing"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
            "messages[0].content[0]: the server was started without --mmproj, and sees no pictures",
        ),
        ({**GREEDY, "response_format": {"type": "xml"}}, "response_format.type: "),
        ({**GREEDY, "response_format": {"type": "json_schema"}}, "json_schema.schema is missing"),
        ({**GREEDY, "json_schema": {"not": {}}}, "the JSON schema cannot be enforced: "),
        ({**GREEDY, "json_schema": SCHEMA, "grammar": 'root ::= "a"'}, "cannot be followed at once"),
        ({**GREEDY, "grammar": "root ::= other"}, "there is no rule 'other'"),
        ({**GREEDY, "grammar": 'root ::= "a"', "tools": [WEATHER]}, "grammar: it cannot be followed beside tools"),
        ({**GREEDY, "tool_choice": "required"}, "tool_choice is required, and there are no tools"),
        (
            {**GREEDY, "tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "f"}}},
            "tool_choice: there is no tool 'f'; there are get_weather",
        ),
        (
            {**GREEDY, "tools": [{"type": "function", "function": {"name": "f", "parameters": {"not": {}}}}]},
            "the parameters of tool 'f' cannot be enforced",
        ),
        ({**GREEDY, "tools": [{"type": "web_search"}]}, "tools[0].type: "),
        ({**GREEDY, "functions": []}, "functions: "),
        ({**GREEDY, "top_logprobs": 2}, "top_logprobs needs logprobs"),
        ({**GREEDY, "n": 0}, "n: "),
        ({**GREEDY, "messges": []}, "there is no field 'messges'; 'messages' was meant"),
        ({**GREEDY, "chat_template_kwargs": {"messages": []}}, "chat_template_kwargs.messages"),
        ({**GREEDY, "continue_final_message": True}, "continue_final_message: the last message is not"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, "nothing before one"),
        (
            {"messages": [USER, {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}]},
            "messages[1].tool_calls: calls cannot be continued",
        ),
        (
            {"messages": [USER, {"role": "assistant", "content": "a"}], "add_generation_prompt": True},
            "add_generation_prompt: ",
        ),
        ({"messages": [{"role": "user", "content": "a " * 3000}]}, "the prompt is too long"),
    ],
)
def test_bad_requests(server: Served, body: dict[str, Any], message: str) -> None:
    response = server.post(PATH, **body)
    error = response.json()["error"]
    assert (response.status_code, message in error["message"]) == (400, True), error


def test_tokens_are_counted(server: Served) -> None:
    for body in (GREEDY, {**GREEDY, "tools": [WEATHER]}):
        counted = server.post(f"{PATH}/input_tokens", **body).json()["input_tokens"]
        assert counted == server.post(PATH, **body).json()["usage"]["prompt_tokens"]


def test_native_endpoints_obey_grammars_too(server: Served) -> None:
    body = {"prompt": "2 + 3 =", "temperature": 0, "n_predict": 40}
    for path in ("/completion", "/v1/completions"):
        answer = server.post(path, **body, grammar='root ::= " " [0-9]{3}').json()
        text = answer["content"] if path == "/completion" else answer["choices"][0]["text"]
        assert text[0] == " "
        assert text[1:].isdigit()
        assert len(text) == 4
    value = json.loads(server.post("/completion", **body, json_schema=SCHEMA).json()["content"])
    assert sorted(value) == ["odd", "sum"]
    response = server.post("/completion", **body, json_schema={"not": {}})
    assert (response.status_code, "cannot be enforced" in response.json()["error"]["message"]) == (400, True)
