// Attention's result where there are many splits: a column a thread, a head a block, a token a row of blocks.
//
// The numbers are those of the source `Splits`. What each split is multiplied with is found first, by all threads, so
// that nothing stands between the loads of the sums.
#include "dependency.cuh"
#include "sources.cuh"

constexpr int AT_ONCE = 256;

__global__ void __launch_bounds__(256) merge_splits(const SourceArguments a, float* out) {
    __shared__ float2 parts[AT_ONCE];
    __shared__ Shares part_shares[AT_ONCE];
    release_successor();
    wait_for_predecessor();
    const Splits splits(a, blockIdx.y);
    const float2* states = splits.head_states(blockIdx.x);
    const float* sums = splits.head_sums(blockIdx.x) + threadIdx.x;
    SoftmaxState so_far = no_position();
    float value = 0;
    for (int first = 0; first < splits.n_used; first += AT_ONCE) {
        const int n = min(AT_ONCE, splits.n_used - first);
        __syncthreads();
        for (int i = threadIdx.x; i < n; i += blockDim.x) parts[i] = states[first + i];
        __syncthreads();
        for (int i = threadIdx.x; i < n; i += blockDim.x) {
            float highest = so_far.highest;
            for (int before = 0; before < i; ++before) highest = fmaxf(highest, parts[before].x);
            part_shares[i] = shares(highest, parts[i].x);
        }
        __syncthreads();
#pragma unroll 16
        for (int i = 0; i < n; ++i) {
            value = fold(value, sums[static_cast<int64_t>(first + i) * a.value_size], part_shares[i]);
            so_far.weight = fold(so_far.weight, parts[i].y, part_shares[i]);
            so_far.highest = fmaxf(so_far.highest, parts[i].x);
        }
    }
    out[static_cast<int64_t>(blockIdx.y) * a.n_columns + blockIdx.x * a.value_size + threadIdx.x] = value / so_far.weight;
}
