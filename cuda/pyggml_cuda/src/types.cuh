// Integers of known size and 16-bit floats, without the toolkit's headers: a driver and NVRTC are all that is needed.
#pragma once

using int8_t = signed char;
using uint8_t = unsigned char;
using int16_t = short;
using uint16_t = unsigned short;
using uint32_t = unsigned int;
using int64_t = long long;
using uint64_t = unsigned long long;

[[maybe_unused]] constexpr unsigned ALL_LANES = 0xFFFFFFFFu;

__device__ inline float infinity() { return __int_as_float(0x7F800000); }

__device__ inline float half_to_float(uint16_t bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}

__device__ inline uint16_t float_to_half(float value) {
    uint16_t bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}

__device__ inline float through_half(float value) { return half_to_float(float_to_half(value)); }

// Two halves in a register, the first in its low bits.
__device__ inline uint32_t pack_halves(float first, float second) {
#if __CUDA_ARCH__ >= 800
    uint32_t both;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
    return both;
#else
    return float_to_half(first) | static_cast<uint32_t>(float_to_half(second)) << 16;
#endif
}

// What two floats are more than the halves that they are packed to.
__device__ inline uint32_t pack_rest(float first, float second, uint32_t halves) {
    return pack_halves(first - half_to_float(halves & 0xFFFF), second - half_to_float(halves >> 16));
}

__device__ inline float bfloat_to_float(uint16_t bits) { return __uint_as_float(static_cast<uint32_t>(bits) << 16); }

// To the nearest, ties to even; a NaN stays one.
__device__ inline uint16_t float_to_bfloat(float value) {
    const uint32_t bits = __float_as_uint(value);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>(bits >> 16 | 64);
    return static_cast<uint16_t>((bits + (0x7FFFu + (bits >> 16 & 1))) >> 16);
}

// A half at an address that is a multiple of 1 only, as in blocks of a file.
__device__ inline float unaligned_half(const uint8_t* bytes) {
    return half_to_float(static_cast<uint16_t>(bytes[0] | bytes[1] << 8));
}

// 16 bytes of memory that no kernel writes while this one runs.
__device__ inline uint4 load_16(const void* address) { return __ldg(static_cast<const uint4*>(address)); }
