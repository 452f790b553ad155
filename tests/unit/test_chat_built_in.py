"""The built-in chat templates against llama_chat_apply_template."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.chat import BUILT_IN_TEMPLATES, ChatTemplate
from pyggml_reference.chat import apply_template, built_in_names

# C strings: no NUL, no surrogates. Text that looks like jinja or like special tokens must pass untouched.
CONTENTS = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12),
    st.lists(
        st.sampled_from(
            [
                *(
                    "{{ content }}",
                    "{% endfor %}",
                    "{#",
                    "<|im_end|>\n",
                    "</s>",
                    "[INST]",
                    "<<SYS>>",
                    "text",
                    "é",
                    "你好",
                    "🦊",
                ),
                *(" \t", "\n\n", "\v\f\r", "\u00a0", "\u3000", "\u2028", "<\uff5cUser\uff5c>", "'", '"', "\\n"),
            ]
        ),
        max_size=5,
    ).map("".join),
)
TURNS = st.lists(st.tuples(CONTENTS, CONTENTS), max_size=3)


@st.composite
def conversations(draw: st.DrawFn) -> list[tuple[str, str]]:
    """A system message or none, then user and assistant in turn, the last answer often missing."""
    pairs = draw(st.lists(st.tuples(st.just("system"), CONTENTS), max_size=1))
    for question, answer in draw(TURNS):
        pairs += [("user", question), ("assistant", answer)]
    return pairs[: len(pairs) - draw(st.integers(0, 1))]


ANY_ORDER = st.lists(
    st.tuples(
        st.sampled_from(("system", "user", "assistant", "tool", "function", "model", "assistant_tool_call")), CONTENTS
    ),
    max_size=5,
)
TEMPLATES = {name: ChatTemplate.from_text(text, "<s>", "</s>") for name, text in BUILT_IN_TEMPLATES.items()}


def check_against_oracle(pairs: list[tuple[str, str]], add_generation_prompt: bool) -> None:
    messages = [{"role": role, "content": content} for role, content in pairs]
    for name, template in TEMPLATES.items():
        expected = apply_template(name, pairs, add_generation_prompt=add_generation_prompt)
        assert template.render(messages, add_generation_prompt=add_generation_prompt) == expected, name


@settings(max_examples=200, deadline=None)
@given(conversations(), st.booleans())
def test_conversations_come_out_as_from_llama_cpp(pairs: list[tuple[str, str]], add_generation_prompt: bool) -> None:
    check_against_oracle(pairs, add_generation_prompt)


@settings(max_examples=200, deadline=None)
@given(ANY_ORDER, st.booleans())
def test_unusual_roles_come_out_as_from_llama_cpp(pairs: list[tuple[str, str]], add_generation_prompt: bool) -> None:
    check_against_oracle(pairs, add_generation_prompt)


def test_the_names_are_those_of_llama_cpp_and_one_more() -> None:
    assert set(BUILT_IN_TEMPLATES) == built_in_names() | {"mistral"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("chatml", "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"),
        ("gemma", "<start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\n"),
        ("llama2-sys", "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST]"),
        ("mistral-v7", "[SYSTEM_PROMPT] Be brief.[/SYSTEM_PROMPT][INST] Hi[/INST]"),
        (
            "llama3",
            "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
    ],
)
def test_known_renderings(name: str, expected: str) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert TEMPLATES[name].render(messages) == expected
