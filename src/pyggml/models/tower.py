"""The vision tower of Qwen2-VL and Qwen2.5-VL as a graph: a transformer over patches, and the merger behind it."""

import numpy as np

from pyggml.backend.graph import Graph, SectionRope, Value
from pyggml.backend.tower_graph import TowerGraph
from pyggml.models.tower_config import TowerConfig
from pyggml.models.tower_weights import Normal, Product, TowerLayer, TowerWeights

_ROPE_BASE = 10000.0


def tower_graph(config: TowerConfig, weights: TowerWeights) -> Graph:
    """Patches to merged patches in the wanted order, (n_merged, n_out)."""
    graph, rope = TowerGraph(), _rope(config.head_size)
    patches = graph.patches(weights.patches[0].n_columns)  # (patches, 3 * patch_size^2)
    angles = graph.section_angles(rope)
    first, second = (graph.linear(patches, kernel) for kernel in weights.patches)
    x = graph.add(first, second)  # (patches, n_embd)
    for index, layer in enumerate(weights.layers):
        in_windows = config.full_every > 0 and (index + 1) % config.full_every != 0
        x = _attention(graph, config, layer, x, angles, rope, in_windows)
        x = _feed_forward(graph, config, layer, x)
    x = graph.merge(_norm(graph, config, x, weights.last_norm), 4)  # (merged, 4 * n_embd)
    x = graph.gelu(_product(graph, x, weights.merge_up), "tanh")
    graph.select_outputs(_product(graph, x, weights.merge_down))  # (merged, n_out)
    return graph


def _rope(head_size: int) -> SectionRope:
    """The first quarter of a head's pairs turns by the row, the second by the column, both from the base on."""
    quarter = head_size // 4
    exponent = np.float32(-2.0) / np.float32(head_size // 2)
    return SectionRope(
        n_pairs=2 * quarter,
        theta_scale=float(np.float32(_ROPE_BASE ** float(exponent))),
        frequency_scale=1.0,
        sections=((0, quarter, 0), (quarter, 2 * quarter, quarter)),
    )


def _norm(graph: TowerGraph, config: TowerConfig, x: Value, norm: Normal) -> Value:
    if norm.bias is None:
        return graph.rms_norm(x, norm.weight, config.epsilon)
    return graph.layer_norm(x, norm.weight, norm.bias, config.epsilon)


def _product(graph: TowerGraph, x: Value, product: Product) -> Value:
    return graph.linear(x, product.weight, product.bias)


def _attention(
    graph: TowerGraph,
    config: TowerConfig,
    layer: TowerLayer,
    x: Value,
    angles: Value,
    rope: SectionRope,
    in_windows: bool,
) -> Value:
    h = _norm(graph, config, x, layer.norm_1)
    queries, keys, values = (_product(graph, h, each) for each in (layer.q, layer.k, layer.v))  # (patches, n_embd)
    h = graph.patch_attention(
        graph.rotate(queries, angles, rope, config.n_heads),
        graph.rotate(keys, angles, rope, config.n_heads),
        values,
        n_heads=config.n_heads,
        scale=config.head_size**-0.5,
        in_windows=in_windows,
    )
    return graph.add(x, _product(graph, h, layer.out))


def _feed_forward(graph: TowerGraph, config: TowerConfig, layer: TowerLayer, x: Value) -> Value:
    h = _norm(graph, config, x, layer.norm_2)
    up = _product(graph, h, layer.up)  # (patches, n_ff)
    h = graph.swiglu(_product(graph, h, layer.gate), up) if layer.gate else graph.gelu(up, config.activation)
    return graph.add(x, _product(graph, h, layer.down))
