// Attention over the paged cache on the tensor cores, four warps for 16 queries.
//
// A block takes up to 16 * QUERY_WARPS queries of one sequence and key/value head. Positions come in tiles of 64, of
// which each warp takes 16, and tiles in splits; the warps' parts are joined at the end of a split. Queries and weights
// are the sums of two halves, so that their products with keys and values, which are or become halves, are as exact as
// with floats. What a query gets depends on nothing but its own sequence.
#include "cache_formats.cuh"
#include "dependency.cuh"
#include "matrices.cuh"
#include "mma.cuh"
#include "paged_cache.cuh"
#include "running_softmax.cuh"

struct AttentionArguments {
    const float* queries;  // (n_tokens, n_heads * SIZE)
    float* sums;           // (n_tokens, n_heads, n_splits, VALUE_SIZE): values times weights
    float* states;         // (n_tokens, n_heads, n_splits, 2): the highest score, the sum of the weights
    CacheRows keys;
    CacheRows values;
    PageTable table;
    const int2* tiles;  // first query, number of queries; query q is head q % group of token q / group
    int n_heads;
    int n_kv_heads;
    float scale;
    int split_size;  // positions in a split; a multiple of 64
    int n_splits;
};

constexpr int POSITIONS = 64;  // in a tile

// Where the rows of a tile's positions begin, looked up once; -1 behind the last position.
struct RowOffsets {
    int64_t keys[POSITIONS];
    int64_t values[POSITIONS];

    __device__ void look_up(const AttentionArguments& a, const int* pages, int head, int start, int end) {
        const int i = threadIdx.x, position = start + i;
        if (i >= POSITIONS) return;
        keys[i] = values[i] = -1;
        if (position >= end) return;
        const int page = pages[position / a.keys.page_size], slot = position % a.keys.page_size;
        keys[i] = a.keys.offset(page, slot, head);
        values[i] = a.values.offset(page, slot, head);
    }
};

// Begin to copy the rows of a tile of positions as halves; behind the last position zeros.
template <class Format, int SIZE, int THREADS>
__device__ inline void copy_rows(uint16_t* tile, const uint8_t* data, const int64_t (&offsets)[POSITIONS]) {
    constexpr int EIGHTS = SIZE / 8;
#pragma unroll
    for (int i = threadIdx.x; i < POSITIONS * EIGHTS; i += THREADS) {
        const int row = i / EIGHTS, column = i % EIGHTS * 8;
        uint16_t* target = tile + row * (SIZE + 8) + column;
        if (offsets[row] >= 0) Format::copy_8(target, data + offsets[row], column);
        else *reinterpret_cast<uint4*>(target) = make_uint4(0, 0, 0, 0);
    }
}

// Keys and values of a tile.
template <int SIZE, int VALUE_SIZE>
struct PositionTile {
    uint16_t keys[POSITIONS * (SIZE + 8)];
    uint16_t values[POSITIONS * (VALUE_SIZE + 8)];

    template <class K, class V, int THREADS>
    __device__ void fill(const AttentionArguments& a, const RowOffsets& offsets) {
        copy_rows<K, SIZE, THREADS>(keys, a.keys.data, offsets.keys);
        copy_rows<V, VALUE_SIZE, THREADS>(values, a.values.data, offsets.values);
    }
};

// A warp's 16 queries in the order of the operand a, as high and low halves.
template <class K, int SIZE>
__device__ inline void load_queries(
    uint32_t (&high)[SIZE / 16][4], uint32_t (&low)[SIZE / 16][4], const float* const (&rows)[2], int t) {
#pragma unroll
    for (int k = 0; k < SIZE / 16; ++k) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            float2 two = make_float2(0, 0);
            if (rows[i % 2]) two = *reinterpret_cast<const float2*>(rows[i % 2] + 16 * k + i / 2 * 8 + 2 * t);
            const float x = K::round_query(two.x), y = K::round_query(two.y);
            high[k][i] = pack_halves(x, y);
            low[k][i] = pack_halves(x - through_half(x), y - through_half(y));
        }
    }
}

// A warp's part of a softmax: 16 queries, and 16 of each 64 positions.
template <int SIZE, int VALUE_SIZE>
struct WarpPart {
    float sums[VALUE_SIZE / 8][4];
    float highest[2];
    float weight[2];

