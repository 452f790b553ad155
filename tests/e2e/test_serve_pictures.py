"""Pictures over HTTP: in all shapes that clients send them, beside other requests, and refused."""

import base64
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pyggml.errors import ImageError
from pyggml.server.pictures import picture_data
from pyggml_reference.random_model import RandomModel, random_model
from pyggml_reference.random_tower import RandomTower, random_tower
from tests.e2e.serving import Served, served
from tests.unit.loopback import LoopbackServer

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LENGTH = {"max_tokens": 12, "temperature": 0}


def png(seed: int, width: int = 90, height: int = 60) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def image_url(data: bytes) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{in_base64(data)}"}}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    random_model(
        folder / "text.gguf", RandomModel("qwen2vl", sections=(2, 3, 3), n_extra_tokens=3, chat_template=CHATML)
    )
    random_tower(folder / "mmproj.gguf", RandomTower())
    with served(path=folder / "text.gguf", mmproj=folder / "mmproj.gguf") as server:
        yield server


def chat(server: Served, *parts: dict[str, Any]) -> dict[str, Any]:
    answer = server.post("/v1/chat/completions", messages=[{"role": "user", "content": list(parts)}], **LENGTH)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def input_parts(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    """The same as /v1/responses has it."""
    return [
        {"type": "input_image", "detail": "auto", "image_url": part["image_url"]["url"]}
        if part["type"] == "image_url"
        else {"type": "input_text", "text": part["text"]}
        for part in parts
    ]


def respond(server: Served, *parts: dict[str, Any]) -> tuple[str, int]:
    """What /v1/responses answers, and how many tokens it was asked."""
    items = [{"role": "user", "content": input_parts(*parts)}]
    answer = server.post("/v1/responses", input=items, max_output_tokens=12, temperature=0).json()
    counted = server.post("/v1/responses/input_tokens", input=items).json()["input_tokens"]
    assert answer["usage"]["input_tokens"] == counted
    return answer["output"][0]["content"][0]["text"], counted


def test_all_apis_show_the_model_the_same(server: Served) -> None:
    parts = [text("the"), image_url(png(1)), text("and"), image_url(png(2)), text("hello")]
    expected = chat(server, *parts)
    words = expected["choices"][0]["message"]["content"]
    n_prompt = expected["usage"]["prompt_tokens"]
    blocks = [
        text("the"),
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": in_base64(png(1))}},
        text("and"),
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": in_base64(png(2))}},
        text("hello"),
    ]
    messages = [{"role": "user", "content": blocks}]
    answer = server.post("/v1/messages", messages=messages, **LENGTH).json()
    assert (answer["content"][0]["text"], answer["usage"]["input_tokens"]) == (words, 1)
    assert server.post("/v1/messages/count_tokens", messages=messages).json() == {"input_tokens": n_prompt}
    assert respond(server, *parts) == (words, n_prompt)
    prompt = {
        "prompt_string": "<|im_start|>user\nthe<__media__>and<__media__>hello<|im_end|>\n<|im_start|>assistant\n",
        "multimodal_data": [in_base64(png(1)), in_base64(png(2))],
    }
    native = server.post("/completion", prompt=prompt, **LENGTH).json()
    assert (native["content"], native["tokens_evaluated"]) == (words, n_prompt)
    assert "<|vision_start|><|vision_end|>and<|vision_start|>" in native["prompt"]


def test_a_conversation_goes_on_without_its_pictures_being_computed_again(server: Served) -> None:
    messages: list[dict[str, Any]] = [{"role": "user", "content": [image_url(png(3)), text("the")]}]
    first = server.post("/v1/chat/completions", messages=messages, **LENGTH).json()
    messages += [first["choices"][0]["message"], {"role": "user", "content": "and"}]
    second = server.post("/v1/chat/completions", messages=messages, **LENGTH).json()
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] >= first["usage"]["prompt_tokens"]


def test_an_answer_does_not_depend_on_what_runs_beside_it(server: Served) -> None:
    pictures = [png(seed, 60 + 30 * seed, 60) for seed in range(4)]

    def answer(index: int) -> str:
        found = chat(server, image_url(pictures[index]), text("the"), image_url(pictures[-index]))
        return str(found["choices"][0]["message"]["content"])

    server.service.scheduler.forget_all()
    alone = [answer(index) for index in range(4)]
    server.service.scheduler.forget_all()
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(answer, range(4))) == alone


def test_the_server_says_that_it_sees(server: Served) -> None:
    assert server.client.get("/props").json()["modalities"]["vision"] is True
    (model,) = server.client.get("/v1/models").json()["data"]
    assert model["architecture"]["input_modalities"] == ["text", "image"]


