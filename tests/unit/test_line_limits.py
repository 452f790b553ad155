"""Answers that end at a line break, or where a block of code does."""

from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.engine.lines import LineLimits

PIECES = st.lists(st.text(alphabet=" \tab\n", max_size=6), max_size=12)


def shown_by(limits: LineLimits, pieces: list[str]) -> str:
    shown = ""
    for piece in pieces:
        shown += limits.push(piece)
        if limits.is_over:
            break
    return shown


@given(pieces=PIECES, indent=st.integers(1, 4))
@settings(max_examples=300, deadline=None)
def test_lines_begin_far_enough_right(pieces: list[str], indent: int) -> None:
    text, limits = "".join(pieces), LineLimits(0, indent)
    shown = shown_by(limits, pieces)
    assert text.startswith(shown)
    for line in shown.split("\n")[1:-1]:
        assert len(line) - len(line.lstrip(" \t")) >= indent
    if limits.is_over:
        last = shown.split("\n")[-1]
        assert len(last) < indent
        assert not last.strip(" \t")
        assert text[len(shown)] not in " \t"
    else:
        assert shown == text


@given(pieces=PIECES)
@settings(max_examples=100, deadline=None)
def test_without_limits_all_is_shown(pieces: list[str]) -> None:
    limits = LineLimits(0, 0)
    assert shown_by(limits, pieces) == "".join(pieces)
    assert limits.has_new_line == any("\n" in piece for piece in pieces)


def test_time_ends_an_answer_at_its_next_line() -> None:
    limits = LineLimits(1e-9, 0)
    assert (limits.push("a"), limits.is_over) == ("a", False)
    assert (limits.push("b\nc"), limits.is_over) == ("b\nc", True)
    patient = LineLimits(3600, 0)
    assert (patient.push("b\nc"), patient.is_over) == ("b\nc", False)