    __device__ void reset() {
#pragma unroll
        for (auto& each : sums)
#pragma unroll
            for (float& value : each) value = 0;
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            highest[h] = -infinity();
            weight[h] = 0;
        }
    }

    // `keys` and `values` begin at the warp's 16 positions, the first of which is `first`.
    __device__ void add(
        const uint32_t (&high)[SIZE / 16][4], const uint32_t (&low)[SIZE / 16][4], const uint16_t* keys,
        const uint16_t* values, int first, const int (&positions)[2], float scale, int lane) {
        float scores[2][4] = {{0, 0, 0, 0}, {0, 0, 0, 0}}, low_scores[2][4] = {{0, 0, 0, 0}, {0, 0, 0, 0}};
        const uint16_t* own_keys = keys + (lane % 8 + lane / 16 * 8) * (SIZE + 8) + lane / 8 % 2 * 8;
#pragma unroll
        for (int k = 0; k < SIZE / 16; ++k) {
            uint32_t b[4];
            load_matrices(b, own_keys + k * 16);
            mma_halves(scores[0], high[k], b[0], b[1]);
            mma_halves(scores[1], high[k], b[2], b[3]);
            mma_halves(low_scores[0], low[k], b[0], b[1]);
            mma_halves(low_scores[1], low[k], b[2], b[3]);
        }
        float top[2] = {highest[0], highest[1]};
#pragma unroll
        for (int n = 0; n < 2; ++n) {
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                const int position = first + n * 8 + lane % 4 * 2 + j % 2;
                scores[n][j] = position <= positions[j / 2] ? (scores[n][j] + low_scores[n][j]) * scale : -infinity();
                top[j / 2] = fmaxf(top[j / 2], scores[n][j]);
            }
        }
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            top[h] = fmaxf(top[h], __shfl_xor_sync(ALL_LANES, top[h], 1));
            top[h] = fmaxf(top[h], __shfl_xor_sync(ALL_LANES, top[h], 2));
            // As long as no position counts, all weights are zero.
            const float base = top[h] == -infinity() ? 0 : top[h];
            const float shrink = expf(highest[h] - base);
            highest[h] = top[h];
            top[h] = base;
            weight[h] *= shrink;
#pragma unroll
            for (int n = 0; n < VALUE_SIZE / 8; ++n) {
                sums[n][2 * h] *= shrink;
                sums[n][2 * h + 1] *= shrink;
            }
        }
        uint32_t high_p[4], low_p[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const float x = expf(scores[i / 2][i % 2 * 2] - top[i % 2]), y = expf(scores[i / 2][i % 2 * 2 + 1] - top[i % 2]);
            high_p[i] = pack_halves(x, y);
            low_p[i] = pack_halves(x - through_half(x), y - through_half(y));
            weight[i % 2] += x + y;
        }
        const uint16_t* own_values = values + lane % 16 * (VALUE_SIZE + 8) + lane / 16 * 8;
#pragma unroll
        for (int d = 0; d < VALUE_SIZE / 16; ++d) {
            uint32_t b[4];
            load_matrices_transposed(b, own_values + d * 16);
            mma_halves(sums[2 * d], high_p, b[0], b[1]);
            mma_halves(sums[2 * d + 1], high_p, b[2], b[3]);
            mma_halves(sums[2 * d], low_p, b[0], b[1]);
            mma_halves(sums[2 * d + 1], low_p, b[2], b[3]);
        }
    }

    // Write the part where the warps of a block can see it.
    __device__ void share(float* shared_sums, SoftmaxState* states, int lane) const {
        const int g = lane / 4, t = lane % 4;
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            float all = weight[h] + __shfl_xor_sync(ALL_LANES, weight[h], 1);
            all += __shfl_xor_sync(ALL_LANES, all, 2);
            const int row = g + 8 * h;
            if (t == 0) {
                states[row].highest = highest[h];
                states[row].weight = all;
            }
#pragma unroll
            for (int n = 0; n < VALUE_SIZE / 8; ++n)
                *reinterpret_cast<float2*>(shared_sums + row * (VALUE_SIZE + 8) + 8 * n + 2 * t) =
                    make_float2(sums[n][2 * h], sums[n][2 * h + 1]);
        }
    }
};

