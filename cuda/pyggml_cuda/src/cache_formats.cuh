// The formats of keys and values in the cache: numbers go in one by one and come out eight at a time, as halves in shared memory.
#pragma once
#include "copy_async.cuh"

struct CacheHalf {
    static __device__ void store(uint8_t* row, int i, float value) {
        reinterpret_cast<uint16_t*>(row)[i] = float_to_half(value);
    }
    static __device__ void copy_8(uint16_t* shared, const uint8_t* row, int i) { copy_16_async(shared, row + i * 2); }
    static __device__ float round_query(float value) { return value; }
};

// Its numbers are rounded to halves when they are used, which takes nothing from them but what is below 2^-24.
struct CacheBfloat {
    static __device__ void store(uint8_t* row, int i, float value) {
        reinterpret_cast<uint16_t*>(row)[i] = float_to_bfloat(value);
    }
    static __device__ void copy_8(uint16_t* shared, const uint8_t* row, int i) {
        const uint4 eight = *reinterpret_cast<const uint4*>(row + i * 2);
        *reinterpret_cast<uint4*>(shared) = make_uint4(two(eight.x), two(eight.y), two(eight.z), two(eight.w));
    }
    static __device__ float round_query(float value) { return bfloat_to_float(float_to_bfloat(value)); }

private:
    static __device__ uint32_t two(uint32_t both) {
        return pack_halves(bfloat_to_float(both & 0xFFFF), bfloat_to_float(both >> 16));
    }
};
