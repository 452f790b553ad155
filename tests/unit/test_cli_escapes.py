"""Escapes in prompts."""

from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.cli.escapes import process_escapes

_TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(_TEXT)
@settings(max_examples=200, deadline=None)
def test_what_is_escaped_comes_back(text: str) -> None:
    simple = {"\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t", "'": r"\'", '"': r"\""}
    assert process_escapes("".join(simple.get(character, character) for character in text)) == text
    assert process_escapes("".join(f"\\x{byte:02x}" for byte in text.encode())) == text


@given(_TEXT)
@settings(max_examples=200, deadline=None)
def test_other_backslashes_stay(text: str) -> None:
    without = text.replace("\\", "")
    assert process_escapes(without) == without
    assert process_escapes(f"{without}\\d{without}\\") == f"{without}\\d{without}\\"


def test_examples() -> None:
    for text, result in (
        (r"a\nb\tc\\n", "a\nb\tc\\n"),
        (r"\x41\xe4\xbd\xa0\x4", "A你\\x4"),
        (r"\xff", "\N{REPLACEMENT CHARACTER}"),
        (r"\q \u0041 \0", r"\q \u0041 \0"),
        ("\\", "\\"),
    ):
        assert process_escapes(text) == result
