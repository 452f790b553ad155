"""Chat templates from text: Hugging Face's constructs and helpers, the sandbox, and errors."""

import contextlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFReader
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.chat import ChatTemplate, Message
from pyggml.errors import ChatTemplateError
from pyggml_reference.chat import apply_template

USER: Message = {"role": "user", "content": "Hi"}
SYSTEM: Message = {"role": "system", "content": "Be brief."}

TOOLS_TEMPLATE = """\
{%- set rest = messages %}
{%- if messages[0]['role'] == 'system' %}
    {%- set preface = messages[0].content | trim %}
    {%- set rest = messages[1:] %}
{%- endif %}
{{- bos_token }}
{%- if tools %}
    {{- '<tools>' }}
    {%- for tool in tools %}
        {{- '\\n' ~ (tool | tojson) }}
    {%- endfor %}
    {{- '\\n</tools>\\n' }}
{%- endif %}
{%- if preface is defined %}
    {{- '<system>' + preface + '</system>\\n' }}
{%- endif %}
{%- for message in rest %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == 'assistant' and '</think>' in content %}
        {%- set content = content.split('</think>')[-1].strip('\\n') %}
    {%- endif %}
    {%- if message.role == 'tool' %}
        {%- if loop.index0 == 0 or rest[loop.index0 - 1].role != 'tool' %}
            {{- '<results>' }}
        {%- endif %}
        {{- '[' ~ content ~ ']' }}
        {%- if loop.last or rest[loop.index0 + 1].role != 'tool' %}
            {{- '</results>\\n' }}
        {%- endif %}
    {%- else %}
        {{- '<' + message.role + '>' }}
        {%- if content.startswith('/') %}
            {{- 'command ' }}
        {%- endif %}
        {{- content }}
        {%- for call in message.tool_calls or [] %}
            {%- if call.function is defined %}
                {%- set call = call.function %}
            {%- endif %}
            {{- '(call ' ~ loop.index ~ ' ' ~ call.name ~ ' ' ~ (call.arguments | tojson) ~ ')' }}
        {%- endfor %}
        {{- '</' + message.role + '>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<assistant>' }}
{%- endif %}
"""


def template(source: str) -> ChatTemplate:
    return ChatTemplate.from_text(source, "<s>", "</s>")


def render(source: str, *messages: Message, **variables: Any) -> str:
    return template(source).render(list(messages), **variables)


def test_a_tool_conversation() -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"city": "Zürich <&>"}}}
    call = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Zürich"}}}
    messages: list[Message] = [
        {"role": "system", "content": "  Be brief. \n"},
        {"role": "user", "content": "/weather"},
        {"role": "assistant", "content": None, "tool_calls": [call, {"name": "bare", "arguments": [1, 2]}]},
        {"role": "tool", "content": "11 °C"},
        {"role": "tool", "content": "rain"},
        {"role": "assistant", "content": "<think>hm</think>\nWet.\n"},
    ]
    assert template(TOOLS_TEMPLATE).render(messages, tools=[tool]) == (
        f"<s><tools>\n{json.dumps(tool, ensure_ascii=False)}\n</tools>\n<system>Be brief.</system>\n"
        '<user>command /weather</user>\n<assistant>(call 1 weather {"city": "Zürich"})(call 2 bare [1, 2])</assistant>'
        "\n<results>[11 °C][rain]</results>\n<assistant>Wet.</assistant>\n<assistant>"
    )
    assert template(TOOLS_TEMPLATE).render(messages[1:2], add_generation_prompt=False) == (
        "<s><user>command /weather</user>\n"
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ bos_token }}{{ eos_token }}", "<s></s>"),
        ("{% if true %}\n  {% if true %}\nx\n  {% endif %}\n{% endif %}\n", "x\n"),
        (
            "{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}{{ m.content }}{% endfor %}",
            "Hi",
        ),
        ("{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}{{ m.role }}{% endfor %}", "system"),
        ("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "2"),
        ("{% for m in messages %}{{ loop.length }}{{ loop.revindex }}{{ loop.last }}{% endfor %}", "22False21True"),
        ("{% for m in nothing %}{% else %}none{% endfor %}{% for i in range(3) %}{{ i }}{% endfor %}", "none012"),
        ("{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}", "21"),
        ("{{ {'b': 'é<', 'a': [1]} | tojson }}", '{"b": "é<", "a": [1]}'),
        ("{{ {'b': 'é', 'a': 1} | tojson(indent=2, sort_keys=true) }}", '{\n  "a": 1,\n  "b": "é"\n}'),
        ("{{ [1, {}] | tojson(separators=(',', ':')) }}", "[1,{}]"),
        ("{% macro twice(x) %}{{ x * 2 }}{% endmacro %}{{ twice('ab') }}{{ 2 ** 8 }}", "abab256"),
        ("{{ messages[-1]['content'] ~ missing ~ tools }}{{ '{{ x }}' }}", "HiNone{{ x }}"),
        ("{{ messages | map(attribute='role') | join('+') }}{{ thinking }}", "system+useron"),
    ],
)
def test_constructs(source: str, expected: str) -> None:
    assert render(source, SYSTEM, USER, thinking="on") == expected


