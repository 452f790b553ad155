// Q4_K: 256 weights in 8 groups of 32; levels 0..15, 6-bit scales and minimums (144 bytes).
#pragma once
#include "../planes.cuh"
#include "six_bit.cuh"

struct Q4_K {
    static constexpr int BLOCK_SIZE = 256;
    static constexpr int BLOCK_BYTES = 144;
    using Levels = Planes<4, 0, false>;
    using Scales = SixBitHeader;

    // 32 bytes hold two groups, the first in their low halves.
    static __device__ int level(const uint8_t* block, int i) {
        return block[16 + i / 64 * 32 + i % 32] >> i / 32 % 2 * 4 & 15;
    }
};
