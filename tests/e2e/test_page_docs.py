"""The page at /docs: all endpoints and their fields, with nothing from elsewhere."""

from typing import TYPE_CHECKING

from pyggml.server.service import ServerOptions
from tests.e2e.browsing import expect_that
from tests.e2e.page_driver import ChatPage
from tests.e2e.serving import served

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_the_docs(browser: "Browser") -> None:
    context = browser.new_context()
    with served(ServerOptions(api_keys=frozenset({"secret"}), prefix="/llm"), n_slots=1) as server:
        page = ChatPage(context.new_page(), server.url)
        page.page.goto(f"{server.url}/llm/docs")
        schema = server.client.get("/llm/openapi.json").json()
        n_operations = sum(len(methods) for methods in schema["paths"].values())
        expect_that(page.page.locator("section")).to_have_count(n_operations)
        completion = page.page.get_by_role("region", name="POST/completion", exact=True)
        expect_that(completion).to_contain_text("Continue prompts.")
        rows = completion.get_by_role("row")
        expect_that(rows.filter(has_text="n_predict")).to_contain_text("whole number, -1 or more")
        expect_that(rows.filter(has_text="cache_prompt")).to_contain_text("true or false")
        prompt = page.page.get_by_role("rowheader", name="prompt", exact=True)
        expect_that(rows.filter(has=prompt)).to_contain_text("required")
        page.page.get_by_role("link", name="GET /health").click()
        expect_that(page.page.locator("section:target h2")).to_have_text("GET /health")
        page.page.route("**/openapi.json", lambda route: route.fulfill(status=500))
        page.page.reload()
        expect_that(page.page.get_by_role("alert")).to_have_text("openapi.json: the server answered 500")
        assert page.complaints == []
        assert schema["servers"] == [{"url": "/llm"}]
    context.close()
