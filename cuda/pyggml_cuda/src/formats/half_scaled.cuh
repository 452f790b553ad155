// Blocks of 32 weights that begin with their scale, a half: Q8_0, Q4_0 and Q5_0.
#pragma once
#include "../planes.cuh"
#include "../scales.cuh"

struct Q8_0 {
    static constexpr int BLOCK_SIZE = 32;
    static constexpr int BLOCK_BYTES = 34;
    using Levels = Planes<8, 0, true>;
    using Scales = HalfScales;

    static __device__ int level(const uint8_t* block, int i) { return static_cast<int8_t>(block[2 + i]); }
};

struct Q4_0 {
    static constexpr int BLOCK_SIZE = 32;
    static constexpr int BLOCK_BYTES = 18;
    using Levels = Planes<4, 0, true>;
    using Scales = HalfScales;

    // The low halves of the bytes hold the first 16 weights.
    static __device__ int level(const uint8_t* block, int i) { return (block[2 + i % 16] >> i / 16 * 4 & 15) - 8; }
};

struct Q5_0 {
    static constexpr int BLOCK_SIZE = 32;
    static constexpr int BLOCK_BYTES = 22;
    using Levels = Planes<4, 1, true>;
    using Scales = HalfScales;

    // Bit i of the four bytes behind the scale is the fifth of weight i.
    static __device__ int level(const uint8_t* block, int i) {
        const int low = block[6 + i % 16] >> i / 16 * 4 & 15;
        return (low | (block[2 + i / 8] >> i % 8 & 1) << 4) - 16;
    }
};
