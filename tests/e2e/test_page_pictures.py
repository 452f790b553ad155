"""Pictures on the chat page: attached, removed, shown, kept, sent again, and refused."""

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from tests.e2e.browsing import expect_that
from tests.e2e.fake_chat_server import FakeChat, fake_chat
from tests.e2e.page_driver import ChatPage, another_tab, opened
from tests.e2e.page_files import MESSAGE, a_file
from tests.e2e.page_pictures import GivenFile, await_shown, choose, give, picture

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FOX, OWL = picture("fox.png"), picture("owl.png", 30, 90, seed=1)
#: Whether the browser keeps this many pictures.
KEPT = """async () => {
    const opening = indexedDB.open("pyggml");
    const database = await new Promise((resolve) => { opening.onsuccess = () => resolve(opening.result); });
    const counting = database.transaction("pictures").objectStore("pictures").count();
    const n = await new Promise((resolve) => { counting.onsuccess = () => resolve(counting.result); });
    database.close();
    return n === %d;
}"""

#: Where the storage is full for pictures: their transactions fail at their end, as browsers have it.
FULL = """
    const { put } = IDBObjectStore.prototype;
    IDBObjectStore.prototype.put = function (value, ...key) {
        const request = put.call(this, value, ...key);
        if (value instanceof Blob) {
            const error = new DOMException("no room", "QuotaExceededError");
            Object.defineProperty(this.transaction, "error", { value: error });
            request.onsuccess = () => this.transaction.abort();
        }
        return request;
    };
"""


@pytest.fixture
def chat() -> Iterator[FakeChat]:
    with fake_chat() as chat:
        chat.sees_pictures = True
        yield chat


def said(chat: FakeChat, index: int = -1) -> Any:
    """The content of the last message of a request."""
    return chat.requests[index]["messages"][-1]["content"]


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def test_pictures_are_chosen_seen_and_sent(page: ChatPage, chat: FakeChat) -> None:
    choose(page, FOX, OWL)
    await_shown(page, "fox.png", "owl.png", inside="#attachments")
    expect_that(page.status).to_have_text("Attached: fox.png, owl.png.")
    expect_that(page.field).to_be_focused()
    page.ask("What is this?")
    assert said(chat) == [FOX.part, OWL.part, text("What is this?")]
    await_shown(page, "fox.png", "owl.png")
    expect_that(page.messages.first.get_by_role("list", name="Pictures")).to_be_visible()
    expect_that(page.page.locator("#attachments")).to_be_hidden()
    page.ask("And now?")
    assert said(chat) == "And now?"
    assert chat.requests[1]["messages"][0]["content"] == [FOX.part, OWL.part, text("What is this?")]


def test_a_picture_alone_is_a_message(page: ChatPage, chat: FakeChat) -> None:
    choose(page, FOX)
    page.ask("")
    assert said(chat) == [FOX.part]
    expect_that(page.texts.first).to_be_hidden()
    expect_that(page.conversations).to_have_text(["fox.png"])


def test_nothing_is_no_message(page: ChatPage, chat: FakeChat) -> None:
    page.field.press("Enter")
    choose(page, FOX)
    page.button("Remove “fox.png”").click()
    page.field.press("Enter")
    expect_that(page.messages).to_have_count(0)
    assert chat.requests == []


@pytest.mark.parametrize("kind", ["paste", "drop"])
@pytest.mark.parametrize("to", ["#message", "#log"])
def test_pictures_are_pasted_and_dropped(page: ChatPage, chat: FakeChat, kind: str, to: str) -> None:
    expect_that(page.button("Attach pictures")).to_be_visible()
    assert give(page, "dragover", FOX, to=to)
    assert give(page, kind, FOX, to=to)
    expect_that(page.button("Remove “fox.png”")).to_be_visible()
    page.ask("Hi")
    assert said(chat) == [FOX.part, text("Hi")]


def test_a_text_is_pasted_as_text_even_with_a_picture_of_it(page: ChatPage) -> None:
    assert not give(page, "paste", FOX, text="a cell of a table")
    assert not give(page, "dragover", text="a word")
    expect_that(page.page.locator("#attachments")).to_be_hidden()


def test_removing_with_the_keyboard(page: ChatPage) -> None:
    choose(page, FOX, OWL)
    page.button("Remove “fox.png”").focus()
    page.page.keyboard.press("Enter")
    expect_that(page.status).to_have_text("Removed: fox.png.")
    expect_that(page.button("Remove “owl.png”")).to_be_focused()
    page.page.keyboard.press("Enter")
    expect_that(page.field).to_be_focused()
    expect_that(page.page.locator("#attachments")).to_be_hidden()
    page.page.keyboard.press("Tab")
    expect_that(page.button("Attach pictures")).to_be_focused()


