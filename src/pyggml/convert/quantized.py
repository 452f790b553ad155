"""Converting to a quantized type at once."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pyggml.convert.conversion import ConvertOptions, plan_conversion
from pyggml.errors import UsageError
from pyggml.gguf import GGUFFile
from pyggml.gguf.splitting import PlannedShard, write_shards
from pyggml.gguf.writer import Progress
from pyggml.quantize import FileType, Importance, QuantizeOptions, plan_quantization, write_quantized


def plan_source(
    folder: Path, target: str | os.PathLike[str] | None, file_type: FileType, options: ConvertOptions
) -> PlannedShard:
    """The file that is to be quantized, in the precision of the checkpoint, under the name of the quantized one.

    Raises CheckpointError as `plan_conversion`, and UsageError for shards and vocabularies alone.
    """
    limits = options.limits
    if options.is_vocabulary_only or limits.max_bytes or limits.max_tensors or limits.no_tensor_first:
        raise UsageError(
            f"--outtype {file_type.name.lower()} writes one whole file: leave out --vocab-only, and split the file "
            "afterwards with pyggml split"
        )
    precise = replace(options, output_type=None, keeps_float32=True, file_type_name=file_type.name)
    (planned,) = plan_conversion(folder, target, precise)
    return planned


def write_converted_and_quantized(
    planned: PlannedShard,
    file_type: FileType,
    importance: Importance | None,
    n_threads: int,
    progress: Progress | None = None,
    on_compile: Callable[[str], None] | None = None,
) -> None:
    """Write the bytes that llama-quantize makes of the converted file, which is written beside it and removed.

    Raises CheckpointError for weights that are not there, QuantizeError for what cannot be quantized so, GGUFError for
    files that cannot be written.
    """
    intermediate = planned.path.with_name(f"{planned.path.name}.{os.getpid()}.unquantized")
    try:
        write_shards([replace(planned, path=intermediate)], progress)
        with GGUFFile.open(intermediate) as source:
            plan = plan_quantization(source, planned.path, file_type, QuantizeOptions(importance=importance))
            write_quantized(plan, n_threads, progress, on_compile)
    finally:
        intermediate.unlink(missing_ok=True)