// The states of a block's queries: of each warp's part of a split, and of all splits so far; in shared memory.
template <int ROWS>
struct Joining {
    SoftmaxState of_warps[4 * ROWS];  // four warps for 16 rows
    SoftmaxState so_far[ROWS];
    int64_t targets[ROWS];  // where the results go, in (n_tokens, n_heads, n_splits)
    float warp_shares[4][ROWS];
    Shares split_shares[ROWS];

    // The first of the four warps' states (and sums) of a row, which are 16 apart.
    static __device__ int first(int row) { return row / 16 * 64 + row % 16; }

    // Find what a row's parts are to be multiplied with. A split of which no position counts changes nothing.
    __device__ void join(int row) {
        SoftmaxState joined = no_position();
        for (int w = 0; w < 4; ++w) joined.highest = fmaxf(joined.highest, of_warps[first(row) + 16 * w].highest);
        const bool counts = joined.highest != -infinity();
        for (int w = 0; w < 4; ++w) {
            const SoftmaxState& part = of_warps[first(row) + 16 * w];
            warp_shares[w][row] = counts ? expf(part.highest - joined.highest) : 0;
            joined.weight = __fmaf_rn(warp_shares[w][row], part.weight, joined.weight);
        }
        split_shares[row] = counts ? shares(so_far[row].highest, joined.highest) : Shares{1, 0};
        so_far[row].weight = fold(so_far[row].weight, joined.weight, split_shares[row]);
        so_far[row].highest = fmaxf(so_far[row].highest, joined.highest);
    }
};

// Of each query of a block, what all splits so far have given: an element of the sums a thread, some times over.
template <int VALUE_SIZE, int ROWS, int THREADS>
struct RunningResult {
    static constexpr int ELEMENTS = ROWS * VALUE_SIZE / THREADS;
    float sums[ELEMENTS];

    __device__ RunningResult() {
        for (float& each : sums) each = 0;
    }

    // Join the four warps' parts of a split, and fold it into what there is. All threads have to come.
    __device__ void absorb(const float* warp_sums, Joining<ROWS>& joining) {
        if (threadIdx.x < ROWS) joining.join(threadIdx.x);
        __syncthreads();
#pragma unroll
        for (int i = 0; i < ELEMENTS; ++i) {
            const int place = threadIdx.x + i * THREADS, row = place / VALUE_SIZE, column = place % VALUE_SIZE;
            const float* own = warp_sums + joining.first(row) * (VALUE_SIZE + 8) + column;
            float sum = 0;
#pragma unroll
            for (int w = 0; w < 4; ++w) sum = __fmaf_rn(joining.warp_shares[w][row], own[16 * w * (VALUE_SIZE + 8)], sum);
            sums[i] = fold(sums[i], sum, joining.split_shares[row]);
        }
        __syncthreads();
    }
};

// The positions of a split, by all warps.
template <class K, class V, int SIZE, int VALUE_SIZE, int THREADS, int STAGES>
__device__ inline void attend_split(
    const AttentionArguments& a, WarpPart<SIZE, VALUE_SIZE>& part, PositionTile<SIZE, VALUE_SIZE>* stages,
    RowOffsets* offsets, const uint32_t (&high)[SIZE / 16][4], const uint32_t (&low)[SIZE / 16][4],
    const int (&positions)[2], const int* pages, int head, int begin, int end, int key_warp, int lane) {
    part.reset();
    offsets[0].look_up(a, pages, head, begin, end);
    __syncthreads();
    stages[0].template fill<K, V, THREADS>(a, offsets[0]);
    offsets[1].look_up(a, pages, head, begin + POSITIONS, end);
    int stage = 0, place = 0;
    for (int start = begin; start < end; start += POSITIONS) {
        wait_for_copies();
        __syncthreads();
        const auto& tile = stages[stage];
        const bool goes_on = start + POSITIONS < end;
        place ^= 1;
        if (STAGES == 2 && goes_on) {
            stage ^= 1;
            stages[stage].template fill<K, V, THREADS>(a, offsets[place]);
            offsets[place ^ 1].look_up(a, pages, head, start + 2 * POSITIONS, end);
        }
        part.add(
            high, low, tile.keys + key_warp * 16 * (SIZE + 8), tile.values + key_warp * 16 * (VALUE_SIZE + 8),
            start + key_warp * 16, positions, a.scale, lane);
        if (STAGES == 1 && goes_on) {
            __syncthreads();
            stages[0].template fill<K, V, THREADS>(a, offsets[place]);
            offsets[place ^ 1].look_up(a, pages, head, start + 2 * POSITIONS, end);
        }
    }
    wait_for_copies();
    __syncthreads();
}

