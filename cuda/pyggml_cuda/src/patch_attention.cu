// Attention over the patches of a picture on the tensor cores (arXiv:2307.08691): in both directions, all heads alike.
//
// A block takes a tile of queries, 16 or 32 a warp, and goes through the keys that they see in tiles of 64. Scores and
// weights stay in registers; operands are halves, sums floats. Scores are powers of two, not of e: queries come
// multiplied with log2(e).
#include "copy_async.cuh"
#include "dependency.cuh"
#include "matrices.cuh"
#include "mma.cuh"

struct PatchAttentionArguments {
    const uint16_t* queries;  // halves (n_heads, n_patches, SIZE)
    const uint16_t* keys;
    const uint16_t* values;
    float* out;        // (n_patches, n_heads * size)
    const int* tiles;  // of each: the first query, the number of queries, the first key, the end of the keys
    int n_patches;
    int size;  // numbers of a head; those behind it, up to SIZE, are zeros
};

constexpr int KEYS = 64, THREADS = 128;

__device__ inline float power_of_2(float exponent) {
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(exponent));
    return result;
}

// Keys and values of 64 patches, in shared memory; rows are so long that eight of them lie in different banks.
template <int SIZE>
struct KeyTile {
    static constexpr int STRIDE = SIZE + 8;
    uint16_t keys[KEYS * STRIDE];
    uint16_t values[KEYS * STRIDE];

    // Begin to copy `n` rows; those behind them become zeros.
    __device__ void fill(const uint16_t* from_keys, const uint16_t* from_values, int n) {
        copy(keys, from_keys, n);
        copy(values, from_values, n);
    }

private:
    static __device__ void copy(uint16_t* to, const uint16_t* from, int n) {
        constexpr int EIGHTS = SIZE / 8;
#pragma unroll
        for (int i = threadIdx.x; i < KEYS * EIGHTS; i += THREADS) {
            const int row = i / EIGHTS, column = i % EIGHTS * 8;
            uint16_t* target = to + row * STRIDE + column;
            if (row < n) copy_16_async(target, from + row * SIZE + column);
            else *reinterpret_cast<uint4*>(target) = make_uint4(0, 0, 0, 0);
        }
    }
};

// 16 queries of a warp and what they have found so far: lane 4 g + t has rows g and g + 8 (mma.cuh).
template <int SIZE>
struct Queries {
    uint32_t operands[SIZE / 16][4];
    float sums[SIZE / 8][4];
    float highest[2];
    float weight[2];

    // `n` of them are there.
    __device__ void load(const uint16_t* rows, int n, int lane) {
#pragma unroll
        for (int k = 0; k < SIZE / 16; ++k) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const int row = lane / 4 + i % 2 * 8, column = 16 * k + i / 2 * 8 + lane % 4 * 2;
                operands[k][i] = row < n ? *reinterpret_cast<const uint32_t*>(rows + row * SIZE + column) : 0;
            }
        }
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

    // Turn the scores of a tile into weights, relative to the highest so far.
    __device__ void weigh(float (&scores)[KEYS / 8][4]) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            float top = highest[h];
#pragma unroll
            for (int n = 0; n < KEYS / 8; ++n) top = fmaxf(top, fmaxf(scores[n][2 * h], scores[n][2 * h + 1]));
            top = fmaxf(top, __shfl_xor_sync(ALL_LANES, top, 1));
            top = fmaxf(top, __shfl_xor_sync(ALL_LANES, top, 2));
            const float shrink = power_of_2(highest[h] - top);
            highest[h] = top;
            weight[h] *= shrink;
#pragma unroll
            for (int d = 0; d < SIZE / 8; ++d) {
                sums[d][2 * h] *= shrink;
                sums[d][2 * h + 1] *= shrink;
            }
#pragma unroll
            for (int n = 0; n < KEYS / 8; ++n) {
#pragma unroll
                for (int j = 2 * h; j < 2 * h + 2; ++j) {
                    scores[n][j] = power_of_2(scores[n][j] - top);
                    weight[h] += scores[n][j];
                }
            }
        }
    }

    // Write `n` rows, which are `stride` apart.
    __device__ void write(float* out, int64_t stride, int size, int n, int lane) const {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const int row = lane / 4 + 8 * h;
            float all = weight[h] + __shfl_xor_sync(ALL_LANES, weight[h], 1);
            all += __shfl_xor_sync(ALL_LANES, all, 2);
            if (row >= n) continue;
#pragma unroll
            for (int d = 0; d < SIZE / 8; ++d) {
                const int column = 8 * d + lane % 4 * 2;
                if (column < size)
                    *reinterpret_cast<float2*>(out + row * stride + column) =
                        make_float2(sums[d][2 * h] / all, sums[d][2 * h + 1] / all);
            }
        }
    }
};

