"""`pyggml run` in conversation, where stdin is no terminal; tests/e2e has the terminal."""

from itertools import pairwise
from pathlib import Path

import pytest

from tests.unit.cli_fakes import CHATML, FakeModel, Reply
from tests.unit.cli_running import run_fake

HI = "<s><|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


def model_of(*replies: Reply | str, n_ctx: int = 2048, template: str | None = CHATML) -> FakeModel:
    return FakeModel(*replies, template=template, n_ctx=n_ctx)


def test_prompt_is_answered_once_and_stdin_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("Hello!", "never")
    result = run_fake(monkeypatch, model, "-p", "Hi", stdin="for the next program\n")
    assert (result.stdout, result.stderr, result.exit_code) == ("Hello!\n", "", 0)
    assert model.asked == [HI]


def test_turns_come_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("Hello!", "Bye.\n")
    result = run_fake(monkeypatch, model, stdin="Hi\n\n  \nthen")
    assert (result.stdout, result.stderr, result.exit_code) == ("Hello!\nBye.\n", "", 0)
    rest = "Hello!<|im_end|>\n<|im_start|>user\nthen<|im_end|>\n<|im_start|>assistant\n"
    assert model.asked == [HI, HI + rest]


@pytest.mark.parametrize("option", ["-i", "-if"])
def test_interactive_goes_on_after_the_prompt(monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    assert run_fake(monkeypatch, model_of("1", "2"), option, "-p", "Hi", stdin="more\n").stdout == "1\n2\n"


def test_single_turn_reads_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_fake(monkeypatch, model_of("1", "2"), "-st", stdin="Hi\nmore\n").stdout == "1\n"


def test_no_input_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_fake(monkeypatch, model_of())
    assert (result.stdout, result.stderr, result.exit_code) == ("", "", 0)


def test_empty_prompt_does_not_wait_for_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_fake(monkeypatch, model_of(), "-p", "", stdin="Hi\n")
    assert (result.stderr, result.exit_code) == ("pyggml: error: the prompt is empty: there is nothing to answer\n", 2)


def test_system_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "system").write_text("Be\\nbrief.\n", encoding="utf-8")
    for options in (["-sys", "Be\\nbrief."], ["-sysf", str(tmp_path / "system")]):
        model = model_of("1")
        run_fake(monkeypatch, model, "-p", "Hi", *options)
        assert model.asked == [HI.replace("<s>", "<s><|im_start|>system\nBe\\nbrief.<|im_end|>\n")]


