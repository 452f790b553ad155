// Q3_K: 256 weights in 16 groups of 16; levels -4..3, 6-bit scales -32..31 (110 bytes).
#pragma once
#include "../planes.cuh"
#include "../scales.cuh"

struct SignedSixBitScales {
    static constexpr bool WHOLE = true;
    static constexpr int GROUP = 16;
    static constexpr bool MINIMUM = false;
    static constexpr bool SIGNED_SCALES = true;
    // Scales stand in the top six bits of a byte.
    static constexpr int SCALE_UNIT = 4;
    // The low four bits, 8 bytes a row; then the high two, 4 bytes a row; then a half a row.
    static constexpr int BYTES = 16 * 14;

    struct Raw {
        uint2 low;
        uint32_t high;
        uint16_t scale;
    };

    static __device__ Raw fetch(const uint8_t* scales, int row) {
        return {
            __ldg(reinterpret_cast<const uint2*>(scales) + row),
            __ldg(reinterpret_cast<const uint32_t*>(scales + 128) + row),
            __ldg(reinterpret_cast<const uint16_t*>(scales + 192) + row)};
    }

    static __device__ WholeScales<16> unpack(const Raw& raw) {
        const uint2 low = raw.low;
        const uint32_t high = raw.high;
        WholeScales<16> result;
        result.scale = half_to_float(raw.scale);
        result.scales[0] = signed_top((low.x & 0x0F0F0F0Fu) | (high << 4 & 0x30303030u));
        result.scales[1] = signed_top((low.y & 0x0F0F0F0Fu) | (high << 2 & 0x30303030u));
        result.scales[2] = signed_top((low.x >> 4 & 0x0F0F0F0Fu) | (high & 0x30303030u));
        result.scales[3] = signed_top((low.y >> 4 & 0x0F0F0F0Fu) | (high >> 2 & 0x30303030u));
        return result;
    }

    static __device__ void store(uint8_t* scales, int row, const uint8_t* block) {
        for (int i = 0; i < 8; ++i) scales[row * 8 + i] = block[96 + i];
        for (int i = 0; i < 4; ++i) scales[128 + row * 4 + i] = block[104 + i];
        for (int i = 0; i < 2; ++i) scales[192 + row * 2 + i] = block[108 + i];
    }

private:
    // Four codes of six bits, less 32 each, times 4.
    static __device__ uint32_t signed_top(uint32_t codes) { return (codes ^ 0x20202020u) << 2; }
};

struct Q3_K {
    static constexpr int BLOCK_SIZE = 256;
    static constexpr int BLOCK_BYTES = 110;
    using Levels = Planes<2, 1, true>;
    using Scales = SignedSixBitScales;

    // Bytes 32-95 hold two bits of a level, 32 weights at each pair of bits; bit j of byte i is the third of 32 j + i.
    static __device__ int level(const uint8_t* block, int i) {
        const int low = block[32 + i / 128 * 32 + i % 32] >> i / 32 % 4 * 2 & 3;
        return (low | (block[i % 32] >> i / 32 & 1) << 2) - 4;
    }
};
