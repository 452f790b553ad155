// Matrices of 8 x 8 halves from shared memory into the order of the tensor cores' operands: four at once.
#pragma once
#include "types.cuh"

__device__ inline void load_matrices(uint32_t (&r)[4], const uint16_t* address) {
    const uint32_t shared = static_cast<uint32_t>(__cvta_generic_to_shared(address));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared) : "memory");
}

__device__ inline void load_matrices_transposed(uint32_t (&r)[4], const uint16_t* address) {
    const uint32_t shared = static_cast<uint32_t>(__cvta_generic_to_shared(address));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared) : "memory");
}
