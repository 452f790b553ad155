"""`pyggml run` on bare text."""

import pytest

from tests.unit.cli_fakes import BOS, CHATML, EOS, FakeModel, FakeTokenizer, Reply
from tests.unit.cli_running import run_fake


def test_prints_the_prompt_and_the_text_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeModel(", there was a fox.\n")
    result = run_fake(monkeypatch, model, "-p", "Once upon a time")
    assert (result.stdout, result.stderr, result.exit_code) == ("Once upon a time, there was a fox.\n", "", 0)
    assert model.asked == ["<s>Once upon a time"]


def test_text_without_a_line_break_gets_none_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_fake(monkeypatch, FakeModel(" b"), "-p", "a").stdout == "a b"


def test_no_display_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_fake(monkeypatch, FakeModel(" b"), "-p", "a", "--no-display-prompt").stdout == " b"


def test_special_tokens_of_the_prompt_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeModel("x", add_bos=False)
    run_fake(monkeypatch, model, "-p", "<|im_start|>a")
    assert model.asked == ["<|im_start|>a"]


@pytest.mark.parametrize(("option", "asked"), [("-e", "<s>a\nb"), ("--no-escape", "<s>a\\nb")])
def test_escapes(monkeypatch: pytest.MonkeyPatch, option: str, asked: str) -> None:
    model = FakeModel("x")
    run_fake(monkeypatch, model, "-p", r"a\nb", option)
    assert model.asked == [asked]


def test_without_a_prompt_the_text_begins_with_bos(monkeypatch: pytest.MonkeyPatch) -> None:
    for add_bos in (True, False):
        model = FakeModel("x", add_bos=add_bos)
        assert run_fake(monkeypatch, model).stdout == "x"
        assert model.asked == ["<s>"]


def test_without_a_prompt_and_without_bos(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeModel()
    model.tokenizer = FakeTokenizer(add_bos=False, bos=None)
    result = run_fake(monkeypatch, model)
    assert result.exit_code == 2
    assert "nothing to begin with: give a prompt with -p or -f, or let the user begin with -if" in result.stderr


def test_no_cnv_ignores_the_template(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeModel("b", template=CHATML)
    assert run_fake(monkeypatch, model, "-p", "a", "-no-cnv").stdout == "ab"
    assert model.asked == ["<s>a"]


def test_reverse_prompt_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeModel(Reply(" b ", reason="stop", stop_string="User:"))
    assert run_fake(monkeypatch, model, "-p", "a", "-r", r"User\x3a", "-r", "Q").stdout == "a b User:"
    assert model.generation_options[0].stop == ("User:", "Q")


def test_options_of_length_reach_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeModel("b")
    run_fake(monkeypatch, model, "-p", "a", "-n", "-2", "--keep", "-1", "--context-shift", "-sp")
    (options,) = model.generation_options
    assert (options.max_tokens, options.keep, options.context_shift, options.special) == (-2, 1, True, True)


def test_full_context_is_explained_unless_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_fake(monkeypatch, FakeModel(Reply("b", reason="context")), "-p", "a")
    assert result.stderr == (
        "pyggml: warning: the context of 2048 tokens is full, so the text ends here: "
        "--context-shift goes on without the older half, -c N makes the context larger\n"
    )
    assert run_fake(monkeypatch, FakeModel(Reply("b", reason="context")), "-p", "a", "-n", "-2").stderr == ""


def test_prompt_longer_than_the_context(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_fake(monkeypatch, FakeModel(n_ctx=8), "-p", "longer than that")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "pyggml: error: the prompt is too long: 17 tokens\n"


def test_system_message_without_a_template(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "the system message is left aside" in run_fake(monkeypatch, FakeModel("b"), "-p", "a", "-sys", "s").stderr


def test_ctrl_c_ends_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_fake(monkeypatch, FakeModel(Reply("bcd", ctrl_c_after=1)), "-p", "a")
    assert (result.stdout, result.exit_code) == ("abc", 130)


def test_interactive_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeModel(Reply(" Bob\n", reason="stop", stop_string="User:"), "ok", "end")
    result = run_fake(
        monkeypatch, model, "-i", "-r", "User:", "-p", "Who?", "--in-suffix", r"\nBot:", stdin="<s> hi\\x21\n\n"
    )
    assert result.stdout == "Who? Bob\nUser:\nBot:ok\nUser:end\nUser:"
    assert result.exit_code == 0
    first, second, third = model.asked
    assert first == "<s>Who?"
    # What is typed is text, with escapes but without special tokens.
    assert second == "<s>Who? Bob\n<s> hi!\nBot:"
    assert third == second + "ok</s>User:"
    assert model.tokenizer.tokenize("<s>", add_special=False) != [BOS]


def test_bare_enter_goes_on_and_length_hands_over(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeModel(Reply("b", reason="length"), Reply("c", reason="length"))
    assert run_fake(monkeypatch, model, "-i", "-p", "a", "--in-prefix", "> ", stdin="\n").stdout == "ab> c> "
    assert model.asked == ["<s>a", "<s>ab"]


def test_context_shift_makes_room_for_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    replies = [Reply("0123456789", reason="length") for _ in range(12)]
    for keep, kept in (("0", "<s>"), ("2", "<s>pr"), ("-1", "<s>prompt")):
        model = FakeModel(*replies, n_ctx=40)
        arguments = ("-i", "-p", "prompt", "--keep", keep, "--context-shift")
        result = run_fake(monkeypatch, model, *arguments, stdin="typed\n" * 11)
        assert (result.exit_code, result.stderr) == (0, "")
        assert {options.keep for options in model.generation_options} == {len(kept) - len("<s>")}
        assert all(text.startswith(kept) for text in model.asked)
        assert all(text.endswith("0123456789typed") for text in model.asked[1:])
        assert not all(text.startswith("<s>prompt0123456789typed") for text in model.asked[1:])
    result = run_fake(monkeypatch, FakeModel(*replies, n_ctx=40), "-i", "-p", "prompt", stdin="typed\n" * 11)
    assert (result.exit_code, result.stderr) == (1, "pyggml: error: the prompt is too long: 52 tokens\n")


def test_user_first(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeModel("b", add_bos=False)
    assert run_fake(monkeypatch, model, "-if", stdin="typed\n").stdout == "b\n"
    assert model.asked == ["typed"]


def test_user_first_and_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeModel("never")
    assert run_fake(monkeypatch, model, "-if", "-p", "a").stdout == "a"
    assert model.asked == []


def test_ctrl_c_hands_over_in_interactive_text(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeModel(Reply("bcd", ctrl_c_after=1), "e")
    result = run_fake(monkeypatch, model, "-i", "-p", "a", stdin="X\n")
    assert (result.stdout, result.exit_code) == ("abc\ne\n", 0)
    assert model.asked == ["<s>a", "<s>abcX"]


def test_second_ctrl_c_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_fake(monkeypatch, FakeModel(Reply("bcd", ctrl_c_after=1, n_ctrl_c=2)), "-i", "-p", "a", stdin="X\n")
    assert (result.stdout, result.exit_code) == ("ab", 130)


def test_end_of_text_is_kept_in_the_context(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeModel("b", "c")
    run_fake(monkeypatch, model, "-i", "-p", "a", stdin="X\n")
    assert model.asked[1] == "<s>ab</s>X"
    assert model.tokenizer.eos == EOS


def test_verbose_prompt_shows_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_fake(monkeypatch, FakeModel("b"), "-p", "a", "--verbose-prompt")
    assert result.stderr == "2 tokens in the prompt:\n   256 -> '<s>'\n    97 -> 'a'\n"
