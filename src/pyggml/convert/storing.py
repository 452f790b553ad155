"""In which type a converted tensor is stored, and its bytes: as llama.cpp's converter decides and rounds."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from pyggml.convert.model_tensor import ModelTensor
from pyggml.convert.source import Floats, SourceTensor
from pyggml.errors import CheckpointError
from pyggml.gguf.cursor import quoted
from pyggml.gguf.types import GGML_TYPES
from pyggml.gguf.writer import OutputTensor
from pyggml_kernels.formats import BF16, F16, F32, Q8_0, Format


@dataclass(frozen=True)
class OutputType:
    """What most matrices are stored as: the name that files are called after, the number in "general.file_type"."""

    name: str
    number: int
    format: Format


OUTPUT_TYPES = {
    each.name: each
    for each in (
        OutputType("F32", 0, F32),
        OutputType("F16", 1, F16),
        OutputType("BF16", 32, BF16),
        OutputType("Q8_0", 7, Q8_0),
    )
}
"""What the converter stores by itself, by name."""

_NUMPY_TYPES: Mapping[str, np.dtype[np.float32] | np.dtype[np.float16]] = MappingProxyType(
    {"F32": np.dtype("<f4"), "F16": np.dtype("<f2")}
)
_ALWAYS_FLOAT32 = ("_norm.weight",)
_PATCH_EMBEDDING = "v.patch_embd.weight"


def same_precision(sources: Iterable[SourceTensor], *, with_float32: bool) -> OutputType:
    """The type that matrices have in the checkpoint: the first BF16 or F16 among them decides.

    If there is none, it is F16, as llama.cpp has it, or F32 `with_float32`.
    """
    for source in sources:
        if len(source.shape) >= 2 and source.dtype in ("BF16", "F16"):
            return OUTPUT_TYPES[source.dtype]
    return OUTPUT_TYPES["F32" if with_float32 else "F16"]


def stored(tensor: ModelTensor, wanted: OutputType) -> OutputTensor:
    """The tensor as it is to be written."""
    form = _format(tensor, wanted)
    known = GGML_TYPES[form.type_id]
    # ggml's shapes have the fastest dimension first.
    return OutputTensor(tensor.name, known.type_id, tensor.shape[::-1], partial(_chunks, tensor, form))


def _format(tensor: ModelTensor, wanted: OutputType) -> Format:
    if len(tensor.shape) <= 1 or tensor.name.endswith(_ALWAYS_FLOAT32):
        return F32
    if tensor.name.startswith(_PATCH_EMBEDDING):
        return F16 if wanted.format is F16 else F32
    return F16 if tensor.shape[-1] % wanted.format.block_size else wanted.format


def _chunks(tensor: ModelTensor, form: Format) -> Iterator[npt.NDArray[np.uint8]]:
    for rows in tensor.slabs():
        yield _encoded(tensor, rows, form)


def _bytes(values: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8)


def _encoded(tensor: ModelTensor, rows: Floats, form: Format) -> npt.NDArray[np.uint8]:
    try:
        with np.errstate(over="raise"):
            if form.name in _NUMPY_TYPES:
                return _bytes(rows.astype(_NUMPY_TYPES[form.name], copy=False))
            return form.quantize(rows.reshape(-1, tensor.shape[-1]).astype(np.float32))
    except (FloatingPointError, ValueError) as error:
        raise CheckpointError(
            f"tensor {quoted(tensor.name)} holds weights that {form.name} cannot hold: {error}: take --outtype "
            "bf16 or f32"
        ) from None
