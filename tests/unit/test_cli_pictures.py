"""Pictures on the command line: where they stand in the prompt, /image, and what is refused."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from pyggml.cli.console import Console
from pyggml.cli.gallery import Gallery
from pyggml.cli.timings import Totals
from pyggml.engine import Picture
from pyggml.errors import ImageError
from tests.unit.cli_fakes import CHATML, FakeModel, Reply
from tests.unit.cli_running import invoke, run_fake

TOWER = ("-m", "text.gguf", "--mmproj", "vision.gguf")


def run(monkeypatch: pytest.MonkeyPatch, model: FakeModel, arguments: Sequence[str], stdin: str = "") -> Result:
    return run_fake(monkeypatch, model, *TOWER, *arguments, stdin=stdin)


def shown(n: int) -> str:
    """A picture whose file's name has so many letters."""
    return f"<|vision_start|>{'#' * n}<|vision_end|>"


def test_pictures_come_first_and_there_is_no_system_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeModel("a cat", template="{{ 'never used' }}")
    result = run(monkeypatch, model, ["--image", "ab.png,abc.png", "--image", "a.jpg", "-p", "What is it?"])
    assert (result.exit_code, result.stdout) == (0, "a cat\n")
    pictures = shown(2) + shown(3) + shown(1)
    assert model.asked == [f"<s><|im_start|>user\n{pictures}What is it?<|im_end|>\n<|im_start|>assistant\n"]


def test_a_prompt_may_say_where_its_pictures_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeModel("a cat")
    run(monkeypatch, model, ["--image", "ab.png", "-sys", "Be brief.", "-p", "Is <__media__> a cat?"])
    assert f"system\nBe brief.<|im_end|>\n<|im_start|>user\nIs {shown(2)} a cat?" in model.asked[0]


def test_a_template_that_is_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeModel("a cat")
    template = "{% for message in messages %}[{{ message.content }}]{% endfor %}"
    run(monkeypatch, model, ["--image", "ab.png", "-p", "What?", "--chat-template", template])
    assert model.asked == [f"<s>[{shown(2)}What?]"]


def test_image_shows_a_picture_with_the_next_message(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeModel("one", "two", "three", template=CHATML)
    stdin = "/image abc.png\nWhat is this?\nAnd now?\n/image d.png\n/image ef.png\nAnd these?\n"
    result = run(monkeypatch, model, [], stdin=stdin)
    assert "abc.png goes with your next message." in result.stderr
    assert f"user\n{shown(3)}What is this?<|im_end|>" in model.asked[0]
    assert f"user\n{shown(3)}What is this?<|im_end|>" in model.asked[1]
    assert f"user\n{shown(1)}{shown(2)}And these?<|im_end|>" in model.asked[2]


def test_pictures_without_a_prompt_go_with_the_first_message(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeModel("one", "two")
    run(monkeypatch, model, ["--image", "ab.png"], stdin="What?\nAnd?\n")
    assert f"user\n{shown(2)}What?<|im_end|>" in model.asked[0]
    assert model.asked[1].count("#") == 2


def test_a_picture_that_cannot_be_seen_leaves_the_conversation_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeModel("one", template=CHATML)
    result = run_fake(monkeypatch, model, stdin="/image abc.png\nHello\n")
    assert "/image abc.png: the model was loaded without a vision tower" in result.stderr
    assert "user\nHello<|im_end|>" in model.asked[0]


def test_the_limits_reach_the_tower(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeModel("one")
    run(monkeypatch, model, ["--image-min-tokens", "16", "--image-max-tokens", "64", "-p", "Hello"])
    arguments = model.load_arguments
    assert str(arguments["mmproj"]) == "vision.gguf"
    assert (arguments["image_min_tokens"], arguments["image_max_tokens"]) == (16, 64)


def test_verbose_prompts_tell_of_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, FakeModel("one"), ["--image", "ab.png", "-p", "Hello", "--verbose-prompt"])
    assert result.stderr.count("-> a part of a picture") == 2


def test_the_time_that_pictures_took_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, FakeModel("one"), ["--image", "ab.png,c.png", "-p", "Hello", "--perf"])
    assert re.search(r"\[ Load: [0-9.]+ s \| Pictures: 2 in [0-9]+\.[0-9]{2} s \| Prompt", result.stderr)
    assert "Pictures" not in run(monkeypatch, FakeModel("one"), ["-p", "Hello", "--perf"]).stderr


def test_a_terminal_shows_which_picture_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(Console, "show_status", lambda console, text: shown.append(text))
    monkeypatch.setattr(Console, "clear_status", lambda console: shown.append("-"))

    def look(paths: Iterable[Path]) -> list[Picture]:
        if Path("b.png") in paths:
            raise ImageError("it is none")
        return [Picture(np.zeros((1, 1), np.float32), 1, 1)]

    gallery = Gallery(look, Console(), Totals(0.0))
    gallery.add(Path("a.png"))
    with pytest.raises(ImageError, match="it is none"):
        gallery.add(Path("b.png"))
    assert shown == ["Looking at a.png", "-", "Looking at b.png", "-"]


def test_a_context_that_cannot_be_shifted(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeModel(Reply("one", reason="context"))
    model.engine.can_shift = False
    result = run(monkeypatch, model, ["-p", "Hello", "--context-shift"])
    assert "--context-shift: tokens of a model that sees pictures have several positions" in result.stderr
    assert "so the text ends here: -c N makes the context larger\n" in result.stderr


def test_a_picture_needs_a_tower() -> None:
    result = invoke("run", "--image", "a.png", "-p", "What?")
    assert result.exit_code == 2
    assert "--image a.png: a picture needs the vision tower of the model: give its file with --mmproj" in result.stderr


def test_bare_text_has_no_place_for_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, FakeModel("one"), ["--image", "a.png", "-p", "What?", "-no-cnv"])
    assert result.exit_code == 2
    assert "--image shows pictures in a conversation, not in bare text: leave -no-cnv away" in result.stderr
