"""`pyggml run` as a person at a terminal sees it, with the model in the package."""

import sys
from pathlib import Path

import pytest
from PIL import Image

from pyggml_reference.random_model import RandomModel, random_model
from pyggml_reference.random_tower import RandomTower, random_tower
from tests.e2e.terminal import CTRL_C, CTRL_D, Terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals in Python")

STORY = "Tell me a story about a fox and a lantern."
SUM = "What is 37 + 48?"
GREEDY = ("--temp", "0")
NO_END = ("--ignore-eos", "-n", "-1")


def test_a_first_message_and_then_more() -> None:
    with Terminal("run", "-p", SUM, *GREEDY) as terminal:
        assert "/help tells what you can do.\n\n> What is 37 + 48?\n" in terminal.wait_for(f"> {SUM}\n")
        shown = terminal.wait_for(" t/s ]\n\n> ")
        assert "37 + 48 = 85\n[ Prompt: " in shown
        terminal.press(f"{SUM}\n")
        assert "37 + 48 = 85\n[ Prompt: " in terminal.wait_for(" t/s ]\n\n> ")
        terminal.press("/exit\n")
        assert terminal.wait_for_end() == 0
        last = terminal.screen.splitlines()[-1]
        assert last.startswith("[ Load: ")
        assert "Generation: 22 tokens, " in last


def test_ctrl_d_leaves() -> None:
    with Terminal("run") as terminal:
        terminal.wait_for("> ")
        terminal.press(CTRL_D)
        assert terminal.wait_for_end() == 0


def test_single_turn_ends_by_itself() -> None:
    with Terminal("run", "-st", "-p", SUM, "--no-perf", *GREEDY) as terminal:
        assert terminal.wait_for_end() == 0
        assert terminal.screen.endswith(f"> {SUM}\n37 + 48 = 85\n")


def test_ctrl_c_hands_the_turn_back_and_then_leaves() -> None:
    with Terminal("run", "-p", STORY, "-c", "1024", *GREEDY, *NO_END) as terminal:
        terminal.wait_for("Once upon a time")
        terminal.press(CTRL_C)
        terminal.wait_for("\n> ")
        terminal.press(f"{SUM}\n")
        terminal.wait_for("85")
        terminal.press(CTRL_C)
        terminal.wait_for("\n> ")
        terminal.interrupt_prompt()
        assert terminal.wait_for_end() == 130
        assert "Traceback" not in terminal.screen


def test_regen_clear_and_lines_that_go_on() -> None:
    with Terminal("run", *GREEDY) as terminal:
        terminal.wait_for("\n> ")
        terminal.press("What is\\\n")
        terminal.press("37 + 48?\n")
        first = terminal.wait_for(" t/s ]\n\n> ")
        terminal.press("/regen\n")
        again = terminal.wait_for(" t/s ]\n\n> ")
        assert first.split("\n")[2] == again.split("\n")[1]
        terminal.press("/clear\n")
        terminal.wait_for("The conversation is forgotten.\n\n> ")
        terminal.press("/exit\n")
        assert terminal.wait_for_end() == 0


def test_full_context_is_explained_and_the_conversation_goes_on() -> None:
    with Terminal("run", "-c", "256", *GREEDY, *NO_END) as terminal:
        terminal.wait_for("\n> ")
        terminal.press(f"{STORY}\n")
        terminal.wait_for("warning: the context of 256 tokens is full")
        terminal.wait_for("\n> ")
        terminal.press(f"{SUM}\n")
        terminal.wait_for("warning: the prompt is too long")
        assert "/clear begins anew, --context-shift" in terminal.wait_for("\n> ")
        terminal.press("/clear\n")
        terminal.wait_for("\n> ")
        terminal.press(f"{SUM}\n")
        terminal.wait_for("37 + 48 = 85")
        terminal.press(CTRL_C)
        terminal.wait_for("\n> ")
        terminal.press(CTRL_D)
        assert terminal.wait_for_end() == 0


def test_ctrl_c_while_a_picture_is_looked_at(tmp_path: Path) -> None:
    text, mmproj, picture = (tmp_path / name for name in ("text.gguf", "mmproj.gguf", "picture.png"))
    random_model(text, RandomModel("qwen2vl", sections=(2, 3, 3), n_extra_tokens=3))
    random_tower(mmproj, RandomTower(n_layers=200))
    Image.new("RGB", (1000, 1000)).save(picture)
    files = ("-m", str(text), "--mmproj", str(mmproj), "--image", str(picture))
    with Terminal("run", *files, "-c", "2048", "-p", "hello") as terminal:
        terminal.wait_for(f"Looking at {picture}")
        terminal.press(CTRL_C)
        assert terminal.wait_for_end() == 130
        assert "Traceback" not in terminal.screen
        assert "Prompt: 0 tokens" in terminal.screen


def test_interactive_text() -> None:
    with Terminal("run", "-no-cnv", "-i", "-p", "Once upon a time", "-r", ".", "--no-perf", *GREEDY) as terminal:
        first = terminal.wait_for(".")
        assert first.startswith("Once upon a time there was")
        terminal.press(" Then\n")
        second = terminal.wait_for(".")
        assert second.startswith(" Then\n")
        assert len(second) > len(" Then\n.")
        terminal.press("\n")
        terminal.wait_for(".")
        terminal.interrupt_prompt()
        assert terminal.wait_for_end() == 130
        assert "Traceback" not in terminal.screen


def test_colors() -> None:
    with Terminal("run", "-p", SUM, "--color", *GREEDY) as terminal:
        terminal.wait_for(" t/s ]\n\n> ")
        terminal.press(CTRL_D)
        assert terminal.wait_for_end() == 0
        assert f"> \x1b[32m\x1b[1m{SUM}\n\x1b[0m37" in terminal.colored_screen
    with Terminal("run", "-st", "-p", SUM, "--color", "off", *GREEDY) as terminal:
        assert terminal.wait_for_end() == 0
        assert "\x1b[3" not in terminal.colored_screen


def test_a_script_on_a_terminal_answers_once(tmp_path: Path) -> None:
    (tmp_path / "input").write_text("for another program\n", encoding="utf-8")
    with Terminal("run", "-p", SUM, *GREEDY, stdin=str(tmp_path / "input")) as terminal:
        assert terminal.wait_for_end() == 0
        assert terminal.screen.startswith("37 + 48 = 85\n[ Load: ")
