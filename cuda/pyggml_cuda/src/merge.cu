// Attention's result where there are many splits: a column a thread, a head a block, a token a row of blocks. The
// numbers are those of the source `Splits`, which has too few threads for so much to read.
#include "dependency.cuh"
#include "sources.cuh"

__global__ void __launch_bounds__(256) merge_splits(const SourceArguments a, float* out) {
    release_successor();
    wait_for_predecessor();
    const int column = blockIdx.x * a.value_size + threadIdx.x;
    float value[1];
    Splits(a, blockIdx.y).merge(column, value);
    out[static_cast<int64_t>(blockIdx.y) * a.n_columns + column] = value[0];
}
