"""What the tests of the chat page do with it, and what each of them checks beside its own matter."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.e2e.browsing import expect_that

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page

#: Of the browser itself, about an answer that is an error.
_EXPECTED = "Failed to load resource"


class ChatPage:
    """A tab with the page."""

    def __init__(self, page: "Page", url: str) -> None:
        self.page = page
        self._url = url
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._note)
        page.on("request", lambda request: self._check_address(request.url))

    def _note(self, message: "ConsoleMessage") -> None:
        if message.type in ("error", "warning") and _EXPECTED not in message.text:
            self.complaints.append(message.text)

    def _check_address(self, url: str) -> None:
        if not url.startswith((self._url, "blob:")):
            self.complaints.append(f"the page asked {url}")

    def open(self, address: str = "") -> None:
        """Load the page, or one of its conversations, and wait until it can be written in or asks for a key."""
        self.page.goto(f"{self._url}{address}")
        expect_that(self.page.locator("#message:focus, #key:focus")).to_be_visible()

    @property
    def field(self) -> "Locator":
        """Where messages are written."""
        return self.page.get_by_role("textbox", name="Message", exact=True)

    @property
    def messages(self) -> "Locator":
        """All messages."""
        return self.page.get_by_role("log").get_by_role("article")

    @property
    def texts(self) -> "Locator":
        """The messages' texts."""
        return self.messages.locator(".text")

    @property
    def status(self) -> "Locator":
        """What is said to people who listen."""
        return self.page.get_by_role("status")

    @property
    def conversations(self) -> "Locator":
        """The links of the list."""
        return self.page.get_by_role("navigation").get_by_role("link")

    def button(self, name: str, **options: Any) -> "Locator":
        """A button of the page."""
        return self.page.get_by_role("button", name=name, exact=True, **options)

    def ask(self, text: str) -> None:
        """Send a message and wait for the end of the answer."""
        n_messages = self.messages.count()
        self.field.fill(text)
        self.field.press("Enter")
        expect_that(self.messages).to_have_count(n_messages + 2)
        self.await_answer()

    def await_answer(self) -> None:
        """Wait until nothing is being written."""
        expect_that(self.messages.last).to_have_attribute("aria-busy", "false")
        expect_that(self.button("Send")).to_be_visible()

    def await_truth(self, script: str) -> None:
        """Wait until a function of JavaScript, which may be asynchronous, returns something true."""
        deadline = time.monotonic() + 20
        while not self.page.evaluate(script):
            assert time.monotonic() < deadline, script
            self.page.wait_for_timeout(50)

    def width_needed(self) -> int:
        """How wide the document is, in pixels."""
        width: int = self.page.evaluate("document.documentElement.scrollWidth")
        return width


@contextmanager
def opened(browser: "Browser", url: str, **options: Any) -> Iterator[ChatPage]:
    """The page in a profile of its own; in the end nothing may have gone wrong in it, nor been asked elsewhere."""
    context = browser.new_context(**options)
    try:
        page = another_tab(context, url)
        yield page
        assert page.complaints == []
    finally:
        context.close()


def another_tab(context: "BrowserContext", url: str) -> ChatPage:
    """The page in one more tab."""
    page = ChatPage(context.new_page(), url)
    page.open()
    return page
