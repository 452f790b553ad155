"""The chat page's list of conversations, its files, its settings, its key, and what it says when something fails."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pyggml.server.errors import ApiError
from tests.e2e.browsing import expect_that
from tests.e2e.fake_chat_server import KEY, FakeChat, fake_chat
from tests.e2e.page_driver import ChatPage, opened
from tests.e2e.page_files import a_file

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

NO_STORE = "Object.defineProperty(window, 'indexedDB', { get() { throw new Error('not allowed'); } });"


def import_file(page: ChatPage, content: str) -> None:
    with page.page.expect_file_chooser() as chooser:
        page.button("Import").click()
    chooser.value.set_files({"name": "a.json", "mimeType": "application/json", "buffer": content.encode()})


def test_the_newest_conversation_comes_first(page: ChatPage) -> None:
    for title in ("first", "second"):
        page.button("New conversation").click()
        page.ask(title)
    expect_that(page.conversations).to_have_text(["second", "first"])
    page.conversations.nth(1).click()
    page.ask("more")
    expect_that(page.conversations).to_have_text(["first", "second"])
    page.page.go_back()
    expect_that(page.texts.first).to_have_text("second")


def test_renaming(page: ChatPage) -> None:
    page.ask("old")
    page.button("Rename “old”").click()
    title = page.page.get_by_role("textbox", name="Title")
    title.fill("unwanted")
    title.press("Escape")
    expect_that(page.conversations).to_have_text(["old"])
    page.button("Rename “old”").click()
    title.fill("new")
    title.press("Enter")
    expect_that(page.conversations.first).to_be_focused()
    page.page.reload()
    expect_that(page.conversations).to_have_text(["new"])
    expect_that(page.page.get_by_role("heading", level=1)).to_have_text("new")


def test_deleting_asks_first(page: ChatPage) -> None:
    page.ask("unwanted")
    page.button("Delete “unwanted”").click()
    page.button("Cancel").click()
    expect_that(page.conversations).to_have_count(1)
    page.button("Delete “unwanted”").click()
    expect_that(page.page.get_by_role("dialog", name="Delete this conversation?")).to_be_visible()
    page.button("Delete").click()
    expect_that(page.conversations).to_have_count(0)
    expect_that(page.messages).to_have_count(0)
    page.page.reload()
    expect_that(page.button("New conversation")).to_be_visible()
    expect_that(page.conversations).to_have_count(0)


def test_what_is_exported_can_be_imported_elsewhere(
    page: ChatPage, chat: FakeChat, browser: "Browser", tmp_path: Path
) -> None:
    page.ask("Hi")
    page.button("Answer again").click()
    page.await_answer()
    with page.page.expect_download() as download:
        page.button("Export").click()
    assert re.fullmatch(r"pyggml-conversations-\d{4}-\d\d-\d\d\.json", download.value.suggested_filename)
    download.value.save_as(tmp_path / "saved.json")
    with opened(browser, chat.url) as other:
        import_file(other, (tmp_path / "saved.json").read_text(encoding="utf-8"))
        expect_that(other.texts).to_have_text(["Hi", "Hello from the fake."])
        expect_that(other.messages.last.locator(".versions")).to_have_text("2 / 2")
        other.page.reload()
        expect_that(other.conversations).to_have_text(["Hi"])


def test_importing_twice_makes_no_second_conversation(page: ChatPage, chat: FakeChat) -> None:
    import_file(page, a_file())
    expect_that(page.status).to_have_text("1 conversation was imported.")
    import_file(page, a_file(title="Newer"))
    expect_that(page.conversations).to_have_text(["Newer"])
    page.ask("And?")
    assert chat.requests[0]["top_k"] == 5
    assert "evil" not in chat.requests[0]


def test_a_file_that_is_damaged_adds_nothing(page: ChatPage) -> None:
    import_file(page, a_file(title=1))
    message = "a.json: The file is damaged: conversations[0].title is not a text."
    expect_that(page.page.locator("#notice")).to_have_text(message)
    expect_that(page.conversations).to_have_count(0)
    page.button("Dismiss").click()
    expect_that(page.page.locator("#notice")).to_be_hidden()


def test_settings_go_with_the_request(page: ChatPage, chat: FakeChat) -> None:
    page.button("Settings").click()
    dialog = page.page.get_by_role("dialog", name="Settings")
    expect_that(dialog.get_by_label("Temperature")).to_have_attribute("placeholder", "0.8")
    expect_that(dialog.get_by_label("Seed")).to_have_attribute("placeholder", "random")
    expect_that(dialog.get_by_label("Longest answer")).to_have_attribute("placeholder", "no limit")
    given = {"System prompt": "Be brief.", "Temperature": "0", "Top k": "7", "Top p": "0.5", "Min p": "0.25",
             "Longest answer": "12", "Seed": "3"}  # fmt: skip
    for label, value in given.items():
        dialog.get_by_label(label).fill(value)
    page.button("Keep").click()
    page.ask("Hi")
    request = chat.requests[0]
    assert request.pop("messages") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]
    sampling = {"temperature": 0, "top_k": 7, "top_p": 0.5, "min_p": 0.25, "max_tokens": 12, "seed": 3}
    assert request == {"stream": True, "timings_per_token": True, **sampling}
    page.open()
    page.ask("Again")
    assert chat.requests[1]["seed"] == 3
    page.button("Settings").click()
    page.button("Empty all").click()
    page.button("Keep").click()
    page.ask("And again")
    assert "seed" not in chat.requests[2]
    page.conversations.nth(1).click()
    page.ask("The first conversation has its own")
    assert chat.requests[3]["seed"] == 3


def test_settings_that_cannot_be_are_not_kept(page: ChatPage, chat: FakeChat) -> None:
    page.button("Settings").click()
    page.page.get_by_label("Top p").fill("1.5")
    page.button("Keep").click()
    expect_that(page.page.get_by_role("dialog", name="Settings")).to_be_visible()
    page.page.keyboard.press("Escape")
    page.ask("Hi")
    assert "top_p" not in chat.requests[0]


def test_the_longest_answer(page: ChatPage, chat: FakeChat) -> None:
    chat.finish_reason = "length"
    page.ask("Hi")
    expect_that(page.messages.last.locator(".note")).to_contain_text("The answer has reached its longest length.")


def test_a_server_with_a_key(browser: "Browser") -> None:
    with fake_chat(KEY) as chat, opened(browser, chat.url) as page:
        dialog = page.page.get_by_role("dialog", name="This server asks for a key")
        dialog.get_by_label("API key").fill("wrong")
        page.button("Use this key").click()
        expect_that(dialog).to_contain_text("The server did not accept the key.")
        dialog.get_by_label("API key").fill(KEY)
        page.button("Use this key").click()
        expect_that(page.page.locator("#model")).to_have_text("fake-8b")
        page.ask("Hi")
        page.page.reload()
        expect_that(page.page.locator("#model")).to_have_text("fake-8b")


def test_without_the_key_it_says_so(browser: "Browser") -> None:
    with fake_chat(KEY) as chat, opened(browser, chat.url) as page:
        page.button("Cancel").click()
        expect_that(page.page.locator("#notice")).to_have_text("The server needs a valid API key: Invalid API Key")
        page.field.fill("Hi")
        page.field.press("Enter")
        page.page.get_by_label("API key").fill(KEY)
        page.page.get_by_label("Remember it in this browser").check()
        page.button("Use this key").click()
        page.await_answer()
        expect_that(page.page.locator("#notice")).to_be_hidden()
        assert page.page.evaluate("localStorage.getItem('pyggml.key')") == KEY


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (ApiError(503, "the queue is full"), "The server is busy: the queue is full"),
        (ApiError(400, "the prompt is too long"), "The server cannot answer this: the prompt is too long"),
        (ApiError(418, ""), "The server answered with status 418."),
    ],
)
def test_failures_are_told_and_can_be_tried_again(
    page: ChatPage, chat: FakeChat, failure: ApiError, message: str
) -> None:
    chat.failure = failure
    page.field.fill("Hi")
    page.field.press("Enter")
    alert = page.page.locator("#pending")
    expect_that(alert).to_contain_text(message)
    expect_that(page.texts).to_have_text(["Hi"])
    chat.failure = None
    page.button("Try again").click()
    expect_that(page.texts).to_have_text(["Hi", "Hello from the fake."])
    expect_that(alert).to_be_hidden()
    expect_that(page.field).to_be_focused()


def test_a_failure_in_the_middle_keeps_what_was_there(page: ChatPage, chat: FakeChat) -> None:
    chat.late_failure = ApiError(500, "out of memory")
    page.ask("Hi")
    expect_that(page.page.locator("#pending")).to_contain_text("The server has failed: out of memory")
    expect_that(page.texts).to_have_text(["Hi", "Hello from the fake."])
    expect_that(page.messages.last.locator(".note")).to_contain_text("The answer was cut off.")
    chat.late_failure, chat.is_cut = None, True
    page.button("Try again").click()
    expect_that(page.page.locator("#pending")).to_contain_text("The connection ended before the answer did.")
    expect_that(page.messages.last.locator(".versions")).to_have_text("2 / 2")


def test_a_failed_second_answer_leaves_the_first(page: ChatPage, chat: FakeChat) -> None:
    page.ask("Hi")
    chat.failure = ApiError(503, "full")
    page.button("Answer again").click()
    expect_that(page.page.locator("#pending")).to_contain_text("The server is busy: full")
    expect_that(page.texts).to_have_text(["Hi", "Hello from the fake."])
    expect_that(page.messages.last.locator(".versions")).to_be_hidden()


def test_a_server_that_is_gone(page: ChatPage) -> None:
    page.page.route("**/v1/chat/completions", lambda route: route.abort())
    page.field.fill("Hi")
    page.field.press("Enter")
    expect_that(page.page.locator("#pending")).to_contain_text("The server cannot be reached. Is it still running?")
    page.page.unroute("**/v1/chat/completions")
    page.button("Try again").click()
    page.await_answer()


def test_a_browser_that_keeps_nothing(browser: "Browser", chat: FakeChat) -> None:
    with opened(browser, chat.url) as page:
        page.page.add_init_script(NO_STORE)
        page.open()
        expect_that(page.page.locator("#notice")).to_contain_text("This browser keeps nothing")
        page.ask("Hi")
        page.button("New conversation").click()
        page.conversations.first.click()
        expect_that(page.texts).to_have_text(["Hi", "Hello from the fake."])


def test_what_is_written_while_the_page_loads_stays(page: ChatPage, chat: FakeChat) -> None:
    held: list[Route] = []
    page.page.route("**/page/store.js", lambda route: held.append(route))
    page.page.goto(chat.url, wait_until="commit")
    page.field.fill("written early")
    while not held:
        page.page.wait_for_timeout(10)
    expect_that(page.page.locator("#model")).not_to_have_text("fake-8b")
    held[0].continue_()
    expect_that(page.page.locator("#model")).to_have_text("fake-8b")
    expect_that(page.field).to_have_value("written early")
