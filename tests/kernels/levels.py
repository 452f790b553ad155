"""Figures of the levels of exactness, per format: `python -m tests.kernels.levels [PRODUCTS]` prints a table.

0: weights whose dequantized bits, and bytes whose quantized ones, are ggml's. 1: dot products with every bit of ggml's
generic code. 2: the largest relative L2 error of a token's results against double precision. 6: tokens whose results
have the same bits alone as in their batch. Of normal, zero, denormal and huge blocks and blocks of any bits, each with
activations of every kind; as many products of each as asked for, 1 if nothing is said.
"""

import sys
from dataclasses import dataclass, field

import numpy as np

from pyggml_kernels.formats import FORMATS, Format, LevelFormat
from pyggml_reference import quants
from tests.kernels.block_kinds import ACTIVATION_KINDS, BLOCK_KINDS, WEIGHT_KINDS
from tests.kernels.calling import Floats, encode
from tests.kernels.products import FLOAT_BLOCK, Product, worst_relative_error

HEADER = ("format", "0 dequantize", "0 quantize", "1 generic order", "2 worst error", "6 alone")


@dataclass
class Count:
    """How many of how many are equal."""

    n_equal: int = 0
    n: int = 0

    def add(self, found: Floats, expected: Floats) -> None:
        """Compare bit by bit; a NaN is a NaN."""
        same = (found.view(np.uint32) == expected.view(np.uint32)) | (np.isnan(found) & np.isnan(expected))
        self.n_equal, self.n = self.n_equal + int(same.sum()), self.n + same.size

    def __str__(self) -> str:
        return f"{self.n_equal}/{self.n}" if self.n else "-"


@dataclass
class Figures:
    """What the table shows of a format."""

    dequantized: Count = field(default_factory=Count)
    quantized: Count = field(default_factory=Count)
    generic: Count = field(default_factory=Count)
    worst_error: float = 0
    alone: Count = field(default_factory=Count)


def measure(form: Format, n_products: int) -> Figures:
    """All levels of one format."""
    figures, generator = Figures(), np.random.default_rng(form.type_id)
    for kind in WEIGHT_KINDS.values():
        _add_quantized(figures, form, kind(form, generator, 8, 512))
    for blocks in BLOCK_KINDS.values():
        for activations in ACTIVATION_KINDS.values():
            for _ in range(n_products):
                n_rows, n_tokens, n_blocks = (int(generator.integers(1, most + 1)) for most in (70, 70, 20))
                n_columns = n_blocks * (form.block_size if form.block_size > 1 else FLOAT_BLOCK)
                weights = blocks(form, generator, n_rows, n_columns)
                _add_product(figures, Product(form, weights, activations(form, generator, n_tokens, n_columns)))
    return figures


def _add_quantized(figures: Figures, form: Format, weights: Floats) -> None:
    needs_importance = isinstance(form, LevelFormat) and form.needs_importance
    found = form.quantize(weights, np.ones(weights.shape[1], np.float32) if needs_importance else None)
    same = found == encode(form, weights)
    figures.quantized.n_equal += int(same.sum())
    figures.quantized.n += same.size


def _add_product(figures: Figures, product: Product) -> None:
    form, weights, x = product.form, product.weights, product.x
    n_weights = len(weights) * x.shape[1]
    figures.dequantized.add(form.dequantize(weights), quants.dequantize(form.type_id, weights, n_weights))
    found = product.run(16)
    figures.worst_error = max(figures.worst_error, worst_relative_error(product, found))
    token = len(x) // 2
    figures.alone.add(product.run(3, product.operand(slice(token, token + 1))), found[token : token + 1])
    if isinstance(form, LevelFormat):
        some = Product(form, weights[:4], x[:4])
        figures.generic.add(some.in_generic_order(), _by_generic_code(some))


def _by_generic_code(product: Product) -> Floats:
    n, type_id = product.x.shape[1], product.form.type_id
    activations = [quants.quantize_for_dot(type_id, row) for row in product.x]
    return np.array(
        [[quants.vec_dot_generic(type_id, row, each, n) for row in product.weights] for each in activations], np.float32
    )


def main() -> None:
    """Print the table, in Markdown."""
    n_products = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    lines = [HEADER, ("---",) * len(HEADER)]
    for form in FORMATS.values():
        each = measure(form, n_products)
        counts = [str(count) for count in (each.dequantized, each.quantized, each.generic)]
        lines.append((form.name, *counts, f"{each.worst_error:.1e}", str(each.alone)))
    sys.stdout.writelines(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    main()
