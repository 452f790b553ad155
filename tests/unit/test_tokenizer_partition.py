"""Finding special tokens: the longest first, wherever it is; stripping; nothing lost."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.tokenizer.attributes import TokenAttribute
from pyggml.tokenizer.partition import Partition, SpecialToken

PLAIN = TokenAttribute.CONTROL
LSTRIP, RSTRIP = PLAIN | TokenAttribute.LSTRIP, PLAIN | TokenAttribute.RSTRIP


def partition(*texts: str, attribute: TokenAttribute = PLAIN) -> Partition:
    return Partition([SpecialToken(token, text, attribute) for token, text in enumerate(texts)])


@pytest.mark.parametrize(
    ("texts", "text", "expected"),
    [
        (["<s>"], "", []),
        ([], "a", ["a"]),
        (["<s>"], "a", ["a"]),
        (["<s>"], "<s>", [0]),
        (["<s>"], "a<s><s>b", ["a", 0, 0, "b"]),
        (["abc", "bcde"], "abcde", ["a", 1]),
        (["abc", "bcd"], "abcd", [0, "d"]),
        (["bcd", "abc"], "abcd", ["a", 0]),
        (["a", "aa"], "aaaaa", [1, 1, 0]),
        (["好", "abc"], "好abc", [0, 1]),
        # The length in bytes counts: 好 has three.
        (["好a", "abc"], "好abc", [0, "bc"]),
        (["a.c", "(", "\n"], "abc(a.c\n", ["abc", 1, 0, 2]),
    ],
)
def test_examples(texts: list[str], text: str, expected: list[str | int]) -> None:
    assert partition(*texts).split(text) == expected


def test_stripping() -> None:
    assert partition("<m>", attribute=LSTRIP).split(" a \t\n<m> b <m>\xa0<m> ") == [" a", 0, " b", 0, "\xa0", 0, " "]
    assert partition("<m>", attribute=RSTRIP).split(" <m> \v<m>\f\rb\xa0<m>  ") == [" ", 0, 0, "b\xa0", 0]
    assert partition("<m>", attribute=LSTRIP).split("  <m>") == [0]
    # What one token has stripped no other finds.
    both = Partition([SpecialToken(0, "<mm>", RSTRIP), SpecialToken(1, "\n", PLAIN)])
    assert both.split("\n<mm>\n\n") == [1, 0]


@given(text=st.text("ab<s>\n ", max_size=30), texts=st.lists(st.text("ab<s>\n ", min_size=1, max_size=4), unique=True))
@settings(max_examples=500, deadline=None)
def test_it_is_as_if_all_tokens_were_tried_in_turn(text: str, texts: list[str]) -> None:
    fragments: list[str | int] = [text] if text else []
    for token in sorted(range(len(texts)), key=lambda each: (-len(texts[each]), each)):
        after: list[str | int] = []
        for fragment in fragments:
            if isinstance(fragment, int):
                after.append(fragment)
                continue
            first, *others = fragment.split(texts[token])
            after += [first] if first else []
            for other in others:
                after += [token, other] if other else [token]
        fragments = after
    found = partition(*texts).split(text)
    assert found == fragments
    assert "".join(part if isinstance(part, str) else texts[part] for part in found) == text


def test_many_tokens_and_a_long_text() -> None:
    many = partition(*(f"<|reserved_{number}|>" for number in range(8000)), *("\n" * n for n in range(1, 32)))
    text = "a <|reserved_77|> b\n\n\n" * 5000
    started = time.perf_counter()
    found = many.split(text)
    assert time.perf_counter() - started < 20  # 0.4 s; trying each token on the text would take minutes
    assert found == ["a ", 77, " b", 8002] * 5000
