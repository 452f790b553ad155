"""The output formats of `pyggml bench`, against stored output of llama-bench for the model inside the package."""

import csv
import json
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from pyggml.bench import PRINTERS, BenchCase, BenchGrid, BenchResult, BenchSetup, ModelSummary, fields
from pyggml.cli.bench import FORMATS

STORED = Path(__file__).parent.parent / "data" / "llama_bench"
#: What the stored run was asked for.
GRID = BenchGrid((Path("m.gguf"),), n_batch=(64,), flash_attn=(0,), n_threads=(1,))


def stored_text(name: str) -> str:
    return (STORED / name).read_text(encoding="utf-8")


def result_of(entry: dict[str, Any]) -> BenchResult:
    names = ("n_gpu_layers", "n_batch", "n_ubatch", "type_k", "type_v", "flash_attn", "n_threads")
    setup = BenchSetup(Path(entry["model_filename"]), **{name: entry[name] for name in names})
    case = BenchCase(setup, entry["n_prompt"], entry["n_gen"], entry["n_depth"])
    model = ModelSummary(entry["model_type"], entry["model_size"], entry["model_n_params"])
    return BenchResult(case, model, entry["test_time"], tuple(entry["samples_ns"]))


def results(name: str) -> list[BenchResult]:
    return [result_of(entry) for entry in json.loads(stored_text(name))]


def printed(format_name: str, values: list[BenchResult], grid: BenchGrid = GRID) -> str:
    printer = PRINTERS[format_name]()
    return printer.header(grid) + "".join(map(printer.result, values)) + printer.footer()


@pytest.fixture
def as_llama_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name the processor that the stored output names."""
    (entry, *_) = json.loads(stored_text("output.json"))
    monkeypatch.setattr(fields, "cpu_name", lambda: entry["cpu_info"])


def in_our_name(stored: str) -> str:
    """Stored output with our build instead of llama.cpp's."""
    (entry, *_) = json.loads(stored_text("output.json"))
    theirs, ours = (entry["build_commit"], entry["build_number"]), (fields.BUILD_COMMIT, fields.BUILD_NUMBER)
    for form in ('"{}",\n    "build_number": {}', '"{}", "build_number": {}', '"{}","{}"', "'{}', '{}'", "{} ({})"):
        stored = stored.replace(form.format(*theirs), form.format(*ours))
    return stored


@pytest.mark.usefixtures("as_llama_bench")
def test_json_is_llama_benchs() -> None:
    assert printed("json", results("output.json")) == in_our_name(stored_text("output.json"))


@pytest.mark.usefixtures("as_llama_bench")
def test_json_lines_are_llama_benchs() -> None:
    stored = stored_text("output.jsonl")
    values = [result_of(json.loads(line)) for line in stored.splitlines()]
    assert printed("jsonl", values) == in_our_name(stored)


def rows_of(stored: str) -> list[dict[str, str]]:
    """The rows of stored CSV or SQL."""
    if not stored.startswith("CREATE"):
        return list(csv.DictReader(StringIO(stored)))
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(stored)
        return [dict(zip(fields.FIELDS, row, strict=True)) for row in database.execute("SELECT * FROM llama_bench")]


@pytest.mark.usefixtures("as_llama_bench")
@pytest.mark.parametrize("format_name", ["csv", "sql"])
def test_csv_and_sql_are_llama_benchs(format_name: str) -> None:
    stored = stored_text(f"output.{format_name}")
    # The same tests in the same order; the time of a single run is its mean.
    values = [
        replace(result, test_time=row["test_time"], samples_ns=(int(row["avg_ns"]),))
        for result, row in zip(results("output.json"), rows_of(stored), strict=True)
    ]
    assert printed(format_name, values) == in_our_name(stored)


def test_the_markdown_table_is_llama_benchs_but_for_the_figures() -> None:
    def without_figures(text: str) -> str:
        return re.sub(r"[\d.]+ ± [\d.]+", lambda match: "#" * len(match[0]), text)

    stored = in_our_name(stored_text("output.md"))
    speeds = [float(found) for found in re.findall(r"([\d.]+) ± 0.00", stored)]
    values = [
        replace(each, samples_ns=(round(1e9 * each.case.n_tokens / speed),))
        for each, speed in zip(results("output.json"), speeds, strict=True)
    ]
    assert without_figures(printed("md", values)) == without_figures(stored)


