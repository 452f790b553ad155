// A tile of weights times activations: the arithmetic that all shapes of a batch share, bit for bit.
//
// Dot products of levels are whole numbers. With whole-number scales they are summed up over the 256 columns of a tile
// exactly, and only then become floats; otherwise the floats of a tile are added in one fixed order. A token's result
// thus does not depend on which of the two functions below computed it, nor on the tokens beside it.
#pragma once
#include "activation_rows.cuh"
#include "mma.cuh"
#include "planes.cuh"
#include "scales.cuh"

template <class F>
struct Tile {
    using Levels = typename F::Levels;
    using Scales = typename F::Scales;
    static constexpr int BYTES = Levels::BYTES + Scales::BYTES;
    static constexpr int GROUPS = 256 / Scales::GROUP;
    // Of the activations at a tile.
    static constexpr int SUM_BYTES = Scales::MINIMUM ? GROUPS * (Scales::WHOLE ? 2 : 4) : 0;
};

// What is added for a tile with whole-number sums.
template <class F>
__device__ inline float add_whole(float total, float scale, float minimum, float activation, int sum, int minimum_sum) {
    constexpr float UNIT = 1.0f / (F::Levels::UNIT * F::Scales::SCALE_UNIT);
    total = __fmaf_rn(__fmul_rn(scale, activation), __fmul_rn(static_cast<float>(sum), UNIT), total);
    if constexpr (F::Scales::MINIMUM)
        total = __fmaf_rn(-__fmul_rn(minimum, activation), static_cast<float>(minimum_sum), total);
    return total;
}

// What a group with a float scale gives.
template <class F>
__device__ inline float group_value(float scale, float minimum, float activation, float sum, int dot) {
    constexpr float UNIT = 1.0f / F::Levels::UNIT;
    const float value = __fmul_rn(__fmul_rn(scale, activation), __fmul_rn(static_cast<float>(dot), UNIT));
    return F::Scales::MINIMUM ? __fmaf_rn(-minimum, sum, value) : value;
}

// The same number in all four lanes that share a row.
__device__ inline int sum_of_four(int value) {
    value += __shfl_xor_sync(ALL_LANES, value, 1);
    return value + __shfl_xor_sync(ALL_LANES, value, 2);
}

__device__ inline float sum_of_four(float value) {
    value = __fadd_rn(value, __shfl_xor_sync(ALL_LANES, value, 1));
    return __fadd_rn(value, __shfl_xor_sync(ALL_LANES, value, 2));
}

// The dot products of one token with each group: column c of the operand b has the activations of group c, else zeros,
// so that the eight columns of a product hold eight groups and no lane's scaling is in vain. Lane 4 g + t gets groups
// 2 t and 2 t + 1 (of 16: 8 more in dots[1]) of rows g and g + 8.
template <class F>
__device__ inline void dots_of_one(
    const typename F::Levels& levels, const uint8_t* activation, int g, int t, int (&dots)[Tile<F>::GROUPS / 8][4]) {
    constexpr bool SIGNED = F::Levels::SIGNED;
#pragma unroll
    for (int i = 0; i < Tile<F>::GROUPS / 8; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) dots[i][j] = 0;
    uint32_t a[4];
    if constexpr (F::Scales::GROUP == 32) {
        const uint2 own = __ldg(reinterpret_cast<const uint2*>(activation + g / 2 * 64 + t * 16 + g % 2 * 8));
#pragma unroll
        for (int step = 0; step < 8; ++step) {
            levels.operands(step, a);
            mma_bytes_32<SIGNED>(dots[0], a, g == step ? own.x : 0, g == step ? own.y : 0);
        }
    } else {
        // Group c is the first or the second half of step c / 2.
        uint32_t own[2];
#pragma unroll
        for (int i = 0; i < 2; ++i)
            own[i] = __ldg(reinterpret_cast<const uint32_t*>(
                activation + i * 128 + g / 4 * 64 + t * 16 + g / 2 % 2 * 8 + g % 2 * 4));
#pragma unroll
        for (int step = 0; step < 8; ++step) {
            levels.operands(step, a);
            const int column = 2 * step % 8;
            const uint32_t b = own[step / 4];
            mma_bytes_32<SIGNED>(dots[step / 4], a, g == column ? b : 0, g == column + 1 ? b : 0);
        }
    }
}

