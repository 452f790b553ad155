"""Where formats of one's own come from, which of them a file gets, and what the commands say of them."""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import pyggml
from pyggml.errors import FormatError, QuantizeError
from pyggml.formats import Formats, installed_formats, read_formats
from pyggml.gguf import GGML_TYPES, GGMLType, GGUFFile
from pyggml.gguf.own_types import own_type_fields
from pyggml.gguf.writer import OutputTensor, write_gguf
from pyggml.quantize.file_types import find_file_type
from pyggml.quantize.measure import measure_format
from pyggml_kernels.formats import ACTIVATION_FORMATS, FORMATS, OwnFormat, own_format
from tests.unit.cli_running import invoke
from tests.unit.test_quantize_command import floats, given, model, weights

CODE = """
import pyggml

def quantize(weights, importance, block):
    for i in range({n}):
        block.x[i] = weights[i]

def dequantize(block, weights):
    for i in range({n}):
        weights[i] = block.x[i]

LAYOUT = [("x", "{dtype}", {n})]
FORM = pyggml.own_format("{name}", layout=LAYOUT, block_size={n}, quantize=quantize, dequantize=dequantize)
"""


def written(folder: Path, name: str = "PLAIN", n: int = 4, dtype: str = "f2", code: str = CODE) -> Path:
    path = folder / f"{name.lower()}.py"
    path.write_text(code.format(name=name, n=n, dtype=dtype))
    return path


def form(folder: Path, name: str = "PLAIN", n: int = 4, dtype: str = "f2") -> OwnFormat:
    (found,) = read_formats(written(folder, name, n, dtype))
    return found


def stored(folder: Path, own: OwnFormat) -> Path:
    """A file with one matrix in the format."""
    rows = weights(2, 4 * own.block_size)
    kind = GGMLType(own.type_id, own.name, own.block_size, own.block_bytes)
    data = partial(given, own.quantize(rows).view(np.float32))
    tensor = OutputTensor("blk.0.ffn_up.weight", own.type_id, rows.shape[::-1], data, kind)
    write_gguf(folder / "stored.gguf", own_type_fields([kind]), [tensor])
    return folder / "stored.gguf"


def packaged(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str, name: str = "PLAIN") -> None:
    """An installed package that offers a format."""
    (folder / f"package_of_{name.lower()}.py").write_text(code.format(name=name, n=4, dtype="f2"))
    about = folder / f"formats_{name.lower()}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: formats-{name.lower()}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[pyggml.formats]\n{name} = package_of_{name.lower()}:FORM\n")
    monkeypatch.syspath_prepend(str(folder))


def test_a_file_gives_the_formats_that_it_defines(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        code=CODE + 'OTHER = pyggml.own_format("OTHER", layout=[("x", "f4")], block_size=1, '
        "quantize=quantize, dequantize=dequantize)",
    )
    assert [each.name for each in read_formats(path)] == ["PLAIN", "OTHER"]
    assert read_formats(str(path))[0].source == str(path)
    assert pyggml.OwnFormat is OwnFormat


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1", "the file defines no format; it needs a line such as NAME = pyggml.own_format"),
        ("x = 1\nx = (", "bad.py: SyntaxError: "),
        ("x = 1\n\nx.y", "bad.py: line 3: AttributeError: 'int' object has no attribute 'y'"),
        (CODE.format(name="bad", n=1, dtype="f4"), "bad.py: line 13: ValueError: 'bad' is no name of a format"),
    ],
)
def test_files_without_a_format(tmp_path: Path, code: str, message: str) -> None:
    (tmp_path / "bad.py").write_text(code)
    with pytest.raises(FormatError, match=message):
        read_formats(tmp_path / "bad.py")
    result = invoke("formats", "--format-file", str(tmp_path / "bad.py"))
    assert (result.exit_code, message.rpartition(": ")[2] in result.output) == (1, True)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"none\.py: the file cannot be read: No such file"):
        read_formats(tmp_path / "none.py")