def test_a_written_prompt_marks_its_pictures(server: Served) -> None:
    messages = [{"role": "user", "content": [image_url(png(1)), text("the")]}]
    assert "user\n<__media__>the<|im_end|>" in server.post("/apply-template", messages=messages).json()["prompt"]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("data:image/png;base64,aGVsbG8=", "messages[0].content[0]: this is no picture that can be read"),
        ("data:text/plain;base64,aGVsbG8=", "'data:text/plain;base64' is no picture in base64"),
        ("data:image/png,abc", "'data:image/png' is no picture in base64"),
        ("%%%", "messages[0].content[0]: neither an address nor base64"),
        ("file:///etc/passwd", "messages[0].content[0]: files of the server are not read"),
        (f"data:image/png;base64,{in_base64(png(1)[:500])}", "messages[0].content[0]: the picture is damaged"),
        (f"data:image/png;base64,{in_base64(png(1, 800, 800))}", "the picture takes 841 tokens"),
    ],
)
def test_a_picture_that_cannot_be_shown_is_an_error_of_the_client(server: Served, url: str, message: str) -> None:
    parts = [{"type": "image_url", "image_url": {"url": url}}, text("the")]
    answer = server.post("/v1/chat/completions", messages=[{"role": "user", "content": parts}])
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ({"prompt_string": "a<__media__>", "multimodal_data": []}, None),
        ({"prompt_string": "a", "multimodal_data": ["aGk="]}, "no picture that can be read"),
        ({"prompt_string": "a", "multimodal_data": [in_base64(png(1))]}, "0 places for pictures"),
        ({"prompt_string": [1, 2], "multimodal_data": ["aGk="]}, "prompt_string: beside multimodal_data"),
        ({"prompt_string": "a", "multimodal_data": [5]}, "prompt"),
    ],
)
def test_prompts_and_their_pictures_have_to_fit(server: Served, prompt: dict[str, Any], message: str | None) -> None:
    answer = server.post("/completion", prompt=prompt, n_predict=1)
    assert answer.status_code == (400 if message else 200)
    assert (message or "content") in answer.text


@pytest.mark.parametrize(
    ("source", "message"),
    [({"type": "file", "data": ""}, "source.type is 'file'; allowed are base64 and url"), (None, "source: missing")],
)
def test_a_block_has_to_say_where_its_picture_is(server: Served, source: Any, message: str) -> None:
    messages = [{"role": "user", "content": [{"type": "image", "source": source}]}]
    answer = server.post("/v1/messages", messages=messages, max_tokens=1)
    assert answer.status_code == 400
    assert message in answer.text


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"role": "user", "content": [{"type": "input_image"}]}, "input[0].content[0].image_url: missing"),
        (
            {"role": "user", "content": [*input_parts(image_url(b"hello")), {"type": "input_file"}]},
            "input[0].content[1] is of type 'input_file': only text is taken",
        ),
        (
            {"role": "assistant", "content": input_parts(image_url(png(1)))},
            "input[0].content[0] is of type 'input_image': only text is taken",
        ),
        ({"role": "user", "content": input_parts(image_url(b"hello"))}, "this is no picture that can be read"),
    ],
)
def test_an_item_that_cannot_be_shown(server: Served, item: dict[str, Any], message: str) -> None:
    for path in ("/v1/responses", "/v1/responses/input_tokens"):
        answer = server.post(path, input=[item])
        assert answer.status_code == 400
        assert message in answer.json()["error"]["message"]


def test_what_comes_of_a_call_may_be_a_picture(server: Served) -> None:
    call = {"type": "function_call", "call_id": "1", "name": "look", "arguments": "{}"}

    def n_tokens(*output: dict[str, Any]) -> int:
        result = {"type": "function_call_output", "call_id": "1", "output": input_parts(*output)}
        items = [{"role": "user", "content": "the"}, call, result]
        return int(server.post("/v1/responses/input_tokens", input=items).json()["input_tokens"])

    assert n_tokens(text("the"), image_url(png(1))) > n_tokens(text("the"))


def test_pictures_have_to_fit_into_the_context(server: Served) -> None:
    def refused(*sides: int) -> Any:
        parts = [image_url(png(1, side, side)) for side in sides]
        answer = server.post("/v1/chat/completions", messages=[{"role": "user", "content": parts}])
        assert answer.status_code == 400
        return answer.json()["error"]

    assert refused(400, 500)["message"].startswith("the prompt is too long: ")
    error = refused(700)
    assert (error["type"], error["n_prompt_tokens"], error["n_ctx"]) == ("exceed_context_size_error", 625, 512)
    assert error["message"].startswith(
        "messages[0].content[0]: the picture takes 625 tokens, and the context holds 512"
    )


def test_without_a_tower_pictures_are_refused(tmp_path: Path) -> None:
    with served() as blind:
        answer = blind.post("/v1/chat/completions", messages=[{"role": "user", "content": [image_url(png(1))]}])
        assert answer.status_code == 400
        assert "messages[0].content[0]: the server was started without --mmproj" in answer.text
        native = blind.post("/completion", prompt={"prompt_string": "<__media__>", "multimodal_data": ["aGk="]})
        assert native.status_code == 400
        assert blind.post("/embedding", content={"prompt_string": "a", "multimodal_data": ["aGk="]}).status_code >= 400
        assert blind.client.get("/props").json()["modalities"]["vision"] is False


def test_a_picture_at_an_address_is_fetched() -> None:
    with LoopbackServer() as web:
        web.add("/a.png", png(1))
        web.add("/large.png", bytes((10 << 20) + 1))
        assert picture_data(f"{web.url}/a.png", "here") == png(1)
        with pytest.raises(ImageError, match=r"here: .*large\.png has more than 10485760 bytes"):
            picture_data(f"{web.url}/large.png", "here")
        with pytest.raises(ImageError, match=r"here: .*none\.png cannot be read: .*404"):
            picture_data(f"{web.url}/none.png", "here")
    with pytest.raises(ImageError, match="cannot be read"):
        picture_data("http://127.0.0.1:1/a.png", "here")
