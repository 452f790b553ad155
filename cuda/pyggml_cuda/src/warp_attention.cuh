// A warp's attention: 8 or 16 queries, a tile of 64 positions at a time, on the tensor cores.
//
// Queries and weights are sums of two halves, high and low, so that their products with keys and values are as exact as
// with floats. With 8 queries a product's 16 rows are the high and the low halves of the queries, else two products are
// needed; a query gets the same bits either way.
#pragma once
#include "matrices.cuh"
#include "mma.cuh"
#include "position_tiles.cuh"
#include "running_softmax.cuh"

// Where a lane's queries begin, and their positions; null for a row without a query. A lane has rows g and, of 16, g + 8.
template <int ROWS>
struct QueryRows {
    static constexpr int EACH = ROWS / 8;
    const float* queries[EACH];
    int positions[EACH];
};

// Queries in the order of the operand a.
template <int SIZE, int ROWS>
struct QueryOperands {
    uint32_t high[SIZE / 16][4];  // with 8 queries the low halves are rows 8 to 15
    uint32_t low[ROWS == 16 ? SIZE / 16 : 1][4];

    __device__ void load(const QueryRows<ROWS>& rows, int t) {
#pragma unroll
        for (int k = 0; k < SIZE / 16; ++k) {
#pragma unroll
            for (int part = 0; part < 2; ++part) {
#pragma unroll
                for (int row = 0; row < rows.EACH; ++row) {
                    float2 two = make_float2(0, 0);
                    if (rows.queries[row]) two = *reinterpret_cast<const float2*>(rows.queries[row] + 16 * k + 8 * part + 2 * t);
                    const uint32_t halves = pack_halves(two.x, two.y), rest = pack_rest(two.x, two.y, halves);
                    high[k][2 * part + row] = halves;
                    if constexpr (ROWS == 16) low[k][2 * part + row] = rest;
                    else high[k][2 * part + 1] = rest;
                }
            }
        }
    }

    // Products with 16 positions, whose keys begin at `keys`: a lane's (row, 2 t + 8 n) and (row, 2 t + 1 + 8 n) for n = 0, 1.
    template <class K>
    __device__ void multiply(float (&products)[2][2 * (ROWS / 8)], const uint16_t* keys, int lane) const {
        constexpr int STRIDE = SIZE + PADDING;
        float of_high[2][4] = {{0, 0, 0, 0}, {0, 0, 0, 0}}, of_low[2][4] = {{0, 0, 0, 0}, {0, 0, 0, 0}};
        const uint16_t* own = keys + (lane % 8 + lane / 16 * 8) * STRIDE + lane / 8 % 2 * 8;
#pragma unroll
        for (int part = 0; part < (K::HAS_LOW ? 2 : 1); ++part) {
#pragma unroll
            for (int k = 0; k < SIZE / 16; ++k) {
                uint32_t b[4];
                load_matrices(b, own + part * POSITIONS * STRIDE + k * 16);
#pragma unroll
                for (int n = 0; n < 2; ++n) {
                    mma_halves(of_high[n], high[k], b[2 * n], b[2 * n + 1]);
                    if constexpr (ROWS == 16) mma_halves(of_low[n], low[k], b[2 * n], b[2 * n + 1]);
                }
            }
        }
#pragma unroll
        for (int n = 0; n < 2; ++n) {
#pragma unroll
            for (int i = 0; i < 2 * (ROWS / 8); ++i)
                products[n][i] = of_high[n][i] + (ROWS == 16 ? of_low[n][i] : of_high[n][i + 2]);
        }
    }
};

// The weights of 64 positions in the order of the operand a; of 8 queries, the rows behind them are zero.
template <int ROWS>
struct WeightOperands {
    uint32_t high[POSITIONS / 16][2 * (ROWS / 8)];
    uint32_t low[POSITIONS / 16][2 * (ROWS / 8)];

    __device__ static void operand(uint32_t (&a)[4], const uint32_t (&from)[2 * (ROWS / 8)]) {
        if constexpr (ROWS == 16) {
#pragma unroll
            for (int i = 0; i < 4; ++i) a[i] = from[i];
        } else {
            a[0] = from[0];
            a[2] = from[1];
            a[1] = a[3] = 0;
        }
    }
};

// The softmax over a split's positions so far, and their values, of which the warp has COLUMNS.
template <int ROWS, int COLUMNS>
struct WarpPart {
    static constexpr int EACH = ROWS / 8;
    float sums[COLUMNS / 8][4];
    float highest[EACH];
    float weight[EACH];  // of the lane's positions, until `gather_weights`

    __device__ void reset() {
#pragma unroll
        for (auto& each : sums)
#pragma unroll
            for (float& value : each) value = 0;
#pragma unroll
        for (int row = 0; row < EACH; ++row) {
            highest[row] = -infinity();
            weight[row] = 0;
        }
    }

