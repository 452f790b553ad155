// Where rows of activations come from: each source computes eight numbers of a row that follow each other.
#pragma once
#include "running_softmax.cuh"

struct SourceArguments {
    const float* first;   // rows: x, gate, or the partial results of attention
    const float* second;  // up; a norm's weight; GELU's bias or null; weights and highest scores of attention's splits
    const float* third;   // the layer norm's bias
    const int* positions;
    int n_columns;
    float epsilon;
    int value_size;
    int n_splits;
    int split_size;
    int rotation;  // the length of the Hadamard rotation that attention's result is rotated back by, 0 for none
};

__device__ inline void load_8(const float* from, float (&to)[8]) {
    const float4 low = *reinterpret_cast<const float4*>(from), high = *reinterpret_cast<const float4*>(from + 4);
    const float values[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
    for (int i = 0; i < 8; ++i) to[i] = values[i];
}

// The rows as they are.
struct Plain {
    const float* row;

    __device__ Plain(const SourceArguments& a, int token) : row(a.first + static_cast<int64_t>(token) * a.n_columns) {}
    __device__ void load(int column, float (&values)[8]) const { load_8(row + column, values); }
};

// The sum over a block of 256 threads; `parts` is shared memory that nothing else uses.
__device__ inline double sum_of_block(double own, double (&parts)[8]) {
    for (int apart = 16; apart; apart /= 2) own += __shfl_xor_sync(ALL_LANES, own, apart);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = own;
    __syncthreads();
    double total = 0;
    for (double each : parts) total += each;
    return total;
}

// Root mean square normalization (arXiv:1910.07467); every block of a row computes its mean anew. 256 threads.
struct RMSNorm {
    const float* row;
    const float* weight;
    float scale;

    __device__ RMSNorm(const SourceArguments& a, int token)
        : row(a.first + static_cast<int64_t>(token) * a.n_columns), weight(a.second) {
        __shared__ double sums[8];
        double total = 0;
        for (int i = threadIdx.x; i < a.n_columns; i += 256) total += static_cast<double>(__fmul_rn(row[i], row[i]));
        scale = 1.0f / sqrtf(static_cast<float>(sum_of_block(total, sums) / a.n_columns) + a.epsilon);
    }
    __device__ void load(int column, float (&values)[8]) const {
        float weights[8];
        load_8(row + column, values);
        load_8(weight + column, weights);
#pragma unroll
        for (int i = 0; i < 8; ++i) values[i] = __fmul_rn(__fmul_rn(values[i], scale), weights[i]);
    }
};

// Layer normalization (arXiv:1607.06450), as RMSNorm.
struct LayerNorm {
    const float* row;
    const float* weight;
    const float* bias;
    float mean;
    float scale;

    __device__ LayerNorm(const SourceArguments& a, int token)
        : row(a.first + static_cast<int64_t>(token) * a.n_columns), weight(a.second), bias(a.third) {
        __shared__ double sums[8], squares[8];
        double total = 0;
        for (int i = threadIdx.x; i < a.n_columns; i += 256) total += static_cast<double>(row[i]);
        mean = static_cast<float>(sum_of_block(total, sums) / a.n_columns);
        total = 0;
        for (int i = threadIdx.x; i < a.n_columns; i += 256) {
            const float apart = row[i] - mean;
            total += static_cast<double>(__fmul_rn(apart, apart));
        }
        scale = 1.0f / sqrtf(static_cast<float>(sum_of_block(total, squares) / a.n_columns) + a.epsilon);
    }
    __device__ void load(int column, float (&values)[8]) const {
        float weights[8], biases[8];
        load_8(row + column, values);
        load_8(weight + column, weights);
        load_8(bias + column, biases);
#pragma unroll
        for (int i = 0; i < 8; ++i)
            values[i] = __fadd_rn(__fmul_rn(__fmul_rn(values[i] - mean, scale), weights[i]), biases[i]);
    }
};

// The Gaussian error linear unit (arXiv:1606.08415) by an approximation: with tanh, or the quick one. Both are
// x / (1 + exp(-2 u)), with u = sqrt(2 / pi) (x + 0.044715 x^3) or u = 0.851 x.
// A bias is added first.
template <bool QUICK>
struct GELU {
    const float* row;
    const float* bias;

    __device__ GELU(const SourceArguments& a, int token)
        : row(a.first + static_cast<int64_t>(token) * a.n_columns), bias(a.second) {}
    __device__ void load(int column, float (&values)[8]) const {
        load_8(row + column, values);
        if (bias) {
            float biases[8];
            load_8(bias + column, biases);
#pragma unroll
            for (int i = 0; i < 8; ++i) values[i] += biases[i];
        }
#pragma unroll
        for (float& x : values) {
            const float exponent = QUICK ? -1.702f * x : -1.5957691216057308f * x * (x * x * 0.044715f + 1.0f);
            x = x / (expf(exponent) + 1.0f);
        }
    }
};

// silu(gate) * up (arXiv:2002.05202).
struct SwiGLU {
    const float* gate;
    const float* up;

    __device__ SwiGLU(const SourceArguments& a, int token)
        : gate(a.first + static_cast<int64_t>(token) * a.n_columns),
          up(a.second + static_cast<int64_t>(token) * a.n_columns) {}
    __device__ void load(int column, float (&values)[8]) const {
        float ups[8];
        load_8(gate + column, values);
        load_8(up + column, ups);
#pragma unroll
        for (int i = 0; i < 8; ++i) values[i] = values[i] / (1.0f + expf(-values[i])) * ups[i];
    }
};

// The result of attention for a token, from the parts that it found, one for each split of the positions (attention.cu).
struct Splits {
    static constexpr int AT_ONCE = 4;  // splits that are on their way together

    const float* sums;
    const float* states;
    int n_used;
    int n_splits;
    int value_size;

    __device__ Splits(const SourceArguments& a, int token) : n_splits(a.n_splits), value_size(a.value_size) {
        const int64_t first = static_cast<int64_t>(token) * (a.n_columns / value_size) * n_splits;
        sums = a.first + first * value_size;
        states = a.second + first * 2;
        n_used = min(a.positions[token] / a.split_size + 1, n_splits);
    }
    __device__ const float2* head_states(int head) const {
        return reinterpret_cast<const float2*>(states) + static_cast<int64_t>(head) * n_splits;
    }
    __device__ const float* head_sums(int head) const {
        return sums + static_cast<int64_t>(head) * n_splits * value_size;
    }
    __device__ void load(int column, float (&values)[8]) const {
        const float2* state = head_states(column / value_size);
        const float* sum = head_sums(column / value_size) + column % value_size;
        SoftmaxState so_far = no_position();
#pragma unroll
        for (float& value : values) value = 0;
        for (int first = 0; first < n_used; first += AT_ONCE) {
            float2 states[AT_ONCE];
            float parts[AT_ONCE][8];
#pragma unroll
            for (int i = 0; i < AT_ONCE; ++i) {
                const int split = min(first + i, n_used - 1);
                states[i] = state[split];
                load_8(sum + split * value_size, parts[i]);
            }
#pragma unroll
            for (int i = 0; i < AT_ONCE; ++i) {
                if (first + i == n_used) break;
                const Shares share = shares(so_far.highest, states[i].x);
                so_far.highest = fmaxf(so_far.highest, states[i].x);
                so_far.weight = fold(so_far.weight, states[i].y, share);
#pragma unroll
                for (int k = 0; k < 8; ++k) values[k] = fold(values[k], parts[i][k], share);
            }
        }
#pragma unroll
        for (float& value : values) value /= so_far.weight;
    }
};