def test_names_that_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    one, same, other = form(tmp_path), form(tmp_path / "a"), form(tmp_path, "OTHER")
    assert Formats.of([one, other, one]).own == (one, other)
    with pytest.raises(
        FormatError, match=r"a.plain\.py: the format PLAIN has the name of PLAIN in .*plain\.py: rename"
    ):
        Formats.of([one, same])
    with pytest.raises(FormatError, match=r"q4_0\.py: the format Q4_0 has the name of one of ggml's: rename it"):
        Formats.of([form(tmp_path, "Q4_0")])
    monkeypatch.setattr("pyggml_kernels.formats.own.private_type_id", lambda name: other.type_id)
    with pytest.raises(FormatError, match="the format THIRD has the number of OTHER in "):
        Formats.of([other, form(tmp_path, "THIRD")])


def test_names_of_file_types_are_taken(tmp_path: Path) -> None:
    own = Formats.of([form(tmp_path, "COPY")]).own_types
    with pytest.raises(
        FormatError, match="the format COPY has the name of one of llama-quantize's file types: rename it"
    ):
        find_file_type("copy", own)


def test_formats_are_found_by_name(tmp_path: Path) -> None:
    plain = form(tmp_path)
    formats = Formats.of([plain])
    assert formats.named("plain") is plain
    assert formats.named("q4_0") is FORMATS[2]
    assert formats.by_number == {**FORMATS, plain.type_id: plain}
    with pytest.raises(FormatError, match=r"there is no format 'none'; allowed are F32, .*, PLAIN, and those of files"):
        formats.named("none")


def test_a_file_gets_the_formats_that_it_needs(tmp_path: Path) -> None:
    plain, other = form(tmp_path), form(tmp_path, "OTHER")
    with GGUFFile.open(stored(tmp_path, plain)) as file:
        assert Formats.of([plain, other]).for_file(file).own == (plain,)
        assert Formats.of([other]).for_file(file).own == ()
        (tmp_path / "a").mkdir()
        message = (
            r"stored\.gguf: the format PLAIN has blocks of 4 weights in 8 bytes; as .*plain\.py defines it they have 4 "
            "in 16: load the version that the file was made with"
        )
        with pytest.raises(FormatError, match=message):
            Formats.of([form(tmp_path / "a", dtype="f4")]).for_file(file)


def test_a_format_that_does_not_work_is_told_before_it_is_used(tmp_path: Path) -> None:
    def dequantize(block: object, weights: object) -> None:
        pass

    broken = own_format(
        "PLAIN", layout=[("x", "f2", 4)], block_size=4, quantize=form(tmp_path).quantize_block, dequantize=dequantize
    )
    with (
        GGUFFile.open(stored(tmp_path, broken)) as file,
        pytest.raises(FormatError, match=r"test_own_formats\.py: dequantize of PLAIN left weight 0 of 4 unwritten"),
    ):
        Formats.of([broken]).for_file(file)


def test_installed_packages_are_asked_when_a_file_needs_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = GGUFFile.open(stored(tmp_path, form(tmp_path)))
    packaged(tmp_path, monkeypatch, CODE)
    (found,) = Formats().for_file(file).own
    assert found.source == str(tmp_path / "package_of_plain.py")
    own = form(tmp_path)
    assert Formats.of([own]).with_installed().own == (own,)
    assert (
        f"PLAIN                                         16                  4     8  {found.source}\n"
        in invoke("formats").output
    )


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "1 / 0",
            r"the format ODD of the installed package formats-odd \(package_of_odd:FORM\) cannot be imported: Zero",
        ),
        (
            "FORM = 3",
            r"the format ODD of the installed package formats-odd .* is a int; needed is what pyggml\.own_format",
        ),
    ],
)
def test_packages_that_do_not_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, message: str) -> None:
    packaged(tmp_path, monkeypatch, code, "ODD")
    monkeypatch.delitem(sys.modules, "package_of_odd", raising=False)
    with pytest.raises(FormatError, match=message):
        installed_formats()


def test_quantizing_takes_rows_of_other_lengths_to_f16(tmp_path: Path) -> None:
    source, own = model(tmp_path, [floats("blk.0.ffn_down.weight", weights(3, 6))]), written(tmp_path)
    result = invoke("quantize", "--format-file", str(own), str(source), str(tmp_path / "out.gguf"), "plain")
    assert result.exit_code == 0, result.output
    with GGUFFile.open(tmp_path / "out.gguf") as file:
        types = {name: each.type_name for name, each in file.tensors.items()}
    assert types == {
        "token_embd.weight": "PLAIN",
        "blk.0.attn_norm.weight": "F32",
        "blk.0.ffn_down.weight": "F16",
        "blk.0.ffn_up.weight": "PLAIN",
    }


