"""End-to-end tests run after the kernels are compiled, so that what they read on the screen is not news of that."""

import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.e2e.browsing import launched
from tests.e2e.fake_chat_server import FakeChat, fake_chat
from tests.e2e.page_driver import ChatPage, opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session", autouse=True)
def compiled_kernels() -> None:
    """Compile what the model in the package needs, once."""
    command = [sys.executable, "-m", "pyggml", "run", "-p", "Hi", "-n", "2", "--temp", "0"]
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A browser without a window; skips where there is none, and fails in CI.

    Not for the whole session: playwright holds an event loop, and other modules run their own.
    """
    with launched() as browser:
        yield browser


@pytest.fixture
def chat() -> Iterator[FakeChat]:
    """A stand-in for the engine, behind the chat page."""
    with fake_chat() as chat:
        yield chat


@pytest.fixture
def page(browser: "Browser", chat: FakeChat) -> Iterator[ChatPage]:
    """The chat page over that."""
    with opened(browser, chat.url) as page:
        yield page
