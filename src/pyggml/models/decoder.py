"""The decoder that all architectures share, as a graph: pre-norm attention, gated feed-forward networks, residuals."""

from pyggml.backend.graph import Graph, Rope, SectionRope, Value
from pyggml.models.config import DecoderConfig
from pyggml.models.weights import DecoderWeights, LayerWeights


def decoder_graph(
    config: DecoderConfig, weights: DecoderWeights, n_layers: int | None = None, *, has_head: bool = True
) -> Graph:
    """Tokens to logits of the wanted outputs; without the head, to the normalized states that it reads; with
    `n_layers`, to the hidden states after so many layers instead."""
    graph = Graph()
    x = graph.embed(weights.token_embd)  # (tokens, n_embd)
    rope: Rope | SectionRope
    if config.architecture.has_sections:
        x, rope = graph.place_given(x), config.rope.section_parameters()
        angles = graph.section_angles(rope)
    else:
        rope = config.rope.parameters(config.architecture.rope_halves, weights.rope_factors)
        angles = graph.rope_angles(rope)
    for index, layer in enumerate(weights.layers[:n_layers]):
        graph.begin_layer()
        x = _attention(graph, config, layer, index, x, angles, rope)
        x = _feed_forward(graph, config, layer, x)
    x = graph.select_outputs(x)  # (outputs, n_embd)
    if n_layers is None:
        graph.begin_layer()
        x = graph.rms_norm(x, weights.output_norm, config.rms_epsilon)
    if n_layers is None and has_head:
        graph.linear(x, weights.output, weights.output_bias)  # (outputs, n_vocab)
    return graph


def _attention(
    graph: Graph,
    config: DecoderConfig,
    layer: LayerWeights,
    index: int,
    x: Value,
    angles: Value,
    rope: Rope | SectionRope,
) -> Value:
    h = graph.rms_norm(x, layer.attn_norm, config.rms_epsilon)
    queries = graph.linear(h, layer.attn_q, layer.attn_q_bias)  # (tokens, n_heads * key_size)
    keys = graph.linear(h, layer.attn_k, layer.attn_k_bias)  # (tokens, n_kv_heads * key_size)
    values = graph.linear(h, layer.attn_v, layer.attn_v_bias)  # (tokens, n_kv_heads * value_size)
    queries = graph.rotate(queries, angles, rope, config.n_heads)
    keys = graph.rotate(keys, angles, rope, config.n_kv_heads)
    h = graph.attention(
        queries,
        keys,
        values,
        layer=index,
        n_heads=config.n_heads,
        scale=config.attention_scale,
        n_columns=config.n_heads * config.value_size,
    )
    return graph.add(x, graph.linear(h, layer.attn_output, layer.attn_output_bias))


def _feed_forward(graph: Graph, config: DecoderConfig, layer: LayerWeights, x: Value) -> Value:
    h = graph.rms_norm(x, layer.ffn_norm, config.rms_epsilon)
    gate = graph.linear(h, layer.ffn_gate, layer.ffn_gate_bias)  # (tokens, n_ff)
    up = graph.linear(h, layer.ffn_up, layer.ffn_up_bias)
    h = graph.linear(graph.swiglu(gate, up), layer.ffn_down, layer.ffn_down_bias)
    return graph.add(x, h)
