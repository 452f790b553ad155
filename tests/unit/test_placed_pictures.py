"""Where pictures lie in a context, and which positions and vectors their tokens have."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.engine import NO_PICTURES, Picture, PlacedPictures, picture_prompt, with_markers
from pyggml.engine.pictures import text_tokens
from pyggml.errors import UsageError
from tests.unit.cli_fakes import FakeTokenizer

TOKENIZER: Any = FakeTokenizer()


def picture(n_rows: int, n_columns: int, seed: int = 0) -> Picture:
    vectors = np.random.default_rng(seed).random((n_rows * n_columns, 4), np.float32)
    return Picture(vectors, n_rows, n_columns)


def test_text_has_one_position_for_all() -> None:
    assert NO_PICTURES.positions(5, 3).tolist() == [[5] * 3, [6] * 3, [7] * 3]
    vectors, rows = NO_PICTURES.vectors(5, 3)
    assert vectors is None
    assert rows.tolist() == [-1, -1, -1]


def test_a_picture_lies_at_one_time_and_text_goes_on_behind_its_longer_side() -> None:
    placed = PlacedPictures(((2, picture(2, 3)), (9, picture(1, 2))))
    assert placed.positions(0, 13).tolist() == [
        [0, 0, 0],
        [1, 1, 1],
        *([2, 2 + row, 2 + column] for row in range(2) for column in range(3)),
        [5, 5, 5],
        [6, 6, 6],
        [6, 6, 7],
        [8, 8, 8],
        [9, 9, 9],
    ]


@st.composite
def contexts(draw: st.DrawFn) -> tuple[PlacedPictures, int]:
    places, index = [], draw(st.integers(0, 4))
    for seed in range(draw(st.integers(0, 4))):
        each = picture(draw(st.integers(1, 4)), draw(st.integers(1, 4)), seed)
        places.append((index, each))
        index += each.n_tokens + draw(st.integers(0, 3))
    return PlacedPictures(tuple(places)), index + 3


@settings(max_examples=80, deadline=None)
@given(context=contexts(), first=st.integers(0, 40), n=st.integers(1, 40))
def test_a_part_of_a_context_has_the_positions_and_vectors_of_the_whole(
    context: tuple[PlacedPictures, int], first: int, n: int
) -> None:
    placed, length = context
    length = max(length, first + n)
    np.testing.assert_array_equal(placed.positions(first, n), placed.positions(0, length)[first : first + n])
    whole, whole_rows = placed.vectors(0, length)
    part, rows = placed.vectors(first, n)
    for row, other in zip(rows, whole_rows[first : first + n], strict=True):
        assert (row < 0) == (other < 0)
        if row >= 0 and part is not None and whole is not None:
            np.testing.assert_array_equal(part[row], whole[other])


def test_different_pictures_have_different_tokens() -> None:
    one, same, other, turned = picture(2, 3), picture(2, 3), picture(2, 3, seed=1), picture(3, 2)
    assert one.token == same.token < 0
    assert len({one.token, other.token, turned.token}) == 3
    assert text_tokens([5, one.token, 0]) == [5, 0]
    placed = PlacedPictures(((1, one),))
    assert [placed.covers(index, one.token) for index in (0, 1, 6, 7)] == [False, True, True, False]
    assert not placed.covers(1, other.token)


def test_pictures_take_the_places_of_markers() -> None:
    one, other = picture(1, 2), picture(1, 1, seed=1)
    tokens, placed = picture_prompt(TOKENIZER, "a<__media__>b<__media__>", [one, other])
    start, end = list(b"<|vision_start|>"), list(b"<|vision_end|>")
    before = [256, ord("a"), *start]
    middle = [*end, ord("b"), *start]
    assert tokens == [*before, one.token, one.token, *middle, other.token, *end]
    assert placed.places == ((len(before), one), (len(before) + 2 + len(middle), other))


def test_pictures_come_first_unless_the_text_says_where() -> None:
    assert with_markers("hello", 2) == "<__media__><__media__>hello"
    assert with_markers("hello <__media__>", 1) == "hello <__media__>"


def test_there_are_as_many_places_as_pictures() -> None:
    with pytest.raises(UsageError, match=r"1 places for pictures .* and 2 pictures were given"):
        picture_prompt(TOKENIZER, "a<__media__>", [picture(1, 1)] * 2)