// Add a tile's product with one token; total[h] is that of row g + 8 h, the same in the four lanes of a row.
template <class F>
__device__ inline void add_tile_of_one(
    float (&total)[2], const typename F::Levels& levels, const uint8_t* scales, const ActivationRows& x, int g, int t) {
    using Scales = typename F::Scales;
    constexpr int HALVES = Tile<F>::GROUPS / 8;
    int dots[HALVES][4];
    dots_of_one<F>(levels, x.levels, g, t, dots);
#pragma unroll
    for (int h = 0; h < 2; ++h) {
        const int row = g + 8 * h;
        if constexpr (Scales::WHOLE) {
            const auto s = Scales::load(scales, row);
            int sum = 0, minimum_sum = 0;
#pragma unroll
            for (int i = 0; i < HALVES; ++i) {
                // Of 8 groups' bytes in two words, those of groups 2 t and 2 t + 1.
                const uint32_t word = (t & 2 ? s.scales[2 * i + 1] : s.scales[2 * i]) >> 16 * (t & 1);
                sum += dots[i][2 * h] * byte_of<Scales::SIGNED_SCALES>(word, 0);
                sum += dots[i][2 * h + 1] * byte_of<Scales::SIGNED_SCALES>(word, 1);
                if constexpr (Scales::MINIMUM) {
                    const uint32_t m = (t & 2 ? s.minimums[2 * i + 1] : s.minimums[2 * i]) >> 16 * (t & 1);
                    const uint32_t sums = __ldg(reinterpret_cast<const uint32_t*>(x.sums) + i * 4 + t);
                    minimum_sum += static_cast<int16_t>(sums) * byte_of<false>(m, 0);
                    minimum_sum += (static_cast<int>(sums) >> 16) * byte_of<false>(m, 1);
                }
            }
            sum = sum_of_four(sum);
            if constexpr (Scales::MINIMUM) minimum_sum = sum_of_four(minimum_sum);
            total[h] = add_whole<F>(total[h], s.scale, s.minimum, __ldg(x.scales), sum, minimum_sum);
        } else {
            float values[HALVES];
#pragma unroll
            for (int i = 0; i < HALVES; ++i) {
                float pair[2];
#pragma unroll
                for (int j = 0; j < 2; ++j) {
                    const int group = 8 * i + 2 * t + j;
                    const float sum = Scales::MINIMUM ? __ldg(reinterpret_cast<const float*>(x.sums) + group) : 0;
                    const float minimum = Scales::MINIMUM ? Scales::minimum(scales, row, group) : 0;
                    pair[j] = group_value<F>(
                        Scales::scale(scales, row, group), minimum, __ldg(x.scales + group * Scales::GROUP / 32), sum,
                        dots[i][2 * h + j]);
                }
                values[i] = __fadd_rn(pair[0], pair[1]);
            }
            const float value = HALVES == 1 ? values[0] : __fadd_rn(values[0], values[HALVES - 1]);
            total[h] = __fadd_rn(total[h], sum_of_four(value));
        }
    }
}

