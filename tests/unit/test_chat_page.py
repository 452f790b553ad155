"""How the chat page's files are served, and that they need nothing from elsewhere."""

import asyncio
import re
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from pyggml.server import chat_page
from pyggml.server.chat_page import CONTENT_SECURITY_POLICY, add_pages

FOLDER = Path(chat_page.__file__).parent / "page"
FILES = sorted(path for path in FOLDER.rglob("*") if path.is_file())


def ask(path: str, method: str = "GET", **headers: str) -> httpx.Response:
    """What the page's part of the application answers."""
    app = FastAPI()
    add_pages(app)

    async def answer() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://page") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(answer())


def check_headers(response: httpx.Response) -> None:
    assert response.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-cache"


def test_the_page_is_at_the_root() -> None:
    response = ask("/")
    assert response.text == (FOLDER / "index.html").read_text(encoding="utf-8")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    check_headers(response)
    assert ask("/", "HEAD").status_code == 200


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_has_its_type(path: Path) -> None:
    response = ask(f"/page/{path.relative_to(FOLDER).as_posix()}")
    types = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
    assert response.headers["Content-Type"].split(";")[0] == types[path.suffix]
    assert response.content == path.read_bytes()
    check_headers(response)


def test_a_file_that_did_not_change_is_not_sent_again() -> None:
    tag = ask("/page/dom.js").headers["ETag"]
    assert ask("/page/dom.js", **{"If-None-Match": tag}).status_code == 304


@pytest.mark.parametrize("path", ["/page/none.js", "/page/../chat_page.py", "/page/%2e%2e/chat_page.py"])
def test_nothing_else_is_served(path: str) -> None:
    assert ask(path).status_code == 404


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_comes_from_elsewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.findall(r"""(?:src|href|url|from|import|fetch)\s*[=(]?\s*["'(]\s*(?:https?:)?//""", text)
    assert "innerHTML" not in text


def test_the_policy_leaves_no_way_out() -> None:
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY
    assert "img-src 'self' blob:;" in CONTENT_SECURITY_POLICY
    assert "trusted-types 'none'" in CONTENT_SECURITY_POLICY


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_source_can_be_read(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 250
    assert max(map(len, lines)) <= 120
    assert path.suffix != ".js" or lines[0].startswith("// ")
    assert path.suffix != ".css" or lines[0].startswith("/* ")