def test_messages_are_not_unescaped(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("1", "2")
    run_fake(monkeypatch, model, "-i", "-p", r"a\tb", stdin="c\\td\n")
    assert "a\tb" in model.asked[0]
    assert "c\\td" in model.asked[1]


def test_backslash_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("1")
    run_fake(monkeypatch, model, stdin="H\\\ni\n")
    assert model.asked == [HI.replace("Hi", "H\ni")]


def test_multiline_input(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("1", "2", "3")
    run_fake(monkeypatch, model, "-mli", stdin="H\ni\\\nb\nc/\n/clear\nlast\n")
    assert model.asked[0] == HI.replace("Hi", "H\ni")
    assert "<|im_start|>user\nb\nc<|im_end|>" in model.asked[1]
    assert model.asked[2] == HI.replace("Hi", "last")


def test_a_template_that_writes_bos_gets_no_second_one(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("1", template="{{ bos_token }}" + CHATML)
    run_fake(monkeypatch, model, "-p", "Hi")
    assert model.asked == [HI]


def test_regen(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("first", "second", "third")
    result = run_fake(monkeypatch, model, stdin="/regen\nHi\n/regen\nmore\n")
    assert result.stdout == "first\nsecond\nthird\n"
    assert result.stderr == "pyggml: warning: there is no answer to give again\n"
    assert model.asked[:2] == [HI, HI]
    assert "second" in model.asked[2]
    assert "first" not in model.asked[2]


def test_clear_keeps_the_system_message(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("1", "2")
    result = run_fake(monkeypatch, model, "-sys", "S", stdin="Hi\n/clear\nHi\n")
    assert model.asked[0] == model.asked[1]
    assert "The conversation is forgotten." in result.stderr


def test_read_puts_files_in_front(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a b.txt").write_text("ä\n", encoding="utf-8")
    (tmp_path / "c").write_text("no end", encoding="utf-8")
    (tmp_path / "bad").write_bytes(b"\xff")
    model = model_of("1", "2")
    monkeypatch.chdir(tmp_path)
    result = run_fake(monkeypatch, model, stdin="/read a b.txt\n/read c\n/read bad\n/read none\nHi\nHi\n")
    files = "--- File: a b.txt ---\nä\n--- File: c ---\nno end\n"
    assert model.asked[0] == HI.replace("Hi", files + "Hi")
    assert model.asked[1].count("File") == 2
    assert "a b.txt goes with your next message." in result.stderr
    assert "/read bad: the file cannot be read as UTF-8 text" in result.stderr
    assert "/read none: the file cannot be read as UTF-8 text" in result.stderr


def test_help_exit_and_unknown_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("1")
    result = run_fake(monkeypatch, model, stdin="/help\n/foo bar\n/etc/passwd?\n/exit\nnever\n")
    for command in ("/regen", "/clear", "/read FILE", "/help", "/exit"):
        assert f"{command} " in result.stderr
    assert "there is no command /foo; /help lists them" in result.stderr
    assert [text.count("/etc/passwd?") for text in model.asked] == [1]


def test_ctrl_c_keeps_what_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(Reply("abcdef", ctrl_c_after=1), "2")
    result = run_fake(monkeypatch, model, stdin="Hi\nmore\n")
    assert (result.stdout, result.exit_code) == ("ab\n2\n", 0)
    assert model.asked[1].startswith(HI + "ab<|im_end|>")


def test_ctrl_c_in_a_single_answer_is_told_by_the_status(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_fake(monkeypatch, model_of(Reply("abcdef", ctrl_c_after=1)), "-p", "Hi")
    assert (result.stdout, result.exit_code) == ("ab\n", 130)


def test_second_ctrl_c_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(Reply("abc", ctrl_c_after=1, n_ctrl_c=2), "never")
    assert run_fake(monkeypatch, model, stdin="Hi\nmore\n").exit_code == 130
    assert len(model.asked) == 1


def test_full_context_of_a_script_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_fake(monkeypatch, model_of("1", n_ctx=60), stdin="Hi\nHi again, with more than fits\nnever\n")
    assert (result.stdout, result.exit_code) == ("1\n", 1)
    assert "pyggml: error: the prompt is too long" in result.stderr


def test_context_shift_drops_the_oldest_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    replies = [f"{index}" for index in range(12)]
    model = model_of(*replies, n_ctx=150)
    result = run_fake(monkeypatch, model, "--context-shift", "-sys", "S", stdin="Hi\n" * 12)
    assert result.stdout.split() == replies
    assert "The context is full: the oldest" in result.stderr
    assert all(text.startswith("<s><|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi") for text in model.asked)
    tokens = [len(model.tokenizer.tokenize(text, add_special=False, parse_special=True)) for text in model.asked]
    assert max(tokens) < 150
    drops = [new for old, new in pairwise(tokens) if new < old]
    assert drops
    assert all(n <= 75 for n in drops)


def test_context_shift_cannot_shorten_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_fake(monkeypatch, model_of(n_ctx=20), "--context-shift", "-p", "a long message")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "pyggml: error: the prompt is too long: 34 tokens\n"


def test_template_is_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "template").write_text("F{{ messages[0].content }}", encoding="utf-8")
    for options, asked in (
        (["--chat-template", "phi3"], "<s><|user|>\nHi<|end|>\n<|assistant|>\n"),
        (["--chat-template", "T{{ messages[0].content }}"], "<s>THi"),
        (["--chat-template", str(tmp_path / "template")], "<s>FHi"),
        (["--chat-template-file", str(tmp_path / "template")], "<s>FHi"),
    ):
        for own in (CHATML, None):
            model = model_of("1", template=own)
            assert run_fake(monkeypatch, model, "-p", "Hi", *options).exit_code == 0
            assert model.asked == [asked]


def test_conversation_without_a_template_takes_chatml(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("1", template=None)
    result = run_fake(monkeypatch, model, "-cnv", "-p", "Hi")
    assert "the model has no chat template: chatml is taken" in result.stderr
    assert model.asked == [HI]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--chat-template", "nope"], 2, "--chat-template 'nope' is no built-in name, no file and no template text"),
        (["--chat-template", "{% for"], 2, "the chat template is wrong at line 1"),
        (["--chat-template", "{{ raise_exception('no') }}"], 1, "the chat template refuses this conversation"),
        (["--chat-template", "a", "--chat-template-file", "b"], 2, "both give the text: give one of them"),
        (["--in-prefix", "a", "-cnv"], 2, "--in-prefix and --in-suffix are for bare text"),
    ],
)
def test_wrong_templates(monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int, message: str) -> None:
    result = run_fake(monkeypatch, model_of("1"), "-p", "Hi", *arguments)
    assert (result.exit_code, result.stdout) == (status, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_affixes_switch_the_template_off(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("1")
    run_fake(monkeypatch, model, "-p", "Hi", "--in-prefix", "x")
    assert model.asked == ["<s>Hi"]


def test_stop_string_is_not_part_of_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(Reply("ab", reason="stop", stop_string="Q:"), "2")
    assert run_fake(monkeypatch, model, "-r", "Q:", stdin="Hi\nHi\n").stdout == "ab\n2\n"
    assert "Q:" not in model.asked[1]


def test_timings(monkeypatch: pytest.MonkeyPatch) -> None:
    many = run_fake(monkeypatch, model_of("abcd", "ef"), "--perf", stdin="Hi\nHi\n").stderr.splitlines()
    assert many[:2] == ["[ Prompt: 11.0 t/s | Generation: 1.0 t/s ]", "[ Prompt: 24.5 t/s | Generation: 0.5 t/s ]"]
    assert many[2].endswith("Prompt: 71 tokens, 17.8 t/s | Generation: 6 tokens, 0.8 t/s ]")
    assert many[2].startswith("[ Load: 0.0")
    (one,) = run_fake(monkeypatch, model_of("abcd"), "--perf", "-p", "Hi").stderr.splitlines()
    assert one.endswith("| Prompt: 22 tokens, 11.0 t/s | Generation: 4 tokens, 1.0 t/s ]")
