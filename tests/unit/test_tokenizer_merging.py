"""Merging symbols: the same as trying all neighbours again and again, and fast on long words."""

import time
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.tokenizer.merging import MergeTable
from pyggml.tokenizer.word_cache import MAX_WORD_LENGTH, MAX_WORDS, WordCache

SYMBOLS = st.text("abc", min_size=1, max_size=4)
RANKS = st.integers(0, 5)


def merged_naively(word: str, ranks: dict[str, int], separator: str) -> list[str]:
    symbols = list(word)
    while True:
        found = [
            (ranks[left + separator + right], place)
            for place, (left, right) in enumerate(pairwise(symbols))
            if left + separator + right in ranks
        ]
        if not found:
            return symbols
        _, place = min(found)
        symbols[place : place + 2] = [symbols[place] + symbols[place + 1]]


@given(word=st.text("abc", max_size=12), ranks=st.dictionaries(SYMBOLS, RANKS))
@settings(max_examples=500, deadline=None)
def test_merging_by_the_rank_of_the_result(word: str, ranks: dict[str, int]) -> None:
    assert MergeTable(ranks, "").merge(word) == merged_naively(word, ranks, "")


@given(word=st.text("abc", max_size=12), rules=st.dictionaries(st.tuples(SYMBOLS, SYMBOLS).map(" ".join), RANKS))
@settings(max_examples=500, deadline=None)
def test_merging_by_rules(word: str, rules: dict[str, int]) -> None:
    assert MergeTable(rules, " ").merge(word) == merged_naively(word, rules, " ")


def test_the_better_pair_wins_then_the_one_further_left() -> None:
    assert MergeTable({"ab": 1, "bc": 0}, "").merge("abc") == ["a", "bc"]
    assert MergeTable({"ab": 0, "bc": 0}, "").merge("abc") == ["ab", "c"]
    assert MergeTable({"aa": 0}, "").merge("aaaaa") == ["aa", "aa", "a"]
    assert MergeTable({"a b": 3, "ab c": 2, "b c": 4}, " ").merge("abc") == ["abc"]
    assert MergeTable({}, "").merge("") == []


def test_long_words_take_no_quadratic_time() -> None:
    ranks = {"a" * length: -length for length in (2, 4, 8, 16)}
    started = time.perf_counter()
    assert len(MergeTable(ranks, "").merge("a" * 2**17)) == 2**13
    assert time.perf_counter() - started < 20  # 0.5 s; hours if it were quadratic


def test_words_are_encoded_once() -> None:
    asked: list[str] = []

    def encode(word: str) -> tuple[int, ...]:
        asked.append(word)
        return (len(word),) * len(word)

    words = WordCache(encode)
    assert words.encode_all(["a", "bb", "", "a", "bb"]) == [1, 2, 2, 1, 2, 2]
    assert asked == ["a", "bb", ""]


def test_the_memory_of_words_is_bounded() -> None:
    words = WordCache(lambda word: (0,))
    long_word = "x" * (MAX_WORD_LENGTH + 1)
    words.encode_all([long_word, long_word[:-1]])
    assert list(words) == [long_word[:-1]]
    assert words.encode_all(map(str, range(MAX_WORDS))) == [0] * MAX_WORDS
    assert 0 < len(words) <= MAX_WORDS
