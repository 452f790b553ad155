"""The chat page over the whole server, with the model inside the package."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pyggml.server.service import ServerOptions
from pyggml_reference.random_model import RandomModel, random_model
from pyggml_reference.random_tower import RandomTower, random_tower
from tests.e2e.browsing import expect_that
from tests.e2e.page_driver import ChatPage, opened
from tests.e2e.page_pictures import GivenFile, choose, picture
from tests.e2e.serving import Served, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser

KEY = "secret"


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(ServerOptions(api_keys=frozenset({KEY}))) as server:
        yield server


@pytest.fixture
def page(browser: "Browser", server: Served) -> Iterator[ChatPage]:
    with opened(browser, f"{server.url}/") as page:
        page.page.get_by_label("API key").fill(KEY)
        page.button("Use this key").click()
        expect_that(page.page.locator("#model")).to_have_text(server.service.name)
        yield page


def configure(page: ChatPage, **settings: str) -> None:
    page.button("Settings").click()
    for label, value in settings.items():
        page.page.get_by_label(label.replace("_", " ")).fill(value)
    page.button("Keep").click()


def test_a_conversation(page: ChatPage) -> None:
    configure(page, Temperature="0")
    page.ask("What is 37 + 48?")
    expect_that(page.texts.last).to_have_text("37 + 48 = 85")
    expect_that(page.messages.last.locator(".note")).to_have_text(re.compile(r"^\d+ tokens, \d+\.\d tokens/s$"))
    page.button("Answer again").click()
    page.await_answer()
    expect_that(page.messages.last.locator(".versions")).to_have_text("2 / 2")
    expect_that(page.texts.last).to_have_text("37 + 48 = 85")
    page.page.reload()
    expect_that(page.texts).to_have_text(["What is 37 + 48?", "37 + 48 = 85"])


def test_the_settings_are_the_servers(page: ChatPage) -> None:
    page.button("Settings").click()
    expect_that(page.page.get_by_label("Temperature")).to_have_attribute("placeholder", "0.8")
    page.button("Cancel").click()
    configure(page, Longest_answer="3")
    page.ask("Tell me a story about a fox and a lantern.")
    note = page.messages.last.locator(".note")
    expect_that(note).to_contain_text("The answer has reached its longest length. 3 tokens")
    before = page.texts.last.inner_text()
    page.button("Go on").click()
    page.await_answer()
    expect_that(note).to_contain_text("6 tokens")
    assert page.texts.last.inner_text().startswith(before)


def test_stopping_frees_the_server(page: ChatPage, server: Served) -> None:
    # The answer would go on to the end of the context.
    page.page.route(
        "**/v1/chat/completions",
        lambda route, request: route.continue_(post_data={**request.post_data_json, "ignore_eos": True}),
    )
    page.field.fill("Tell me a story about a fox and a lantern.")
    page.field.press("Enter")
    expect_that(page.texts.last).to_have_text(re.compile(r"\w"))
    page.page.keyboard.press("Escape")
    expect_that(page.messages.last.locator(".note")).to_contain_text("Stopped.")
    deadline = time.monotonic() + 2
    while any(slot.request for slot in server.service.scheduler.slots()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_prompt_that_is_too_long(page: ChatPage) -> None:
    page.field.fill("word " * 2000)
    page.field.press("Enter")
    expect_that(page.page.locator("#pending")).to_contain_text("The server cannot answer this")
    page.button("Edit").click()
    page.page.get_by_role("textbox", name="Edited message").fill("What is 37 + 48?")
    page.page.keyboard.press("Enter")
    page.await_answer()
    expect_that(page.texts.last).to_contain_text("37 + 48")


def test_a_question_about_a_picture(browser: "Browser", tmp_path: Path) -> None:
    random_model(tmp_path / "text.gguf", RandomModel("qwen2vl", sections=(2, 3, 3), n_extra_tokens=3))
    random_tower(tmp_path / "mmproj.gguf", RandomTower())
    with (
        served(path=tmp_path / "text.gguf", mmproj=tmp_path / "mmproj.gguf") as seeing,
        opened(browser, f"{seeing.url}/") as page,
    ):
        configure(page, Temperature="0", Longest_answer="8")
        choose(page, picture("fox.png", 90, 60))
        page.ask("the")
        expect_that(page.messages.last.locator(".note")).to_contain_text("tokens/s")
        choose(page, GivenFile("half.png", picture("half.png", 90, 60).data[:3000]))
        page.field.fill("the")
        page.field.press("Enter")
        expect_that(page.page.locator("#pending")).to_contain_text("messages[2].content[0]: the picture is damaged")


def test_the_log_has_no_lines_for_the_pages_files(page: ChatPage, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "pyggml.server.requests"):
        page.open()
        page.ask("Hi")
    paths = {record.fields["path"] for record in caplog.records if hasattr(record, "fields")}
    assert paths == {"/", "/v1/chat/completions"}
