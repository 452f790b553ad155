"""The format of docs/formats.md: quantized to, stored, run, with the logits of float weights that went through it."""

import re
from pathlib import Path

import numpy as np
import pytest

import pyggml
from pyggml.gguf import GGUFFile
from pyggml.gguf.splitting import copied, fields_of
from pyggml.gguf.writer import OutputTensor, write_gguf
from pyggml_kernels.formats import FORMATS
from tests.unit.cli_running import invoke

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "formats.md"
TEXT = "Once upon a time there was a fox who found a lantern in the forest."


@pytest.fixture(scope="module")
def format_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The document's first block of Python."""
    code, *_ = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert len(code.splitlines()) <= 45
    path = tmp_path_factory.mktemp("format") / "nf4.py"
    path.write_text(code, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def quantized(format_file: Path) -> Path:
    """The packaged model in that format, made by the document's command."""
    path = format_file.with_name("model-nf4.gguf")
    command = ["quantize", "--format-file", format_file, "--allow-requantize", pyggml.demo_model(), path, "NF4"]
    result = invoke(*map(str, command))
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture(scope="module")
def model(format_file: Path, quantized: Path) -> pyggml.Model:
    return pyggml.load(quantized, n_ctx=256, formats=pyggml.read_formats(format_file))


def test_every_matrix_is_in_the_format(quantized: Path, format_file: Path) -> None:
    (form,) = pyggml.read_formats(format_file)
    with GGUFFile.open(quantized) as file, GGUFFile.open(pyggml.demo_model()) as source:
        assert {each.type_name for each in file.tensors.values() if len(each.shape) == 2} == {"NF4"}
        assert file.metadata["general.file_type"] == form.type_id
        assert list(file.metadata["pyggml.format.NF4"]) == [form.type_id, 64, 34]  # type: ignore[arg-type]
        name = "blk.0.ffn_up.weight"
        rows = FORMATS[8].dequantize(source.tensor_bytes(name)).reshape(-1, 256)
        assert file.tensor_bytes(name).tobytes() == form.quantize(rows).tobytes()
        relative = np.linalg.norm(form.dequantize(file.tensor_bytes(name)) - rows.reshape(-1)) / np.linalg.norm(rows)
        assert relative < 0.095


def test_logits_are_those_of_the_decoded_weights_as_floats(
    quantized: Path, format_file: Path, model: pyggml.Model, tmp_path: Path
) -> None:
    (form,) = pyggml.read_formats(format_file)
    with GGUFFile.open(quantized) as file:

        def as_floats(name: str) -> OutputTensor:
            info = file.tensors[name]
            if info.own_type is None:
                return copied(file, info)
            return OutputTensor(name, 0, info.shape, lambda: [form.dequantize(file.tensor_bytes(name)).view(np.uint8)])

        write_gguf(tmp_path / "floats.gguf", fields_of(file), [as_floats(name) for name in file.tensors])
    floats = pyggml.load(tmp_path / "floats.gguf", n_ctx=256)
    tokens = model.tokenize(TEXT)
    assert np.array_equal(model.logits(tokens), floats.logits(tokens))
    assert np.array_equal(model.logits(tokens[:1]), floats.logits(tokens[:1]))


def test_the_text_is_that_of_a_model(model: pyggml.Model) -> None:
    greedy = pyggml.SamplingOptions(temperature=0.0)
    sums = [{"role": "user", "content": "What is 37 + 48?"}]
    events = list(model.chat(sums, sampling=greedy, max_tokens=20))
    assert "".join(each.text for each in events if isinstance(each, pyggml.TextEvent)).strip() == "37 + 48 = 85"


def test_the_document_tells_what_measuring_prints(format_file: Path) -> None:
    result = invoke("formats", "--format-file", str(format_file), "--measure", "NF4", "--measure", "q4_0")
    lines = [line for line in result.output.splitlines() if "weights of" in line or " all " in line]
    assert len(lines) == 3
    document = DOCUMENT.read_text(encoding="utf-8")
    assert all(f"    {line}\n" in document for line in lines), result.output


def test_the_command_line_runs_it(quantized: Path, format_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ["run", "-m", str(quantized), "-no-cnv", "-p", "Once upon a time", "-n", "4", "--temp", "0", "-c", "256"]
    given = invoke(*run, "--format-file", str(format_file))
    assert given.exit_code == 0, given.output
    monkeypatch.setenv("PYGGML_FORMAT_FILE", str(format_file))
    assert invoke(*run).stdout == given.stdout
    monkeypatch.delenv("PYGGML_FORMAT_FILE")
    missing = invoke(*run)
    assert missing.exit_code == 1
    assert (
        "tensor 'token_embd.weight' has the format NF4, which is none of ggml's: load the file that defines it with "
        "--format-file, in Python with formats=" in missing.output
    )


def test_some_tensors_alone(format_file: Path, tmp_path: Path) -> None:
    types = ["--tensor-type", "ffn=nf4", "--token-embedding-type", "NF4", "--format-file", str(format_file)]
    target = tmp_path / "mixed.gguf"
    result = invoke("quantize", *types, "--allow-requantize", str(pyggml.demo_model()), str(target), "Q4_0")
    assert result.exit_code == 0, result.output
    with GGUFFile.open(target) as file:
        assert file.tensors["token_embd.weight"].type_name == file.tensors["blk.1.ffn_up.weight"].type_name == "NF4"
        assert file.tensors["blk.1.attn_q.weight"].type_name == "Q4_0"
        assert file.metadata["general.file_type"] == 2
    loaded = pyggml.load(target, n_ctx=256, formats=pyggml.read_formats(format_file))
    assert np.isfinite(loaded.logits(loaded.tokenize(TEXT))).all()


def test_a_file_of_it_is_quantized_again_and_copied(quantized: Path, format_file: Path, tmp_path: Path) -> None:
    again = ["--allow-requantize", str(quantized), str(tmp_path / "q8_0.gguf"), "Q8_0"]
    assert invoke("quantize", "--format-file", str(format_file), *again).exit_code == 0
    with GGUFFile.open(tmp_path / "q8_0.gguf") as file:
        assert not [key for key in file.metadata if key.startswith("pyggml.format.")]
    unknown = invoke("quantize", *again)
    assert "tensor 'token_embd.weight' has type NF4, which cannot be decoded; allowed are F32, " in unknown.output
    assert invoke("quantize", str(quantized), str(tmp_path / "copy.gguf"), "COPY").exit_code == 0
    with GGUFFile.open(tmp_path / "copy.gguf") as copy, GGUFFile.open(quantized) as file:
        assert copy.tensor_bytes("token_embd.weight").tobytes() == file.tensor_bytes("token_embd.weight").tobytes()
        assert copy.tensors["token_embd.weight"].type_name == "NF4"
