// The header of Q4_K and Q5_K blocks, which goes into a tile as it is: two halves, and 12 bytes with 8 scales and 8
// minimums of 6 bits.
#pragma once
#include "../scales.cuh"

struct SixBitHeader {
    static constexpr bool WHOLE = true;
    static constexpr int GROUP = 32;
    static constexpr bool MINIMUM = true;
    static constexpr bool SIGNED_SCALES = false;
    static constexpr int SCALE_UNIT = 1;
    static constexpr int BYTES = 16 * 16;

    using Raw = uint4;

    static __device__ Raw fetch(const uint8_t* scales, int row) { return load_16(scales + row * 16); }

    static __device__ WholeScales<8> unpack(const Raw& header) {
        WholeScales<8> result;
        result.scale = half_to_float(static_cast<uint16_t>(header.x));
        result.minimum = half_to_float(static_cast<uint16_t>(header.x >> 16));
        result.scales[0] = header.y & 0x3F3F3F3Fu;
        result.scales[1] = (header.w & 0x0F0F0F0Fu) | (header.y >> 2 & 0x30303030u);
        result.minimums[0] = header.z & 0x3F3F3F3Fu;
        result.minimums[1] = (header.w >> 4 & 0x0F0F0F0Fu) | (header.z >> 2 & 0x30303030u);
        return result;
    }

    static __device__ void store(uint8_t* scales, int row, const uint8_t* block) {
        for (int i = 0; i < 16; ++i) scales[row * 16 + i] = block[i];
    }
};