// Add a tile's products with COLUMNS times 8 tokens; total[c][2 h + j] is that of row g + 8 h and token 8 c + 2 t + j.
// `last` is the last token there is: others' results are of no account.
template <class F, int COLUMNS>
__device__ inline void add_tile(
    float (&total)[COLUMNS][4], const typename F::Levels& levels, const uint8_t* scales, const ActivationRows& x,
    int last, int g, int t) {
    using Scales = typename F::Scales;
    constexpr bool SIGNED = F::Levels::SIGNED;
    constexpr int STEPS_TO_A_GROUP = Scales::GROUP / 16;  // 1: two groups a step
    uint32_t a[8][4];
#pragma unroll
    for (int step = 0; step < 8; ++step) levels.operands(step, a[step]);
    if constexpr (Scales::WHOLE) {
        const decltype(Scales::load(scales, 0)) s[2] = {Scales::load(scales, g), Scales::load(scales, g + 8)};
#pragma unroll
        for (int c = 0; c < COLUMNS; ++c) {
            const uint8_t* row = x.levels + min(8 * c + g, last) * x.level_stride + t * 16;
            int sum[4] = {0, 0, 0, 0};
#pragma unroll
            for (int pair = 0; pair < 4; ++pair) {
                const uint4 b = *reinterpret_cast<const uint4*>(row + pair * 64);
                const uint32_t words[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
                for (int i = 0; i < 2; ++i) {
                    const int step = 2 * pair + i;
                    if constexpr (STEPS_TO_A_GROUP == 2) {
                        int dot[4] = {0, 0, 0, 0};
                        mma_bytes_32<SIGNED>(dot, a[step], words[2 * i], words[2 * i + 1]);
#pragma unroll
                        for (int j = 0; j < 4; ++j)
                            sum[j] += dot[j] * byte_of<Scales::SIGNED_SCALES>(s[j / 2].scales[step / 4], step % 4);
                    } else {
#pragma unroll
                        for (int half = 0; half < 2; ++half) {
                            const int group = 2 * step + half;
                            int dot[4] = {0, 0, 0, 0};
                            mma_bytes_16<SIGNED>(dot, a[step][2 * half], a[step][2 * half + 1], words[2 * i + half]);
#pragma unroll
                            for (int j = 0; j < 4; ++j)
                                sum[j] += dot[j] * byte_of<Scales::SIGNED_SCALES>(s[j / 2].scales[group / 4], group % 4);
                        }
                    }
                }
            }
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                const int token = min(8 * c + 2 * t + j % 2, last);
                int minimum_sum = 0;
                if constexpr (Scales::MINIMUM) {
                    const uint32_t* sums = reinterpret_cast<const uint32_t*>(x.sums + token * x.sum_stride);
#pragma unroll
                    for (int i = 0; i < Tile<F>::GROUPS / 2; ++i) {
                        const uint32_t m = s[j / 2].minimums[i / 2] >> 16 * (i % 2);
                        minimum_sum += static_cast<int16_t>(sums[i]) * byte_of<false>(m, 0);
                        minimum_sum += (static_cast<int>(sums[i]) >> 16) * byte_of<false>(m, 1);
                    }
                }
                const float activation = x.scales[token * x.scale_stride];
                total[c][j] = add_whole<F>(total[c][j], s[j / 2].scale, s[j / 2].minimum, activation, sum[j], minimum_sum);
            }
        }
    } else {
#pragma unroll
        for (int c = 0; c < COLUMNS; ++c) {
            const uint8_t* row = x.levels + min(8 * c + g, last) * x.level_stride + t * 16;
            // parts[j][p]: what lane p adds for one token in `add_tile_of_one`.
            float parts[4][4];
#pragma unroll
            for (int pair = 0; pair < 4; ++pair) {
                const uint4 b = *reinterpret_cast<const uint4*>(row + pair * 64);
                const uint32_t words[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
                for (int i = 0; i < (STEPS_TO_A_GROUP == 2 ? 1 : 2); ++i) {
                    // Two groups that follow each other.
                    int dots[2][4] = {{0, 0, 0, 0}, {0, 0, 0, 0}};
                    int first;
                    if constexpr (STEPS_TO_A_GROUP == 2) {
                        first = 2 * pair;
                        mma_bytes_32<SIGNED>(dots[0], a[2 * pair], words[0], words[1]);
                        mma_bytes_32<SIGNED>(dots[1], a[2 * pair + 1], words[2], words[3]);
                    } else {
                        const int step = 2 * pair + i;
                        first = 2 * step;
                        mma_bytes_16<SIGNED>(dots[0], a[step][0], a[step][1], words[2 * i]);
                        mma_bytes_16<SIGNED>(dots[1], a[step][2], a[step][3], words[2 * i + 1]);
                    }
#pragma unroll
                    for (int j = 0; j < 4; ++j) {
                        const int token = min(8 * c + 2 * t + j % 2, last);
                        const float* sums = reinterpret_cast<const float*>(x.sums + token * x.sum_stride);
                        float values[2];
#pragma unroll
                        for (int k = 0; k < 2; ++k) {
                            const int group = first + k, r = g + 8 * (j / 2);
                            const float sum = Scales::MINIMUM ? sums[group] : 0;
                            const float minimum = Scales::MINIMUM ? Scales::minimum(scales, r, group) : 0;
                            const float activation = x.scales[token * x.scale_stride + group * Scales::GROUP / 32];
                            values[k] = group_value<F>(
                                Scales::scale(scales, r, group), minimum, activation, sum, dots[k][j]);
                        }
                        const float value = __fadd_rn(values[0], values[1]);
                        const int place = first / 2;
                        if (place < 4) parts[j][place] = value;
                        else parts[j][place % 4] = __fadd_rn(parts[j][place % 4], value);
                    }
                }
            }
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                const float value = __fadd_rn(__fadd_rn(parts[j][0], parts[j][1]), __fadd_rn(parts[j][2], parts[j][3]));
                total[c][j] = __fadd_rn(total[c][j], value);
            }
        }
    }
}
