"""How the chat page looks and is used: narrow and wide, dark and light, by the keyboard alone, and by ear."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from tests.e2e.browsing import expect_that
from tests.e2e.fake_chat_server import FakeChat, fake_chat
from tests.e2e.page_driver import ChatPage, opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ANSWER = """A **short** comparison with `code` and a [link](https://example.org).

## Sorting

1. Take the list
   - a point inside
2. Call `sorted`

```python
def sorted_down(values: list[int]) -> list[int]:
    return sorted(values, key=lambda value: -value)  # a line that is longer than a phone is wide
```

| Method | Time | Stable | Memory that it needs | Since |
|:--|--:|:-:|--|--|
| `sorted` | 1.2 ms | yes | a-list-as-long-as-the-one-given | 2.4 |

> A quotation.

AVeryLongWordWithoutAnyPlaceToBreakItThatIsWiderThanAnyPhoneOnWhichItIsRead
"""
TEXTS = ("#title", "#model", "#hint", "#send", "#export", ".conversations a", ".user .text", ".author", ".note",
         ".text code", ".text a", "blockquote", "figcaption")  # fmt: skip
PHONE = {"width": 360, "height": 740}
#: The contrast of a text with what is behind it, from the colours that the browser has computed.
CONTRAST = """(element) => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const luminance = (colour) => {
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        const parts = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((part) => part / 255);
        const [r, g, b] = parts.map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    let behind = element;
    while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
    const both = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor].map(luminance);
    return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
}"""


@pytest.fixture
def chat() -> Iterator[FakeChat]:
    with fake_chat() as chat:
        chat.pieces = re.findall(r"\s*\S+\s*", ANSWER)
        yield chat


def test_a_phone_needs_no_scrolling_sideways(browser: "Browser", chat: FakeChat, tmp_path: Path) -> None:
    with opened(browser, chat.url, viewport=PHONE, has_touch=True, is_mobile=True) as page:
        assert page.width_needed() == PHONE["width"]
        expect_that(page.page.get_by_role("navigation")).to_be_hidden()
        page.ask("How do I sort?\nAVeryLongWordWithoutAnyPlaceToBreakItThatIsWiderThanAnyPhone")
        assert page.width_needed() == PHONE["width"]
        page.page.screenshot(path=tmp_path / "phone.png")
        page.button("Conversations").click()
        expect_that(page.page.get_by_role("navigation")).to_be_visible()
        expect_that(page.button("Close the list")).to_be_focused()
        expect_that(page.page.locator("main")).to_have_js_property("inert", True)
        assert page.width_needed() == PHONE["width"]
        page.page.keyboard.press("Escape")
        expect_that(page.page.get_by_role("navigation")).to_be_hidden()
        expect_that(page.button("Conversations")).to_be_focused()
        page.button("Settings").click()
        assert page.width_needed() == PHONE["width"]
        box = page.page.get_by_role("dialog").bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE["width"]
        page.button("Cancel").click()
        page.button("Conversations").click()
        page.button("New conversation").click()
        expect_that(page.page.get_by_role("navigation")).to_be_hidden()
        expect_that(page.messages).to_have_count(0)
        page.button("Conversations").click()
        page.page.touchscreen.tap(350, 400)
        expect_that(page.page.get_by_role("navigation")).to_be_hidden()
        page.button("Conversations").click()
        page.page.set_viewport_size({"width": 1200, "height": 700})
        expect_that(page.page.locator("main")).to_have_js_property("inert", False)


def test_buttons_are_large_enough_for_fingers(browser: "Browser", chat: FakeChat) -> None:
    with opened(browser, chat.url, viewport=PHONE, has_touch=True, is_mobile=True) as page:
        page.ask("Hi")
        for button in page.page.get_by_role("button").all():
            box = button.bounding_box()
            assert box
            assert min(box["width"], box["height"]) >= 32, button.evaluate("(button) => button.outerHTML")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(
    browser: "Browser", chat: FakeChat, scheme: Literal["light", "dark"], tmp_path: Path
) -> None:
    with opened(browser, chat.url, color_scheme=scheme) as page:
        page.ask("How do I sort?")
        page.page.screenshot(path=tmp_path / f"{scheme}.png")
        for selector in TEXTS:
            assert page.page.locator(selector).first.evaluate(CONTRAST) >= 4.5, selector
        page.button("Settings").click()
        for selector in (".help", "dialog .lead", "#settings-clear"):
            assert page.page.locator(selector).first.evaluate(CONTRAST) >= 4.5, selector


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_appearance_follows_the_system_until_it_is_switched(
    browser: "Browser", chat: FakeChat, scheme: Literal["light", "dark"]
) -> None:
    with opened(browser, chat.url, color_scheme=scheme) as page:
        switch = page.button("Dark appearance")

        def brightness() -> int:
            colour: str = page.page.evaluate("getComputedStyle(document.body).backgroundColor")
            return int(re.findall(r"\d+", colour)[0])

        def check(is_dark: bool) -> None:
            expect_that(switch).to_have_attribute("aria-pressed", str(is_dark).lower())
            assert (brightness() < 60) == is_dark
            assert (brightness() > 200) != is_dark

        check(scheme == "dark")
        switch.click()
        check(scheme != "dark")
        page.page.reload()
        check(scheme != "dark")
        switch.click()
        check(scheme == "dark")
        page.page.emulate_media(color_scheme="light" if scheme == "dark" else "dark")
        check(scheme != "dark")


def focused(page: ChatPage) -> str:
    """What the element that has the focus is called."""
    name: str = page.page.evaluate(
        "document.activeElement.ariaLabel ?? document.activeElement.id ?? document.activeElement.textContent"
    )
    return name


def tab_to(page: ChatPage, name: str, key: str = "Tab") -> None:
    """Press a key until something is reached, seeing the focus all the way."""
    for _ in range(40):
        page.page.keyboard.press(key)
        outline = page.page.evaluate(
            """() => {
                const focused = document.activeElement;
                const style = getComputedStyle(focused.id === "message" ? focused.closest(".sheet") : focused);
                if (focused === document.body) return "of the browser";
                return focused.id === "message" ? style.boxShadow : style.outlineStyle;
            }"""
        )
        assert outline != "none", focused(page)
        if focused(page) == name:
            return
    pytest.fail(f"{name} cannot be reached with {key}")


def test_the_keyboard_is_enough(browser: "Browser", chat: FakeChat) -> None:
    chat.pieces = ["Hello", " there."]
    with opened(browser, chat.url) as page:
        keyboard = page.page.keyboard
        keyboard.type("one")
        keyboard.press("Shift+Enter")
        keyboard.type("two")
        keyboard.press("Enter")
        page.await_answer()
        expect_that(page.texts).to_have_text(["one\ntwo", "Hello there."])
        tab_to(page, "Answer again", "Shift+Tab")
        keyboard.press("Enter")
        expect_that(page.messages.last.locator(".versions")).to_have_text("2 / 2")
        assert focused(page) in ("Answer again", "fake-8b")
        tab_to(page, "Version before", "Shift+Tab")
        keyboard.press("Enter")
        expect_that(page.messages.last.locator(".versions")).to_have_text("1 / 2")
        tab_to(page, "Edit", "Shift+Tab")
        keyboard.press("Enter")
        keyboard.press("Control+A")
        keyboard.type("three")
        keyboard.press("Enter")
        page.await_answer()
        expect_that(page.texts).to_have_text(["three", "Hello there."])
        tab_to(page, "Settings", "Shift+Tab")
        keyboard.press("Enter")
        expect_that(page.page.get_by_role("dialog", name="Settings")).to_be_visible()
        keyboard.press("Escape")
        expect_that(page.button("Settings")).to_be_focused()
        tab_to(page, "new-conversation", "Shift+Tab")
        keyboard.press("Enter")
        expect_that(page.field).to_be_focused()
        expect_that(page.messages).to_have_count(0)
        tab_to(page, "Delete “one”", "Shift+Tab")
        keyboard.press("Enter")
        expect_that(page.page.get_by_role("dialog")).to_be_visible()
        keyboard.press("Tab")
        keyboard.press("Enter")
        expect_that(page.conversations).to_have_count(0)
        expect_that(page.button("New conversation")).to_be_focused()


def test_the_first_stop_skips_to_the_message(browser: "Browser", chat: FakeChat) -> None:
    with opened(browser, chat.url) as page:
        page.page.reload()
        page.page.locator(".skip").focus()
        page.page.keyboard.press("Enter")
        expect_that(page.field).to_be_focused()


def test_everything_is_named(browser: "Browser", chat: FakeChat) -> None:
    with opened(browser, chat.url) as page:
        # Answers are named after the model once the page knows it.
        expect_that(page.page.locator("#model")).to_have_text("fake-8b")
        page.ask("Hi")
        log = page.page.get_by_role("log", name="Messages")
        expect_that(log.get_by_role("article", name="You")).to_be_visible()
        expect_that(log.get_by_role("article", name="fake-8b")).to_be_visible()
        expect_that(page.page.get_by_role("navigation", name="Conversations")).to_be_visible()
        expect_that(page.page.get_by_role("main")).to_be_visible()
        nameless = page.page.evaluate(
            """() => [...document.querySelectorAll("button, input, textarea, a[href], dialog, nav")]
                .filter((it) => it.checkVisibility() && !it.ariaLabel && !it.labels?.length && !it.textContent.trim())
                .map((it) => it.outerHTML)"""
        )
        assert nameless == []
