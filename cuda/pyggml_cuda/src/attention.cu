// Attention over the paged cache with a running softmax (arXiv:2205.14135) on the tensor cores, four warps a block.
//
// A block takes up to 16 * QUERY_WARPS queries of one sequence and key/value head, and one split of the positions.
// Queries are the sum of two halves, so that their products with keys are as exact as with floats; weights are rounded
// to halves, keys and values are or become halves. With few queries the warps share a tile's positions instead.
#include "cache_formats.cuh"
#include "mma.cuh"
#include "paged_cache.cuh"

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

__device__ inline void load_matrices(uint32_t (&r)[4], const uint16_t* address) {
    const uint32_t shared = static_cast<uint32_t>(__cvta_generic_to_shared(address));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared) : "memory");
}

__device__ inline void load_matrices_transposed(uint32_t (&r)[4], const uint16_t* address) {
    const uint32_t shared = static_cast<uint32_t>(__cvta_generic_to_shared(address));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared) : "memory");
}

// Begin to copy the rows of a tile of positions as halves; behind the last position zeros.
template <class Format, int SIZE>
__device__ inline void copy_rows(
    uint16_t* tile, const CacheRows& rows, const int (&pages)[POSITIONS], int head, int start, int end) {
    constexpr int EIGHTS = SIZE / 8;
#pragma unroll
    for (int i = threadIdx.x; i < POSITIONS * EIGHTS; i += 128) {
        const int row = i / EIGHTS, column = i % EIGHTS * 8, slot = (start + row) % rows.page_size;
        uint16_t* target = tile + row * (SIZE + 8) + column;
        if (start + row < end) Format::copy_8(target, rows.row(pages[row], slot, head), column);
        else *reinterpret_cast<uint4*>(target) = make_uint4(0, 0, 0, 0);
    }
}

// Keys and values of a tile, and the pages of its positions.
template <int SIZE, int VALUE_SIZE>
struct PositionTile {
    uint16_t keys[POSITIONS * (SIZE + 8)];
    uint16_t values[POSITIONS * (VALUE_SIZE + 8)];

    template <class K, class V>
    __device__ void fill(const AttentionArguments& a, const int (&pages)[POSITIONS], int head, int start, int end) {
        copy_rows<K, SIZE>(keys, a.keys, pages, head, start, end);
        copy_rows<V, VALUE_SIZE>(values, a.values, pages, head, start, end);
    }
};

// The pages of a tile's positions, looked up once for keys and values.
__device__ inline void look_up(int (&pages)[POSITIONS], const int* table, int page_size, int start, int end) {
    if (threadIdx.x < POSITIONS && start + static_cast<int>(threadIdx.x) < end)
        pages[threadIdx.x] = table[(start + threadIdx.x) / page_size];
}

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

template <class K, class V, int SIZE, int VALUE_SIZE, int QUERY_WARPS, int STAGES>
__global__ void __launch_bounds__(128) attend(const AttentionArguments a) {
    constexpr int KEY_WARPS = 4 / QUERY_WARPS, OWN = POSITIONS / KEY_WARPS;
    extern __shared__ uint4 shared_memory[];
    auto* stages = reinterpret_cast<PositionTile<SIZE, VALUE_SIZE>*>(shared_memory);
    __shared__ int pages[2][POSITIONS];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const int query_warp = warp % QUERY_WARPS, key_warp = warp / QUERY_WARPS;
    const int kv_head = blockIdx.y, split = blockIdx.z, group = a.n_heads / a.n_kv_heads;
    const int2 tile = a.tiles[blockIdx.x];
    const int begin = split * a.split_size;
    const int end = min(begin + a.split_size, a.table.positions[(tile.x + tile.y - 1) / group] + 1);
    if (begin >= end) return;
    const int* table = a.table.of_token(tile.x / group);
    look_up(pages[0], table, a.keys.page_size, begin, end);
    __syncthreads();
    stages[0].template fill<K, V>(a, pages[0], kv_head, begin, end);
    look_up(pages[1], table, a.keys.page_size, begin + POSITIONS, end);

    // Of the lane's rows g and g + 8.
    const float* query_rows[2];
    int positions[2];
    int64_t places[2];
#pragma unroll
    for (int h = 0; h < 2; ++h) {
        const int index = query_warp * 16 + g + 8 * h, query = tile.x + index;
        const int token = query / group, head = kv_head * group + query % group;
        const bool there = index < tile.y;
        places[h] = static_cast<int64_t>(token) * a.n_heads + head;
        query_rows[h] = there ? a.queries + places[h] * SIZE : nullptr;
        positions[h] = there ? a.table.positions[token] : -1;
    }
    uint32_t high[SIZE / 16][4], low[SIZE / 16][4];
    load_queries<K, SIZE>(high, low, query_rows, t);

    float sums[VALUE_SIZE / 8][4];
    float highest[2] = {-infinity(), -infinity()}, weight[2] = {0, 0};
#pragma unroll
    for (auto& each : sums)
        for (float& value : each) value = 0;

    int stage = 0, place = 0;
    for (int start = begin; start < end; start += POSITIONS) {
        wait_for_copies();
        __syncthreads();
        const uint16_t* keys = stages[stage].keys;
        const uint16_t* values = stages[stage].values;
        place ^= 1;
        if constexpr (STAGES == 2) {
            stage ^= 1;
            stages[stage].template fill<K, V>(a, pages[place], kv_head, start + POSITIONS, end);
            look_up(pages[place ^ 1], table, a.keys.page_size, start + 2 * POSITIONS, end);
        }

        float scores[OWN / 8][4];
#pragma unroll
        for (auto& each : scores)
            for (float& score : each) score = 0;
        const uint16_t* own_keys = keys + (key_warp * OWN + lane % 8 + lane / 16 * 8) * (SIZE + 8) + lane / 8 % 2 * 8;
#pragma unroll
        for (int k = 0; k < SIZE / 16; ++k) {
#pragma unroll
            for (int n = 0; n < OWN / 16; ++n) {
                uint32_t b[4];
                load_matrices(b, own_keys + n * 16 * (SIZE + 8) + k * 16);
                mma_halves(scores[2 * n], high[k], b[0], b[1]);
                mma_halves(scores[2 * n], low[k], b[0], b[1]);
                mma_halves(scores[2 * n + 1], high[k], b[2], b[3]);
                mma_halves(scores[2 * n + 1], low[k], b[2], b[3]);
            }
        }

        float top[2] = {highest[0], highest[1]};
#pragma unroll
        for (int n = 0; n < OWN / 8; ++n) {
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                const int position = start + key_warp * OWN + n * 8 + 2 * t + j % 2;
                scores[n][j] = position <= positions[j / 2] ? scores[n][j] * a.scale : -infinity();
                top[j / 2] = fmaxf(top[j / 2], scores[n][j]);
            }
        }
        float shrink[2];
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            top[h] = fmaxf(top[h], __shfl_xor_sync(ALL_LANES, top[h], 1));
            top[h] = fmaxf(top[h], __shfl_xor_sync(ALL_LANES, top[h], 2));
            const float base = top[h] == -infinity() ? 0 : top[h];
            shrink[h] = expf(highest[h] - base);
            highest[h] = top[h];
            top[h] = base;
            weight[h] *= shrink[h];
        }
