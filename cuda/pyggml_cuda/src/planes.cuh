// The levels of a tile of 16 rows and 256 columns, cut into planes of bits and laid out as the tensor cores read them.
//
// A level has BASE + EXTRA bits and is used as a byte with the level in its top bits, so it needs no sign extension and
// no offset: the product is 2^(8 - bits) times too large, which the block's scale takes back. The bytes of a lane are 8
// steps of 4 registers (mma.cuh), 32 registers in order; a word of a plane holds the bits of 8 / BASE (8 / EXTRA)
// registers that follow each other, the first of them in the top bits of each byte. A plane is its words, 4 for each
// lane, then the lanes' next 4: every load is 16 bytes a lane and 512 a warp.
#pragma once
#include "types.cuh"

template <int BASE_BITS, int EXTRA_BITS, bool SIGNED_LEVELS>
struct Planes {
    static constexpr int BASE = BASE_BITS;
    static constexpr int EXTRA = EXTRA_BITS;
    static constexpr bool SIGNED = SIGNED_LEVELS;
    static constexpr int BITS = BASE + EXTRA;
    static constexpr int BYTES = 512 * BITS;
    // What a level is multiplied with by standing in the top bits.
    static constexpr int UNIT = 1 << (8 - BITS);

    uint32_t base[4 * BASE];
    uint32_t extra[EXTRA ? 4 * EXTRA : 1];

    __device__ void load(const uint8_t* tile, int lane) {
#pragma unroll
        for (int i = 0; i < BASE; ++i) unpack(load_16(tile + (i * 32 + lane) * 16), base + 4 * i);
#pragma unroll
        for (int i = 0; i < EXTRA; ++i) unpack(load_16(tile + ((BASE + i) * 32 + lane) * 16), extra + 4 * i);
    }

    // The four registers of a step, which must be a constant.
    __device__ void operands(int step, uint32_t (&a)[4]) const {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const int index = 4 * step + i;
            a[i] = top(base[index * BASE / 8] << BASE * (index % (8 / BASE)), BASE);
            if constexpr (EXTRA > 0) {
                const int shift = EXTRA * (index % (8 / EXTRA)) - BASE;
                const uint32_t word = extra[index * EXTRA / 8];
                a[i] |= (shift < 0 ? word >> -shift : word << shift) & top(~0u, EXTRA) >> BASE;
            }
        }
    }

private:
    // The top bits of each byte.
    static __device__ uint32_t top(uint32_t word, int bits) { return word & 0x01010101u * (0xFF00 >> bits & 0xFF); }

    static __device__ void unpack(uint4 from, uint32_t* to) {
        to[0] = from.x;
        to[1] = from.y;
        to[2] = from.z;
        to[3] = from.w;
    }
};
