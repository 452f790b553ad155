// The forms that activations take for products, from eight numbers of a row in each lane, 256 in a warp.
//
// The numbers are those of ggml's CPU backend on x86: see pyggml_kernels/activations.py.
#pragma once
#include "activation_rows.cuh"

struct FormArguments {
    uint8_t* levels;  // or floats, or halves
    float* scales;
    uint8_t* sums;
    int level_stride;
    int scale_stride;
    int sum_stride;
};

// Floats, as they are.
struct Floats {
    static constexpr bool PADDED = false;

    static __device__ void store(const FormArguments& a, int token, int column, const float (&values)[8]) {
        float* out = reinterpret_cast<float*>(a.levels + static_cast<int64_t>(token) * a.level_stride) + column;
        *reinterpret_cast<float4*>(out) = make_float4(values[0], values[1], values[2], values[3]);
        *reinterpret_cast<float4*>(out + 4) = make_float4(values[4], values[5], values[6], values[7]);
    }
};

// Halves or bfloats.
template <bool BFLOAT>
struct Rounded {
    static constexpr bool PADDED = false;

    static __device__ uint32_t two(float first, float second) {
        return BFLOAT ? float_to_bfloat(first) | static_cast<uint32_t>(float_to_bfloat(second)) << 16
                      : pack_halves(first, second);
    }
    static __device__ void store(const FormArguments& a, int token, int column, const float (&v)[8]) {
        *reinterpret_cast<uint4*>(a.levels + static_cast<int64_t>(token) * a.level_stride + column * 2) =
            make_uint4(two(v[0], v[1]), two(v[2], v[3]), two(v[4], v[5]), two(v[6], v[7]));
    }
};

enum class Block { Q8_0, Q8_1, Q8_K };
enum class Sums { NONE, WHOLE, FLOATS };

template <int LANES>
__device__ inline int sum_of_lanes(int value) {
#pragma unroll
    for (int apart = 1; apart < LANES; apart *= 2) value += __shfl_xor_sync(ALL_LANES, value, apart);
    return value;
}

template <int LANES>
__device__ inline uint32_t largest_of_lanes(uint32_t value) {
#pragma unroll
    for (int apart = 1; apart < LANES; apart *= 2) value = max(value, __shfl_xor_sync(ALL_LANES, value, apart));
    return value;
}

// Levels with a scale for each block, and sums for each GROUP where the weights have minimums.
template <Block BLOCK, Sums SUMS, int GROUP>
struct Quantized {
    static constexpr bool PADDED = true;
    static constexpr int BLOCK_LANES = BLOCK == Block::Q8_K ? 32 : 4;

    static __device__ uint32_t magnitude(float x) { return __float_as_uint(x) & 0x7FFFFFFFu; }

    // What the numbers of a block are multiplied with, and the scale that takes it back.
    static __device__ float2 find_scale(const float (&values)[8]) {
        uint32_t own = 0;
#pragma unroll
        for (float each : values) own = max(own, magnitude(each));
        const uint32_t largest = largest_of_lanes<BLOCK_LANES>(own);
        if constexpr (BLOCK == Block::Q8_K) {
            // The sign is that of the first number of the largest magnitude.
            float first = 0;
#pragma unroll
            for (int i = 7; i >= 0; --i)
                if (magnitude(values[i]) == largest) first = values[i];
            first = __shfl_sync(ALL_LANES, first, __ffs(__ballot_sync(ALL_LANES, own == largest)) - 1);
            if (largest == 0) return make_float2(0, 0);
            const float inverse = __fdiv_rn(-127.0f, first);
            return make_float2(inverse, __fdiv_rn(1.0f, inverse));
        } else {
            const float inverse = __fdiv_rn(127.0f, __uint_as_float(largest));
            return make_float2(
                magnitude(inverse) >= 0x7F800000u ? 0 : inverse, __fdiv_rn(__uint_as_float(largest), 127.0f));
        }
    }

