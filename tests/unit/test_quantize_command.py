"""`pyggml quantize`: its options, its plan, its messages; bytes are compared in tests/model/test_quantize_hashes.py."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click.testing
import numpy as np
import numpy.typing as npt
import pytest

from pyggml.cli.quantize_values import key_override, positional, tensor_pattern, tensor_patterns_of
from pyggml.errors import UsageError
from pyggml.gguf import GGML_TYPES, GGUFFile, ValueType
from pyggml.gguf.encoding import Field, number_field, string_field
from pyggml.gguf.splitting import SplitOptions, plan_split, write_shards
from pyggml.gguf.writer import OutputTensor, write_gguf
from pyggml.package_data import demo_model
from pyggml.quantize import QuantizeOptions, file_type_named, plan_quantization, write_quantized
from pyggml_kernels.jit import Kernel
from pyggml_reference.quants import quantize as oracle_quantize
from tests.model.importance_file import write_importance
from tests.unit.cli_running import invoke

N_COLUMNS, N_ROWS, N_EXPERTS = 64, 6, 3


def metadata(**more: Field) -> dict[str, Field]:
    numbers = {"block_count": 1, "attention.head_count": 2, "attention.head_count_kv": 1}
    return {
        "general.architecture": string_field("llama"),
        "general.file_type": number_field(ValueType.UINT32, 0),
        **{f"llama.{key}": number_field(ValueType.UINT32, value) for key, value in numbers.items()},
        "general.name": string_field("x"),
        **more,
    }


def given(values: npt.NDArray[np.float32]) -> list[npt.NDArray[np.uint8]]:
    return [values.reshape(-1).view(np.uint8)]


def floats(name: str, values: npt.NDArray[np.float32]) -> OutputTensor:
    return OutputTensor(name, 0, values.shape[::-1], partial(given, values))


def weights(*shape: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def model(folder: Path, tensors: Sequence[OutputTensor] = (), **more: Field) -> Path:
    own = [
        floats("blk.0.ffn_up.weight", weights(N_ROWS, N_COLUMNS)),
        floats("blk.0.attn_norm.weight", weights(N_COLUMNS)),
    ]
    write_gguf(
        folder / "in.gguf", metadata(**more), [*own, floats("token_embd.weight", weights(4, N_COLUMNS)), *tensors]
    )
    return folder / "in.gguf"


def run(*arguments: str | Path, fails: int = 0) -> click.testing.Result:
    result = invoke("quantize", *map(str, arguments))
    assert result.exit_code == fails, result.output
    return result


def test_tensors_are_sorted_and_have_the_oracles_bytes(tmp_path: Path) -> None:
    source, target = model(tmp_path), tmp_path / "out.gguf"
    result = run(source, target, "q8_0", "1")
    assert "tensors: 2 Q8_0, 1 F32" in result.output
    assert "quant size  =     0.00 MiB (" in result.output
    with GGUFFile.open(target) as file:
        assert list(file.tensors) == ["token_embd.weight", "blk.0.attn_norm.weight", "blk.0.ffn_up.weight"]
        expected = oracle_quantize(GGML_TYPES[8].type_id, weights(N_ROWS, N_COLUMNS))
        assert file.tensor_bytes("blk.0.ffn_up.weight").tobytes() == np.asarray(expected).tobytes()
        assert list(file.metadata)[-3:] == ["general.name", "general.quantization_version", "general.file_type"]
        assert (file.metadata["general.quantization_version"], file.metadata["general.file_type"]) == (2, 7)


def test_a_stack_of_matrices_is_quantized_with_an_importance_for_each(tmp_path: Path) -> None:
    stack = weights(N_EXPERTS, N_ROWS, N_COLUMNS)
    name = "blk.0.ffn_down_exps.weight"
    source = model(tmp_path, [floats(name, stack)])
    columns = np.arange(1, 1 + N_EXPERTS * N_COLUMNS, dtype=np.float32)
    data = np.int32(1).tobytes() + np.int32(len(name)).tobytes() + name.encode()
    (tmp_path / "i.dat").write_bytes(data + np.array([1, columns.size], np.int32).tobytes() + columns.tobytes())
    run("--imatrix", tmp_path / "i.dat", source, tmp_path / "out.gguf", "IQ4_NL")
    with GGUFFile.open(tmp_path / "out.gguf") as file:
        parts = [
            np.asarray(oracle_quantize(20, stack[index], columns.reshape(N_EXPERTS, -1)[index])).tobytes()
            for index in range(N_EXPERTS)
        ]
        assert file.tensor_bytes(name).tobytes() == b"".join(parts)
        assert file.tensors[name].shape == (N_COLUMNS, N_ROWS, N_EXPERTS)


def test_slabs_of_rows_do_not_change_the_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = model(tmp_path, [floats("blk.0.ffn_down_exps.weight", weights(N_EXPERTS, N_ROWS, N_COLUMNS))])
    run(source, tmp_path / "whole.gguf", "Q5_1")
    monkeypatch.setattr("pyggml.quantize.writing._WEIGHTS_PER_SLAB", 4 * N_COLUMNS)
    run(source, tmp_path / "slabs.gguf", "Q5_1")
    assert (tmp_path / "slabs.gguf").read_bytes() == (tmp_path / "whole.gguf").read_bytes()


def test_without_a_target_the_file_is_named_after_the_type(tmp_path: Path) -> None:
    run(model(tmp_path), "bf16")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ggml-model-BF16.gguf", "in.gguf"]


def test_a_dry_run_tells_all_and_writes_nothing(tmp_path: Path) -> None:
    result = run("--dry-run", demo_model(), tmp_path / "out.gguf", "Q4_K_M")
    assert not list(tmp_path.iterdir())
    assert "blk.0.attn_v.weight" in result.output
    assert "Q8_0 -> Q6_K" in result.output
    assert "model size  =     8.47 MiB (8.52 BPW)" in result.output
    needs = run("--dry-run", demo_model(), tmp_path / "out.gguf", "IQ2_M")
    assert "this file type will need an importance matrix: --imatrix FILE" in needs.output


def test_shards_are_kept(tmp_path: Path) -> None:
    with GGUFFile.open(model(tmp_path)) as file:
        write_shards(plan_split(file, tmp_path / "in", SplitOptions(max_tensors=2)))
    run("--keep-split", tmp_path / "in-00001-of-00002.gguf", tmp_path / "out.gguf", "F16")
    with GGUFFile.open(tmp_path / "out-00002-of-00002.gguf") as file:
        assert [info.path.name for info in file.tensors.values()] == ["out-00001-of-00002.gguf"] * 2 + [
            "out-00002-of-00002.gguf"
        ]
        assert list(file.metadata)[-4:] == ["general.file_type", "split.no", "split.count", "split.tensors.count"]
    run(tmp_path / "in-00001-of-00002.gguf", tmp_path / "one.gguf", "F16")
    with GGUFFile.open(tmp_path / "one.gguf") as file:
        assert not [key for key in file.metadata if key.startswith("split.")]


def test_copying_guesses_a_file_type_that_is_missing(tmp_path: Path) -> None:
    fields = metadata()
    del fields["general.file_type"]
    write_gguf(tmp_path / "in.gguf", fields, [floats("a", weights(4))])
    run(tmp_path / "in.gguf", tmp_path / "out.gguf", "copy")
    with GGUFFile.open(tmp_path / "out.gguf") as file:
        assert file.metadata["general.file_type"] == 1024


def test_what_is_quantized_needs_consent(tmp_path: Path) -> None:
    result = run(demo_model(), tmp_path / "out.gguf", "Q4_0", fails=1)
    assert "is quantized already, as Q8_0" in result.output
    assert "add --allow-requantize" in result.output
    assert not list(tmp_path.iterdir())


def test_missing_importance_is_an_error(tmp_path: Path) -> None:
    result = run("--allow-requantize", demo_model(), tmp_path / "out.gguf", "Q2_K_S", fails=1)
    assert "would be useless at so few bits without an importance matrix: give one" in result.output


def test_importance_of_another_model_is_an_error(tmp_path: Path) -> None:
    name = "blk.0.ffn_up.weight"
    data = np.int32(1).tobytes() + np.int32(len(name)).tobytes() + name.encode()
    (tmp_path / "i.dat").write_bytes(data + np.array([1, 2], np.int32).tobytes() + np.ones(2, np.float32).tobytes())
    result = run("--imatrix", tmp_path / "i.dat", model(tmp_path), tmp_path / "out.gguf", "Q4_0", fails=1)
    assert (
        "i.dat: the importance of 'blk.0.ffn_up.weight' has 2 values; the tensor of shape (64, 6) needs 64"
        in result.output
    )


def test_importance_that_does_not_fit_the_embeddings_is_left_aside(tmp_path: Path) -> None:
    name = "token_embd.weight"
    data = np.int32(1).tobytes() + np.int32(len(name)).tobytes() + name.encode()
    (tmp_path / "i.dat").write_bytes(data + np.array([1, 2], np.int32).tobytes() + np.ones(2, np.float32).tobytes())
    run("--imatrix", tmp_path / "i.dat", model(tmp_path), tmp_path / "out.gguf", "Q4_0")
    with GGUFFile.open(tmp_path / "out.gguf") as file:
        assert file.tensors[name].type_name == "Q8_0"  # its rows are no multiple of 256, as Q6_K would need
        assert file.metadata["quantize.imatrix.file"] == str(tmp_path / "i.dat")[:127]
        assert file.metadata["quantize.imatrix.entries_count"] == 1
        assert "quantize.imatrix.chunks_count" not in file.metadata


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["blk.0.ffn_down.weight", "blk.0.bias"])
def test_weights_that_are_not_finite_are_an_error(tmp_path: Path, bad: float, name: str) -> None:
    values = weights(2, N_COLUMNS)
    values[1, 5] = bad
    result = run(model(tmp_path, [floats(name, values)]), tmp_path / "out.gguf", "Q4_0", fails=1)
    assert f"tensor '{name}'" in result.output
    assert "finite" in result.output
    assert not (tmp_path / "out.gguf").exists()


def test_weights_too_large_for_the_type_are_an_error(tmp_path: Path) -> None:
    values = np.full((1, N_COLUMNS), 1e30, np.float32)
    result = run(model(tmp_path, [floats("big.weight", values[[0, 0]])]), tmp_path / "out.gguf", "F16", fails=1)
    assert "tensor 'big.weight' holds weights that are not finite, or too large for F16" in result.output


def test_formats_that_cannot_be_decoded_or_made_are_an_error(tmp_path: Path) -> None:
    wide = OutputTensor("wide.weight", 28, (N_COLUMNS, 2), lambda: [np.zeros(N_COLUMNS * 16, np.uint8)])
    result = run(model(tmp_path, [wide]), tmp_path / "out.gguf", "Q4_0", fails=1)
    assert "tensor 'wide.weight' has type F64, which cannot be decoded; allowed are F32, " in result.output
    result = run("--token-embedding-type", "i8", model(tmp_path), tmp_path / "out.gguf", "Q4_0", fails=1)
    assert "tensor 'token_embd.weight' cannot become I8: the format is unknown here" in result.output


def test_the_source_is_never_overwritten(tmp_path: Path) -> None:
    source = model(tmp_path)
    assert "this is the file to be quantized: give another name" in run(source, source, "F16", fails=1).output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["in.gguf", "out.gguf", "Q9"], "there is no file type 'Q9'; allowed are Q1_0, Q2_0, "),
        (["--output-tensor-type", "q4_k_m", "in.gguf", "Q8_0"], "there is no type of tensor 'q4_k_m'"),
    ],
)
def test_unknown_types_are_an_error(tmp_path: Path, arguments: list[str], message: str) -> None:
    assert message in run(*arguments, fails=1).output


def test_choosing_from_an_importance_matrix_takes_one_and_one_way(tmp_path: Path) -> None:
    result = run("--include-weights", "a", "in", "out", "F16", fails=2)
    assert "choose from an importance matrix: add --imatrix" in result.output
    result = run("--include-weights", "a", "--exclude-weights", "b", "in", "out", "F16", fails=2)
    assert "--include-weights and --exclude-weights exclude each other" in result.output


def test_the_importance_matrix_is_told_of(tmp_path: Path) -> None:
    write_importance(tmp_path / "i.gguf")
    result = run("--dry-run", "--imatrix", tmp_path / "i.gguf", demo_model(), tmp_path / "out.gguf", "Q4_0")
    assert "i.gguf: importance of 56 tensors, measured on 12 chunks, of stories.txt" in result.output


def test_compilation_is_told_while_it_lasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    before = Kernel.on_compile
    monkeypatch.setattr("pyggml.quantize.writing._check_pair", lambda tensor, _: Kernel.on_compile(tensor.target.name))
    with GGUFFile.open(model(tmp_path)) as file:
        plan = plan_quantization(file, tmp_path / "out.gguf", file_type_named("F16"), QuantizeOptions())
        write_quantized(plan, 1, on_compile=names.append)
    assert names == ["F16"]
    assert Kernel.on_compile is before


def test_positional_arguments() -> None:
    assert positional(("a", "Q4_0")) == (Path("a"), None, "Q4_0", None)
    assert positional(("a", "b", "Q4_0", "3")) == (Path("a"), Path("b"), "Q4_0", 3)
    assert positional(("a", "7", "0")) == (Path("a"), None, "7", None)
    for arguments in (("a",), ("a", "b"), ("a", "b", "F16", "1", "2")):
        with pytest.raises(UsageError, match=r"needs IN \[OUT\] TYPE \[THREADS\]"):
            positional(arguments)
    with pytest.raises(UsageError, match="the number of threads is 'x'; allowed is a whole number"):
        positional(("a", "b", "F16", "x"))


def test_tensor_patterns(tmp_path: Path) -> None:
    pattern, name = tensor_pattern("Attn_V=q8_0")
    assert (pattern.pattern, name) == ("attn_v", "Q8_0")
    (tmp_path / "types.txt").write_text("a=f16 b=f32\nc=q6_k\n")
    assert [name for _, name in tensor_patterns_of(tmp_path / "types.txt")] == ["F16", "F32", "Q6_K"]
    for wrong in ("a", "=q8_0", "a="):
        with pytest.raises(UsageError, match=r"is no REGEX=TYPE, such as attn_v=q8_0"):
            tensor_pattern(wrong)
    with pytest.raises(UsageError, match=r"--tensor-type '\(=q8_0': '\(' is no regular expression"):
        tensor_pattern("(=q8_0")
    with pytest.raises(UsageError, match="--tensor-type 'a=q9': there is no type of tensor 'q9'"):
        tensor_pattern("a=q9")
    with pytest.raises(UsageError, match=r"--tensor-type-file .*none: the file cannot be read"):
        tensor_patterns_of(tmp_path / "none")


def test_a_file_of_tensor_types_is_used(tmp_path: Path) -> None:
    (tmp_path / "types.txt").write_text("ffn_up=q4_0")
    run("--tensor-type-file", tmp_path / "types.txt", model(tmp_path), tmp_path / "out.gguf", "Q8_0")
    with GGUFFile.open(tmp_path / "out.gguf") as file:
        assert file.tensors["blk.0.ffn_up.weight"].type_name == "Q4_0"


def test_overrides_of_metadata() -> None:
    assert key_override("a=int:-3") == ("a", number_field(ValueType.UINT32, 3))
    assert key_override("a=float:0.5") == ("a", number_field(ValueType.FLOAT32, 0.5))
    assert key_override("a=bool:false") == ("a", number_field(ValueType.BOOL, False))
    assert key_override("a=str:x=y:z") == ("a", string_field("x=y:z"))
    for value, message in {
        "a": r"is no KEY=TYPE:VALUE with TYPE int",
        "a=int": r"is no KEY=TYPE:VALUE",
        "a=int:x": r"'x' is no int",
        "a=bool:1": r"'1' is no bool",
        "a=byte:1": r"there is no type 'byte'; allowed are int, float, bool, str",
        "a=str:" + 128 * "x": r"the text has 128 bytes; allowed are 127",
    }.items():
        with pytest.raises(UsageError, match=message):
            key_override(value)


def test_a_vision_tower_without_heads_is_an_error(tmp_path: Path) -> None:
    clip = {"general.architecture": string_field("clip")}
    write_gguf(tmp_path / "in.gguf", clip, [floats("v.blk.0.attn_v.weight", weights(2, N_COLUMNS))])
    result = run(tmp_path / "in.gguf", tmp_path / "out.gguf", "Q2_K", fails=1)
    assert "this file type depends on the attention heads" in result.output
