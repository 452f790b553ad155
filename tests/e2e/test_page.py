"""The chat page in a real browser, over a stand-in for the engine: writing, streaming, stopping, versions, memory."""

from typing import TYPE_CHECKING

import pytest

from pyggml.server.errors import ApiError
from tests.e2e.browsing import expect_that
from tests.e2e.fake_chat_server import FakeChat
from tests.e2e.page_driver import ChatPage, another_tab

if TYPE_CHECKING:
    pass

#: Whether the browser keeps an answer that has begun.
KEPT = """async () => {
    const { openStore } = await import("/page/store.js");
    const [conversation] = await (await openStore(() => {})).all();
    return conversation?.messages.at(-1).content === "Hello from";
}"""


def test_an_answer_is_seen_while_it_is_written(page: ChatPage, chat: FakeChat) -> None:
    chat.hold_after = 2
    page.field.fill("Hi")
    page.field.press("Enter")
    expect_that(page.texts.last).to_have_text("Hello from")
    expect_that(page.messages.last).to_have_attribute("aria-busy", "true")
    expect_that(page.status).to_have_text("The answer is being written.")
    expect_that(page.field).to_have_value("")
    chat.release.set()
    page.await_answer()
    expect_that(page.texts.last).to_have_text("Hello from the fake.")
    expect_that(page.messages.last.locator(".note")).to_have_text("4 tokens, 42.5 tokens/s")
    expect_that(page.status).to_have_text("The answer is complete.")
    assert chat.requests == [
        {"messages": [{"role": "user", "content": "Hi"}], "stream": True, "timings_per_token": True}
    ]


def test_the_model_and_the_title_are_shown(page: ChatPage) -> None:
    expect_that(page.page.locator("#model")).to_have_text("fake-8b")
    page.ask("\n A question <b>about</b> foxes\nand lanterns ")
    expect_that(page.page.get_by_role("heading", level=1)).to_have_text("A question <b>about</b> foxes")
    expect_that(page.conversations).to_have_text(["A question <b>about</b> foxes"])
    assert page.page.title() == "A question <b>about</b> foxes · pyggml"


def test_the_next_question_brings_what_was_said(page: ChatPage, chat: FakeChat) -> None:
    page.ask("one")
    page.ask("two")
    assert [message["content"] for message in chat.requests[1]["messages"]] == ["one", "Hello from the fake.", "two"]
    assert [message["role"] for message in chat.requests[1]["messages"]] == ["user", "assistant", "user"]


@pytest.mark.parametrize("way", ["button", "Escape"])
def test_stopping(page: ChatPage, chat: FakeChat, way: str) -> None:
    chat.hold_after = 2
    page.field.fill("Hi")
    page.field.press("Enter")
    expect_that(page.texts.last).to_have_text("Hello from")
    if way == "button":
        page.button("Stop").click()
    else:
        page.page.keyboard.press("Escape")
    page.await_answer()
    expect_that(page.messages.last.locator(".note")).to_have_text("Stopped. 2 tokens, 42.5 tokens/s")
    expect_that(page.field).to_be_focused()
    expect_that(page.page.locator("#pending")).to_be_hidden()
    assert chat.left.wait(10)


def test_stopping_before_the_first_word_leaves_the_question(page: ChatPage, chat: FakeChat) -> None:
    chat.hold_after = 0
    page.field.fill("Hi")
    page.field.press("Enter")
    page.button("Stop").click()
    expect_that(page.texts).to_have_text(["Hi"])
    chat.release.set()
    page.button("Answer").click()
    expect_that(page.texts).to_have_text(["Hi", "Hello from the fake."])


def test_answering_again_keeps_the_first_answer(page: ChatPage, chat: FakeChat) -> None:
    page.ask("Hi")
    chat.pieces = ["Another."]
    page.button("Answer again").click()
    expect_that(page.texts).to_have_text(["Hi", "Another."])
    assert chat.requests[1] == chat.requests[0]
    expect_that(page.messages.last.locator(".versions")).to_have_text("2 / 2")
    page.button("Version before").click()
    expect_that(page.texts).to_have_text(["Hi", "Hello from the fake."])
    page.button("Version after").click()
    expect_that(page.texts).to_have_text(["Hi", "Another."])


def test_editing_a_question_continues_from_there(page: ChatPage, chat: FakeChat) -> None:
    page.ask("one")
    page.ask("two")
    page.messages.first.hover()
    page.messages.first.get_by_role("button", name="Edit").click()
    editor = page.page.get_by_role("textbox", name="Edited message")
    expect_that(editor).to_be_focused()
    editor.fill("uno")
    editor.press("Enter")
    page.await_answer()
    expect_that(page.texts).to_have_text(["uno", "Hello from the fake."])
    assert chat.requests[2]["messages"] == [{"role": "user", "content": "uno"}]
    page.button("Version before").click()
    expect_that(page.texts).to_have_text(["one", "Hello from the fake.", "two", "Hello from the fake."])


def test_editing_an_answer_changes_what_the_model_is_told(page: ChatPage, chat: FakeChat) -> None:
    page.ask("one")
    page.messages.last.get_by_role("button", name="Edit").click()
    page.page.get_by_role("textbox", name="Edited message").fill("I said **this**.")
    page.button("Keep").click()
    expect_that(page.texts).to_have_text(["one", "I said this."])
    assert len(chat.requests) == 1
    expect_that(page.messages.last.locator(".note")).to_have_text("Edited by you.")
    page.ask("two")
    assert chat.requests[1]["messages"][1] == {"role": "assistant", "content": "I said **this**."}


