// Rows of a matrix of floats by their numbers; a block a row.
#include "dependency.cuh"

__global__ void __launch_bounds__(256) select_rows(const float* x, const int* rows, float* out, int n_columns) {
    release_successor();
    wait_for_predecessor();
    const float* source = x + static_cast<int64_t>(rows[blockIdx.x]) * n_columns;
    float* target = out + static_cast<int64_t>(blockIdx.x) * n_columns;
    for (int i = threadIdx.x; i < n_columns; i += 256) target[i] = source[i];
}

// The sum of two matrices; one element a thread.
__global__ void __launch_bounds__(256) add(const float* left, const float* right, float* out, int64_t n) {
    release_successor();
    wait_for_predecessor();
    const int64_t i = static_cast<int64_t>(blockIdx.x) * 256 + threadIdx.x;
    if (i < n) out[i] = left[i] + right[i];
}
