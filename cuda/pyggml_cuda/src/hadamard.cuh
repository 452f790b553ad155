// The Walsh-Hadamard rotation around a quantized cache: see pyggml_kernels/hadamard.py, whose bits these are.
#pragma once
#include "types.cuh"

// Transform runs of `size` numbers of a row in shared memory in place, all threads of a block; 0: do nothing.
__device__ inline void rotate_row(float* row, int n, int size) {
    if (size == 0) return;
    for (int width = 1; width < size; width *= 2) {
        __syncthreads();
        for (int pair = threadIdx.x; pair < n / 2; pair += blockDim.x) {
            const int i = pair / width * 2 * width + pair % width;
            const float first = row[i], second = row[i + width];
            row[i] = __fadd_rn(first, second);
            row[i + width] = __fsub_rn(first, second);
        }
    }
    __syncthreads();
    const float factor = __fdiv_rn(1.0f, __fsqrt_rn(static_cast<float>(size)));
    for (int i = threadIdx.x; i < n; i += blockDim.x) row[i] = __fmul_rn(row[i], factor);
}
