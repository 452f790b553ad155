"""GGUF files for tests: requantized copies through the oracle, and models read for the `scalar` reference.

Files are read and written by the `gguf` package. llama_model_quantize is not in the wheel: `quantize_model` calls
ggml_quantize_chunk tensor by tensor, with the types of `mixture`.
"""

import os
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter

from pyggml_reference.library import OracleError
from pyggml_reference.mixture import FILE_TYPES, Choose, MixtureConfig, mixture
from pyggml_reference.quants import dequantize, quantize
from pyggml_reference.scalar import Array, ScalarConfig
from pyggml_reference.structures import TensorType

FILE_TYPE_KEY = "general.file_type"
VERSION_KEY = "general.quantization_version"
_ROPE_MODES = {"llama": "norm", "qwen2": "neox"}


def is_quantizable(name: str, n_dimensions: int) -> bool:
    """Tell whether llama-quantize would touch this tensor: a matrix of weights that is no norm."""
    return n_dimensions >= 2 and name.endswith("weight") and "_norm.weight" not in name


def add_encoded(writer: GGUFWriter, name: str, weights: npt.ArrayLike, type_id: int) -> None:
    """Quantize `weights` (rows, columns) by the oracle and add the tensor to a file in the making."""
    encoded = quantize(type_id, weights)
    if type_id == TensorType.F32:
        writer.add_tensor(name, encoded.view(np.float32))
    elif type_id == TensorType.F16:
        writer.add_tensor(name, encoded.view(np.float16))
    else:
        writer.add_tensor(name, encoded, raw_dtype=GGMLQuantizationType(type_id))


def requantize(
    source: str | os.PathLike[str], target: str | os.PathLike[str], choose: Choose, file_type: int | None = None
) -> None:
    """Copy a GGUF file with each matrix of weights encoded anew as `choose(name, NumPy shape)` says.

    Order of tensors and metadata stay; `file_type` replaces "general.file_type".
    """
    reader = GGUFReader(os.fspath(source))
    writer = GGUFWriter(os.fspath(target), _value(reader, "general.architecture"))
    _copy_metadata(reader, writer, file_type)
    for tensor in reader.tensors:
        shape = tuple(int(n) for n in reversed(tensor.shape))
        if is_quantizable(tensor.name, len(shape)):
            add_encoded(writer, tensor.name, _floats(tensor).reshape(shape), choose(tensor.name, shape))
        else:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    write(writer)


def quantize_model(source: str | os.PathLike[str], target: str | os.PathLike[str], file_type: str) -> None:
    """Copy a GGUF file as llama-quantize would with a file type such as "Q4_K_M", except for the order of tensors."""
    reader = GGUFReader(os.fspath(source))
    architecture = _value(reader, "general.architecture")
    n_head = int(_value(reader, f"{architecture}.attention.head_count"))
    config = MixtureConfig(
        n_layers=int(_value(reader, f"{architecture}.block_count")),
        n_head=n_head,
        n_head_kv=int(_value(reader, f"{architecture}.attention.head_count_kv", n_head)),
        tied=all(tensor.name != "output.weight" for tensor in reader.tensors),
    )
    choose = mixture(file_type, config)
    requantize(source, target, choose, FILE_TYPES[file_type][0])


def write(writer: GGUFWriter) -> None:
    """Write everything added so far, and close the file."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_scalar_model(path: str | os.PathLike[str]) -> tuple[ScalarConfig, dict[str, Array]]:
    """Read a llama or qwen2 model for the float64 reference, its weights decoded by ggml."""
    reader = GGUFReader(os.fspath(path))
    architecture = _value(reader, "general.architecture")
    if architecture not in _ROPE_MODES:
        raise OracleError(f"the scalar reference knows {', '.join(_ROPE_MODES)}, not {architecture}")

    def value(key: str, default: Any = None) -> Any:
        return _value(reader, f"{architecture}.{key}", default)

    n_head = int(value("attention.head_count"))
    factor = float(value("rope.scaling.factor", 1.0))
    config = ScalarConfig(
        n_head=n_head,
        n_head_kv=int(value("attention.head_count_kv", n_head)),
        head_size=int(value("attention.key_length", value("embedding_length") // n_head)),
        epsilon=float(value("attention.layer_norm_rms_epsilon")),
        rope_mode=cast(Any, _ROPE_MODES[architecture]),
        rope_freq_base=float(value("rope.freq_base", 10000.0)),
        rope_scaling=value("rope.scaling.type", "linear"),
        rope_factor=factor or 1.0,
        rope_attn_factor=float(value("rope.scaling.attn_factor", 1.0)),
        n_ctx_original=int(value("rope.scaling.original_context_length", value("context_length"))),
    )
    weights = {
        tensor.name: _floats(tensor).reshape(tuple(int(n) for n in reversed(tensor.shape))).astype(np.float64)
        for tensor in reader.tensors
    }
    return config, weights


def _floats(tensor: Any) -> npt.NDArray[np.float32]:
    return dequantize(int(tensor.tensor_type), np.ascontiguousarray(tensor.data), int(tensor.n_elements))


def _value(reader: GGUFReader, key: str, default: Any = None) -> Any:
    field = reader.get_field(key)
    if field is None:
        if default is None:
            raise OracleError(f"the file lacks the key {key}")
        return default
    return field.contents()


def _copy_metadata(reader: GGUFReader, writer: GGUFWriter, file_type: int | None) -> None:
    replaced = {} if file_type is None else {VERSION_KEY: 2, FILE_TYPE_KEY: file_type}
    for key, field in reader.fields.items():
        # The reader lists the header under keys of its own; the writer adds the architecture itself.
        if key.startswith("GGUF.") or key == "general.architecture" or key in replaced:
            continue
        sub_type = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
        writer.add_key_value(key, field.contents(), field.types[0], sub_type)
    for key, number in replaced.items():
        writer.add_uint32(key, number)
