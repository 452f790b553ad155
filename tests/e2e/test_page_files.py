"""What the chat page says of files that it cannot import."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.e2e.fake_chat_server import fake_chat
from tests.e2e.page_files import MESSAGE, a_file

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def page(browser: "Browser") -> Iterator["Page"]:
    with fake_chat() as server:
        context = browser.new_context()
        page = context.new_page()
        page.goto(server.url)
        yield page
        context.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "The file is not JSON"),
        ("[]", 'The file has no conversations: its "format" is not "pyggml conversations".'),
        (a_file().replace('"version": 1', '"version": 2'), "The file has version 2; this page reads version 1."),
        ('{"format": "pyggml conversations", "version": 1}', "conversations is not a list"),
        (a_file(id="a b"), "conversations[0].id is not a name of letters, digits, - and _"),
        (a_file(title=1), "conversations[0].title is not a text"),
        (a_file(created="now"), "conversations[0].created is not a time"),
        (a_file(changed=-1), "conversations[0].changed is not a time"),
        (a_file(leaf="m9"), "conversations[0].leaf is not one of its messages"),
        (a_file(messages={}), "conversations[0].messages is not a list"),
        (a_file(messages=[None]), "conversations[0].messages[0].id is not a text"),
        (
            a_file(messages=[MESSAGE, MESSAGE]),
            "conversations[0].messages[1].id is not a text that no message before it",
        ),
        (
            a_file(messages=[{**MESSAGE, "parent": "m1"}]),
            "conversations[0].messages[0].parent is not a message before it",
        ),
        (a_file(messages=[{**MESSAGE, "role": "tool"}]), "conversations[0].messages[0].role is not user or assistant"),
        (a_file(messages=[{**MESSAGE, "content": []}]), "conversations[0].messages[0].content is not a text"),
        (a_file(messages=[{**MESSAGE, "created": None}]), "conversations[0].messages[0].created is not a time"),
    ],
)
def test_files_that_are_damaged(page: "Page", content: str, message: str) -> None:
    told = page.evaluate(
        """async (content) => {
            const { importText } = await import("/page/exchange.js");
            try { importText(content); } catch (problem) { return `${problem.constructor.name}: ${problem.message}`; }
        }""",
        content,
    )
    assert told.startswith("Problem: The file ")
    assert message in told
