"""`pyggml run` in pipes and scripts: real models, real processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pyggml.package_data import demo_model
from tests.unit.cli_running import invoke

STORY = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a"
    " big, red ball. She wanted to play with it, but it was too high."
)
PROGRAM = (sys.executable, "-c", "from pyggml.cli.main import main; main(prog_name='pyggml')")
GREEDY = ("--temp", "0")


def start(*arguments: str, stdin: int | None = subprocess.DEVNULL, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PROGRAM, *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=os.environ | environment,
    )


def run(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
    """Run to the end; give status, stdout, stderr."""
    process = start("run", *arguments, stdin=subprocess.PIPE)
    stdout, stderr = process.communicate(stdin, timeout=120)
    return process.returncode, stdout, stderr


def test_the_story_of_issue_2(shared: Path) -> None:
    model = str(shared / "models" / "stories260K.gguf")
    status, stdout, stderr = run("-m", model, "-p", "Once upon a time", "-n", "60", *GREEDY)
    assert status == 0
    assert stdout.startswith(STORY)
    assert stderr.splitlines()[-1].startswith("[ Load: ")
    assert "| Prompt: 5 tokens, " in stderr
    assert "| Generation: 60 tokens, " in stderr


def test_one_answer_while_stdin_stays_open() -> None:
    process = start("run", "-p", "What is 37 + 48?", "--no-perf", *GREEDY, stdin=subprocess.PIPE)
    assert process.wait(120) == 0
    stdout, _ = process.communicate()
    assert stdout == "37 + 48 = 85\n"


def test_turns_from_a_pipe() -> None:
    status, stdout, _ = run(*GREEDY, stdin="What is 37 + 48?\n香蕉是什么颜色的\n/regen\n")
    assert (status, stdout) == (0, "37 + 48 = 85\n香蕉是黄色的。\n香蕉是黄色的。\n")


def test_a_seed_repeats_the_text_and_another_changes_it() -> None:
    arguments = ("-no-cnv", "-p", "Once upon a time", "-n", "24", "--temp", "2", "--top-k", "0", "-s")
    first, again, other = (run(*arguments, seed)[1] for seed in ("7", "7", "8"))
    assert first == again != other


def test_the_prompt_cache_gives_the_same_text(tmp_path: Path) -> None:
    arguments = ("-no-cnv", "-p", "Once upon a time there was a", "-n", "16", *GREEDY)
    _, expected, _ = run(*arguments)
    for _ in range(2):
        status, stdout, stderr = run(*arguments, "--prompt-cache", str(tmp_path / "cache"))
        assert (status, stdout) == (0, expected)
    assert "Prompt: 1 tokens" in stderr


@pytest.mark.parametrize("cache_type", ["f32", "bf16", "q8_0"])
def test_cache_types(cache_type: str) -> None:
    result = invoke("run", "-p", "What is 37 + 48?", "-ctk", cache_type, "-ctv", cache_type, *GREEDY)
    assert (result.exit_code, result.stdout) == (0, "37 + 48 = 85\n")


def test_context_shift_writes_on() -> None:
    status, _, stderr = run(
        "-no-cnv", "-p", "Once", "-c", "256", "--ignore-eos", "-n", "260", "--context-shift", *GREEDY
    )
    assert status == 0
    assert "Generation: 260 tokens" in stderr


def test_ctrl_c_ends_the_text() -> None:
    process = start("run", "-no-cnv", "-p", "Once", "--ignore-eos", "--context-shift")
    assert process.stdout is not None
    assert process.stdout.read(6)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in stderr


def test_a_reader_that_leaves_is_no_error() -> None:
    process = start("run", "-no-cnv", "-p", "Once", "--ignore-eos", "--context-shift", "--no-perf")
    assert process.stdout is not None
    assert process.stdout.read(6)
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(60) == 1
    process.stderr.close()


def assert_one_line(status: int, message: str, *arguments: str) -> None:
    """The program says what is wrong on one line of stderr, and nothing else."""
    result = invoke("run", *arguments)
    assert (result.exit_code, result.stdout) == (status, "")
    assert result.stderr.startswith("pyggml: error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def edited_model(path: Path, old: bytes, new: bytes) -> str:
    """The model in the package, with bytes replaced by as many others."""
    data = demo_model().read_bytes()
    assert len(old) == len(new)
    assert old in data
    path.write_bytes(data.replace(old, new, 1))
    return str(path)


def test_bad_files(tmp_path: Path) -> None:
    (tmp_path / "text.gguf").write_text("this is no model", encoding="utf-8")
    (tmp_path / "truncated.gguf").write_bytes(demo_model().read_bytes()[:500_000])
    for name, message in (
        ("none.gguf", "none.gguf: there is no such file"),
        ("text.gguf", "text.gguf: not a GGUF file"),
        ("truncated.gguf", "it is truncated or one part of several"),
        ("", "this is a directory"),
    ):
        assert_one_line(1, message, "-m", str(tmp_path / name), "-p", "x")


def test_models_that_cannot_run(tmp_path: Path) -> None:
    key = b"general.architecture\x08\0\0\0\x05\0\0\0\0\0\0\0"
    model = edited_model(tmp_path / "architecture.gguf", key + b"qwen2", key + b"qwenX")
    assert_one_line(1, "qwenX", "-m", model, "-p", "x")
    model = edited_model(tmp_path / "tensor.gguf", b"blk.3.ffn_down.weight", b"blk.3.ffn_gown.weight")
    assert_one_line(1, "blk.3.ffn_down.weight", "-m", model, "-p", "x")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["-no-cnv", "-p", "word " * 3000], 1, "the prompt is too long: "),
        (["-p", "word " * 3000], 1, "the prompt is too long: "),
        (["-ctk", "q3"], 2, "'q3' is not one of"),
        (["--chat-template", "nope"], 2, "'nope' is no built-in name"),
        (["-p", "x", "--chat-template", "{{ raise_exception('never') }}"], 1, "the chat template refuses"),
        (["-p", "x", "--chat-template", "{{ 1 / 0 }}"], 1, "the chat template fails at line 1"),
        (["-l", "9999999+1", "-p", "x"], 2, "token 9999999 is not in the vocabulary"),
        (["--prompt-cache", str(demo_model()), "-p", "x"], 1, "this is no session saved by pyggml"),
    ],
)
def test_bad_use(arguments: list[str], status: int, message: str) -> None:
    assert_one_line(status, message, *arguments)
