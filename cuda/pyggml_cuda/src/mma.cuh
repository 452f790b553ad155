// Tensor-core products of 16 rows of weights and 8 columns of activations.
//
// Lane 4 g + t holds of A rows g and g + 8, of B column g, of C rows g (c[0], c[1]) and g + 8 (c[2], c[3]) in columns
// 2 t and 2 t + 1. With bytes, register a0 and a1 are k = 4 t .. 4 t + 3 of the two rows, a2 and a3 k + 16; b0 and b1
// likewise. With 16-bit floats, a0 and a1 are k = 2 t and 2 t + 1, a2 and a3 k + 8.
#pragma once
#include "types.cuh"

// The sum d = a b + c; for c that is zero in all elements no register is needed.
#define PYGGML_MMA_BYTES_8x8x16(KIND, d0, d1, a, b, c0, c1)                                      \
    asm("mma.sync.aligned.m8n8k16.row.col.s32." KIND ".s8.s32 {%0, %1}, {%2}, {%3}, {%4, %5};"   \
        : "=r"(d0), "=r"(d1)                                                                     \
        : "r"(a), "r"(b), "r"(c0), "r"(c1))

#define PYGGML_MMA_BYTES_16x8x16(KIND, d, a0, a1, b, c)                                               \
    asm("mma.sync.aligned.m16n8k16.row.col.s32." KIND ".s8.s32 {%0, %1, %2, %3}, {%4, %5}, {%6}, "    \
        "{%7, %8, %9, %10};"                                                                          \
        : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])                                              \
        : "r"(a0), "r"(a1), "r"(b), "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3]))

#define PYGGML_MMA_BYTES_16x8x32(KIND, d, a, b0, b1, c)                                                        \
    asm("mma.sync.aligned.m16n8k32.row.col.s32." KIND ".s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, " \
        "{%10, %11, %12, %13};"                                                                                \
        : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])                                                       \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3]))

// d = a b + c over 16 columns of bytes; weights are signed or not, activations always.
template <bool SIGNED>
__device__ inline void mma_bytes_16(int (&d)[4], uint32_t a0, uint32_t a1, uint32_t b, const int (&c)[4]) {
#if __CUDA_ARCH__ >= 800
    if constexpr (SIGNED) PYGGML_MMA_BYTES_16x8x16("s8", d, a0, a1, b, c);
    else PYGGML_MMA_BYTES_16x8x16("u8", d, a0, a1, b, c);
#else
    if constexpr (SIGNED) {
        PYGGML_MMA_BYTES_8x8x16("s8", d[0], d[1], a0, b, c[0], c[1]);
        PYGGML_MMA_BYTES_8x8x16("s8", d[2], d[3], a1, b, c[2], c[3]);
    } else {
        PYGGML_MMA_BYTES_8x8x16("u8", d[0], d[1], a0, b, c[0], c[1]);
        PYGGML_MMA_BYTES_8x8x16("u8", d[2], d[3], a1, b, c[2], c[3]);
    }
#endif
}

// d = a b + c over 32 columns of bytes.
template <bool SIGNED>
__device__ inline void mma_bytes_32(int (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, const int (&c)[4]) {
#if __CUDA_ARCH__ >= 800
    if constexpr (SIGNED) PYGGML_MMA_BYTES_16x8x32("s8", d, a, b0, b1, c);
    else PYGGML_MMA_BYTES_16x8x32("u8", d, a, b0, b1, c);
#else
    mma_bytes_16<SIGNED>(d, a[0], a[1], b0, c);
    mma_bytes_16<SIGNED>(d, a[2], a[3], b1, d);
#endif
}

// c += a b over 16 columns of halves.
__device__ inline void mma_halves(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(b0));
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[2]), "r"(a[3]), "r"(b1));
#endif
}