    static __device__ void store(const FormArguments& a, int token, int column, const float (&values)[8]) {
        const int lane = threadIdx.x % 32;
        const float2 found = find_scale(values);
        uint32_t words[2] = {0, 0};
        int sum = 0;
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            const int level = min(127, __float2int_rn(__fmul_rn(values[i], found.x)));
            words[i / 4] |= (level & 0xFFu) << 8 * (i % 4);
            sum += level;
        }
        uint8_t* levels = a.levels + static_cast<int64_t>(token) * a.level_stride;
        for (int i = 0; i < 2; ++i)
            *reinterpret_cast<uint32_t*>(levels + place_of_column(column + 4 * i)) = words[i];
        const float scale = BLOCK == Block::Q8_K ? found.y : through_half(found.y);
        if (lane % 4 == 0) a.scales[static_cast<int64_t>(token) * a.scale_stride + column / 32] = scale;
        if constexpr (SUMS != Sums::NONE) {
            sum = sum_of_lanes<GROUP / 8>(sum);
            uint8_t* sums = a.sums + static_cast<int64_t>(token) * a.sum_stride;
            if (lane % (GROUP / 8) != 0) return;
            if constexpr (SUMS == Sums::WHOLE) reinterpret_cast<int16_t*>(sums)[column / GROUP] = sum;
            else {
                const float product = __fmul_rn(found.y, static_cast<float>(sum));
                reinterpret_cast<float*>(sums)[column / GROUP] = BLOCK == Block::Q8_1 ? through_half(product) : product;
            }
        }
    }
};

// Levels as in Q8_K as halves, in the order and place that warpgroups want (half_operands.cuh, warpgroup.cuh): runs of 64
// columns of all tokens, 128 bytes each; then, for 256 columns of all tokens, their scales, and their sums of groups as
// the columns of a product with the minimums, 32 bytes a token. Strides are those of runs and of 256 columns.
template <int GROUP>
struct HalfLevels {
    static constexpr bool PADDED = true;

    static __device__ uint32_t two(const int (&levels)[8], int i) {
        return pack_halves(static_cast<float>(levels[i]), static_cast<float>(levels[i + 2]));
    }
    static __device__ uint16_t whole(int value) { return float_to_half(static_cast<float>(value)); }

    static __device__ void store(const FormArguments& a, int token, int column, const float (&values)[8]) {
        const int lane = threadIdx.x % 32, place = token % 8;
        const float2 found = Quantized<Block::Q8_K, Sums::WHOLE, GROUP>::find_scale(values);
        int levels[8], sum = 0;
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            levels[i] = min(127, __float2int_rn(__fmul_rn(values[i], found.x)));
            sum += levels[i];
        }
        uint8_t* row = a.levels + static_cast<int64_t>(column / 64) * a.level_stride + token / 8 * 1024 + place * 128;
        const int piece = column % 64 / 16 * 2, within = column % 16;
        *reinterpret_cast<uint2*>(row + (piece ^ place) * 16 + within) = make_uint2(two(levels, 0), two(levels, 4));
        *reinterpret_cast<uint2*>(row + ((piece + 1) ^ place) * 16 + within) =
            make_uint2(two(levels, 1), two(levels, 5));
        const int64_t tile = column / 256;
        if (lane == 0) a.scales[tile * a.scale_stride + token] = found.y;
        sum = sum_of_lanes<GROUP / 8>(sum);
        if (lane % (GROUP / 8) != 0) return;
        uint16_t* sums = reinterpret_cast<uint16_t*>(a.sums + tile * a.sum_stride + token / 8 * 256 + place * 32);
        const int group = column % 256 / GROUP, other = place / 4;
        if constexpr (GROUP == 16) sums[(group / 8 ^ other) * 8 + group % 8] = whole(sum);
        else {
            const int sixty_fourths = (sum + 32) >> 6;
            sums[other * 8 + group] = whole(sum - 64 * sixty_fourths);
            sums[(1 - other) * 8 + group] = whole(sixty_fourths);
        }
    }
};
