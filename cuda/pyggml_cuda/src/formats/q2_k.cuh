// Q2_K: 256 weights in 16 groups of 16; levels 0..3, 4-bit scales and minimums (84 bytes).
#pragma once
#include "../planes.cuh"
#include "../scales.cuh"

struct FourBitScales {
    static constexpr bool WHOLE = true;
    static constexpr int GROUP = 16;
    static constexpr bool MINIMUM = true;
    static constexpr bool SIGNED_SCALES = false;
    static constexpr int SCALE_UNIT = 1;
    // 16 bytes a row, then two halves a row.
    static constexpr int BYTES = 16 * 20;

    struct Raw {
        uint4 both;
        uint32_t halves;
    };

    static __device__ Raw fetch(const uint8_t* scales, int row) {
        return {load_16(scales + row * 16), __ldg(reinterpret_cast<const uint32_t*>(scales + 256) + row)};
    }

    static __device__ WholeScales<16> unpack(const Raw& raw) {
        const uint32_t words[4] = {raw.both.x, raw.both.y, raw.both.z, raw.both.w};
        WholeScales<16> result;
        result.scale = half_to_float(static_cast<uint16_t>(raw.halves));
        result.minimum = half_to_float(static_cast<uint16_t>(raw.halves >> 16));
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            result.scales[i] = words[i] & 0x0F0F0F0Fu;
            result.minimums[i] = words[i] >> 4 & 0x0F0F0F0Fu;
        }
        return result;
    }

    static __device__ void store(uint8_t* scales, int row, const uint8_t* block) {
        for (int i = 0; i < 16; ++i) scales[row * 16 + i] = block[i];
        for (int i = 0; i < 4; ++i) scales[256 + row * 4 + i] = block[80 + i];
    }
};

struct Q2_K {
    static constexpr int BLOCK_SIZE = 256;
    static constexpr int BLOCK_BYTES = 84;
    using Levels = Planes<2, 0, false>;
    using Scales = FourBitScales;

    static __device__ int level(const uint8_t* block, int i) {
        return block[16 + i / 128 * 32 + i % 32] >> i / 32 % 4 * 2 & 3;
    }
};