    // Find the weights of a tile of positions, the first of which is `first`.
    template <class K, int SIZE>
    __device__ void weigh(
        WeightOperands<ROWS>& weights, const QueryOperands<SIZE, ROWS>& queries, const uint16_t* keys, int first,
        const int (&positions)[EACH], float scale, int lane) {
        float scores[POSITIONS / 16][2][2 * EACH];
        bool all_count = true;
#pragma unroll
        for (int row = 0; row < EACH; ++row) all_count = all_count && first + POSITIONS - 1 <= positions[row];
        all_count = __all_sync(ALL_LANES, all_count);
        float top[EACH];
#pragma unroll
        for (int row = 0; row < EACH; ++row) top[row] = -infinity();
#pragma unroll
        for (int j = 0; j < POSITIONS / 16; ++j) {
            queries.template multiply<K>(scores[j], keys + j * 16 * (SIZE + PADDING), lane);
#pragma unroll
            for (int i = 0; i < 4 * EACH; ++i) {
                float& score = scores[j][i / (2 * EACH)][i % (2 * EACH)];
                const int row = i % (2 * EACH) / 2;
                const int position = first + j * 16 + i / (2 * EACH) * 8 + lane % 4 * 2 + i % 2;
                if (!all_count && position > positions[row]) score = -infinity();
                top[row] = fmaxf(top[row], score);
            }
        }
        float base[EACH];
        rescale(base, top, scale);
#pragma unroll
        for (int j = 0; j < POSITIONS / 16; ++j) {
#pragma unroll
            for (int i = 0; i < 2 * EACH; ++i) {
                const int row = i % EACH;
                const float x = two_to_the(__fmaf_rn(scores[j][i / EACH][2 * row], scale, -base[row]));
                const float y = two_to_the(__fmaf_rn(scores[j][i / EACH][2 * row + 1], scale, -base[row]));
                weight[row] += x + y;
                weights.high[j][i] = pack_halves(x, y);
                weights.low[j][i] = pack_rest(x, y, weights.high[j][i]);
            }
        }
    }

    // Add the tile's values, which begin at the warp's first column.
    template <class V, int VALUE_SIZE>
    __device__ void add(const WeightOperands<ROWS>& weights, const uint16_t* values, int lane) {
        constexpr int STRIDE = VALUE_SIZE + PADDING;
        const uint16_t* own = values + lane % 16 * STRIDE + lane / 16 * 8;
#pragma unroll
        for (int j = 0; j < POSITIONS / 16; ++j) {
            uint32_t high[4], low[4];
            weights.operand(high, weights.high[j]);
            weights.operand(low, weights.low[j]);
#pragma unroll
            for (int part = 0; part < (V::HAS_LOW ? 2 : 1); ++part) {
#pragma unroll
                for (int d = 0; d < COLUMNS / 16; ++d) {
                    uint32_t b[4];
                    load_matrices_transposed(b, own + (part * POSITIONS + j * 16) * STRIDE + d * 16);
                    mma_halves(sums[2 * d], high, b[0], b[1]);
                    mma_halves(sums[2 * d + 1], high, b[2], b[3]);
                    mma_halves(sums[2 * d], low, b[0], b[1]);
                    mma_halves(sums[2 * d + 1], low, b[2], b[3]);
                }
            }
        }
    }

    // At the end of a split: the weights of all lanes' positions.
    __device__ void gather_weights() {
#pragma unroll
        for (int row = 0; row < EACH; ++row) {
            weight[row] += __shfl_xor_sync(ALL_LANES, weight[row], 1);
            weight[row] += __shfl_xor_sync(ALL_LANES, weight[row], 2);
        }
    }

    // Fold this part into those before it, which lie at `before` with a lane's numbers 32 apart.
    __device__ void fold_into(const SoftmaxState (&so_far)[EACH], const float* before) {
#pragma unroll
        for (int row = 0; row < EACH; ++row) {
            const Shares share = shares(so_far[row].highest, highest[row]);
            highest[row] = fmaxf(so_far[row].highest, highest[row]);
            weight[row] = fold(so_far[row].weight, weight[row], share);
#pragma unroll
            for (int i = 0; i < COLUMNS / 4; ++i) {
                float& sum = sums[i / 2][2 * row + i % 2];
                sum = fold(before[(row * COLUMNS / 4 + i) * 32], sum, share);
            }
        }
    }

    __device__ void save(SoftmaxState (&so_far)[EACH], float* before) const {
#pragma unroll
        for (int row = 0; row < EACH; ++row) {
            so_far[row] = {highest[row], weight[row]};
#pragma unroll
            for (int i = 0; i < COLUMNS / 4; ++i) before[(row * COLUMNS / 4 + i) * 32] = sums[i / 2][2 * row + i % 2];
        }
    }

private:
    // Take the highest scores of a tile into account. As long as no position counts, the base is 0 and all weights are zero.
    __device__ void rescale(float (&base)[EACH], const float (&top)[EACH], float scale) {
        bool same = true;
        float shrink[EACH];
#pragma unroll
        for (int row = 0; row < EACH; ++row) {
            float high = fmaxf(top[row], __shfl_xor_sync(ALL_LANES, top[row], 1));
            high = fmaxf(high, __shfl_xor_sync(ALL_LANES, high, 2));
            high = fmaxf(highest[row], high * scale);
            base[row] = high == -infinity() ? 0 : high;
            shrink[row] = two_to_the(highest[row] - base[row]);
            highest[row] = high;
            same = same && shrink[row] == 1;
        }
        if (__all_sync(ALL_LANES, same)) return;
#pragma unroll
        for (int row = 0; row < EACH; ++row) {
            weight[row] *= shrink[row];
#pragma unroll
            for (int i = 0; i < COLUMNS / 4; ++i) sums[i / 2][2 * row + i % 2] *= shrink[row];
        }
    }
};
