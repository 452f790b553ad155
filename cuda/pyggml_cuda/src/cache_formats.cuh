// The formats of keys and values in the cache: numbers go in one by one and come out eight at a time, as halves in shared
// memory; of formats that are more exact than halves the rest, as halves too.
#pragma once
#include "copy_async.cuh"
#include "paged_cache.cuh"

struct CacheHalf {
    static constexpr bool HAS_LOW = false;

    static __device__ void store(uint8_t* row, int i, float value) {
        reinterpret_cast<uint16_t*>(row)[i] = float_to_half(value);
    }
    static __device__ float round_query(float value) { return value; }
    template <int SIZE>
    static __device__ void copy_8(
        uint16_t* high, uint16_t*, const CacheRows& rows, int page, int slot, int head, int column) {
        copy_16_async(high, rows.row(page, slot, head) + 2 * column);
    }
};

// Its numbers are rounded to halves when they are used, which takes nothing from them but what is below 2^-24.
struct CacheBfloat {
    static constexpr bool HAS_LOW = false;

    static __device__ void store(uint8_t* row, int i, float value) {
        reinterpret_cast<uint16_t*>(row)[i] = float_to_bfloat(value);
    }
    static __device__ float round_query(float value) { return bfloat_to_float(float_to_bfloat(value)); }
    template <int SIZE>
    static __device__ void copy_8(
        uint16_t* high, uint16_t*, const CacheRows& rows, int page, int slot, int head, int column) {
        const uint4 eight = load_16_written(rows.row(page, slot, head) + 2 * column);
        *reinterpret_cast<uint4*>(high) = make_uint4(two(eight.x), two(eight.y), two(eight.z), two(eight.w));
    }

private:
    static __device__ uint32_t two(uint32_t both) {
        return pack_halves(bfloat_to_float(both & 0xFFFF), bfloat_to_float(both >> 16));
    }
};