def test_pictures_are_there_after_a_reload_and_sent_again(page: ChatPage, chat: FakeChat) -> None:
    choose(page, FOX)
    page.ask("Hi")
    page.await_truth(KEPT % 1)
    page.page.reload()
    await_shown(page, "fox.png")
    page.button("Answer again").click()
    expect_that(page.messages.last.locator(".versions")).to_have_text("2 / 2")
    page.await_answer()
    assert chat.requests[1] == chat.requests[0]


def test_editing_a_message_changes_its_pictures(page: ChatPage, chat: FakeChat) -> None:
    choose(page, FOX)
    page.ask("Hi")
    page.messages.first.hover()
    page.messages.first.get_by_role("button", name="Edit").click()
    choose(page, OWL, form="Edit the message")
    editor = page.page.get_by_role("textbox", name="Edited message")
    expect_that(editor).to_be_focused()
    assert give(page, "paste", picture("elk.png", seed=2), to=".editor textarea")
    expect_that(page.button("Remove “elk.png”")).to_be_visible()
    page.button("Remove “fox.png”").click()
    editor.fill("Ho")
    editor.press("Enter")
    page.await_answer()
    assert said(chat) == [OWL.part, picture("elk.png", seed=2).part, text("Ho")]
    await_shown(page, "owl.png", "elk.png")
    expect_that(page.page.locator("#attachments")).to_be_hidden()
    page.button("Version before").click()
    await_shown(page, "fox.png")


def test_an_edit_without_a_change_sends_the_pictures_again(page: ChatPage, chat: FakeChat) -> None:
    choose(page, FOX)
    page.ask("Hi")
    page.page.reload()
    page.messages.first.hover()
    page.messages.first.get_by_role("button", name="Edit").click()
    page.page.keyboard.press("Enter")
    page.await_answer()
    assert said(chat, 1) == [FOX.part, text("Hi")]


def test_a_draft_keeps_its_pictures(page: ChatPage) -> None:
    page.ask("Hi")
    choose(page, FOX)
    page.button("New conversation").click()
    expect_that(page.page.locator("#attachments")).to_be_hidden()
    page.conversations.first.click()
    await_shown(page, "fox.png", inside="#attachments")


def test_deleting_a_conversation_deletes_its_pictures(page: ChatPage) -> None:
    choose(page, FOX, OWL)
    page.ask("Hi")
    page.await_truth(KEPT % 2)
    page.button("Delete “Hi”").click()
    page.button("Delete").click()
    page.await_truth(KEPT % 0)


def test_another_tab_shows_them(page: ChatPage, chat: FakeChat) -> None:
    other = another_tab(page.page.context, chat.url)
    choose(page, FOX)
    page.ask("Hi")
    page.await_truth(KEPT % 1)
    page.ask("And?")
    other.conversations.first.click()
    await_shown(other, "fox.png")


def test_pictures_go_with_an_exported_file(page: ChatPage, chat: FakeChat, browser: "Browser", tmp_path: Path) -> None:
    choose(page, FOX)
    page.ask("Hi")
    with page.page.expect_download() as download:
        page.button("Export").click()
    download.value.save_as(tmp_path / "saved.json")
    with opened(browser, chat.url) as other:
        with other.page.expect_file_chooser() as chooser:
            other.button("Import").click()
        chooser.value.set_files(tmp_path / "saved.json")
        await_shown(other, "fox.png")
        other.await_truth(KEPT % 1)
        other.page.reload()
        await_shown(other, "fox.png")
        other.button("Answer again").click()
        expect_that(other.messages.last.locator(".versions")).to_have_text("2 / 2")
        other.await_answer()
    assert chat.requests[1] == chat.requests[0]


