"""Attention over a paged cache of keys and values, with a running softmax (arXiv:2205.14135), and the cache's writes.

The cache is a number of pages; a page holds, for each layer and key/value head, `page_size` rows of `head_size` numbers
in the cache's format. The cache of a layer begins with that layer's part of the first page; the next page's part lies
`page_bytes` further on. A sequence is a row of a page table: position p lies in page table[p // page_size].
Queries are rounded through the format of the keys where ggml's attention does so whatever the batch (BF16, Q8_0). With
F16 keys ggml rounds them when it decodes one token but not in large batches; here they never are, so that a token's
result does not depend on the batch around it. Values are summed in float32.

A context is cut into parts of a fixed number of pages. Each has a softmax of its own, and the parts are merged in their
order: the bits are the same whether one worker sees all of a context, as in prompts, or several share it.
"""

from typing import Any, NamedTuple

import numpy as np

from pyggml_kernels.calls import call_convert
from pyggml_kernels.jit import device, kernel
from pyggml_kernels.memory import f32, f64, i32, i64
from pyggml_kernels.simd.batch import (
    BATCH_ROWS,
    add_multiples_batch,
    batch_of,
    load_batch,
    multiply_batch,
    store_batch,
    zeros_batch,
)
from pyggml_kernels.simd.rows import load_floats
from pyggml_kernels.simd.transpose import transpose
from pyggml_kernels.simd.vector import TILE_ROWS
from pyggml_kernels.softmax_state import (
    SHRINK,
    VECTOR_BYTES,
    clear,
    finish,
    merge,
    state_bytes,
    weigh,
    whole_vectors,
)

N_ARGUMENTS = 29


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


