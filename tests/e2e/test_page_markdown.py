"""The chat page's markdown, run in a browser: what texts become, and what they must never become."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.e2e.fake_chat_server import fake_chat

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

RENDER = """async (versions) => {
    const { LiveMarkdown } = await import("/page/markdown/live.js");
    const container = document.createElement("div");
    const markdown = new LiveMarkdown(container);
    for (const version of versions) markdown.show(version);
    return container.innerHTML;
}"""
INSPECT = """async (text) => {
    const { LiveMarkdown } = await import("/page/markdown/live.js");
    const container = document.createElement("div");
    document.body.append(container);
    new LiveMarkdown(container).show(text);
    const elements = [...container.querySelectorAll("*")];
    container.remove();
    return elements.map((made) => [
        made.localName, Object.fromEntries([...made.attributes].map(({ name, value }) => [name, value]))]);
}"""
ALLOWED = {
    "a": {"href", "target", "rel"},
    "button": {"type", "class", "aria-label"},
    "div": {"class", "tabindex", "role", "aria-label"},
    "figure": {"class"},
    "input": {"type", "disabled", "checked"},
    "li": {"class"},
    "ol": {"start"},
    "pre": {"tabindex", "aria-label"},
    "span": {"class"},
    "td": {"class"},
    "th": {"class"},
    **{f"h{level}": {"data-level"} for level in range(3, 7)},
    **dict.fromkeys(
        ("blockquote", "br", "code", "del", "em", "figcaption", "hr", "p", "strong", "table", "tbody", "thead", "tr"),
        frozenset[str](),
    ),
    "ul": set(),
}
LINK = 'target="_blank" rel="noopener noreferrer nofollow"'


@pytest.fixture(scope="module")
def page(browser: "Browser") -> Iterator["Page"]:
    with fake_chat() as server:
        context = browser.new_context()
        page = context.new_page()
        page.goto(server.url)
        yield page
        context.close()


def rendered(page: "Page", *versions: str) -> str:
    html: str = page.evaluate(RENDER, list(versions))
    return html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("plain", "<p>plain</p>"),
        ("two\nlines\n\nand more", "<p>two<br>lines</p><p>and more</p>"),
        ("*a* **b** ***c*** _d_ __e__ ~~f~~", "<p><em>a</em> <strong>b</strong> <em><strong>c</strong></em>"
         " <em>d</em> <strong>e</strong> <del>f</del></p>"),
        ("**a *b* c**", "<p><strong>a <em>b</em> c</strong></p>"),
        ("**重点。**后面", "<p><strong>重点。</strong>后面</p>"),
        ("2 * 3 * 4, snake_case_name, **open", "<p>2 * 3 * 4, snake_case_name, **open</p>"),
        ("*a **b*", "<p>*a *<em>b</em></p>"),
        (r"\*not\* a \`code\`", "<p>*not* a `code`</p>"),
        ("`a` ``b ` c`` `` ` `` `open", "<p><code>a</code> <code>b ` c</code> <code>`</code> `open</p>"),
        ("`**a** <b>`", "<p><code>**a** &lt;b&gt;</code></p>"),
        ("# One\n### Three ###\n#none", '<h3 data-level="1">One</h3><h5 data-level="3">Three</h5><p>#none</p>'),
        ("a\n\n---\n\nb", "<p>a</p><hr><p>b</p>"),
        ("> a\n> - b", "<blockquote><p>a</p><ul><li><p>b</p></li></ul></blockquote>"),
        ("- a\n  - b\n- c", "<ul><li><p>a</p><ul><li><p>b</p></li></ul></li><li><p>c</p></li></ul>"),
        ("- a\n\t- b", "<ul><li><p>a</p><ul><li><p>b</p></li></ul></li></ul>"),
        ("1. a\n\n   more\n2. b", "<ol><li><p>a</p><p>more</p></li><li><p>b</p></li></ol>"),
        ("3) a\nlazy", '<ol start="3"><li><p>a<br>lazy</p></li></ol>'),
        ("1. a\n- b", "<ol><li><p>a</p></li></ol><ul><li><p>b</p></li></ul>"),
        ("It was in\n1984. So", "<p>It was in<br>1984. So</p>"),
        ("- [x] a\n- [ ] b", '<ul><li class="task"><input type="checkbox" disabled="" checked=""><p>a</p></li>'
         '<li class="task"><input type="checkbox" disabled=""><p>b</p></li></ul>'),
        ("[t](https://a.b/c_(d)_e)", f'<p><a href="https://a.b/c_(d)_e" {LINK}>t</a></p>'),
        ('[*t*](<mailto:a@b.c> "title")', f'<p><a href="mailto:a@b.c" {LINK}><em>t</em></a></p>'),
        ("(https://a.b/c).", f'<p>(<a href="https://a.b/c" {LINK}>https://a.b/c</a>).</p>'),
        ("**https://a.b/**", f'<p><strong><a href="https://a.b/" {LINK}>https://a.b/</a></strong></p>'),
        ("<https://a.b/>", f'<p><a href="https://a.b/" {LINK}>https://a.b/</a></p>'),
        ("[[1]](https://a.b/)", f'<p><a href="https://a.b/" {LINK}>[1]</a></p>'),
        ("![a picture](https://a.b/c.png)", f'<p><a href="https://a.b/c.png" {LINK}>a picture</a></p>'),
        ("[no](there)", "<p>[no](there)</p>"),
    ],
)  # fmt: skip
def test_what_texts_become(page: "Page", text: str, html: str) -> None:
    assert rendered(page, text) == html


def test_code_is_kept_as_it_is(page: "Page") -> None:
    html = rendered(page, '1. so:\n   ```python x\n   if a < b:\n   \tprint("**")\n   ```\n   done')
    assert '<span class="language">python</span>' in html
    assert '<code>if a &lt; b:\n\tprint("**")</code>' in html
    assert html.endswith("<p>done</p></li></ol>")
    assert "<code>not closed\n</code>" in rendered(page, "~~~\nnot closed\n")
    assert "<code>```\ninside</code>" in rendered(page, "````\n```\ninside\n````")


def test_tables(page: "Page") -> None:
    html = rendered(page, "| a | b |\n|:--|--:|\n| 1 \\| 2 | **x** |\n| only |\nafter")
    assert '<thead><tr><th class="left">a</th><th class="right">b</th></tr></thead>' in html
    assert '<tr><td class="left">1 | 2</td><td class="right"><strong>x</strong></td></tr>' in html
    assert '<tr><td class="left">only</td><td class="right"></td></tr>' in html
    assert html.endswith("</div><p>after</p>")
    assert rendered(page, "a | b\nno table") == "<p>a | b<br>no table</p>"


@pytest.mark.parametrize(
    "text",
    [
        "<script>window.hacked = 1</script>",
        "<img src=x onerror='window.hacked = 1'>",
        "<svg/onload=window.hacked=1>",
        "[a](javascript:window.hacked=1)",
        "[a](JaVaScRiPt:window.hacked=1)",
        "[a](java\tscript:window.hacked=1)",
        "[a](\x01javascript:window.hacked=1)",
        "[a](data:text/html,<script>window.hacked=1</script>)",
        "[a](vbscript:x) <javascript:alert(1)> [a](//evil.example) [a](/props) [a](file:///etc/passwd)",
        '[a](https://a.b/"onmouseover="window.hacked=1)',
        '```"><img/src=x/onerror=window.hacked=1>\ncode\n```',
        "| <img src=x onerror=window.hacked=1> |\n|---|\n| </td><script>window.hacked=1</script> |",
        "![x](javascript:window.hacked=1) ![x](x onerror=window.hacked=1)",
        "<iframe srcdoc='<script>parent.hacked=1</script>'></iframe><style>*{display:none}</style>",
        "&lt;script&gt; &#60;img src=x onerror=window.hacked=1&#62;",
    ],
)
def test_markup_stays_text(page: "Page", text: str) -> None:
    check_elements(page.evaluate(INSPECT, text))
    assert page.evaluate("window.hacked") is None


def check_elements(elements: list[tuple[str, dict[str, str]]]) -> None:
    for name, attributes in elements:
        assert set(attributes) <= ALLOWED[name], (name, attributes)
        if name == "a":
            assert attributes["href"].startswith(("http:", "https:", "mailto:"))
            assert attributes["rel"] == "noopener noreferrer nofollow"


FRAGMENTS = st.sampled_from(
    [*"*_`~[]()<>#|-!\\\n \t:.1a&\"'", "**", "```", "~~", "> ", "- ", "1. ", "\n\n", "](", "https://a.b", "|---|",
     "é", "😀", "javascript:", "<img src=x onerror=window.hacked=1>", "<script>", "[x] ", "    "]
)  # fmt: skip
WILD_TEXTS = st.lists(FRAGMENTS, max_size=60).map("".join)
FIXED_BUDGET = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FIXED_BUDGET
@given(text=WILD_TEXTS)
def test_any_text_becomes_known_elements_only(page: "Page", text: str) -> None:
    check_elements(page.evaluate(INSPECT, text))
    assert page.evaluate("window.hacked") is None


@FIXED_BUDGET
@given(text=WILD_TEXTS, ends=st.lists(st.integers(0, 60), max_size=5))
def test_text_that_grew_looks_as_if_it_had_been_there_at_once(page: "Page", text: str, ends: list[int]) -> None:
    assert rendered(page, *(text[:end] for end in sorted(ends)), text) == rendered(page, text)


@FIXED_BUDGET
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=80))
def test_the_text_between_fences_is_whole(page: "Page", text: str) -> None:
    source = f"{'`' * 90}\n{text}\n{'`' * 90}"
    shown = page.evaluate(
        """async (text) => {
            const { LiveMarkdown } = await import("/page/markdown/live.js");
            const container = document.createElement("div");
            new LiveMarkdown(container).show(text);
            return container.querySelector("pre code").textContent;
        }""",
        source,
    )
    assert shown == text


@pytest.mark.parametrize(
    "unit",
    ["*a ", "a* ", "**a*b_c", "[", "[a](", "![", "`", "`a``", "> ", "- ", "  - ", "1. a\n", "|", "a|b\n", "|-|\n", "\n",
     "<", "~~~ ", "https://", "h", "_", "\\", "* * ", "(", "```\n", " "],
)  # fmt: skip
def test_long_hostile_texts_take_no_long_time(page: "Page", unit: str) -> None:
    texts: list[Any] = [unit * (50_000 // len(unit)), "- a" + unit * (50_000 // len(unit)) + "b"]
    for text in texts:
        began = time.monotonic()
        page.evaluate(INSPECT.replace("return elements", "return elements.slice(0, 1)"), text)
        assert time.monotonic() - began < 3
