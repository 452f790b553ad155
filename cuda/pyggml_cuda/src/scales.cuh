// The scales of a tile: what stands behind its planes, for each of 16 rows.
//
// Two kinds. Whole-number scales stand under one float for 256 columns (and another for minimums); the sums over groups
// are then whole numbers, too. Float scales belong to a group each.
#pragma once
#include "types.cuh"

// One row's whole-number scales: a byte for each group, four to a word.
template <int GROUPS>
struct WholeScales {
    float scale;
    float minimum;
    uint32_t scales[GROUPS / 4];
    uint32_t minimums[GROUPS / 4];
};

template <bool SIGNED>
__device__ inline int byte_of(uint32_t word, int index) {
    if constexpr (SIGNED) return static_cast<int>(word << (24 - 8 * index)) >> 24;
    else return word >> 8 * index & 0xFF;
}

// A half for each group of 32: Q8_0 and the like.
struct HalfScales {
    static constexpr bool WHOLE = false;
    static constexpr int GROUP = 32;
    static constexpr bool MINIMUM = false;
    static constexpr int BYTES = 16 * 16;

    static __device__ float scale(const uint8_t* scales, int row, int group) {
        return half_to_float(__ldg(reinterpret_cast<const uint16_t*>(scales) + row * 8 + group));
    }
    static __device__ float minimum(const uint8_t*, int, int) { return 0; }
};

// A float for each group, and another for its minimum: what any format can be brought to.
template <int GROUP_SIZE, bool HAS_MINIMUM>
struct FloatScales {
    static constexpr bool WHOLE = false;
    static constexpr int GROUP = GROUP_SIZE;
    static constexpr bool MINIMUM = HAS_MINIMUM;
    static constexpr int GROUPS = 256 / GROUP;
    static constexpr int BYTES = 16 * GROUPS * 4 * (1 + MINIMUM);

    static __device__ float scale(const uint8_t* scales, int row, int group) {
        return __ldg(reinterpret_cast<const float*>(scales) + row * GROUPS + group);
    }
    static __device__ float minimum(const uint8_t* scales, int row, int group) {
        return __ldg(reinterpret_cast<const float*>(scales) + (16 + row) * GROUPS + group);
    }
};