#pragma unroll
        for (int n = 0; n < VALUE_SIZE / 8; ++n)
#pragma unroll
            for (int j = 0; j < 4; ++j) sums[n][j] *= shrink[j / 2];
#pragma unroll
        for (int n = 0; n < OWN / 16; ++n) {
            uint32_t p[4];
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const float* two = &scores[2 * n + i / 2][i % 2 * 2];
                const float x = expf(two[0] - top[i % 2]), y = expf(two[1] - top[i % 2]);
                p[i] = pack_halves(x, y);
                weight[i % 2] += half_to_float(p[i] & 0xFFFF) + half_to_float(p[i] >> 16);
            }
            const uint16_t* own_values =
                values + (key_warp * OWN + n * 16 + lane % 16) * (VALUE_SIZE + 8) + lane / 16 * 8;
#pragma unroll
            for (int d = 0; d < VALUE_SIZE / 16; ++d) {
                uint32_t b[4];
                load_matrices_transposed(b, own_values + d * 16);
                mma_halves(sums[2 * d], p, b[0], b[1]);
                mma_halves(sums[2 * d + 1], p, b[2], b[3]);
            }
        }
        if constexpr (STAGES == 1) {
            __syncthreads();
            stages[0].template fill<K, V>(a, pages[place], kv_head, start + POSITIONS, end);
            look_up(pages[place ^ 1], table, a.keys.page_size, start + 2 * POSITIONS, end);
        }
    }
#pragma unroll
    for (int h = 0; h < 2; ++h) {
        weight[h] += __shfl_xor_sync(ALL_LANES, weight[h], 1);
        weight[h] += __shfl_xor_sync(ALL_LANES, weight[h], 2);
    }

    if constexpr (KEY_WARPS == 1) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            if (!query_rows[h]) continue;
            const int64_t place = places[h] * a.n_splits + split;
            if (t == 0) reinterpret_cast<float2*>(a.states)[place] = make_float2(highest[h], weight[h]);
            float* out = a.sums + place * VALUE_SIZE + 2 * t;
#pragma unroll
            for (int n = 0; n < VALUE_SIZE / 8; ++n)
                *reinterpret_cast<float2*>(out + 8 * n) = make_float2(sums[n][2 * h], sums[n][2 * h + 1]);
        }
    } else {
        static_assert(QUERY_WARPS == 1);
        __shared__ float2 warp_states[4][16];
        float* warp_sums = reinterpret_cast<float*>(shared_memory);  // (4, 16, VALUE_SIZE)
        __syncthreads();
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const int row = g + 8 * h;
            if (t == 0) warp_states[warp][row] = make_float2(highest[h], weight[h]);
#pragma unroll
            for (int n = 0; n < VALUE_SIZE / 8; ++n)
                *reinterpret_cast<float2*>(warp_sums + (warp * 16 + row) * VALUE_SIZE + 8 * n + 2 * t) =
                    make_float2(sums[n][2 * h], sums[n][2 * h + 1]);
        }
        __syncthreads();
        for (int i = threadIdx.x; i < tile.y * VALUE_SIZE; i += 128) {
            const int row = i / VALUE_SIZE, column = i % VALUE_SIZE, query = tile.x + row;
            float best = -infinity(), total = 0, all = 0;
            for (int w = 0; w < 4; ++w) best = fmaxf(best, warp_states[w][row].x);
            const float base = best == -infinity() ? 0 : best;
            for (int w = 0; w < 4; ++w) {
                const float share = expf(warp_states[w][row].x - base);
                total = fmaf(share, warp_sums[(w * 16 + row) * VALUE_SIZE + column], total);
                all = fmaf(share, warp_states[w][row].y, all);
            }
            const int64_t head = static_cast<int64_t>(query / group) * a.n_heads + kv_head * group + query % group;
            const int64_t place = head * a.n_splits + split;
            a.sums[place * VALUE_SIZE + column] = total;
            if (column == 0) reinterpret_cast<float2*>(a.states)[place] = make_float2(best, all);
        }
    }
}
