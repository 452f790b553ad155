// A tile times 8 tokens, or some times 8.
#pragma once
#include "tile_product.cuh"

// A tile's levels as operands, which all columns share.
struct Operands {
    uint32_t steps[8][4];

    template <class Levels>
    __device__ explicit Operands(const Levels& levels) {
#pragma unroll
        for (int step = 0; step < 8; ++step) levels.operands(step, steps[step]);
    }
};

// The dot products of 8 tokens with the groups of 64 columns, run `run` of a tile: dots[.][2 h + j] is that of row
// g + 8 h and token 2 t + j.
template <class F>
__device__ inline void dots_of_run(const Operands& a, int run, const uint8_t* row, int (*dots)[4]) {
    constexpr bool SIGNED = F::Levels::SIGNED;
    const uint4 b = *reinterpret_cast<const uint4*>(row + run * 64);
    const uint32_t words[4] = {b.x, b.y, b.z, b.w};
    const int zeros[4] = {0, 0, 0, 0};
#pragma unroll
    for (int i = 0; i < 2; ++i) {
        const uint32_t(&step)[4] = a.steps[2 * run + i];
        if constexpr (F::Scales::GROUP == 32)
            mma_bytes_32<SIGNED>(dots[i], step, words[2 * i], words[2 * i + 1], zeros);
        else {
            mma_bytes_16<SIGNED>(dots[2 * i], step[0], step[1], words[2 * i], zeros);
            mma_bytes_16<SIGNED>(dots[2 * i + 1], step[2], step[3], words[2 * i + 1], zeros);
        }
    }
}

// Add a tile's products with 8 tokens, with whole-number scales.
template <class F, class S>
__device__ inline void add_whole_of_many(
    float (&total)[4], const Operands& a, const S (&s)[2], const ActivationRows& x, const uint8_t* row,
    const int (&tokens)[2]) {
    using Scales = typename F::Scales;
    // Runs of 64 columns whose products are under way together.
    constexpr int RUNS = Scales::GROUP == 32 ? 4 : 2;
    constexpr int DOTS = 64 / Scales::GROUP;
    int sum[4] = {0, 0, 0, 0}, minimum_sum[4] = {0, 0, 0, 0};
#pragma unroll
    for (int first = 0; first < 4; first += RUNS) {
        int dots[RUNS * DOTS][4];
#pragma unroll
        for (int i = 0; i < RUNS; ++i) dots_of_run<F>(a, first + i, row, dots + DOTS * i);
#pragma unroll
        for (int i = 0; i < RUNS * DOTS; ++i) {
            const int group = DOTS * first + i;
#pragma unroll
            for (int j = 0; j < 4; ++j)
                sum[j] += dots[i][j] * byte_of<Scales::SIGNED_SCALES>(s[j / 2].scales[group / 4], group % 4);
        }
    }
#pragma unroll
    for (int token = 0; token < 2; ++token) {
        const float activation = x.scales[tokens[token] * x.scale_stride];
        if constexpr (Scales::MINIMUM) {
            const uint32_t* sums = reinterpret_cast<const uint32_t*>(x.sums + tokens[token] * x.sum_stride);
#pragma unroll
            for (int i = 0; i < Tile<F>::GROUPS / 4; ++i)
#pragma unroll
                for (int h = 0; h < 2; ++h)
                    minimum_sum[2 * h + token] =
                        dot_minimums(s[h].minimums[i], sums[2 * i], sums[2 * i + 1], minimum_sum[2 * h + token]);
        }
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const int j = 2 * h + token;
            total[j] = add_whole<F>(
                total[j], s[h].scale, Scales::MINIMUM ? s[h].minimum : 0, activation, sum[j], minimum_sum[j]);
        }
    }
}

// The same with float scales.
template <class F>
__device__ inline void add_floats_of_many(
    float (&total)[4], const Operands& a, const Tile<F>& tile, const ActivationRows& x, const uint8_t* row,
    const int (&tokens)[2]) {
    using Scales = typename F::Scales;
    constexpr int DOTS = 64 / Scales::GROUP;
    // parts[j][p]: what lane p adds for one token (one_token.cuh).
    float parts[4][4];
#pragma unroll
    for (int pair = 0; pair < 4; ++pair) {
        int dots[DOTS][4];
        dots_of_run<F>(a, pair, row, dots);
#pragma unroll
        for (int i = 0; i < DOTS; i += 2) {
            const int first = DOTS * pair + i, place = first / 2;
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                const int token = tokens[j % 2];
                const float* sums = reinterpret_cast<const float*>(x.sums + token * x.sum_stride);
                float values[2];
#pragma unroll
                for (int k = 0; k < 2; ++k) {
                    const int group = first + k;
                    const auto& scales = tile.scales[j / 2];
                    values[k] = group_value<F>(
                        Scales::scale(scales, group), Scales::MINIMUM ? Scales::minimum(scales, group) : 0,
                        x.scales[token * x.scale_stride + group * Scales::GROUP / 32], Scales::MINIMUM ? sums[group] : 0,
                        dots[i + k][j]);
                }
                const float value = __fadd_rn(values[0], values[1]);
                parts[j][place % 4] = place < 4 ? value : __fadd_rn(parts[j][place % 4], value);
            }
        }
    }
#pragma unroll
    for (int j = 0; j < 4; ++j)
        total[j] = __fadd_rn(
            total[j], __fadd_rn(__fadd_rn(parts[j][0], parts[j][1]), __fadd_rn(parts[j][2], parts[j][3])));
}

// The sums for 8 * COLUMNS tokens; total[c][2 h + j] is that of row g + 8 h and token 8 c + 2 t + j. Tokens behind
// `last` are computed as copies of it.
template <class F, int COLUMNS>
struct ManyTokens {
    static constexpr int TOKENS = 8 * COLUMNS;
    float total[COLUMNS][4];

    __device__ ManyTokens() {
#pragma unroll
        for (auto& each : total)
#pragma unroll
            for (float& value : each) value = 0;
    }

    __device__ void add(const Tile<F>& tile, const ActivationRows& x, int last, int g, int t) {
        using Scales = typename F::Scales;
        const Operands a(tile.levels);
        if constexpr (Scales::WHOLE) {
            const decltype(Scales::unpack(tile.scales[0])) s[2] = {
                Scales::unpack(tile.scales[0]), Scales::unpack(tile.scales[1])};
#pragma unroll
            for (int c = 0; c < COLUMNS; ++c) {
                const int tokens[2] = {min(8 * c + 2 * t, last), min(8 * c + 2 * t + 1, last)};
                const uint8_t* row = x.levels + min(8 * c + g, last) * x.level_stride + t * 16;
                add_whole_of_many<F>(total[c], a, s, x, row, tokens);
            }
        } else {
#pragma unroll
            for (int c = 0; c < COLUMNS; ++c) {
                const int tokens[2] = {min(8 * c + 2 * t, last), min(8 * c + 2 * t + 1, last)};
                const uint8_t* row = x.levels + min(8 * c + g, last) * x.level_stride + t * 16;
                add_floats_of_many<F>(total[c], a, tile, x, row, tokens);
            }
        }
    }
    __device__ void share(float (*out)[TOKENS], int g, int t) const {
#pragma unroll
        for (int c = 0; c < COLUMNS; ++c)
#pragma unroll
            for (int j = 0; j < 4; ++j) out[g + j / 2 * 8][8 * c + 2 * t + j % 2] = total[c][j];
    }
};
