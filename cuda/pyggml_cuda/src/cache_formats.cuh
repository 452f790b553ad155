// The formats of keys and values in the cache, byte for byte those of the CPU.
//
// Rows are written by a block, from floats in shared memory, and read in eights, from copies in shared memory.
#pragma once
#include "types.cuh"

// Used as it is: its rows need no decoding, so there is nothing to load.
struct CacheHalf {
    static constexpr bool DECODED = false, HAS_LOW = false;
    template <int SIZE>
    static constexpr int ROW_BYTES = 2 * SIZE;

    static __device__ void store_row(uint8_t* row, const float* numbers, int size) {
        for (int i = threadIdx.x; i < size; i += blockDim.x) reinterpret_cast<uint16_t*>(row)[i] = float_to_half(numbers[i]);
    }
    static __device__ void round_row(float* row, const float* numbers, int size) {
        for (int i = threadIdx.x; i < size; i += blockDim.x) row[i] = numbers[i];
    }
};

// Its numbers are rounded to halves when they are used, which takes nothing from them but what is below 2^-24.
struct CacheBfloat {
    static constexpr bool DECODED = true, HAS_LOW = false;
    template <int SIZE>
    static constexpr int ROW_BYTES = 2 * SIZE;

    static __device__ void store_row(uint8_t* row, const float* numbers, int size) {
        for (int i = threadIdx.x; i < size; i += blockDim.x) reinterpret_cast<uint16_t*>(row)[i] = float_to_bfloat(numbers[i]);
    }
    static __device__ void round_row(float* row, const float* numbers, int size) {
        for (int i = threadIdx.x; i < size; i += blockDim.x) row[i] = bfloat_to_float(float_to_bfloat(numbers[i]));
    }
    static __device__ void load_8(const uint8_t* row, int column, float (&x)[8]) {
        const uint4 eight = *reinterpret_cast<const uint4*>(row + 2 * column);
        const uint32_t pairs[4] = {eight.x, eight.y, eight.z, eight.w};
#pragma unroll
        for (int i = 0; i < 8; ++i) x[i] = bfloat_to_float(pairs[i / 2] >> (i % 2 * 16) & 0xFFFF);
    }
};

// Its numbers, and those of Q8_0, become the sums of two halves.
struct CacheFloat {
    static constexpr bool DECODED = true, HAS_LOW = true;
    template <int SIZE>
    static constexpr int ROW_BYTES = 4 * SIZE;

    static __device__ void store_row(uint8_t* row, const float* numbers, int size) {
        round_row(reinterpret_cast<float*>(row), numbers, size);
    }
    static __device__ void round_row(float* row, const float* numbers, int size) {
        for (int i = threadIdx.x; i < size; i += blockDim.x) row[i] = numbers[i];
    }
    static __device__ void load_8(const uint8_t* row, int column, float (&x)[8]) {
        const float4* two = reinterpret_cast<const float4*>(row + 4 * column);
        const float4 low = two[0], high = two[1];
        const float values[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
        for (int i = 0; i < 8; ++i) x[i] = values[i];
    }
};

// Blocks of 32: the scale, a half, and the levels, as activations are quantized on the CPU. Blocks of threads are whole warps.
struct CacheQ8_0 {
    static constexpr bool DECODED = true, HAS_LOW = true;
    static constexpr int BLOCK_BYTES = 34;
    template <int SIZE>
    static constexpr int ROW_BYTES = SIZE / 32 * BLOCK_BYTES;

    static __device__ void store_row(uint8_t* row, const float* numbers, int size) {
        for (int i = threadIdx.x; i < size; i += blockDim.x) {
            const Number number = quantize(numbers[i]);
            uint8_t* block = row + i / 32 * BLOCK_BYTES;
            if (i % 32 == 0) *reinterpret_cast<uint16_t*>(block) = number.scale;
            block[2 + i % 32] = static_cast<uint8_t>(number.level);
        }
    }
    static __device__ void round_row(float* row, const float* numbers, int size) {
        for (int i = threadIdx.x; i < size; i += blockDim.x) {
            const Number number = quantize(numbers[i]);
            row[i] = __fmul_rn(static_cast<float>(number.level), half_to_float(number.scale));
        }
    }
    static __device__ void load_8(const uint8_t* row, int column, float (&x)[8]) {
        const uint16_t* block = reinterpret_cast<const uint16_t*>(row + column / 32 * BLOCK_BYTES);
        const float scale = half_to_float(block[0]);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const int pair = block[1 + column % 32 / 2 + i];
            x[2 * i] = __fmul_rn(static_cast<float>(static_cast<int8_t>(pair & 0xFF)), scale);
            x[2 * i + 1] = __fmul_rn(static_cast<float>(static_cast<int8_t>(pair >> 8)), scale);
        }
    }

private:
    struct Number {
        uint16_t scale;
        int8_t level;
    };

    // A lane's number, of a block that its warp has.
    static __device__ Number quantize(float x) {
        float largest = fabsf(x);
#pragma unroll
        for (int apart = 16; apart; apart /= 2) largest = fmaxf(largest, __shfl_xor_sync(ALL_LANES, largest, apart));
        float inverse = __fdiv_rn(127.0f, largest);
        // The inverse of a tiny block overflows; its scale is 0 as a half, so its levels are of no account.
        if (inverse == infinity()) inverse = 0;
        return {float_to_half(__fdiv_rn(largest, 127.0f)), static_cast<int8_t>(__float2int_rn(__fmul_rn(x, inverse)))};
    }
};
