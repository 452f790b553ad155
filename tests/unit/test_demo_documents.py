"""What the text demo model learns from: the same from the same seed, right, and never what is held out."""

import re
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo_models.documents import Document
from demo_models.heldout import heldout_text
from demo_models.mixture import TASKS, chatml, conversation, render, sample
from demo_models.splits import is_heldout
from demo_models.tables import spelling_words

DATA = Path(__file__).resolve().parents[1] / "data"
#: Tasks that are learned by heart.
ALWAYS_SHOWN = {"identity"}


def words_of(document: Document) -> str:
    return "\n".join([document.plain, *(part for turn in document.turns for part in turn)])


def test_the_held_out_text_is_made_anew() -> None:
    assert heldout_text(30_000).startswith((DATA / "heldout.txt").read_text(encoding="utf-8").rstrip())


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("split", ["train", "heldout"])
def test_documents_belong_to_their_split(task: str, split: str) -> None:
    rng = Random(task)
    for _ in range(40):
        name, document = sample(rng, split, task)
        if split == "train" or task not in ALWAYS_SHOWN:
            assert name == task
        assert is_heldout(document.key) == (split == "heldout") or not document.key
        assert words_of(document)
        assert not re.search(r"\{\w+\}", document.plain), "a slot was left open"
        assert not any(re.search(r"\{\w+\}", part) for turn in document.turns for part in turn)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_sums_are_right(seed: int) -> None:
    for task in ("arithmetic", "zh_arithmetic", "arithmetic_text", "word_problem"):
        text = words_of(sample(Random(seed), "train", task)[1])
        sums = re.findall(r"(\d+) ([-+*/]) (\d+) = (\d+)", text)
        assert sums
        for first, sign, second, result in sums:
            a, b, c = int(first), int(second), int(result)
            assert {"+": a + b == c, "-": a - b == c, "*": a * b == c, "/": c * b == a}[sign]


@given(seed=st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_spelling_comparing_and_sorting_are_right(seed: int) -> None:
    (turn,) = sample(Random(seed), "train", "letters")[1].turns
    if spelled := re.match(r"The word (\w+) is spelled: ([a-z ]+)\.", turn[1]):
        assert spelled[2].replace(" ", "") == spelled[1]
    if counted := re.search(r"The word (\w+) .*The letter (\w) appears (\d+) times?\.", turn[1]):
        assert counted[1].count(counted[2]) == int(counted[3])
    (turn,) = sample(Random(seed), "train", "compare")[1].turns
    first, word, second = re.match(r"([\d.]+) is (\w+) than ([\d.]+)\.$", turn[1]).groups()  # type: ignore[union-attr]  # matches
    assert (float(first) > float(second)) == (word == "larger")
    (turn,) = sample(Random(seed), "train", "sort")[1].turns
    if turn[0].startswith("Sort"):
        assert turn[1] == ", ".join(sorted(re.findall(r"\d+", turn[0]), key=int))


@given(seed=st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_python_compiles(seed: int) -> None:
    text = sample(Random(seed), "train", "python_text")[1].plain
    compile(text, "<document>", "exec")


def test_training_text_is_chatml_or_plain() -> None:
    rng = Random(3)
    for _ in range(100):
        text = render(rng, conversation(rng))
        assert text.endswith("<|endoftext|>")
        assert text.count("<|im_start|>") == text.count("<|im_end|>")
    assert chatml((("a", "b"),), None) == "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n"


def test_words_to_spell_are_plain() -> None:
    assert len(spelling_words()) > 7000
    assert all(word.isascii() and word.isalpha() and word.islower() for word in spelling_words())