// With one split for each row of blocks (n_splits > 1) a block writes that split's part; otherwise it folds all splits.
template <class K, class V, int SIZE, int VALUE_SIZE, int QUERY_WARPS, int STAGES>
__global__ void __launch_bounds__(128 * QUERY_WARPS) attend(const AttentionArguments a) {
    constexpr int THREADS = 128 * QUERY_WARPS, ROWS = 16 * QUERY_WARPS;
    extern __shared__ uint4 shared_memory[];
    auto* stages = reinterpret_cast<PositionTile<SIZE, VALUE_SIZE>*>(shared_memory);
    float* warp_sums = reinterpret_cast<float*>(shared_memory);  // (warps, 16, VALUE_SIZE + 8), when the tiles are done with
    __shared__ RowOffsets offsets[2];
    __shared__ Joining<ROWS> joining;
    release_successor();
    wait_for_predecessor();
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int query_warp = warp / 4, key_warp = warp % 4, kv_head = blockIdx.y, group = a.n_heads / a.n_kv_heads;
    const int2 tile = a.tiles[blockIdx.x];
    const int n_positions = a.table.positions[(tile.x + tile.y - 1) / group] + 1;
    const int first_split = blockIdx.z;
    if (first_split * a.split_size >= n_positions) return;
    const int end = a.n_splits > 1 ? min((first_split + 1) * a.split_size, n_positions) : n_positions;
    const int* pages = a.table.of_token(tile.x / group);

    // Of the lane's rows.
    const float* query_rows[2];
    int positions[2];
#pragma unroll
    for (int h = 0; h < 2; ++h) {
        const int index = query_warp * 16 + lane / 4 + 8 * h, query = tile.x + index;
        const int token = query / group, head = kv_head * group + query % group;
        const bool there = index < tile.y;
        query_rows[h] = there ? a.queries + (static_cast<int64_t>(token) * a.n_heads + head) * SIZE : nullptr;
        positions[h] = there ? a.table.positions[token] : -1;
    }
    uint32_t high[SIZE / 16][4], low[SIZE / 16][4];
    load_queries<K, SIZE>(high, low, query_rows, lane % 4);
    if (threadIdx.x < ROWS) {
        const int query = tile.x + threadIdx.x;
        const int64_t head = static_cast<int64_t>(query / group) * a.n_heads + kv_head * group + query % group;
        joining.targets[threadIdx.x] = head * a.n_splits + first_split;
        joining.so_far[threadIdx.x] = no_position();
    }

    RunningResult<VALUE_SIZE, ROWS, THREADS> result;
    WarpPart<SIZE, VALUE_SIZE> part;
    for (int begin = first_split * a.split_size; begin < end; begin += a.split_size) {
        attend_split<K, V, SIZE, VALUE_SIZE, THREADS, STAGES>(
            a, part, stages, offsets, high, low, positions, pages, kv_head, begin, min(begin + a.split_size, end),
            key_warp, lane);
        part.share(warp_sums + warp * 16 * (VALUE_SIZE + 8), joining.of_warps + warp * 16, lane);
        __syncthreads();
        result.absorb(warp_sums, joining);
    }
#pragma unroll
    for (int i = 0; i < result.ELEMENTS; ++i) {
        const int place = threadIdx.x + i * THREADS, row = place / VALUE_SIZE, column = place % VALUE_SIZE;
        if (row >= tile.y) continue;
        const int64_t target = joining.targets[row];
        a.sums[target * VALUE_SIZE + column] = result.sums[i];
        if (column > 0) continue;
        const SoftmaxState& state = joining.so_far[row];
        reinterpret_cast<float2*>(a.states)[target] = make_float2(state.highest, state.weight);
    }
}
