// Matrix products with many tokens by warpgroups: a block for 128 rows and TOKENS tokens. One warp has the activations
// copied into a ring of runs of 64 columns; two warpgroups decode their rows' weights into registers and multiply.
//
// The results are those of matmul_few.cu and matmul_many.cu, bit for bit: sums over a tile are whole numbers, and floats
// are added in the same order.
#include "bulk_copy.cuh"
#include "dependency.cuh"
#include "half_operands.cuh"
#include "matmul_arguments.cuh"

constexpr int RUNS = 8;
constexpr int RUN_ROW_BYTES = 128;
constexpr int SUM_ROW_BYTES = 32;
constexpr int CONSUMER_WARPS = 8;

#if PYGGML_WARPGROUPS
template <int TOKENS>
struct Shared {
    uint8_t runs[RUNS][TOKENS * RUN_ROW_BYTES];
    uint8_t sums[2][TOKENS * SUM_ROW_BYTES];
    float scales[2][TOKENS];
    // The sums of the parts so far: those of a thread stand apart by the number of threads.
    float totals[TOKENS / 2][CONSUMER_WARPS * 32];
    // A run's bytes are there, with run 3 its tile's sums and scales; all warps have done with it.
    Barrier full[RUNS];
    Barrier empty[RUNS];
};

// The tiles that a block sums up, and the runs among them, which go around the ring.
struct Tiles {
    int first;
    int end;
};

__device__ inline Tiles tiles_of_block(const MatmulArguments& a) {
    if (gridDim.z == 1) return {0, a.n_tiles};
    return {first_of_part(a, blockIdx.z), first_of_part(a, blockIdx.z + 1)};
}

// Where in the ring a run stands, and how often the ring has gone around.
struct RingPlace {
    int stage = 0;
    uint32_t round = 0;

    __device__ void advance() {
        if (++stage < RUNS) return;
        stage = 0;
        ++round;
    }
};

template <int TOKENS>
__device__ inline void copy_activations(const MatmulArguments& a, Shared<TOKENS>& shared, Tiles tiles) {
    const int first_token = blockIdx.x * TOKENS;
    RingPlace at;
    for (int tile = tiles.first; tile < tiles.end; ++tile) {
        for (int run = 0; run < 4; ++run, at.advance()) {
            if (at.round > 0) wait_for_phase(&shared.empty[at.stage], (at.round - 1) & 1);
            Barrier* full = &shared.full[at.stage];
            const bool is_last = run == 3;
            expect_bytes(full, TOKENS * (RUN_ROW_BYTES + (is_last ? SUM_ROW_BYTES + 4 : 0)));
            const uint8_t* source =
                a.levels + (static_cast<int64_t>(tile) * 4 + run) * a.level_stride + first_token * RUN_ROW_BYTES;
            copy_bulk(shared.runs[at.stage], source, TOKENS * RUN_ROW_BYTES, full);
            // Slots of the tile before the last: its last run stood in the ring eight runs ago.
            if (!is_last) continue;
            const int slot = tile % 2;
            const uint8_t* sums = a.sums + static_cast<int64_t>(tile) * a.sum_stride + first_token * SUM_ROW_BYTES;
            copy_bulk(shared.sums[slot], sums, TOKENS * SUM_ROW_BYTES, full);
            copy_bulk(
                shared.scales[slot], a.scales + static_cast<int64_t>(tile) * a.scale_stride + first_token, TOKENS * 4,
                full);
        }
    }
}

// What becomes of a tile's sums: total[4 j + 2 h + i] is that of row g + 8 h and token 8 j + 2 t + i. `factors` are
// those of rows g and g + 8, `scales` those of the tokens.
template <int TOKENS>
__device__ inline void add_scaled(
    float (&total)[TOKENS / 2], const float (&sums)[TOKENS / 2], const float (&factors)[2], const float* scales, int t) {
#pragma unroll
    for (int j = 0; j < TOKENS / 8; ++j) {
        const float2 x = reinterpret_cast<const float2*>(scales)[4 * j + t];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const float factor = __fmul_rn(factors[i / 2], i % 2 ? x.y : x.x);
            total[4 * j + i] = __fmaf_rn(factor, sums[4 * j + i], total[4 * j + i]);
        }
    }
}

