"""Blocks as a file has them to tiles as products read them."""

from pyggml_cuda.formats import TILE_COLUMNS, TILE_ROWS, TileFormat
from pyggml_cuda.launch import INT, POINTER, KernelName, Launch, blocks, filled, structure

ARGUMENTS = structure(
    {"source": POINTER, "target": POINTER} | dict.fromkeys(("n_rows", "n_blocks", "n_tiles", "first_row_tile"), INT)
)


def packed_bytes(form: TileFormat, n_rows: int, n_columns: int) -> int:
    """Bytes of a matrix in tiles."""
    return blocks(n_rows, TILE_ROWS) * blocks(n_columns, TILE_COLUMNS) * form.tile_bytes


def pack(form: TileFormat, block_size: int, source: int, target: int, n_rows: int, n_columns: int) -> Launch:
    """Make tiles at `target` of a matrix of blocks at `source`."""
    n_tiles = blocks(n_columns, TILE_COLUMNS)
    values = {
        "source": source,
        "target": target,
        "n_rows": n_rows,
        "n_blocks": n_columns // block_size,
        "n_tiles": n_tiles,
    }
    kernel = KernelName("pack.cu", f"pack<{form.expression}>", (form.header,))
    return Launch(kernel, (n_tiles, blocks(n_rows, TILE_ROWS), 1), 256, (filled(ARGUMENTS, values),))
