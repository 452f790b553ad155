"""Attention over a paged cache of keys and values, with a running softmax (arXiv:2205.14135), and the cache's writes.

The cache is a number of pages; a page holds, for each layer and key/value head, `page_size` rows of `head_size` numbers
in the cache's format. The cache of a layer begins with that layer's part of the first page; the next page's part lies
`page_bytes` further on. A sequence is a row of a page table: position p lies in page table[p // page_size].
Queries are rounded through the format of the keys where ggml's attention does so whatever the batch (BF16, Q8_0). With
F16 keys ggml rounds them when it decodes one token but not in large batches; here they never are, so that a token's
result does not depend on the batch around it. Values are summed in float32.
"""

import math
from typing import Any

import numpy as np

from pyggml_kernels.calls import call_convert
from pyggml_kernels.jit import device, fast_kernel, kernel
from pyggml_kernels.memory import f32, f64, i32, i64

N_ARGUMENTS = 26


@kernel
def store_rows(arguments: int, chunk: int, worker: int) -> None:
    """Write one token's keys (or values) into the cache; a token a chunk.

    Arguments: 0 x f32 (n, stride), 1 stride in floats, 2 n_kv_heads, 3 head_size, 4 cache of the layer,
    5 bytes of a row of head_size, 6 page_size, 7 positions i32 (n,), 8 sequences i32 (n,), 9 page table i32,
    10 pages in a row of the table, 11 the format's `store`, 12 page_bytes.
    """
    a = i64(arguments, N_ARGUMENTS)
    n_kv_heads, row_bytes, page_size = a[2], a[5], a[6]
    position = np.int64(i32(a[7] + chunk * 4, 1)[0])
    sequence = np.int64(i32(a[8] + chunk * 4, 1)[0])
    page = np.int64(i32(a[9] + (sequence * a[10] + position // page_size) * 4, 1)[0])
    for head in range(n_kv_heads):
        row = page * a[12] + (head * page_size + position % page_size) * row_bytes
        call_convert(a[11], a[0] + (chunk * a[1] + head * a[3]) * 4, a[3], a[4] + row)


def scratch_bytes(head_size: int, value_size: int, page_size: int, heads_per_group: int, tokens_per_chunk: int) -> int:
    """Bytes of scratch one worker needs for `attend`, in the order that `attend` lays it out."""
    n_queries = heads_per_group * tokens_per_chunk
    floats = page_size * (head_size + value_size + 1) + n_queries * (head_size + value_size + 2)
    # Room to round one query through the cache's format, which never takes more than floats do.
    return 4 * floats + 4 * head_size


@device
def _dot(a_address: int, b_address: int, n: int) -> Any:
    """The dot product of two rows of floats."""
    a, b = f32(a_address, n), f32(b_address, n)
    total = np.float32(0)
    for i in range(n):
        total += a[i] * b[i]
    return total


@device
def _copy(source: int, n: int, target: int) -> None:
    """Copy a row of floats."""
    x, out = f32(source, n), f32(target, n)
    for i in range(n):
        out[i] = x[i]


@device
def _absorb_page(
    query: int,
    size: int,
    keys: int,
    values: int,
    value_size: int,
    n_keys: int,
    scale: Any,
    scores: Any,
    total: int,
    highest: Any,
    weight: Any,
) -> Any:
    """Take a page of keys and values into one query's running softmax; returns the highest score and the weight."""
    top = highest
    for key in range(n_keys):
        scores[key] = _dot(query, keys + key * size * 4, size) * scale
        top = max(top, scores[key])
    sums = f32(total, value_size)
    shrink = np.float32(math.exp(highest - top))
    weight *= shrink
    for i in range(value_size):
        sums[i] *= shrink
    for key in range(n_keys):
        p = np.float32(math.exp(scores[key] - top))
        weight += p
        value = f32(values + key * value_size * 4, value_size)
        for i in range(value_size):
            sums[i] += p * value[i]
    return top, weight


@fast_kernel
def attend(arguments: int, chunk: int, worker: int) -> None:
    """softmax(q k * scale) v over all positions up to each token's own; a chunk is one key/value head and a few tokens.

    Arguments: 0 queries f32 (n, q_stride), 1 q_stride, 2 n_tokens, 3 heads that share a key/value head, 4 n_kv_heads,
    5 head_size, 6 keys of the layer, 7 bytes of a row of keys, 8 load keys, 9 store keys if queries are rounded or 0,
    10 values of the layer, 11 bytes of a row of values, 12 load values, 13 page_size, 14 positions i32 (n,),
    15 sequences i32 (n,), 16 page table i32, 17 pages in a row of the table, 18 out f32 (n, n_heads * value_size),
    19 tokens per chunk, 20 scratch of all workers, 21 bytes of one worker's, 22 scale (double), 23 value_size,
    24 page_bytes of the keys, 25 of the values.
    """
    a = i64(arguments, N_ARGUMENTS)
    scale = np.float32(f64(arguments, N_ARGUMENTS)[22])
    group, n_kv_heads, size, page_size, value_size = a[3], a[4], a[5], a[13], a[23]
    kv_head, first = chunk % n_kv_heads, chunk // n_kv_heads * a[19]
    n_tokens = min(a[2] - first, a[19])
    n_queries = n_tokens * group
    positions, sequences = i32(a[14] + first * 4, n_tokens), i32(a[15] + first * 4, n_tokens)

    keys = a[20] + worker * a[21]
    values = keys + page_size * size * 4
    queries = values + page_size * value_size * 4
    sums = queries + n_queries * size * 4
    score_address = sums + n_queries * value_size * 4
    scores = f32(score_address, page_size)
    highest = f32(score_address + page_size * 4, n_queries)
    weight = f32(score_address + (page_size + n_queries) * 4, n_queries)
    rounded = score_address + (page_size + 2 * n_queries) * 4

    n_pages = np.int64(0)
    for token in range(n_tokens):
        n_pages = max(n_pages, positions[token] // page_size + 1)
        for head in range(group):
            query = token * group + head
            source = a[0] + ((first + token) * a[1] + (kv_head * group + head) * size) * 4
            if a[9]:
                call_convert(a[9], source, size, rounded)
                call_convert(a[8], rounded, size, queries + query * size * 4)
            else:
                _copy(source, size, queries + query * size * 4)
            highest[query] = -np.inf
            weight[query] = 0
    total = f32(sums, n_queries * value_size)
    for i in range(n_queries * value_size):
        total[i] = 0

    for page in range(n_pages):
        loaded, n_loaded = np.int64(-1), np.int64(0)
        for token in range(n_tokens):
            n_keys = min(np.int64(positions[token]) + 1 - page * page_size, page_size)
            if n_keys <= 0:
                continue
            physical = np.int64(i32(a[16] + (np.int64(sequences[token]) * a[17] + page) * 4, 1)[0])
            if physical != loaded:
                loaded, n_loaded = physical, np.int64(0)
            page_keys = a[6] + physical * a[24] + kv_head * page_size * a[7]
            page_values = a[10] + physical * a[25] + kv_head * page_size * a[11]
            for key in range(n_loaded, n_keys):
                call_convert(a[8], page_keys + key * a[7], size, keys + key * size * 4)
                call_convert(a[12], page_values + key * a[11], value_size, values + key * value_size * 4)
            n_loaded = max(n_loaded, n_keys)
            for query in range(token * group, (token + 1) * group):
                highest[query], weight[query] = _absorb_page(
                    queries + query * size * 4,
                    size,
                    keys,
                    values,
                    value_size,
                    n_keys,
                    scale,
                    scores,
                    sums + query * value_size * 4,
                    highest[query],
                    weight[query],
                )

    for token in range(n_tokens):
        start = ((first + token) * n_kv_heads + kv_head) * group * value_size
        out = f32(a[18] + start * 4, group * value_size)
        for i in range(group * value_size):
            out[i] = total[token * group * value_size + i] / weight[token * group + i // value_size]