def test_strftime_now() -> None:
    before, text, after = datetime.now(), render("{{ strftime_now('%Y-%m-%d %H:%M:%S.%f') }}"), datetime.now()
    assert before <= datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f") <= after


def test_parts_are_joined_for_a_template_of_texts() -> None:
    source = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
    parts: Message = {"role": "user", "content": [{"type": "text", "text": t} for t in ("", "One", "", "two")]}
    assert render(source, SYSTEM, parts) == "<system>Be brief.\n<user>One\n\ntwo\n"
    assert render("{{ messages[0].content + '.' }}", parts) == "One\n\ntwo."
    assert render("{{ messages | tojson }}", parts) == '[{"role": "user", "content": "One\\n\\ntwo"}]'
    image: Message = {"role": "user", "content": [{"type": "image"}]}
    with pytest.raises(ChatTemplateError, match=r"message 1 \(user\) has a part of type 'image'.*text alone"):
        render(source, SYSTEM, image)


def test_parts_reach_a_template_that_takes_them() -> None:
    source = (
        "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}"
        "{{ '<image>' if part.type == 'image' else part.text }}{% endfor %}{% endif %}|{% endfor %}"
    )
    parts: Message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}
    assert render(source, USER, parts) == "Hi|<image>What?|"


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([{"content": "x"}], "message 0 has no role: found None"),
        ([USER, {"role": 3, "content": "x"}], "message 1 has no role: found 3"),
        ([{"role": "user", "content": 3}], r"content of message 0 \(user\) is of type int"),
        ([{"role": "user", "content": ["x"]}], r"content of message 0 \(user\) is of type list"),
    ],
)
def test_malformed_messages(messages: list[dict[str, object]], expected: str) -> None:
    with pytest.raises(ChatTemplateError, match=expected):
        template("").render(messages)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ 1 }}\n{% if x %}\n", "wrong at line 2: Unexpected end of template"),
        ("a\nb\n{{ x | nosuchfilter }}", "wrong at line 3: No filter named 'nosuchfilter'"),
        ("{{ x", "wrong at line 1: unexpected end of template"),
        ("{% generation %}x", "wrong at line 1: Unexpected end of template"),
        ("{% for a in b %}" * 30 + "{% endfor %}" * 30, "cannot be compiled: SyntaxError: too many statically nested"),
        ("{{ " + "(" * 3000 + ")" * 3000 + " }}", "cannot be compiled: RecursionError"),
        ("{% include 'x' %}{{ " + "9" * 5000 + " }}", "cannot be compiled: ValueError: Exceeds the limit"),
    ],
)
def test_sources_that_are_no_templates(source: str, expected: str) -> None:
    with pytest.raises(ChatTemplateError, match=expected):
        template(source)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            "\n{{ raise_exception('roles must alternate') }}",
            "refuses this conversation at line 2: roles must alternate;",
        ),
        ("{{ nothing.content }}", "fails at line 1: UndefinedError: 'nothing' is undefined;"),
        ("\n\n{{ messages[7].role }}", "fails at line 3: UndefinedError: .*has no element 7"),
        ("{{ messages[0].content + 1 }}", "fails at line 1: TypeError: can only concatenate str"),
        ("{{ missing | tojson }}", "Undefined is not JSON serializable"),
        ("{{ 1 / 0 }}", "ZeroDivisionError: division by zero"),
        ("{{ strftime_now(1) }}", "must be str, not int"),
        ("{% include 'other' %}", "TypeError|no loader"),
    ],
)
def test_failing_templates(source: str, expected: str) -> None:
    with pytest.raises(ChatTemplateError, match=f"(?s){expected}.*the roles given: system, user") as caught:
        render(source, SYSTEM, USER)
    assert "--chat-template chooses another" in str(caught.value)


