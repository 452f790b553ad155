"""`pyggml bench` on the model inside the package."""

import json
from pathlib import Path

import click.testing
import pytest

from pyggml.bench import BenchGrid, RunOptions, run_cases
from pyggml.engine import Engine, Part
from pyggml.package_data import demo_model
from tests.unit.cli_running import invoke

TINY = ("-p", "8", "-n", "2", "-r", "2", "-t", "1")


def bench(*arguments: str, fails: int = 0) -> click.testing.Result:
    result = invoke("bench", *arguments)
    assert result.exit_code == fails, result.output
    return result


def test_the_table() -> None:
    lines = bench(*TINY, "-d", "0,16", "-pg", "4,2").stdout.splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| qwen2")]
    assert [row[:6] for row in rows] == [
        ["qwen2 ?B Q8_0", "8.47 MiB", "8.33 M", "CPU", "1", name]
        for name in ("pp8", "tg2", "pp4+tg2", "pp8 @ d16", "tg2 @ d16", "pp4+tg2 @ d16")
    ]
    assert all(float(row[6].split(" ± ")[0]) > 0 for row in rows)
    assert lines[-1].startswith("build: pyggml-")


def test_two_formats_at_once_and_options_given_again() -> None:
    result = bench(
        "-p", "4,8", "-p", "16", "-n", "0", "-r", "1", "-t", "1-2", "-o", "json", "-oe", "jsonl", "--no-warmup"
    )
    entries = json.loads(result.stdout)
    assert [(each["n_threads"], each["n_prompt"]) for each in entries] == [(t, p) for t in (1, 2) for p in (4, 8, 16)]
    assert [json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")] == entries
    assert all(len(each["samples_ns"]) == 1 and each["stddev_ns"] == 0 for each in entries)


def test_several_models(tmp_path: Path) -> None:
    second = tmp_path / "second.gguf"
    second.symlink_to(demo_model())
    entries = json.loads(bench(*TINY, "-m", f"{demo_model()},{second}", "-o", "json").stdout)
    assert [Path(each["model_filename"]).name for each in entries] == [*[demo_model().name] * 2, *["second.gguf"] * 2]


def test_progress_and_warnings() -> None:
    result = bench(*TINY, "-d", "4", "--progress", "-ngl", "9", "-fa", "on", "--poll", "0", "-nopo", "1", "-o", "none")
    assert result.stdout == ""
    steps = ["starting", "depth run", "warmup prompt run", "prompt run 1/2", "prompt run 2/2"]
    assert [line for line in result.stderr.splitlines() if "benchmark 1/2" in line] == [
        f"pyggml bench: benchmark 1/2: {step}" for step in steps
    ]
    assert "benchmark 2/2: depth run (cached)" in result.stderr
    for text in (
        "all layers run on the CPU, none on a GPU: ",
        "--flash-attn has no effect: there is one kind of attention",
        "--poll has no effect: idle threads sleep",
        "--no-op-offload has no effect: operations are computed where their weights are",
    ):
        assert f"warning: {text}" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-p", "0", "-n", "0"), "there is nothing to measure: -p, -n or -pg has to ask for a token at least"),
        (("-m", "missing.gguf"), "missing.gguf"),
        (("-hff", "x.gguf"), "-hff names a file of a Hugging Face repository: give the repository with -hf"),
        (("-t", "0"), "n_threads is 0; allowed are 1 to 4096"),
        (("-b", "0"), "n_batch is 0; allowed are 1 to"),
        (("-p", "1-8*1"), "never ends"),
        (("-r", "0"), "0 is not in the range x>=1"),
        (("-sm", "layer,row"), "'row' is not allowed: layer and none are; matrices are not split."),
        (("-dev", "CUDA0,"), "'' is no list of devices"),
        (("-ts", "1/x"), "'1/x' is no list of shares"),
        (("-ot", "ffn"), "'ffn' is no list of patterns and devices"),
        (("-nkvo", "2"), "'2' holds 2; allowed are 0 to 1."),
        (("-o", "xml"), "'xml' is not one of"),
    ],
)
def test_errors(arguments: tuple[str, ...], message: str) -> None:
    result = invoke("bench", *arguments)
    assert result.exit_code in (1, 2)
    assert message in result.stderr


def test_a_depth_is_computed_once_and_nothing_but_the_last_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[int, int, int]] = []
    step = Engine.step

    def watched(self: Engine, parts: list[Part]) -> object:
        (part,) = parts
        steps.append((part.start, len(part.tokens), len(part.outputs)))
        return step(self, parts)

    monkeypatch.setattr(Engine, "step", watched)
    grid = BenchGrid((demo_model(),), (10,), (2,), n_depth=(8, 12), n_ubatch=(4,), n_threads=(1,))
    results = list(run_cases(list(grid.cases()), RunOptions(repetitions=2, warmup=False), print, print))
    prompt, generation = [(0, 4, 0), (4, 4, 0), (8, 2, 1)], [(0, 1, 1), (1, 1, 1)]

    def at(depth: int, test: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
        return [(depth + start, n, n_outputs) for start, n, n_outputs in test]

    assert steps == [
        *[(0, 4, 0), (4, 4, 1)],
        *(2 * at(8, prompt) + 2 * at(8, generation)),
        (8, 4, 1),
        *(2 * at(12, prompt) + 2 * at(12, generation)),
    ]
    assert [len(each.samples_ns) for each in results] == [2] * 4


def test_a_delay_comes_before_each_test(monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []
    monkeypatch.setattr("pyggml.bench.running.time.sleep", rests.append)
    bench(*TINY, "--delay", "7")
    assert rests == [7, 7]


def test_a_seed_gives_the_same_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []
    step = Engine.step

    def watched(self: Engine, parts: list[Part]) -> object:
        seen[-1] += parts[0].tokens
        return step(self, parts)

    monkeypatch.setattr(Engine, "step", watched)
    cases = list(BenchGrid((demo_model(),), (10,), (2,), n_threads=(1,)).cases())
    for seed in (0, 0, 1):
        seen.append([])
        list(run_cases(cases, RunOptions(repetitions=1, seed=seed), print, print))
    assert seen[0] == seen[1] != seen[2]
