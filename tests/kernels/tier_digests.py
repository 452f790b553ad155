"""Products of some formats with every kind of blocks, as digests: `python -m tests.kernels.tier_digests NAME...`.

Run once with each tier of vector code, it shows whether all give the same bits.
"""

import hashlib
import sys
from itertools import cycle, product

import numpy as np

from pyggml_kernels.formats import Format, format_named
from tests.kernels.block_kinds import ACTIVATION_KINDS, BLOCK_KINDS
from tests.kernels.products import FLOAT_BLOCK, Product

#: Rows, tokens and blocks: all ways in which tokens are grouped, and tiles that are whole and that are not.
SHAPES = [(1, 1, 1), (16, 2, 3), (35, 3, 1), (17, 5, 2), (33, 6, 9), (20, 13, 2)]


def product_digest(form: Format) -> str:
    """A digest of the bits of the products of all kinds, of one shape after the other; a NaN is a NaN."""
    digest, generator = hashlib.sha256(), np.random.default_rng(form.type_id)
    kinds = product(BLOCK_KINDS.values(), ACTIVATION_KINDS.values())
    for (blocks, activations), (n_rows, n_tokens, n_blocks) in zip(kinds, cycle(SHAPES), strict=False):
        n_columns = n_blocks * (form.block_size if form.block_size > 1 else FLOAT_BLOCK)
        weights = blocks(form, generator, n_rows, n_columns)
        found = Product(form, weights, activations(form, generator, n_tokens, n_columns)).run(4)
        digest.update(np.where(np.isnan(found), np.float32(np.nan), found).tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    for name in sys.argv[1:]:
        sys.stdout.write(f"{name} {product_digest(format_named(name))}\n")