// A tile of which `n_keys` keys count.
template <int SIZE, int GROUPS>
__device__ inline void attend_to(Queries<SIZE> (&groups)[GROUPS], const KeyTile<SIZE>& tile, int n_keys, int lane) {
    constexpr int STRIDE = KeyTile<SIZE>::STRIDE;
    float scores[GROUPS][KEYS / 8][4];
#pragma unroll
    for (auto& group : scores)
#pragma unroll
        for (auto& each : group)
#pragma unroll
            for (float& score : each) score = 0;
    const uint16_t* keys = tile.keys + (lane % 8 + lane / 16 * 8) * STRIDE + lane / 8 % 2 * 8;
#pragma unroll
    for (int k = 0; k < SIZE / 16; ++k) {
#pragma unroll
        for (int n = 0; n < KEYS / 16; ++n) {
            uint32_t b[4];
            load_matrices(b, keys + n * 16 * STRIDE + k * 16);
#pragma unroll
            for (int g = 0; g < GROUPS; ++g) {
                mma_halves(scores[g][2 * n], groups[g].operands[k], b[0], b[1]);
                mma_halves(scores[g][2 * n + 1], groups[g].operands[k], b[2], b[3]);
            }
        }
    }
    if (n_keys < KEYS) {
#pragma unroll
        for (auto& group : scores)
#pragma unroll
            for (int n = 0; n < KEYS / 8; ++n)
#pragma unroll
                for (int j = 0; j < 4; ++j)
                    if (8 * n + lane % 4 * 2 + j % 2 >= n_keys) group[n][j] = -infinity();
    }
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) groups[g].weigh(scores[g]);
    const uint16_t* values = tile.values + lane % 16 * STRIDE + lane / 16 * 8;
#pragma unroll
    for (int n = 0; n < KEYS / 16; ++n) {
        uint32_t weights[GROUPS][4];
#pragma unroll
        for (int g = 0; g < GROUPS; ++g)
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const float* two = scores[g][2 * n + i / 2] + i % 2 * 2;
                weights[g][i] = pack_halves(two[0], two[1]);
            }
#pragma unroll
        for (int d = 0; d < SIZE / 16; ++d) {
            uint32_t b[4];
            load_matrices_transposed(b, values + n * 16 * STRIDE + d * 16);
#pragma unroll
            for (int g = 0; g < GROUPS; ++g) {
                mma_halves(groups[g].sums[2 * d], weights[g], b[0], b[1]);
                mma_halves(groups[g].sums[2 * d + 1], weights[g], b[2], b[3]);
            }
        }
    }
}

// GROUPS times 16 queries a warp. While a tile is computed with, the next one is copied.
template <int SIZE, int GROUPS>
__global__ void __launch_bounds__(THREADS) attend_patches(const PatchAttentionArguments a) {
    extern __shared__ uint4 shared_memory[];
    auto* stages = reinterpret_cast<KeyTile<SIZE>*>(shared_memory);
    release_successor();
    wait_for_predecessor();
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, head = blockIdx.y;
    const int* tile = a.tiles + 4 * blockIdx.x;
    const int first = tile[0], n_queries = tile[1], begin = tile[2], end = tile[3];
    const int64_t of_head = static_cast<int64_t>(head) * a.n_patches;
    const uint16_t *keys = a.keys + of_head * SIZE, *values = a.values + of_head * SIZE;
    stages[0].fill(keys + begin * SIZE, values + begin * SIZE, end - begin);
    Queries<SIZE> groups[GROUPS];
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) {
        const int index = (warp * GROUPS + g) * 16;
        groups[g].load(a.queries + (of_head + first + index) * SIZE, n_queries - index, lane);
    }
    int stage = 0;
    for (int start = begin; start < end; start += KEYS) {
        wait_for_copies();
        __syncthreads();
        const auto& current = stages[stage];
        const int next = start + KEYS;
        stage ^= 1;
        if (next < end) stages[stage].fill(keys + next * SIZE, values + next * SIZE, end - next);
        attend_to<SIZE, GROUPS>(groups, current, end - start, lane);
    }
    const int64_t stride = static_cast<int64_t>(gridDim.y) * a.size;
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) {
        const int index = (warp * GROUPS + g) * 16;
        groups[g].write(a.out + (first + index) * stride + head * a.size, stride, a.size, n_queries - index, lane);
    }
}
