"""What a GPU takes, and what it comes to there: known without one."""

from pyggml.backend.protocol import CacheShape
from pyggml.errors import ModelError, UsageError
from pyggml_cuda.cache import CACHE_FORMATS
from pyggml_cuda.formats import RowFormat, device_format
from pyggml_cuda.pack import packed_bytes
from pyggml_cuda.patch_attention import LARGEST_SIZE
from pyggml_kernels.formats import Format

#: What attention kernels are made for.
_SIZE_MULTIPLE, _LARGEST_SIZE = 16, 256
#: What the second dimension of a launch may be.
_MOST_ROWS = 65535
#: Kernels load this many bytes of a row at once.
_LOAD_BYTES = 16


def check_matrix(form: Format, n_columns: int) -> None:
    """ModelError for rows that kernels cannot read."""
    placed = device_format(form)
    if isinstance(placed, RowFormat) and n_columns * placed.number_bytes % _LOAD_BYTES:
        raise ModelError(
            f"a matrix in {form.name} has {n_columns} columns; on a GPU they have to be a multiple of"
            f" {_LOAD_BYTES // placed.number_bytes}; use -ngl 0"
        )


def matrix_bytes(form: Format, n_rows: int, n_columns: int) -> int:
    """The bytes of a matrix."""
    placed = device_format(form)
    if isinstance(placed, RowFormat):
        return n_rows * n_columns * placed.number_bytes
    return packed_bytes(placed, n_rows, n_columns)


def check_cache(shape: CacheShape) -> None:
    """UsageError for a cache that is not to be had."""
    for what, size in (("keys", shape.key_size), ("values", shape.value_size)):
        if size % _SIZE_MULTIPLE or size > _LARGEST_SIZE:
            raise UsageError(
                f"heads have {what} of {size} numbers; on a GPU allowed is a multiple of {_SIZE_MULTIPLE} up to"
                f" {_LARGEST_SIZE}; use -ngl 0"
            )


def check_tower_heads(size: int) -> None:
    """UsageError for heads of a tower that attention has no kernel for."""
    if size > LARGEST_SIZE:
        raise UsageError(
            f"the heads of the vision tower have {size} numbers; on a GPU they have {LARGEST_SIZE} at most; use"
            " --no-mmproj-offload"
        )


def check_picture(n_patches: int) -> None:
    """UsageError for a picture of more patches than kernels take rows."""
    if n_patches > _MOST_ROWS:
        raise UsageError(
            f"the picture has {n_patches} patches; on a GPU they are {_MOST_ROWS} at most: use a smaller"
            " --image-max-tokens, or --no-mmproj-offload"
        )


def cache_bytes(shape: CacheShape) -> int:
    """The bytes of a cache."""
    sizes = ((shape.key_format, shape.key_size), (shape.value_format, shape.value_size))
    n_rows = shape.n_pages * shape.page_size * shape.n_layers * shape.n_kv_heads
    return n_rows * sum(CACHE_FORMATS[name].row_bytes(size) for name, size in sizes)