def _padded(n: int) -> int:
    return -(-n // TILE_ROWS) * TILE_ROWS


def partial_bytes(value_size: int) -> int:
    """Bytes of what is known of one query after a part of its context."""
    return 4 * _padded(value_size) + 3 * VECTOR_BYTES


def scratch_bytes(head_size: int, value_size: int, page_size: int, heads_per_group: int, tokens_per_chunk: int) -> int:
    """Bytes of scratch one worker needs for `attend`, in the order that `_room` lays it out."""
    n_queries, n_keys = heads_per_group * tokens_per_chunk, _padded(page_size)
    floats = n_keys * _padded(head_size) + n_keys * head_size + TILE_ROWS + n_keys * value_size + TILE_ROWS
    floats += BATCH_ROWS * n_keys + (n_queries + 1) * head_size
    return 4 * floats + 2 * n_queries * partial_bytes(value_size)


class _Room(NamedTuple):
    """Where a worker keeps what it works on."""

    keys: int
    """Of a page: for every 16 keys the first number of each, then the second, and so on."""
    key_rows: int
    values: int
    scores: int
    score_stride: int
    """Bytes from one query's scores to the next's."""
    queries: int
    rounded: int
    """A query in the cache's format, which never takes more than floats do."""
    states: int
    more_states: int


class _Task(NamedTuple):
    """A chunk: a few tokens, and the heads that share a key/value head."""

    first: int
    """The first token."""
    n_tokens: int
    n_queries: int
    kv_head: int
    n_parts: int
    """Of the longest context."""
    scale: Any


@device
def _room(a: Any, worker: int, n_queries: int) -> _Room:
    size, value_size, n_keys = a[5], a[23], whole_vectors(a[13])
    keys = a[20] + worker * a[21]
    key_rows = keys + n_keys * whole_vectors(size) * 4
    # A vector from a row's end reads on into the next row.
    values = key_rows + (n_keys * size + TILE_ROWS) * 4
    scores = values + (n_keys * value_size + TILE_ROWS) * 4
    queries = scores + BATCH_ROWS * n_keys * 4
    rounded = queries + n_queries * size * 4
    states = rounded + size * 4
    more_states = states + n_queries * state_bytes(value_size)
    return _Room(keys, key_rows, values, scores, n_keys * 4, queries, rounded, states, more_states)


@device
def _task(arguments: int, kv_head: int, first: Any) -> _Task:
    a, scale = i64(arguments, N_ARGUMENTS), np.float32(f64(arguments, N_ARGUMENTS)[22])
    n_tokens = min(a[2] - first, a[19])
    positions, n = i32(a[14] + first * 4, n_tokens), np.int64(0)
    for token in range(n_tokens):
        n = max(n, np.int64(positions[token]) + 1)
    part = a[13] * a[26]
    return _Task(first, n_tokens, n_tokens * a[3], kv_head, (n + part - 1) // part, scale)


@device
def _copy_queries(a: Any, task: _Task, room: _Room) -> None:
    """Bring a chunk's queries together, rounded if need be."""
    size, group = a[5], a[3]
    for query in range(task.n_queries):
        token, head = task.first + query // group, task.kv_head * group + query % group
        source, target = a[0] + (token * a[1] + head * size) * 4, room.queries + query * size * 4
        if a[9]:
            call_convert(a[9], source, size, room.rounded)
            call_convert(a[8], room.rounded, size, target)
        else:
            x, out = f32(source, size), f32(target, size)
            for i in range(size):
                out[i] = x[i]


@device
def _load_page(a: Any, room: _Room, page: int, kv_head: int, n_keys: int) -> None:
    """The first keys and values of a page as floats. Lanes without a key hold anything."""
    size, value_size, page_size = a[5], a[23], a[13]
    key_bytes = whole_vectors(size) * 4
    call_convert(a[8], a[6] + page * a[24] + kv_head * page_size * a[7], n_keys * size, room.key_rows)
    for key in range(0, n_keys, TILE_ROWS):
        for column in range(0, size, TILE_ROWS):
            source = room.key_rows + (key * size + column) * 4
            transpose(source, size * 4, room.keys + key * key_bytes + column * VECTOR_BYTES)
    call_convert(a[12], a[10] + page * a[25] + kv_head * page_size * a[11], n_keys * value_size, room.values)


@device
def _multiply_keys(a: Any, room: _Room, query: int, n: int, n_keys: int) -> None:
    """The products of `n` queries from `query` on and keys."""
    size = a[5]
    key_bytes = whole_vectors(size) * 4
    queries, scores = (
        batch_of(room.queries + query * size * 4, size * 4, n),
        batch_of(room.scores, room.score_stride, n),
    )
    for key in range(0, n_keys, TILE_ROWS):
        total: Any = zeros_batch()
        for i in range(size):
            vector = load_floats(room.keys + key * key_bytes + i * VECTOR_BYTES)
            total = add_multiples_batch(total, vector, queries, i * 4)
        store_batch(total, scores, key * 4)


@device
def _add_values(a: Any, room: _Room, state: int, score: int, n: int, first: int, last: int) -> None:
    """Add weighted values, of keys `first` to `last` - 1, to the sums of `n` states; those shrink before the first."""
    value_size, n_bytes = a[23], state_bytes(a[23])
    sums, weights = batch_of(state, n_bytes, n), batch_of(score, room.score_stride, n)
    for column in range(0, value_size, TILE_ROWS):
        total: Any = load_batch(sums, column * 4)
        if first == 0:
            total = multiply_batch(total, sums, whole_vectors(value_size) * 4 + SHRINK)
        for key in range(first, last):
            value = load_floats(room.values + (key * value_size + column) * 4)
            total = add_multiples_batch(total, value, weights, key * 4)
        store_batch(total, sums, column * 4)


@device
def _keys_of(a: Any, task: _Task, token: int, page: int) -> Any:
    """How many keys of a page one of the chunk's tokens sees; none if not above 0."""
    position = np.int64(i32(a[14] + (task.first + token) * 4, 1)[0])
    return min(position + 1 - page * a[13], a[13])


@device
def _absorb_keys(a: Any, task: _Task, room: _Room, page: int, query: int, n: int, states: int) -> None:
    """Take the page that lies in `room` into the states of `n` queries, at most a batch."""
    group, n_bytes = a[3], state_bytes(a[23])
    least = most = _keys_of(a, task, query // group, page)
    for i in range(1, n):
        n_keys = _keys_of(a, task, (query + i) // group, page)
        least, most = min(least, n_keys), max(most, n_keys)
    _multiply_keys(a, room, query, n, most)
    state = states + query * n_bytes
    for i in range(n):
        rest = state + i * n_bytes + whole_vectors(a[23]) * 4
        n_keys = _keys_of(a, task, (query + i) // group, page)
        weigh(room.scores + i * room.score_stride, n_keys, task.scale, rest)
    _add_values(a, room, state, room.scores, n, 0, least)
    for i in range(n):
        n_keys = _keys_of(a, task, (query + i) // group, page)
        if n_keys > least:
            _add_values(a, room, state + i * n_bytes, room.scores + i * room.score_stride, 1, least, n_keys)


@device
def _physical(a: Any, task: _Task, token: int, page: int) -> Any:
    """Where in the cache a page of the sequence of one of the chunk's tokens is; -1 if the token sees none of it."""
    if _keys_of(a, task, token, page) <= 0:
        return -1
    sequence = np.int64(i32(a[15] + (task.first + token) * 4, 1)[0])
    return np.int64(i32(a[16] + (sequence * a[17] + page) * 4, 1)[0])


@device
def _absorb_page(a: Any, task: _Task, room: _Room, page: int, states: int) -> None:
    """Take a page into the states of all queries that see it; neighbours in one sequence share its conversion."""
    group = a[3]
    start: Any = np.int64(0)
    while start < task.n_tokens:
        physical = _physical(a, task, start, page)
        end: Any = start
        n_keys: Any = np.int64(0)
        while end < task.n_tokens and _physical(a, task, end, page) == physical:
            n_keys = max(n_keys, _keys_of(a, task, end, page))
            end += 1
        if physical >= 0:
            _load_page(a, room, physical, task.kv_head, n_keys)
            for query in range(start * group, end * group, BATCH_ROWS):
                n = min(end * group - query, BATCH_ROWS)
                _absorb_keys(a, task, room, page, query, n, states)
        start = end


@device
def _merge_part(a: Any, task: _Task, part: int, states: int, others: int) -> None:
    """Take the states of a part into those of the parts before, where it is not behind a token's position."""
    n_bytes = state_bytes(a[23])
    for query in range(task.n_queries):
        if _keys_of(a, task, query // a[3], part * a[26]) > 0:
            merge(states + query * n_bytes, others + query * n_bytes, whole_vectors(a[23]) * 4)


@device
def _write(a: Any, task: _Task, states: int) -> None:
    """The results of all queries of a chunk."""
    group, value_size = a[3], a[23]
    for query in range(task.n_queries):
        token, head = task.first + query // group, task.kv_head * group + query % group
        out = a[18] + (token * group * a[4] + head) * value_size * 4
        finish(states + query * state_bytes(value_size), whole_vectors(value_size) * 4, value_size, out)


@device
def _partial(a: Any, task: _Task, part: int) -> Any:
    """Where the states after a part are kept for `merge_parts`."""
    return a[28] + (part * a[4] + task.kv_head) * task.n_queries * state_bytes(a[23])


@kernel
def attend(arguments: int, chunk: int, worker: int) -> None:
    """softmax(q k * scale) v over all positions up to each token's own; a chunk is one key/value head and a few tokens.

    Where several chunks share a context, each takes one part in so many, and `merge_parts` has to follow.

    Arguments: 0 queries f32 (n, q_stride), 1 q_stride, 2 n_tokens, 3 heads that share a key/value head, 4 n_kv_heads,
    5 head_size, 6 keys of the layer, 7 bytes of a row of keys, 8 load keys, 9 store keys if queries are rounded or 0,
    10 values of the layer, 11 bytes of a row of values, 12 load values, 13 page_size, 14 positions i32 (n,),
    15 sequences i32 (n,), 16 page table i32, 17 pages in a row of the table, 18 out f32 (n, n_heads * value_size),
    19 tokens per chunk, 20 scratch of all workers, 21 bytes of one worker's, 22 scale (double), 23 value_size,
    24 page_bytes of the keys, 25 of the values, 26 pages in a part, 27 chunks that share a context,
    28 `partial_bytes` for each part, head and token if several chunks do, all tokens then being in one chunk; or 0.
    """
    a = i64(arguments, N_ARGUMENTS)
    kv_head, share = chunk % a[4], chunk // a[4]
    task = _task(arguments, kv_head, share // a[27] * a[19])
    room = _room(a, worker, task.n_queries)
    _copy_queries(a, task, room)
    for part in range(share % a[27], task.n_parts, a[27]):
        own = room.more_states if part else room.states
        states = _partial(a, task, part) if a[28] else own
        for query in range(task.n_queries):
            clear(states + query * state_bytes(a[23]), whole_vectors(a[23]) * 4)
        for page in range(part * a[26], (part + 1) * a[26]):
            _absorb_page(a, task, room, page, states)
        if part and not a[28]:
            _merge_part(a, task, part, room.states, states)
    if not a[28]:
        _write(a, task, room.states)


@kernel
def merge_parts(arguments: int, chunk: int, worker: int) -> None:
    """Make one result of what chunks that share contexts have found; a chunk is a key/value head.

    Arguments: those of `attend`.
    """
    a = i64(arguments, N_ARGUMENTS)
    task = _task(arguments, chunk, np.int64(0))
    for part in range(1, task.n_parts):
        _merge_part(a, task, part, _partial(a, task, 0), _partial(a, task, part))
    _write(a, task, _partial(a, task, 0))