def test_shards_name_the_format_too(tmp_path: Path) -> None:
    own = str(written(tmp_path))
    source = model(tmp_path)
    assert invoke("split", "--split-max-tensors", "1", str(source), str(tmp_path / "in")).exit_code == 0
    shards = ["--keep-split", str(tmp_path / "in-00001-of-00003.gguf"), str(tmp_path / "out.gguf"), "PLAIN"]
    result = invoke("quantize", "--format-file", own, *shards)
    assert result.exit_code == 0, result.output
    with GGUFFile.open(tmp_path / "out-00003-of-00003.gguf") as file:
        assert [each.type_name for each in file.tensors.values()].count("PLAIN") == 2


def test_quantizing_tells_of_weights_and_functions_that_do_not_work(tmp_path: Path) -> None:
    source = model(tmp_path)
    beyond = written(tmp_path, "BEYOND", code=CODE.replace("block.x[i] =", "block.x[i + 4 * (weights[i] > 1)] ="))
    arguments = [str(source), str(tmp_path / "out.gguf")]
    result = invoke("quantize", "--format-file", str(beyond), *arguments, "BEYOND")
    assert result.exit_code == 1
    assert (
        "in.gguf: tensor 'token_embd.weight', rows from 0 on: quantize of BEYOND failed in row 0, block 0: IndexError: "
        in result.output
    )
    untyped = written(tmp_path, "UNTYPED", code=CODE.replace("= weights[i]", "= 'x'"))
    result = invoke("quantize", "--format-file", str(untyped), *arguments, "UNTYPED")
    assert "tensor 'token_embd.weight' cannot become UNTYPED: quantize of UNTYPED cannot be compiled" in result.output
    assert not (tmp_path / "out.gguf").exists()


def test_names_are_unknown_without_the_file(tmp_path: Path) -> None:
    assert "there is no file type 'PLAIN'; allowed are Q1_0" in invoke("quantize", "a", "b", "PLAIN").output
    own = ["--format-file", str(written(tmp_path))]
    assert "PLAIN, or their numbers" in invoke("quantize", *own, "a", "b", "NONE").output
    assert "NVFP4, Q1_0, Q2_0, PLAIN" in invoke("quantize", *own, "--output-tensor-type", "x", "a", "b", "F16").output


def test_measuring(tmp_path: Path) -> None:
    rows = weights(8, 64)
    write_gguf(tmp_path / "x.gguf", {}, [floats("blk.0.ffn_up.weight", rows), floats("blk.1.ffn_up.weight", -rows)])
    with GGUFFile.open(tmp_path / "x.gguf") as file:
        kind, total = measure_format(file, FORMATS[8], Formats(), 2)
        q8_0 = FORMATS[8].dequantize(FORMATS[8].quantize(rows)).reshape(rows.shape)
        difference = np.abs(q8_0.astype(np.float64) - rows)
        assert (kind.kind, total.kind, kind.n_weights) == ("ffn_up", "all", 2 * rows.size)
        assert kind.rms == pytest.approx(np.sqrt(np.mean(difference**2)))
        assert kind.relative == pytest.approx(np.linalg.norm(difference) / np.linalg.norm(rows))
        assert kind.largest == difference.max()
        (plain, _) = measure_format(file, FORMATS[0], Formats(), 1)
        assert (plain.rms, plain.relative) == (0, 0)
        with pytest.raises(
            QuantizeError, match=r"x\.gguf: no matrix has rows of a multiple of 256 weights, as Q4_K needs"
        ):
            measure_format(file, FORMATS[12], Formats(), 1)
        with pytest.raises(QuantizeError, match="weights cannot become Q8_K: weights cannot be quantized to Q8_K"):
            measure_format(file, ACTIVATION_FORMATS[15], Formats(), 1)


def test_all_formats_are_listed() -> None:
    lines = invoke("formats").output.splitlines()
    assert lines[0].split() == [
        "format",
        "bits",
        "per",
        "weight",
        "weights",
        "in",
        "a",
        "block",
        "bytes",
        "defined",
        "by",
    ]
    assert "Q4_K                                         4.5                256   144  ggml" in lines
    assert len(lines) == len(FORMATS) + 1
    assert {line.split()[0] for line in lines[1:]} < {each.name for each in GGML_TYPES.values()}
