"""`python -m benchmarks.pictures` on a tower of a few rows, beside a script that says what llama-mtmd-cli says."""

import io
import json
import sys
from pathlib import Path

import click.testing
import numpy as np
import pytest
from PIL import Image

import pyggml
from benchmarks.errors import BenchmarkError
from benchmarks.pictures.__main__ import main
from benchmarks.pictures.random_towers import TowerShape, write_random_tower
from benchmarks.pictures.seeing import Scene, see
from benchmarks.programs import Program
from benchmarks.random_models import SHAPES, Shape, write_random_model
from pyggml_reference.model import ReferenceModel
from pyggml_reference.pictures import ReferenceTower

TEXT = Shape(1, 64, 2, 1, 96, n_vocab=300, sections=(4, 6, 6, 0))
TOWER = TowerShape(2, 64, 2, 128, 64)
FAKE = """#!/bin/sh
[ "$1" = --version ] && echo "version: 9" && exit
echo "$@" >> "$0.log"
echo "0.1 I image slice encoded in 250 ms" >&2
"""
F32, F16, Q8_0 = 0, 1, 8


def fake(folder: Path, text: str) -> Path:
    path = folder / "llama-mtmd-cli"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="the script is one of a Unix shell")
def test_beside_a_llama_mtmd_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.pictures.__main__.TOWER_2B", TOWER)
    monkeypatch.setitem(SHAPES, "VL-2B", TEXT)
    other, target = fake(tmp_path, FAKE), tmp_path / "figures.json"
    arguments = ["--llama-mtmd-cli", str(other), "--layers", "1", "--text-layers", "1", "--size", "60", "-r", "1"]
    result = click.testing.CliRunner().invoke(
        main, [*arguments, "-t", "1", "--format", "F32,Q8_0", "--models", str(tmp_path), "--json", str(target)]
    )
    assert result.exit_code == 0, result.output
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in result.stdout.splitlines() if "| tower" in line
    ]
    names = [f"tower-2B-1-layers-{name}" for name in ("F32", "Q8_0")]
    tests = ["tower", "whole program", "peak memory"]
    assert [(row[0], row[2]) for row in rows] == [(name, test) for name in names for test in tests]
    assert [row[5] for row in rows if row[2] == "tower"] == ["0.25", "0.25"]
    assert [each["test"] for each in json.loads(target.read_text())["figures"]] == tests * 2
    files = f"-m {tmp_path}/VL-2B-1-layers-F32.gguf --mmproj {tmp_path}/{names[0]}.gguf --image {tmp_path}/60.png"
    given = Path(f"{other}.log").read_text().splitlines()[0]
    assert given == f"{files} -t 1 -c 8192 --chat-template chatml -p hi -n 1 --temp 0 -v"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import sys; sys.exit('no such picture')", "status 1 and no figures: no such picture"),
        ("print('hello')", "status 0 and no figures: hello"),
    ],
)
def test_a_program_that_fails(program: str, said: str) -> None:
    command = Program("test", (sys.executable, "-I", "-S", "-c", program))
    with pytest.raises(BenchmarkError, match=f"test: .* -v ended with {said}"):
        see(command, Scene(Path("text"), Path("mmproj"), Path("picture"), 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing option '--llama-mtmd-cli'"),
        (("--llama-mtmd-cli", "missing"), "--llama-mtmd-cli missing: it cannot be run"),
        (("--llama-mtmd-cli", "x", "--format", "Q4_0"), "'Q4_0' is no format for this; allowed are F32, F16, Q8_0."),
        (("--llama-mtmd-cli", "x", "--json", "no/such/file"), "--json no/such/file: there is no folder"),
    ],
)
def test_errors(arguments: tuple[str, ...], message: str) -> None:
    result = click.testing.CliRunner().invoke(main, arguments)
    assert result.exit_code in (1, 2)
    assert message in result.output


@pytest.mark.parametrize("type_id", [F32, F16, Q8_0])
def test_llama_cpp_reads_random_towers(type_id: int, tmp_path: Path) -> None:
    text, mmproj = tmp_path / "text.gguf", tmp_path / "mmproj.gguf"
    write_random_model(text, TEXT, "F16")
    write_random_tower(mmproj, TOWER, type_id)
    pixels = np.random.default_rng(0).integers(0, 256, (84, 56, 3), np.uint8)
    with ReferenceModel(text) as reference, ReferenceTower(mmproj, reference, max_tokens=60) as tower:
        expected = next(each.vectors for each in tower.chunks("<__media__>", [pixels]) if not each.tokens)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    found = pyggml.load(text, mmproj=mmproj, image_max_tokens=60).look([file.getvalue()])[0].vectors
    assert ((found - expected) ** 2).sum() <= 1e-3 * (expected**2).sum()
