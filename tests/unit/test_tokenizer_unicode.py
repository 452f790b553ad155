"""The classes of characters: ranges in order, and those of the Unicode version they claim to be."""

import re
import unicodedata

import pytest

from pyggml.tokenizer.unicode_tables import (
    LAST,
    LAST_BASIC,
    LETTERS,
    NUMBERS,
    PUNCTUATION,
    WHITE_SPACE,
    ranges,
    regular_expression_class,
)

TABLES = {"L": LETTERS, "N": NUMBERS, "P": PUNCTUATION}


@pytest.mark.parametrize("table", [*TABLES.values(), WHITE_SPACE])
def test_ranges_rise_with_gaps_between(table: str) -> None:
    last_before = -2
    for first, last in ranges(table):
        assert last_before + 1 < first <= last <= LAST
        last_before = last


def test_tables_are_those_of_unicode() -> None:
    is_same_version = unicodedata.unidata_version == "15.1.0"
    for category, table in TABLES.items():
        ours = {code_point for first, last in ranges(table) for code_point in range(first, last + 1)}
        for code_point in range(LAST + 1):
            found = unicodedata.category(chr(code_point))
            # An older Python does not know some of the characters; no version changes the class of another.
            if found != "Cn" or is_same_version:
                assert (found[0] == category) == (code_point in ours), hex(code_point)


def test_white_space_is_that_of_python_but_for_separators_of_records() -> None:
    ours = {chr(code_point) for first, last in ranges(WHITE_SPACE) for code_point in range(first, last + 1)}
    assert ours == {chr(code_point) for code_point in range(LAST + 1) if chr(code_point).isspace()} - set(
        "\x1c\x1d\x1e\x1f"
    )


def test_classes_of_regular_expressions_end_at_a_code_point() -> None:
    assert regular_expression_class("41-5a aa 10000-1000b", LAST) == (
        r"\U00000041-\U0000005a\U000000aa-\U000000aa\U00010000-\U0001000b"
    )
    assert regular_expression_class("41-5a fff0-1000b 10010", LAST_BASIC) == (
        r"\U00000041-\U0000005a\U0000fff0-\U0000ffff"
    )
    assert re.fullmatch(f"[{regular_expression_class(LETTERS, LAST_BASIC)}]+", "aé好")
    assert not re.search(f"[{regular_expression_class(LETTERS, LAST_BASIC)}]", "1\U00020000")
