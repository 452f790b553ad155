"""The word tables that everything is made from, in tables/*.json; all written by hand."""

import functools
import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent


@functools.cache
def _tables() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for file in sorted((_FOLDER / "tables").glob("*.json")):
        found |= json.loads(file.read_text(encoding="utf-8"))
    return found


def names(table: str) -> list[str]:
    """A table of words or sentences."""
    return list(_tables()[table])


def pairs(table: str) -> dict[str, str]:
    """A table that gives one text for another."""
    return dict(_tables()[table])


def rows(table: str) -> dict[str, list[Any]]:
    """A table that gives several values for a text."""
    return dict(_tables()[table])


def entries(table: str) -> list[list[Any]]:
    """A table of lists."""
    return list(_tables()[table])


@functools.cache
def spelling_words() -> list[str]:
    """The words that are spelled and written in pictures: those of the tokenizer's words.txt."""
    return (_FOLDER / "tokenizer" / "words.txt").read_text(encoding="utf-8").split()
