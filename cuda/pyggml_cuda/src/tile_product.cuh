// A tile of weights times activations: the arithmetic that all shapes of a batch share, bit for bit.
//
// Dot products of levels are whole numbers. With whole-number scales they are summed up over the 256 columns of a tile
// exactly, and only then become floats; otherwise the floats of a tile are added in one fixed order. A token's result
// thus does not depend on whether it came alone (one_token.cuh) or with others (many_tokens.cuh).
#pragma once
#include "activation_rows.cuh"
#include "mma.cuh"
#include "planes.cuh"
#include "scales.cuh"

// A tile in a warp's registers: lane 4 g + t has the levels that mma.cuh gives it, and the scales of rows g and g + 8.
template <class F>
struct Tile {
    using Levels = typename F::Levels;
    using Scales = typename F::Scales;
    static constexpr int BYTES = Levels::BYTES + Scales::BYTES;
    static constexpr int GROUPS = 256 / Scales::GROUP;
    // Of the activations at a tile.
    static constexpr int SUM_BYTES = Scales::MINIMUM ? GROUPS * (Scales::WHOLE ? 2 : 4) : 0;

    Levels levels;
    typename Scales::Raw scales[2];

    __device__ void load(const uint8_t* tile, int lane) {
        levels.load(tile, lane);
#pragma unroll
        for (int h = 0; h < 2; ++h) scales[h] = Scales::fetch(tile + Levels::BYTES, lane / 4 + 8 * h);
    }
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

// Four minimums, a byte each, times four sums of 16 bits, two to a word.
__device__ inline int dot_minimums(uint32_t minimums, uint32_t first, uint32_t second, int total) {
    total = __dp2a_lo(static_cast<int>(first), static_cast<int>(minimums), total);
    return __dp2a_hi(static_cast<int>(second), static_cast<int>(minimums), total);
}
