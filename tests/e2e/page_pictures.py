"""Pictures as a person gives them to the chat page: chosen, pasted, dropped."""

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tests.e2e.browsing import expect_that
from tests.e2e.page_driver import ChatPage

if TYPE_CHECKING:
    from playwright.sync_api import FilePayload

#: Has a paste or a drop come to an element, with files or a text.
GIVE = """(element, [kind, files, text]) => {
    const data = new DataTransfer();
    for (const { name, mimeType, base64 } of files) {
        const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
        data.items.add(new File([bytes], name, { type: mimeType }));
    }
    if (text) data.setData("text/plain", text);
    const about = { bubbles: true, cancelable: true };
    const event = kind === "paste"
        ? new ClipboardEvent("paste", { ...about, clipboardData: data })
        : new DragEvent(kind, { ...about, dataTransfer: data });
    element.dispatchEvent(event);
    return event.defaultPrevented;
}"""


@dataclass(frozen=True)
class GivenFile:
    """A file on the disk of the person at the page."""

    name: str
    data: bytes
    type: str = "image/png"

    @property
    def part(self) -> dict[str, Any]:
        """What the server is sent of it."""
        url = f"data:{self.type};base64,{base64.b64encode(self.data).decode()}"
        return {"type": "image_url", "image_url": {"url": url}}


def picture(name: str, width: int = 60, height: int = 40, seed: int = 0) -> GivenFile:
    """A picture of noise, of which each pixel needs three bytes."""
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return GivenFile(name, file.getvalue())


def choose(page: ChatPage, *files: GivenFile, form: str = "Write a message", wait: bool = True) -> None:
    """Attach files by the button of a form."""
    with page.page.expect_file_chooser() as chooser:
        page.page.get_by_role("form", name=form).get_by_role("button", name="Attach pictures").click()
    listed: list[FilePayload] = [{"name": each.name, "mimeType": each.type, "buffer": each.data} for each in files]
    chooser.value.set_files(listed)
    for file in files if wait else ():
        expect_that(page.button(f"Remove “{file.name}”")).to_be_visible()


def give(page: ChatPage, kind: str, *files: GivenFile, text: str = "", to: str = "#message") -> bool:
    """Paste or drop; whether the page took it, so that the browser did nothing itself."""
    listed = [
        {"name": each.name, "mimeType": each.type, "base64": base64.b64encode(each.data).decode()} for each in files
    ]
    is_taken: bool = page.page.locator(to).evaluate(GIVE, [kind, listed, text])
    return is_taken


def await_shown(page: ChatPage, *names: str, inside: str = ".pictures") -> None:
    """Wait until these pictures, and no others, are seen."""
    images = page.page.locator(f"{inside} img")
    expect_that(images).to_have_count(len(names))
    for name, image in zip(names, images.all(), strict=True):
        expect_that(image).to_have_attribute("alt", name)
        expect_that(image).to_be_visible()
    page.await_truth(f"() => [...document.querySelectorAll('{inside} img')].every((it) => it.naturalWidth > 0)")
