"""A real browser for the tests of the chat page: Chromium, driven by playwright."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

_TIMEOUT_MS = 20_000
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def _lacking(what: str) -> NoReturn:
    """Skip; but where .ci/run has set up everything, what is lacking is a failure."""
    message = f'{what}: the tests of the chat page need it: pip install -e ".[browser]" && apt-get install chromium'
    if os.environ.get("PYGGML_NEEDS_BROWSER"):
        pytest.fail(message)
    pytest.skip(message)


@contextmanager
def launched() -> Iterator["Browser"]:
    """A browser without a window."""
    try:
        from playwright.sync_api import expect, sync_playwright
    except ImportError:
        _lacking("playwright is not installed")
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        _lacking(f"no browser is installed ({', '.join(_NAMES)})")
    expect.set_options(timeout=_TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()


def expect_that(locator: "Locator") -> Any:
    """playwright's `expect`, which waits; imported here, as users need not have playwright."""
    from playwright.sync_api import expect

    return expect(locator)
