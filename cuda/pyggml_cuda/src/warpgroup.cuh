// Products by warpgroups: four warps whose tensor cores multiply 64 rows in registers with columns in shared memory
// (compute capability 9.0, compiled as 9.0a).
//
// Of A (64 x 16) and of the sums, warp w has rows 16 w to 16 w + 15, in the places that mma.cuh gives for 16-bit floats.
// B (16 x TOKENS) lies in shared memory token by token, 128 or 32 bytes each; in every eight tokens the 16-byte pieces of
// a token change places: piece i of token n stands at i ^ n % 8, or at i ^ n % 8 / 4 with 32 bytes.
#pragma once
#include "types.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define PYGGML_WARPGROUPS 1
#else
#define PYGGML_WARPGROUPS 0
#endif

__device__ inline uint32_t shared_address(const void* pointer) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

#if PYGGML_WARPGROUPS
// Where tokens of 128 bytes begin (a multiple of 1024), or within the first of them; eight tokens are 1024 bytes.
__device__ inline uint64_t describe_128(uint32_t address) {
    return (address >> 4 & 0x3FFF) | 1ull << 16 | (1024ull >> 4) << 32 | 1ull << 62;
}

// Where tokens of 32 bytes begin; eight are 256 bytes.
__device__ inline uint64_t describe_32(uint32_t address) {
    return (address >> 4 & 0x3FFF) | 1ull << 16 | (256ull >> 4) << 32 | 3ull << 62;
}

// Registers of each thread of a warpgroup from here on.
template <int N>
__device__ inline void more_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
}

template <int N>
__device__ inline void fewer_registers() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
}

__device__ inline void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// All committed groups but the last `PENDING` are over.
template <int PENDING>
__device__ inline void wait_for_products() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory");
}

// The compiler does not see that products write these until they are over.
template <int N>
__device__ inline void settle(float (&d)[N]) {
#pragma unroll
    for (float& each : d) asm volatile("" : "+f"(each)::"memory");
}

#define PYGGML_D4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define PYGGML_D16(i) PYGGML_D4(i), PYGGML_D4(i + 4), PYGGML_D4(i + 8), PYGGML_D4(i + 12)

// d (+)= a b over 16 columns; not added to what was there if `is_first`.
__device__ inline void multiply_16(float (&d)[32], const uint32_t (&a)[4], uint64_t b, bool is_first) {
    asm volatile(
        "{ .reg .pred p; setp.eq.b32 p, %37, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
        "{%32, %33, %34, %35}, %36, p, 1, 1, 0; }\n"
        : PYGGML_D16(0), PYGGML_D16(16)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(is_first)));
}

__device__ inline void multiply_16(float (&d)[64], const uint32_t (&a)[4], uint64_t b, bool is_first) {
    asm volatile(
        "{ .reg .pred p; setp.eq.b32 p, %69, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
        "{%64, %65, %66, %67}, %68, p, 1, 1, 0; }\n"
        : PYGGML_D16(0), PYGGML_D16(16), PYGGML_D16(32), PYGGML_D16(48)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(is_first)));
}
#endif
