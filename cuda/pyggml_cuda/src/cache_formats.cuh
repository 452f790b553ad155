// The formats of keys and values in the cache: numbers go in one by one and come out eight at a time, as halves.
#pragma once
#include "types.cuh"

struct CacheHalf {
    static __device__ void store(uint8_t* row, int i, float value) {
        reinterpret_cast<uint16_t*>(row)[i] = float_to_half(value);
    }
    static __device__ uint4 load_8(const uint8_t* row, int i) { return *reinterpret_cast<const uint4*>(row + i * 2); }
    static __device__ float round_query(float value) { return value; }
};

// Its numbers are rounded to halves when they are used, which takes nothing from them but what is below 2^-24.
struct CacheBfloat {
    static __device__ void store(uint8_t* row, int i, float value) {
        reinterpret_cast<uint16_t*>(row)[i] = float_to_bfloat(value);
    }
    static __device__ uint4 load_8(const uint8_t* row, int i) {
        const uint4 eight = *reinterpret_cast<const uint4*>(row + i * 2);
        return make_uint4(two(eight.x), two(eight.y), two(eight.z), two(eight.w));
    }
    static __device__ float round_query(float value) { return bfloat_to_float(float_to_bfloat(value)); }

private:
    static __device__ uint32_t two(uint32_t both) {
        return pack_halves(bfloat_to_float(both & 0xFFFF), bfloat_to_float(both >> 16));
    }
};

struct CacheFloat {
    static __device__ void store(uint8_t* row, int i, float value) { reinterpret_cast<float*>(row)[i] = value; }
    static __device__ uint4 load_8(const uint8_t* row, int i) {
        const float4 a = reinterpret_cast<const float4*>(row)[i / 4], b = reinterpret_cast<const float4*>(row)[i / 4 + 1];
        return make_uint4(pack_halves(a.x, a.y), pack_halves(a.z, a.w), pack_halves(b.x, b.y), pack_halves(b.z, b.w));
    }
    static __device__ float round_query(float value) { return value; }
};