template <class F, int TOKENS>
struct Consumer {
    using Scales = typename F::Scales;
    using Unpacked = decltype(Scales::unpack(Tile<F>().scales[0]));

    const MatmulArguments& a;
    Shared<TOKENS>& shared;
    const int warp, lane, g, t;
    RowTile row_tile;
    float total[TOKENS / 2], sums[TOKENS / 2];
    RingPlace at;

    __device__ Consumer(const MatmulArguments& arguments, Shared<TOKENS>& memory)
        : a(arguments), shared(memory), warp(threadIdx.x / 32), lane(threadIdx.x % 32), g(lane / 4), t(lane % 4),
          row_tile(find_row_tile(a, min(wanted(), a.n_row_tiles - 1))) {}

    __device__ int wanted() const { return static_cast<int>(blockIdx.y) * CONSUMER_WARPS + warp; }

    __device__ void release(int stage) {
        __syncwarp();
        if (lane == 0) arrive(&shared.empty[stage]);
    }

    __device__ void clear() {
#pragma unroll
        for (float& each : total) each = 0;
    }

    // Begin the products of a run.
    __device__ void multiply(const HalfOperands<F>& operands, bool is_first) {
        wait_for_phase(&shared.full[at.stage], at.round & 1);
        const uint32_t run = shared_address(shared.runs[at.stage]);
        begin_products();
#pragma unroll
        for (int term = 0; term < HalfOperands<F>::TERMS; ++term)
#pragma unroll
            for (int i = 0; i < 4; ++i)
                multiply_16(sums, operands.a[4 * term + i], describe_128(run + 32 * i), is_first && term + i == 0);
        commit_products();
    }

    // The products of a tile whose first run has been decoded; `next` becomes the tile behind it.
    __device__ void add(Unpacked (&s)[2], Tile<F>& tile, HalfOperands<F> (&operands)[2], int index, const uint8_t* next) {
        const Unpacked own[2] = {s[0], s[1]};
#pragma unroll
        for (int run = 0; run < 4; ++run) {
            multiply(operands[run % 2], run == 0);
            const int stage = at.stage;
            at.advance();
            if (run > 0) {
                wait_for_products<1>();
                release((stage + RUNS - 1) % RUNS);
            }
            if (run < 3) operands[(run + 1) % 2].fill(tile.levels, s, run + 1);
            else if (next) unpack(s, tile, operands[0]);
            if (run == 2 && next) tile.load(next, lane);
        }
        wait_for_products<0>();
        settle(sums);
        finish(own, index);
        release((at.stage + RUNS - 1) % RUNS);
    }

    __device__ void unpack(Unpacked (&s)[2], const Tile<F>& tile, HalfOperands<F>& operands) {
        for (int h = 0; h < 2; ++h) s[h] = Scales::unpack(tile.scales[h]);
        operands.fill(tile.levels, s, 0);
    }

    __device__ void finish(const Unpacked (&s)[2], int index) {
        const int slot = index % 2;
        add_scaled<TOKENS>(total, sums, {s[0].scale, s[1].scale}, shared.scales[slot], t);
        if constexpr (Scales::MINIMUM) {
            uint32_t minimums[4];
            minimum_operands(s, Tile<F>::GROUPS, t, minimums);
            begin_products();
            multiply_16(sums, minimums, describe_32(shared_address(shared.sums[slot])), true);
            commit_products();
            wait_for_products<0>();
            settle(sums);
            add_scaled<TOKENS>(total, sums, {-s[0].minimum, -s[1].minimum}, shared.scales[slot], t);
        }
    }

