// Attention's result where there are many splits: a column a thread, a head a block, a token a row of blocks.
//
// The numbers are those of the source `Splits`, rotated back if values are rotated in the cache. The sums of many splits are on their way at once, while the first warp
// finds what each is to be multiplied with.
#include "dependency.cuh"
#include "hadamard.cuh"
#include "sources.cuh"

constexpr int AT_ONCE = 64;

// What a split's sums are to be multiplied with, and its sum of weights.
struct SplitShares {
    Shares shares;
    float weight;
};

// The shares of up to AT_ONCE splits; `highest` is the highest score before them, and then with them. For a warp.
__device__ inline void find_shares(SplitShares (&found)[AT_ONCE], const float2* states, int n, float& highest) {
    const int lane = threadIdx.x;
    float2 parts[AT_ONCE / 32];
#pragma unroll
    for (int round = 0; round < AT_ONCE / 32; ++round) {
        const int i = round * 32 + lane;
        parts[round] = i < n ? states[i] : make_float2(-infinity(), 0);
    }
#pragma unroll
    for (int round = 0; round < AT_ONCE / 32; ++round) {
        float so_far = parts[round].x;
#pragma unroll
        for (int apart = 1; apart < 32; apart *= 2) {
            const float other = __shfl_up_sync(ALL_LANES, so_far, apart);
            if (lane >= apart) so_far = fmaxf(so_far, other);
        }
        const float others = __shfl_up_sync(ALL_LANES, so_far, 1);
        const float before = lane == 0 ? highest : fmaxf(highest, others);
        found[round * 32 + lane] = {shares(before, parts[round].x), parts[round].y};
        highest = fmaxf(highest, __shfl_sync(ALL_LANES, so_far, 31));
    }
}

__global__ void __launch_bounds__(256) merge_splits(const SourceArguments a, float* out, const int rotation) {
    __shared__ float row[256];
    __shared__ SplitShares found[AT_ONCE];
    release_successor();
    wait_for_predecessor();
    const Splits splits(a, blockIdx.y);
    const bool inside = threadIdx.x < a.value_size;
    const float* sums = splits.head_sums(blockIdx.x) + threadIdx.x;
    float highest = -infinity(), weight = 0, value = 0;
    for (int first = 0; first < splits.n_used; first += AT_ONCE) {
        const int n = min(AT_ONCE, splits.n_used - first);
        float parts[AT_ONCE];
#pragma unroll
        for (int i = 0; i < AT_ONCE; ++i)
            parts[i] = inside && i < n ? sums[static_cast<int64_t>(first + i) * a.value_size] : 0;
        __syncthreads();
        if (threadIdx.x < 32) find_shares(found, splits.head_states(blockIdx.x) + first, n, highest);
        __syncthreads();
#pragma unroll
        for (int i = 0; i < AT_ONCE; ++i) {
            if (i >= n) break;
            value = fold(value, parts[i], found[i].shares);
            weight = fold(weight, found[i].weight, found[i].shares);
        }
    }
    if (inside) row[threadIdx.x] = value / weight;
    rotate_row(row, a.value_size, rotation);
    if (inside)
        out[static_cast<int64_t>(blockIdx.y) * a.n_columns + blockIdx.x * a.value_size + threadIdx.x] = row[threadIdx.x];
}
