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

    using Raw = uint4;

    static __device__ Raw fetch(const uint8_t* scales, int row) { return load_16(scales + row * 16); }

    static __device__ float scale(const Raw& raw, int group) {
        const int pair = group / 2;
        const uint32_t word = pair < 2 ? (pair == 0 ? raw.x : raw.y) : (pair == 2 ? raw.z : raw.w);
        return half_to_float(static_cast<uint16_t>(word >> 16 * (group % 2)));
    }
    static __device__ float minimum(const Raw&, int) { return 0; }
};

// A float for each group, and another for its minimum: what any format can be brought to.
template <int GROUP_SIZE, bool HAS_MINIMUM>
struct FloatScales {
    static constexpr bool WHOLE = false;
    static constexpr int GROUP = GROUP_SIZE;
    static constexpr bool MINIMUM = HAS_MINIMUM;
    static constexpr int GROUPS = 256 / GROUP;
    static constexpr int BYTES = 16 * GROUPS * 4 * (1 + MINIMUM);

    // Where they are: there are too many to hold.
    using Raw = const float*;

    static __device__ Raw fetch(const uint8_t* scales, int row) {
        return reinterpret_cast<const float*>(scales) + row * GROUPS;
    }
    static __device__ float scale(Raw raw, int group) { return __ldg(raw + group); }
    static __device__ float minimum(Raw raw, int group) { return __ldg(raw + 16 * GROUPS + group); }
};
