// Q6_K: 256 weights in 16 groups of 16; levels -32..31, 8-bit scales (210 bytes).
#pragma once
#include "../planes.cuh"
#include "../scales.cuh"

struct EightBitScales {
    static constexpr bool WHOLE = true;
    static constexpr int GROUP = 16;
    static constexpr bool MINIMUM = false;
    static constexpr bool SIGNED_SCALES = true;
    static constexpr int SCALE_UNIT = 1;
    // 16 bytes a row, then a half a row.
    static constexpr int BYTES = 16 * 18;

    struct Raw {
        uint4 bytes;
        uint16_t scale;
    };

    static __device__ Raw fetch(const uint8_t* scales, int row) {
        return {load_16(scales + row * 16), __ldg(reinterpret_cast<const uint16_t*>(scales + 256) + row)};
    }

    static __device__ WholeScales<16> unpack(const Raw& raw) {
        WholeScales<16> result;
        result.scale = half_to_float(raw.scale);
        result.scales[0] = raw.bytes.x;
        result.scales[1] = raw.bytes.y;
        result.scales[2] = raw.bytes.z;
        result.scales[3] = raw.bytes.w;
        return result;
    }

    static __device__ void store(uint8_t* scales, int row, const uint8_t* block) {
        for (int i = 0; i < 16; ++i) scales[row * 16 + i] = block[192 + i];
        for (int i = 0; i < 2; ++i) scales[256 + row * 2 + i] = block[208 + i];
    }
};

struct Q6_K {
    static constexpr int BLOCK_SIZE = 256;
    static constexpr int BLOCK_BYTES = 210;
    using Levels = Planes<4, 2, true>;
    using Scales = EightBitScales;

    // Of each 128 weights 64 bytes hold the low four bits, 32 bytes the high two.
    static __device__ int level(const uint8_t* block, int i) {
        const int half = i / 128, quarter = i / 32 % 4;
        const int low = block[half * 64 + quarter % 2 * 32 + i % 32] >> quarter / 2 * 4 & 15;
        return (low | (block[128 + half * 32 + i % 32] >> 2 * quarter & 3) << 4) - 32;
    }
};