def flat_png(width: int, height: int) -> bytes:
    """A picture of one colour, however large, in few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width // 8 + 1) * height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (GivenFile("a.txt", b"Hi", "text/plain"), "pictures can be PNG, JPEG, GIF, BMP and WebP."),
        (GivenFile("a.svg", b"<svg/>", "image/svg+xml"), "pictures can be PNG, JPEG, GIF, BMP and WebP."),
        (GivenFile("a.png", b"no picture"), "it is damaged, or not a picture."),
        (GivenFile("a.png", bytes((10 << 20) + (1 << 19))), "it has 10.5 MiB, and a picture may have 10."),
        (
            GivenFile("a.png", flat_png(10_000, 8_001)),
            "it has 10000 x 8001 pixels, and a picture may have 80 million in all.",
        ),
    ],
)
def test_files_that_are_not_taken(page: ChatPage, file: GivenFile, reason: str) -> None:
    page.field.fill("a draft")
    choose(page, file, OWL, wait=False)
    expect_that(page.page.get_by_role("alert")).to_have_text(f"“{file.name}” is not attached: {reason}")
    await_shown(page, "owl.png", inside="#attachments")
    expect_that(page.field).to_have_value("a draft")


def test_where_the_model_sees_nothing_no_pictures_are_offered(page: ChatPage, chat: FakeChat) -> None:
    chat.sees_pictures = False
    page.page.reload()
    expect_that(page.page.locator("#model")).to_have_text("fake-8b")
    expect_that(page.button("Attach pictures")).to_be_hidden()
    # The browser would show the file in place of the page, and what is written there would be gone.
    assert give(page, "drop", FOX)
    expect_that(page.page.get_by_role("alert")).to_have_text("The model that this server has does not see pictures.")
    expect_that(page.page.locator("#attachments")).to_be_hidden()


def test_a_full_storage_loses_no_text(page: ChatPage, chat: FakeChat) -> None:
    page.page.add_init_script(FULL)
    page.page.reload()
    choose(page, FOX)
    page.ask("a question")
    expect_that(page.page.locator("#notice")).to_have_text(
        "The browser keeps the pictures only until the page is left: its storage is full. Delete conversations that are"
        " no longer needed."
    )
    page.button("Answer again").click()
    expect_that(page.messages.last.locator(".versions")).to_have_text("2 / 2")
    page.await_answer()
    assert said(chat, 0) == said(chat, 1) == [FOX.part, text("a question")]
    page.page.reload()
    expect_that(page.texts.first).to_have_text("a question")
    expect_that(page.messages.first).to_contain_text("The picture “fox.png” is not in this browser.")
    page.button("Answer again").click()
    expect_that(page.page.locator("#pending")).to_contain_text(
        "The picture “fox.png” is not in this browser. Edit the message: remove it, or attach it again."
    )
    page.messages.first.get_by_role("button", name="Edit").click()
    page.button("Remove “fox.png”").click()
    page.page.get_by_role("textbox", name="Edited message").press("Enter")
    page.await_answer()
    assert said(chat) == "a question"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"id": "a b"}, "pictures[0].id is not a name of letters, digits, - and _"),
        ({"name": ""}, "pictures[0].name is not a text"),
        ({"width": 0}, "pictures[0].width is not a number of pixels"),
        ({"height": 1.5}, "pictures[0].height is not a number of pixels"),
        ({"data": "data:text/html;base64,aGk="}, "pictures[0].data is not a picture in base64"),
        ({"data": "data:image/png;base64,%"}, "pictures[0].data is not a picture in base64"),
    ],
)
def test_a_damaged_picture_in_a_file(page: ChatPage, changed: dict[str, Any], message: str) -> None:
    shown = {"id": "p1", "name": "a.png", "width": 1, "height": 1, "data": FOX.part["image_url"]["url"], **changed}
    content = a_file(leaf="m1", messages=[{**MESSAGE, "pictures": [shown]}])
    expect_that(page.button("Attach pictures")).to_be_visible()
    with page.page.expect_file_chooser() as chooser:
        page.button("Import").click()
    chooser.value.set_files({"name": "a.json", "mimeType": "application/json", "buffer": content.encode()})
    expect_that(page.page.locator("#notice")).to_contain_text(f"conversations[0].messages[0].{message}")


def test_a_file_of_the_version_before_pictures_is_kept(browser: "Browser", chat: FakeChat) -> None:
    (conversation,) = json.loads(a_file())["conversations"]
    before = """([conversation]) => new Promise((resolve) => {
        const opening = indexedDB.open("pyggml", 1);
        opening.onupgradeneeded = () => opening.result.createObjectStore("conversations", { keyPath: "id" });
        opening.onsuccess = () => {
            const transaction = opening.result.transaction("conversations", "readwrite");
            transaction.objectStore("conversations").put(conversation);
            transaction.oncomplete = () => { opening.result.close(); resolve(); };
        };
    })"""
    context = browser.new_context()
    tab = context.new_page()
    tab.goto(f"{chat.url}page/icon.svg")
    tab.evaluate(before, [conversation])
    page = another_tab(context, chat.url)
    expect_that(page.conversations).to_have_text(["From a file"])
    choose(page, FOX)
    page.ask("Hi")
    page.await_truth(KEPT % 1)
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_them_in_its_width(
    browser: "Browser", chat: FakeChat, scheme: Literal["light", "dark"], tmp_path: Path
) -> None:
    phone = {"width": 360, "height": 740}
    wide = picture("wide.png", 1500, 300)
    with opened(browser, chat.url, viewport=phone, has_touch=True, is_mobile=True, color_scheme=scheme) as page:
        choose(page, wide, FOX, OWL)
        await_shown(page, "wide.png", "fox.png", "owl.png", inside="#attachments")
        page.page.screenshot(path=tmp_path / f"writing-{scheme}.png")
        assert page.width_needed() == 360
        for button in page.page.get_by_role("button").all():
            box = button.bounding_box()
            assert box
            assert min(box["width"], box["height"]) >= 32
        page.ask("What is on these?")
        await_shown(page, "wide.png", "fox.png", "owl.png")
        assert page.width_needed() == 360
        page.page.screenshot(path=tmp_path / f"sent-{scheme}.png")
        assert page.page.evaluate(
            "() => { const s = document.querySelector('#scroller'); return s.scrollWidth === s.clientWidth; }"
        )