    __device__ void run(Tiles tiles) {
        const uint8_t* source =
            a.weights[row_tile.matrix] +
            (static_cast<int64_t>(row_tile.index) * a.n_tiles + tiles.first) * Tile<F>::BYTES;
        Tile<F> tile;
        tile.load(source, lane);
        Unpacked s[2];
        HalfOperands<F> operands[2];
        unpack(s, tile, operands[0]);
        clear();
        int part = gridDim.z == 1 ? 0 : blockIdx.z, end = first_of_part(a, part + 1);
        const int first_part = part;
        for (int index = tiles.first; index < tiles.end; ++index) {
            source += Tile<F>::BYTES;
            add(s, tile, operands, index, index + 1 < tiles.end ? source : nullptr);
            if (index + 1 < end) continue;
            keep_part(part == first_part);
            end = first_of_part(a, ++part + 1);
        }
    }

    // A part is over: its sums are added to those of the parts before.
    __device__ void keep_part(bool is_first) {
#pragma unroll
        for (int i = 0; i < TOKENS / 2; ++i) {
            float& place = shared.totals[i][threadIdx.x];
            place = __fadd_rn(is_first ? 0 : place, total[i]);
        }
        clear();
    }

    __device__ void write() {
        if (wanted() >= a.n_row_tiles) return;
        const int first_token = blockIdx.x * TOKENS;
#pragma unroll 4
        for (int i = 0; i < TOKENS / 2; ++i) {
            const int token = first_token + i / 4 * 8 + 2 * t + i % 2, row = g + i % 4 / 2 * 8;
            const float value = shared.totals[i][threadIdx.x];
            if (gridDim.z == 1) write_product(a, row_tile, row, token, value);
            else if (token < a.n_tokens)
                a.parts[(static_cast<int64_t>(blockIdx.z) * a.n_tokens + token) * a.n_row_tiles * 16 + wanted() * 16 + row] =
                    value;
        }
    }
};
#endif

// A third warpgroup, of which one thread copies, gives its registers to the two that multiply.
template <class F, int TOKENS>
__global__ void __launch_bounds__((CONSUMER_WARPS + 4) * 32, 1) matmul_wide(const MatmulArguments a) {
#if PYGGML_WARPGROUPS
    extern __shared__ uint4 memory[];
    // The ring begins at a multiple of 1024.
    Shared<TOKENS>& shared = *reinterpret_cast<Shared<TOKENS>*>(
        reinterpret_cast<uint8_t*>(memory) + (-shared_address(memory) & 1023));
    if (threadIdx.x == 0) {
        for (int i = 0; i < RUNS; ++i) {
            begin_barrier(&shared.full[i], 1);
            begin_barrier(&shared.empty[i], CONSUMER_WARPS);
        }
        show_barriers();
    }
    __syncthreads();
    release_successor();
    const Tiles tiles = tiles_of_block(a);
    if (threadIdx.x < CONSUMER_WARPS * 32) {
        more_registers<240>();
        Consumer<F, TOKENS> consumer(a, shared);
        consumer.run(tiles);
        wait_for_predecessor();
        consumer.write();
    } else {
        fewer_registers<24>();
        if (threadIdx.x == CONSUMER_WARPS * 32) {
            wait_for_predecessor();
            copy_activations(a, shared, tiles);
        }
    }
#endif
}

// The sums of the parts that blocks have found, in order: a thread for a row and a token.
__global__ void __launch_bounds__(256) add_parts(const MatmulArguments a) {
    release_successor();
    wait_for_predecessor();
    const int n_rows = a.n_row_tiles * 16, row = blockIdx.x * 256 + threadIdx.x, token = blockIdx.y;
    if (row >= n_rows) return;
    const int64_t apart = static_cast<int64_t>(a.n_tokens) * n_rows;
    const float* parts = a.parts + static_cast<int64_t>(token) * n_rows + row;
    float value = 0;
    for (int part = 0; part < a.n_parts; ++part) value = __fadd_rn(value, parts[part * apart]);
    write_product(a, find_row_tile(a, row / 16), row % 16, token, value);
}