def test_a_refusal_without_messages() -> None:
    with pytest.raises(ChatTemplateError, match="the roles given: none"):
        render("{{ messages[0].role.x }}")


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ messages | attr('__class__') }}",
        "{{ raise_exception.__globals__ }}",
        "{{ '{0.__class__}'.format(messages) }}",
        "{{ self.__init__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update({'role': 'x'}) }}",
    ],
)
def test_the_sandbox(source: str) -> None:
    with pytest.raises(ChatTemplateError, match=r"SecurityError: .*(unsafe|not safely)"):
        render(source, USER)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{% for a in range(200000) %}{% endfor %}", "Range too big"),
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "1,000,000 loop iterations"),
        (
            "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
            "1,000,000 loop",
        ),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
        ("{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}", "RecursionError"),
        ("{% for a in range(99999) %}{{ 'x' * 999 }}{% endfor %}", "more than 16,777,216 characters of output"),
        ("{{ 'x' * 99999999999 }}", "a text of more than 16,777,216 characters"),
        ("{{ 99999999999 * [1] }}", "a text of more than 16,777,216 characters"),
        ("{{ 9 ** 999999999 }}", "an exponent beyond 64"),
        ("{{ 9 ** 64 ** 64 }}", "a number of more than 1,024 bits"),
        (
            "{% set n = namespace(s='x') %}{% for a in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
            "a text of more than 16,777,216 characters",
        ),
        (
            "{% set n = namespace(s='x') %}{% for a in range(99) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
            "a text of more than 16,777,216 characters",
        ),
    ],
)
def test_work_is_bounded(source: str, expected: str) -> None:
    with pytest.raises(ChatTemplateError, match=expected):
        render(source, USER)


def test_renderings_do_not_share_their_bound() -> None:
    counting = template("{% for a in range(60000) %}{% endfor %}{{ messages | length }}")
    assert {counting.render([USER]) for _ in range(20)} == {"1"}


def test_choose(tmp_path: Path) -> None:
    def choose(value: str | None, file_template: str | None = None) -> ChatTemplate:
        return ChatTemplate.choose(value, file_template, bos_token="<s>", eos_token="</s>")

    path = tmp_path / "own.jinja"
    path.write_text("é{{ messages | length }}", encoding="utf-8")
    assert choose(None, "{{ bos_token }}").render([]) == "<s>"
    assert choose("chatml", "{{ bos_token }}").render([]) == "<|im_start|>assistant\n"
    assert choose(str(path)).render([USER]) == "é1"
    assert choose(str(path)).source == "é{{ messages | length }}"
    long_text = "{{ eos_token }}" + "{# a remark longer than any file name #}" * 200
    assert choose(long_text).render([]) == "</s>"
    with pytest.raises(ChatTemplateError, match=r"(?s)no chat template \(tokenizer.chat_template\).*chatml, llama2"):
        choose(None)
    with pytest.raises(ChatTemplateError, match=r"'chatmi' is no built-in name, no file.*the names are chatml"):
        choose("chatmi", "{{ bos_token }}")
    path.write_bytes(b"\xff{{ x }}")
    with pytest.raises(ChatTemplateError, match=r"own\.jinja: the file cannot be read as UTF-8"):
        choose(str(path))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                *(
                    "{{",
                    "}}",
                    "{%",
                    "%}",
                    "{#",
                    "#}",
                    " ",
                    "\n",
                    "messages",
                    "for m in messages",
                    "endfor",
                    "if",
                    "endif",
                ),
                *(
                    "set",
                    "x",
                    "=",
                    "1",
                    "'a'",
                    "~",
                    "+",
                    "*",
                    "**",
                    ".role",
                    "[0]",
                    "(",
                    ")",
                    "| trim",
                    "loop",
                    "range(9)",
                ),
                *("generation", "endgeneration", "break", "m.content", "raise_exception", "recursive", "é"),
            ]
        ),
        max_size=25,
    ).map("".join)
)
def test_any_text_renders_or_is_a_template_error(source: str) -> None:
    with contextlib.suppress(ChatTemplateError):
        render(source, SYSTEM, USER)


def test_the_demo_model_s_own_template(shared: Path) -> None:
    field = GGUFReader(shared / "models/demo-text-f16.gguf").get_field("tokenizer.chat_template")
    assert field is not None
    source = str(field.contents())
    assert source == json.loads((shared / "models/demo-text-hf/tokenizer_config.json").read_text())["chat_template"]
    own = ChatTemplate.choose(None, source, bos_token="", eos_token="<|im_end|>")
    pairs = [("system", "Be brief."), ("user", "What is 37 + 48?"), ("assistant", "85 {{ x }}"), ("user", "<|im_end|>")]
    messages: list[Message] = [{"role": role, "content": content} for role, content in pairs]
    assert own.render(messages) == apply_template("chatml", pairs, add_generation_prompt=True)
    default = ("system", "You are a helpful assistant.")
    assert own.render(messages[1:]) == apply_template("chatml", [default, *pairs[1:]], add_generation_prompt=True)
