// Q5_K: as Q4_K with a fifth bit (176 bytes).
#pragma once
#include "../planes.cuh"
#include "six_bit.cuh"

struct Q5_K {
    static constexpr int BLOCK_SIZE = 256;
    static constexpr int BLOCK_BYTES = 176;
    using Levels = Planes<4, 1, false>;
    using Scales = SixBitHeader;

    // Bit g of byte i of the 32 in front is the fifth of weight i of group g.
    static __device__ int level(const uint8_t* block, int i) {
        const int low = block[48 + i / 64 * 32 + i % 32] >> i / 32 % 2 * 4 & 15;
        return low | (block[16 + i % 32] >> i / 32 & 1) << 4;
    }
};
