"""A made-up importance matrix for the model inside the package, the same on every machine."""

from functools import partial
from pathlib import Path

import numpy as np

from pyggml.gguf import FieldType, GGUFFile, ValueType
from pyggml.gguf.encoding import Field, number_field, string_field
from pyggml.gguf.writer import Chunks, OutputTensor, write_gguf
from pyggml.package_data import demo_model
from pyggml.quantize.importance_file import CHUNK_COUNT_KEY, CHUNK_SIZE_KEY, DATASETS_KEY

N_CHUNKS = 12


def importances() -> dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]]:
    """Sums of squares for each matrix of a layer: positive, of many sizes, exact in float32."""
    with GGUFFile.open(demo_model()) as file:
        matrices = [info for info in file.tensors.values() if info.name.startswith("blk.") and len(info.shape) == 2]
    return {
        info.name: ((np.arange(info.shape[0]) * (7919 + 13 * seed) % 1009 + 1) / 64).astype(np.float32)
        for seed, info in enumerate(sorted(matrices, key=lambda info: info.name))
    }


def write_importance(path: Path) -> None:
    """A file such as llama-imatrix writes, with a count of 6144 rows for each matrix."""

    def pieces(values: np.ndarray[tuple[int], np.dtype[np.float32]]) -> Chunks:
        return [values.view(np.uint8)]

    tensors = []
    for name, values in importances().items():
        count = np.full(1, 6144, np.float32)
        tensors.append(OutputTensor(f"{name}.in_sum2", 0, (values.size, 1), partial(pieces, values)))
        tensors.append(OutputTensor(f"{name}.counts", 0, (1, 1), partial(pieces, count)))
    metadata = {
        "general.type": string_field("imatrix"),
        DATASETS_KEY: Field(FieldType(ValueType.ARRAY, ValueType.STRING), ["stories.txt"]),
        CHUNK_COUNT_KEY: number_field(ValueType.UINT32, N_CHUNKS),
        CHUNK_SIZE_KEY: number_field(ValueType.UINT32, 512),
    }
    write_gguf(path, metadata, tensors)


def write_legacy_importance(path: Path) -> None:
    """The same numbers in the older format: sums and calls instead of sums and rows."""
    data = np.int32(len(importances())).tobytes()
    for name, values in importances().items():
        data += np.int32(len(name)).tobytes() + name.encode() + np.array([6144, values.size], np.int32).tobytes()
        data += values.tobytes()
    dataset = b"stories.txt"
    path.write_bytes(data + np.array([N_CHUNKS, len(dataset)], np.int32).tobytes() + dataset)
