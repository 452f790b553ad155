// Levels times their group's scale, as halves that a warpgroup multiplies: whole numbers that a half holds exactly, so
// that sums over a tile's 256 columns come out exact, as they do with bytes (tile_product.cuh).
//
// Of the 16 columns of a product, activations are the halves 2 t, 2 t + 8, 2 t + 1, 2 t + 9 for columns 4 t to 4 t + 3.
#pragma once
#include "tile_product.cuh"

__device__ inline uint32_t fma_halves(uint32_t a, uint32_t b, uint32_t c) {
    uint32_t d;
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
    return d;
}

__device__ inline uint32_t two_halves(float value) { return float_to_half(value) * 0x10001u; }

// Bytes i and j of a word, as 1024 and more in halves.
template <int I, int J>
__device__ inline uint32_t bytes_as_halves(uint32_t word) {
    return __byte_perm(word, 0x64646464u, I | 0x40 | J << 8 | 0x4000);
}

// What a byte has been raised by when it stands in a half.
template <bool SIGNED>
constexpr float RAISED = SIGNED ? 1024 + 128 : 1024;

template <bool SIGNED>
__device__ inline uint32_t raised(uint32_t bytes) {
    return SIGNED ? bytes ^ 0x80808080u : bytes;
}

// Four groups' scales as pairs of equal halves: what levels at the top of bytes are multiplied with, and what is added
// to take away by how much they were raised.
template <class Levels, bool SIGNED_SCALES, int SCALE_UNIT>
struct HalfScalesOfFour {
    uint32_t factors[4];
    uint32_t addends[4];

    __device__ explicit HalfScalesOfFour(uint32_t bytes) {
        constexpr float FACTOR = 1.0f / (Levels::UNIT * SCALE_UNIT);
        const uint32_t factor = two_halves(FACTOR), less = two_halves(-RAISED<SIGNED_SCALES> * FACTOR);
        const uint32_t codes = raised<SIGNED_SCALES>(bytes);
        const uint32_t pairs[2] = {
            fma_halves(bytes_as_halves<0, 1>(codes), factor, less),
            fma_halves(bytes_as_halves<2, 3>(codes), factor, less)};
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            factors[i] = __byte_perm(pairs[i / 2], 0, i % 2 ? 0x3232 : 0x1010);
            addends[i] = fma_halves(factors[i], two_halves(-RAISED<Levels::SIGNED>), 0);
        }
    }
};

// The operands of 64 columns: four products of 16 columns, or twice as many where scales have too many bits for one.
template <class F>
struct HalfOperands {
    using Levels = typename F::Levels;
    using Scales = typename F::Scales;
    // Scales of eight bits times levels of six do not fit into a half: their multiples of eight and the rest go apart.
    static constexpr int TERMS = Scales::SIGNED_SCALES && Scales::SCALE_UNIT == 1 ? 2 : 1;
    uint32_t a[4 * TERMS][4];

    // Run `run` of 64 columns, a constant; the scales of rows g and g + 8.
    template <class S>
    __device__ void fill(const Levels& levels, const S (&s)[2], int run) {
        constexpr int GROUPS = 64 / Scales::GROUP;
        constexpr bool SIGNED = Scales::SIGNED_SCALES;
#pragma unroll
        for (int term = 0; term < TERMS; ++term) {
            using First = HalfScalesOfFour<Levels, SIGNED, Scales::SCALE_UNIT>;
            using Second = HalfScalesOfFour<Levels, false, Scales::SCALE_UNIT>;
            uint32_t factors[2][4], addends[2][4];
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                const uint32_t bytes = GROUPS == 4 ? s[h].scales[run] : s[h].scales[run / 2] >> 16 * (run % 2);
                if (term == 0) take(First(TERMS == 1 ? bytes : bytes & 0xF8F8F8F8u), factors[h], addends[h]);
                else take(Second(bytes & 0x07070707u), factors[h], addends[h]);
            }
#pragma unroll
            for (int step = 0; step < 2; ++step) {
                uint32_t bytes[4];
                levels.operands(2 * run + step, bytes);
#pragma unroll
                for (int half = 0; half < 2; ++half) {
                    const int group = GROUPS == 4 ? 2 * step + half : step;
                    uint32_t(&to)[4] = a[4 * term + 2 * step + half];
#pragma unroll
                    for (int h = 0; h < 2; ++h) {
                        const uint32_t codes = raised<Levels::SIGNED>(bytes[2 * half + h]);
                        to[h] = fma_halves(bytes_as_halves<0, 2>(codes), factors[h][group], addends[h][group]);
                        to[h + 2] = fma_halves(bytes_as_halves<1, 3>(codes), factors[h][group], addends[h][group]);
                    }
                }
            }
        }
    }

private:
    template <class Four>
    static __device__ void take(const Four& from, uint32_t (&factors)[4], uint32_t (&addends)[4]) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            factors[i] = from.factors[i];
            addends[i] = from.addends[i];
        }
    }
};

// The minimums of rows g and g + 8 as one product's operand. Its columns are, with groups of 32, the remainders of the
// groups' sums over 64 and then these sixty-fourths; with groups of 16 their sums.
template <class S>
__device__ inline void minimum_operands(const S (&s)[2], int groups, int t, uint32_t (&a)[4]) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            const int word = groups == 8 ? 0 : 2 * i;
            const uint32_t bytes = (t & 2 ? s[h].minimums[word + 1] : s[h].minimums[word]) >> 16 * (t & 1);
            const uint32_t minimums = fma_halves(bytes_as_halves<0, 1>(bytes), two_halves(1), two_halves(-1024));
            a[h + 2 * i] = fma_halves(minimums, two_halves(groups == 8 && i == 1 ? 64 : 1), 0);
        }
    }
}
