// Attention over the paged cache: a block takes queries of one sequence that share keys and values.
//
// Positions come in splits of 256, splits in tiles of 64. QUERY_WARPS warps have ROWS queries each; of each there are
// VALUE_WARPS, which all find the weights, and each add up a part of the values' columns. What a query gets depends on
// nothing but its own sequence, whatever the sizes of blocks.
#include "dependency.cuh"
#include "warp_attention.cuh"

// Queries of one sequence. Query q is head q % group of token q / group.
struct AttentionTile {
    int first;
    int n;
    int first_token;  // of the sequence in this batch
};

struct AttentionArguments {
    const float* queries;  // (n_tokens, n_heads * SIZE)
    float* sums;           // (n_tokens, n_heads, n_splits, VALUE_SIZE): values times weights
    float* states;         // (n_tokens, n_heads, n_splits, 2): the highest score, the sum of the weights
    CacheRows keys;
    CacheRows values;
    PageTable table;
    const AttentionTile* tiles;
    int n_heads;
    int n_kv_heads;
    float scale;  // times log2 e
    int n_splits;
};

// Look up where the positions of a split lie, `split` counted from the block's first.
__device__ inline void look_up(
    Place* places, const AttentionArguments& a, const int* pages, int begin, int split, int end) {
    for (int i = threadIdx.x; i < SPLIT_SIZE; i += blockDim.x) {
        const int index = split * SPLIT_SIZE + i, position = begin + index;
        places[index % WINDOW] =
            position < end ? Place{pages[position / a.keys.page_size], position % a.keys.page_size} : Place{-1, 0};
    }
}

// Four blocks with few queries are to share a multiprocessor, so that all splits of a long context are computed at once.
template <int THREADS, int ROWS, int NUMBERS>
constexpr int LEAST_BLOCKS = ROWS == 8 && THREADS <= 128 && NUMBERS <= 256 ? 4 : 1;

// With one split for each row of blocks (n_splits > 1) a block writes that split's part; otherwise it folds all splits.
template <class K, class V, int SIZE, int VALUE_SIZE, int ROWS, int QUERY_WARPS, int VALUE_WARPS, int BUFFERS>
__global__ void __launch_bounds__(
    32 * QUERY_WARPS * VALUE_WARPS, LEAST_BLOCKS<32 * QUERY_WARPS * VALUE_WARPS, ROWS, SIZE + VALUE_SIZE>)
attend(const AttentionArguments a) {
    constexpr int THREADS = 32 * QUERY_WARPS * VALUE_WARPS, COLUMNS = VALUE_SIZE / VALUE_WARPS;
    using Ring = TileRing<K, V, SIZE, VALUE_SIZE, THREADS, BUFFERS>;
    extern __shared__ uint4 shared_memory[];
    __shared__ Place places[WINDOW];
    release_successor();
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, first_column = warp % VALUE_WARPS * COLUMNS;
    const int kv_head = blockIdx.x, group = a.n_heads / a.n_kv_heads;
    const AttentionTile tile = a.tiles[blockIdx.y];
    const int n_positions = a.table.positions[(tile.first + tile.n - 1) / group] + 1;
    const int begin = blockIdx.z * SPLIT_SIZE;
    if (begin >= n_positions) return;
    const int end = a.n_splits > 1 ? min(begin + SPLIT_SIZE, n_positions) : n_positions;
    const int n_tiles = (end - begin + POSITIONS - 1) / POSITIONS, n_splits = (end - begin + SPLIT_SIZE - 1) / SPLIT_SIZE;
    const int* pages = a.table.of_token(tile.first / group);
    uint8_t* memory = reinterpret_cast<uint8_t*>(shared_memory);
    float* before = reinterpret_cast<float*>(memory + Ring::BYTES) + warp * ROWS * COLUMNS + lane;

    // What the step before or an earlier one has written can be copied before this step's keys and values are there.
    look_up(places, a, pages, begin, 0, end);
    if (n_splits > 1) look_up(places, a, pages, begin, 1, end);
    __syncthreads();
    Ring ring{a.keys, a.values, places, memory, kv_head, 2 * n_tiles};
    const int n_old_tiles = (a.table.positions[tile.first_token] - begin) / POSITIONS;
    bool waits = true;
#pragma unroll
    for (int i = 0; i < BUFFERS - 1; ++i) {
        if (waits && i / 2 >= n_old_tiles) {
            wait_for_predecessor();
            waits = false;
        }
        ring.begin();
    }
    if (waits) wait_for_predecessor();

    QueryRows<ROWS> rows;
    int64_t targets[ROWS / 8];
#pragma unroll
    for (int row = 0; row < ROWS / 8; ++row) {
        const int index = warp / VALUE_WARPS * ROWS + lane / 4 + 8 * row, query = tile.first + index;
        const int64_t head = static_cast<int64_t>(query / group) * a.n_heads + kv_head * group + query % group;
        const bool there = index < tile.n;
        rows.queries[row] = there ? a.queries + head * SIZE : nullptr;
        rows.positions[row] = there ? a.table.positions[query / group] : n_positions - 1;
        targets[row] = head * a.n_splits + blockIdx.z;
    }
    QueryOperands<SIZE, ROWS> queries;
    queries.load(rows, lane % 4);

    WarpPart<ROWS, COLUMNS> part;
    SoftmaxState so_far[ROWS / 8];
    for (int split = 0, tile_index = 0; split < n_splits; ++split) {
        part.reset();
        for (; tile_index < min((split + 1) * SPLIT_SIZE / POSITIONS, n_tiles); ++tile_index) {
            WeightOperands<ROWS> weights;
            const int first = begin + tile_index * POSITIONS;
            part.template weigh<K, SIZE>(weights, queries, ring.take_keys(), first, rows.positions, a.scale, lane);
            part.template add<V, VALUE_SIZE>(weights, ring.take_values() + first_column, lane);
        }
        part.gather_weights();
        if (split > 0) part.fold_into(so_far, before);
        if (split + 1 < n_splits) part.save(so_far, before);
        // Behind a take, which all threads have come to, no place of the split before is needed any more.
        if (split + 2 < n_splits) look_up(places, a, pages, begin, split + 2, end);
    }
#pragma unroll
    for (int row = 0; row < ROWS / 8; ++row) {
        if (!rows.queries[row]) continue;
        float* sums = a.sums + targets[row] * VALUE_SIZE + first_column + lane % 4 * 2;
#pragma unroll
        for (int n = 0; n < COLUMNS / 8; ++n)
            *reinterpret_cast<float2*>(sums + 8 * n) = make_float2(part.sums[n][2 * row], part.sums[n][2 * row + 1]);
        if (first_column == 0 && lane % 4 == 0)
            reinterpret_cast<float2*>(a.states)[targets[row]] = make_float2(part.highest[row], part.weight[row]);
    }
}
