"""Reading the user's turns where stdin is no terminal."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.cli.console import Console
from pyggml.cli.user_input import UserInput

_LINES = st.lists(st.text(st.sampled_from("ab/\\ "), max_size=4), max_size=8)


def read_all(text: str, *, multiline: bool, commands: bool = False) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO(text))
        user = UserInput(Console("off"), multiline)
        turns = []
        while (turn := user.read("> ", commands)) is not None:
            turns.append(turn)
        return turns


@given(_LINES)
@settings(max_examples=300, deadline=None)
def test_lines_without_a_backslash_are_turns(lines: list[str]) -> None:
    lines = [line.replace("\\", "") for line in lines]
    assert read_all("".join(f"{line}\n" for line in lines), multiline=False) == lines


@given(_LINES, st.booleans())
@settings(max_examples=300, deadline=None)
def test_turns_are_groups_of_lines(lines: list[str], multiline: bool) -> None:
    groups: list[list[str]] = [[]]
    for line in lines:
        ends_turn = line.endswith(("\\", "/")) if multiline else not line.endswith("\\")
        groups[-1].append(line[:-1] if line.endswith("\\") or (multiline and line.endswith("/")) else line)
        if ends_turn:
            groups.append([])
    expected = ["\n".join(group) for group in groups if group]
    assert read_all("".join(f"{line}\n" for line in lines), multiline=multiline) == expected


def test_examples() -> None:
    assert read_all("one\ntwo\\\nthree\nfour", multiline=False) == ["one", "two\nthree", "four"]
    assert read_all("a\\\n\nb", multiline=False) == ["a\n", "b"]
    assert read_all("a\\", multiline=False) == ["a"]
    assert read_all("one\ntwo\\\nthree/\nfour", multiline=True) == ["one\ntwo", "three", "four"]
    assert read_all("/exit\na\n/b\\\n", multiline=True, commands=True) == ["/exit", "a\n/b"]
    assert read_all("/usr/\n", multiline=False) == ["/usr/"]
    assert read_all("", multiline=True) == []


def test_no_prompt_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    read_all("a\n", multiline=False)
    assert capsys.readouterr() == ("", "")