def test_going_on_with_an_answer(page: ChatPage, chat: FakeChat) -> None:
    chat.finish_reason = "length"
    page.ask("Hi")
    chat.failure = ApiError(503, "full")
    page.button("Go on").click()
    expect_that(page.page.locator("#pending")).to_contain_text("full")
    expect_that(page.texts).to_have_text(["Hi", "Hello from the fake."])
    chat.failure, chat.finish_reason, chat.pieces = None, "stop", [" And", " more."]
    page.button("Try again").click()
    expect_that(page.texts).to_have_text(["Hi", "Hello from the fake. And more."])
    assert chat.requests[2]["messages"][1] == {"role": "assistant", "content": "Hello from the fake."}
    expect_that(page.messages.last.locator(".note")).to_have_text("6 tokens, 42.5 tokens/s")
    expect_that(page.button("Go on")).to_be_hidden()


def test_a_cancelled_edit_changes_nothing(page: ChatPage, chat: FakeChat) -> None:
    page.ask("one")
    edit = page.messages.last.get_by_role("button", name="Edit")
    edit.click()
    page.page.get_by_role("textbox", name="Edited message").fill("no")
    page.page.keyboard.press("Escape")
    expect_that(page.texts).to_have_text(["one", "Hello from the fake."])
    expect_that(edit).to_be_focused()


def test_a_reload_finds_the_conversation_again(page: ChatPage, chat: FakeChat) -> None:
    page.ask("Hi")
    page.page.reload()
    expect_that(page.texts).to_have_text(["Hi", "Hello from the fake."])
    page.ask("And?")
    assert len(chat.requests[1]["messages"]) == 3
    page.open()
    expect_that(page.messages).to_have_count(0)
    page.conversations.first.click()
    expect_that(page.messages).to_have_count(4)


def test_a_reload_in_the_middle_keeps_what_was_there(page: ChatPage, chat: FakeChat) -> None:
    chat.hold_after = 2
    page.field.fill("Hi")
    page.field.press("Enter")
    expect_that(page.texts.last).to_have_text("Hello from")
    page.await_truth(KEPT)
    page.page.reload()
    expect_that(page.texts).to_have_text(["Hi", "Hello from"])
    expect_that(page.messages.last.locator(".note")).to_contain_text("The answer was cut off.")


def test_answers_go_on_beside_each_other(page: ChatPage, chat: FakeChat) -> None:
    chat.hold_after = 1
    page.field.fill("first")
    page.field.press("Enter")
    expect_that(page.texts.last).to_have_text("Hello")
    page.button("New conversation").click()
    page.field.fill("a draft")
    expect_that(page.button("Send")).to_be_visible()
    chat.release.set()
    page.conversations.first.click()
    page.await_answer()
    expect_that(page.texts).to_have_text(["first", "Hello from the fake."])
    expect_that(page.field).to_have_value("")
    page.button("New conversation").click()
    expect_that(page.field).to_have_value("a draft")


def test_two_tabs_show_the_same(page: ChatPage, chat: FakeChat) -> None:
    other = another_tab(page.page.context, chat.url)
    page.ask("Hi")
    expect_that(other.conversations).to_have_text(["Hi"])
    other.conversations.first.click()
    expect_that(other.texts).to_have_text(["Hi", "Hello from the fake."])
    page.ask("And?")
    expect_that(other.messages).to_have_count(4)


def test_reading_above_is_not_disturbed(page: ChatPage, chat: FakeChat) -> None:
    chat.pieces = [f"Line {i}.\n\n" for i in range(60)]
    chat.hold_after = 50
    page.field.fill("Hi")
    page.field.press("Enter")
    expect_that(page.texts.last.get_by_text("Line 49.")).to_be_in_viewport()
    page.page.locator("#scroller").evaluate("(scroller) => { scroller.scrollTop = 0; }")
    expect_that(page.button("To the newest message")).to_be_visible()
    chat.release.set()
    expect_that(page.texts.last.get_by_text("Line 59.")).not_to_be_in_viewport()
    page.button("To the newest message").click()
    expect_that(page.texts.last.get_by_text("Line 59.")).to_be_in_viewport()


def test_code_is_copied(page: ChatPage, chat: FakeChat) -> None:
    page.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    chat.pieces = ["```python\n", "print(1)\n", "```"]
    page.ask("Hi")
    page.button("Copy code").click()
    expect_that(page.status).to_have_text("Copied.")
    assert page.page.evaluate("navigator.clipboard.readText()") == "print(1)"
    page.messages.last.get_by_role("button", name="Copy", exact=True).click()
    page.await_truth("async () => (await navigator.clipboard.readText()).startsWith('```python')")


def test_a_model_cannot_bring_markup_into_the_page(page: ChatPage, chat: FakeChat) -> None:
    attack = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"
    chat.pieces = [attack[:7], attack[7:], "\n\n[x](javascript:window.hacked=1)\n\n![x](https://evil.example/x.png)"]
    page.ask(attack)
    page.page.reload()
    expect_that(page.texts.first).to_have_text(attack)
    expect_that(page.texts.last).to_contain_text(attack)
    assert page.page.locator("main img, main script, main [onerror]").count() == 0
    assert page.page.evaluate("window.hacked") is None
    # Whoever finds a way past the renderer is stopped by the policy.
    blocked = page.page.evaluate("() => { try { document.body.innerHTML = ''; return false } catch { return true } }")
    assert blocked
    page.complaints = [text for text in page.complaints if "TrustedHTML" not in text]
