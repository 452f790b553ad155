// A tile times one token.
#pragma once
#include "tile_product.cuh"

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
            mma_bytes_32<SIGNED>(dots[0], a, g == step ? own.x : 0, g == step ? own.y : 0, dots[0]);
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
            mma_bytes_32<SIGNED>(
                dots[step / 4], a, g == column ? b : 0, g == column + 1 ? b : 0, dots[step / 4]);
        }
    }
}

// What the lane's groups of row g + 8 h give, with whole-number scales.
template <class F, int HALVES>
__device__ inline float add_whole_of_one(
    float total, const Tile<F>& tile, const int (&dots)[HALVES][4], const ActivationRows& x, int h, int t) {
    using Scales = typename F::Scales;
    const auto s = Scales::unpack(tile.scales[h]);
    int sum = 0, minimum_sum = 0;
#pragma unroll
    for (int i = 0; i < HALVES; ++i) {
        // Of 8 groups' bytes in two words, those of groups 2 t and 2 t + 1.
        const uint32_t word = (t & 2 ? s.scales[2 * i + 1] : s.scales[2 * i]) >> 16 * (t & 1);
        sum += dots[i][2 * h] * byte_of<Scales::SIGNED_SCALES>(word, 0);
        sum += dots[i][2 * h + 1] * byte_of<Scales::SIGNED_SCALES>(word, 1);
        if constexpr (Scales::MINIMUM) {
            const uint32_t minimums = (t & 2 ? s.minimums[2 * i + 1] : s.minimums[2 * i]) >> 16 * (t & 1);
            const uint32_t sums = __ldg(reinterpret_cast<const uint32_t*>(x.sums) + i * 4 + t);
            minimum_sum = dot_minimums(minimums & 0xFFFF, sums, 0, minimum_sum);
        }
    }
    sum = sum_of_four(sum);
    if constexpr (Scales::MINIMUM) minimum_sum = sum_of_four(minimum_sum);
    return add_whole<F>(total, s.scale, Scales::MINIMUM ? s.minimum : 0, __ldg(x.scales), sum, minimum_sum);
}

// The same with float scales.
template <class F, int HALVES>
__device__ inline float add_floats_of_one(
    float total, const Tile<F>& tile, const int (&dots)[HALVES][4], const ActivationRows& x, int h, int t) {
    using Scales = typename F::Scales;
    float values[HALVES];
#pragma unroll
    for (int i = 0; i < HALVES; ++i) {
        float pair[2];
#pragma unroll
        for (int j = 0; j < 2; ++j) {
            const int group = 8 * i + 2 * t + j;
            const float sum = Scales::MINIMUM ? __ldg(reinterpret_cast<const float*>(x.sums) + group) : 0;
            const float minimum = Scales::MINIMUM ? Scales::minimum(tile.scales[h], group) : 0;
            const float activation = __ldg(x.scales + group * Scales::GROUP / 32);
            pair[j] = group_value<F>(Scales::scale(tile.scales[h], group), minimum, activation, sum, dots[i][2 * h + j]);
        }
        values[i] = __fadd_rn(pair[0], pair[1]);
    }
    return __fadd_rn(total, sum_of_four(HALVES == 1 ? values[0] : __fadd_rn(values[0], values[HALVES - 1])));
}

// The sums for one token; total[h] is that of row g + 8 h, the same in the four lanes of a row.
template <class F>
struct OneToken {
    static constexpr int TOKENS = 1;
    float total[2] = {0, 0};

    __device__ void add(const Tile<F>& tile, const ActivationRows& x, int, int g, int t) {
        constexpr int HALVES = Tile<F>::GROUPS / 8;
        int dots[HALVES][4];
        dots_of_one<F>(tile.levels, x.levels, g, t, dots);
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            if constexpr (F::Scales::WHOLE) total[h] = add_whole_of_one<F>(total[h], tile, dots, x, h, t);
            else total[h] = add_floats_of_one<F>(total[h], tile, dots, x, h, t);
        }
    }
    // Write what this lane has into a row's tokens.
    __device__ void share(float (*out)[TOKENS], int g, int t) const {
        if (t > 0) return;
        out[g][0] = total[0];
        out[g + 8][0] = total[1];
    }
};