def test_the_figures_of_repeated_runs_are_llama_benchs() -> None:
    for entry in json.loads(stored_text("repeated.json")):
        result = result_of(entry)
        assert result.avg_ns == entry["avg_ns"]
        assert result.avg_ts == pytest.approx(entry["avg_ts"], rel=1e-9)
        assert result.stddev_ts == pytest.approx(entry["stddev_ts"], rel=1e-6)
        # llama-bench computes with whole numbers, and so loses some.
        assert result.stddev_ns == pytest.approx(entry["stddev_ns"], rel=0.02)


def test_usual_values_have_no_column() -> None:
    header = PRINTERS["md"]().header(BenchGrid((Path("m.gguf"),), n_threads=(1,)))
    assert [cell.strip() for cell in header.splitlines()[0].split("|")] == [
        *("", "model", "size", "params", "backend", "threads", "test", "t/s", "")
    ]


@pytest.mark.parametrize(
    ("values", "title"),
    [
        ({"n_ubatch": (512, 64)}, "n_ubatch"),
        ({"type_k": ("q8_0",)}, "type_k"),
        ({"type_v": ("f16", "f32")}, "type_v"),
        ({"flash_attn": (1,)}, "fa"),
        ({"n_gpu_layers": (0, 20)}, "ngl"),
        ({"split_mode": ("none",)}, "sm"),
        ({"main_gpu": (1,)}, "main_gpu"),
        ({"devices": (("none",),)}, "dev"),
        ({"tensor_split": ((3, 1),)}, "ts"),
        ({"tensor_buft_overrides": ((), (("a", "CPU"),))}, "ot"),
        ({"no_kv_offload": (1,)}, "nkvo"),
    ],
)
def test_other_values_have_a_column(values: dict[str, tuple[Any, ...]], title: str) -> None:
    grid = BenchGrid((Path("m.gguf"),), n_threads=(1,), **values)
    assert re.search(rf" {title} +\|", PRINTERS["md"]().header(grid))


def test_large_sizes_and_deviations() -> None:
    setup = next(GRID.setups())
    model = ModelSummary("qwen2 70B Q4_K - Medium", 47_415_715_840, 72_706_203_648)
    row = printed("md", [BenchResult(BenchCase(setup, 512, 0, 4096), model, "", (10**9, 2 * 10**9))]).splitlines()[2]
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[1:4] == ["qwen2 70B Q4_K - Medium", "44.16 GiB", "72.71 B"]
    assert cells[-3:-1] == ["pp512 @ d4096", "384.00 ± 181.02"]


def test_layers_on_a_gpu() -> None:
    grid = replace(GRID, n_gpu_layers=(20,))
    case = BenchCase(next(grid.setups()), 512, 0, 0)
    result = BenchResult(case, ModelSummary("qwen2 7B Q4_0", 1, 1), "", (10**9,), n_on_gpu=20)
    titles, _, row = (line.split("|") for line in printed("md", [result], grid).splitlines()[:3])
    cells = {title.strip(): cell.strip() for title, cell in zip(titles, row, strict=True)}
    assert (cells["backend"], cells["ngl"]) == ("CUDA", "20")
    (values,) = json.loads(printed("json", [result], grid))
    assert (values["backends"], values["n_gpu_layers"]) == ("CUDA", 20)


def test_devices_are_written_as_by_llama_bench() -> None:
    entry = json.loads(stored_text("output.json"))[0]
    usual = result_of(entry)
    setup = replace(
        usual.case.setup,
        devices=("CUDA0", "CUDA1"),
        tensor_split=(3, 1.5, 0),
        tensor_buft_overrides=(("a", "CPU"), ("b", "CUDA0")),
        no_kv_offload=1,
    )
    (values,) = json.loads(printed("json", [replace(usual, case=replace(usual.case, setup=setup))]))
    assert (values["devices"], values["tensor_split"], values["no_kv_offload"]) == ("CUDA0/CUDA1", "3.00/1.50", True)
    assert values["tensor_buft_overrides"] == "a=CPU;b=CUDA0"


def test_quotes_do_not_end_a_value() -> None:
    entry = json.loads(stored_text("output.json"))[0] | {"model_filename": 'it\'s a "m".gguf'}
    result = result_of(entry)
    assert json.loads(printed("json", [result]))[0]["model_filename"] == entry["model_filename"]
    assert rows_of(printed("sql", [result]))[0]["model_filename"] == entry["model_filename"]
    assert rows_of(printed("csv", [result]))[0]["model_filename"] == entry["model_filename"]


def test_the_command_line_knows_all_formats() -> None:
    assert set(FORMATS) == {*PRINTERS, "none"}
