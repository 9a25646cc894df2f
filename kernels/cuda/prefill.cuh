// Flash attention of a prompt: the queries of consecutive tokens over the keys and values of all
// tokens up to the last of them, both as rows of one layer.
//
// A block works on TOKENS query tokens of one query head and goes through the keys in tiles of KEYS,
// with a running softmax per row. Each warp has its own query rows, 32 of them up to d 128, so that an
// operand that it loads of a key or a value serves two products; keys and values are the block's. There is one
// stage of each: the values of a tile are copied while its scores are made, and the next keys while the
// values are multiplied. The products are
//     scores[16 tokens x 8 keys] = Q[16 x channels] K^T,   out[16 tokens x 8 channels] += P[16 x keys] V
// where the weights P are the scores' registers, packed: their layouts agree. Queries are in shared memory and
// loaded again for each tile, because the sums leave no registers for them; at the end each warp puts
// its result where its queries were and writes it in runs of 16 bytes.
//
// Blocks with the most keys come first, and the query heads of a group are neighbours, which read the same keys.
#pragma once
#include "layout.cuh"

// Weights are scaled by 2^WEIGHT_LIFT before they are rounded, as in decode.cuh. The factor cancels.
constexpr float WEIGHT_LIFT = 8.0f;

template <int D>
struct PrefillShape {
    static constexpr int WARPS = 4;
    static constexpr int THREADS = WARPS * 32;
    // Of d 128 and below two fit the registers of a multiprocessor, and the shared memory of one of sm_80.
    static constexpr int BLOCKS = 2;
    // Products of 16 rows that a warp makes with one operand of keys or values.
    static constexpr int PARTS = D > 128 ? 1 : 2;
    static constexpr int WARP_TOKENS = 16 * PARTS;
    static constexpr int TOKENS = WARPS * WARP_TOKENS;
    // Bytes from row to row: an odd number of 16-byte units, so that 8 rows of one column lie in 8 different bank groups.
    static constexpr int PITCH = (D / 8 | 1) * 16;
    // Keys of a tile. Of d 128 more would not fit the registers.
    static constexpr int KEYS = D == 128 ? 48 : 64;
    // Queries, keys, values.
    static constexpr int KEY_STAGE = TOKENS * PITCH;
    static constexpr int VALUE_STAGE = KEY_STAGE + KEYS * PITCH;
    static constexpr int SHARED = VALUE_STAGE + KEYS * PITCH;
};

// Starts the copies of `ROWS_OF` rows of d elements by `THREADS` threads, of which this is number `thread`. Row r comes from
// `from + r * stride`; rows from `count` on become zeros.
template <int D, int ROWS_OF, int THREADS>
KX_DEVICE void load_rows(u8* to, const u16* from, u32 stride, u32 count, u32 thread) {
    constexpr u32 UNITS = D / 8;
    constexpr u32 PITCH = PrefillShape<D>::PITCH;
#pragma unroll 1
    for (u32 i = thread; i < ROWS_OF * UNITS; i += THREADS) {
        const u32 row = i / UNITS, unit = i % UNITS;
        kx_copy16_async(to + row * PITCH + unit * 16, from + (u64)min(row, count - 1) * stride + unit * 8, row < count);
    }
}

// The maximum over the 4 lanes that hold scores of the same row.
KX_DEVICE float largest_of_keys(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

KX_DEVICE float sum_of_keys(float x) {
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

template <class T, int D>
KX_DEVICE void prefill(const PrefillParams& params) {
    using Shape = PrefillShape<D>;
    constexpr int STEPS = D / 16, PARTS = Shape::PARTS, KEYS = Shape::KEYS, PITCH = Shape::PITCH;
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const u32 heads = params.kv_heads * params.group, head = blockIdx.x, kv_head = head / params.group;
    // Tokens are counted from the first query; its position is params.first.
    const u32 token = (gridDim.y - 1 - blockIdx.y) * Shape::TOKENS;
    const u32 tokens = min(params.queries - token, (u32)Shape::TOKENS);
    const u32 mine = warp * Shape::WARP_TOKENS;
    // Keys from the first that the block's first token sees to the last token's own.
    const u32 seen = params.first + token + tokens;
    const u32 start = params.first + token + 1 > params.window ? params.first + token + 1 - params.window : 0;
    const u32 stride = params.kv_heads * D;
    const u16* keys = (const u16*)params.k + kv_head * D;
    const u16* values = (const u16*)params.v + kv_head * D;
    u8* own = kx_shared() + mine * PITCH;
    u8* key_stage = kx_shared() + Shape::KEY_STAGE;
    u8* value_stage = kx_shared() + Shape::VALUE_STAGE;

    u32 tile = start / KEYS * KEYS;
    load_rows<D, Shape::TOKENS, Shape::THREADS>(kx_shared(), (const u16*)params.q + ((u64)token * heads + head) * D, heads * D, tokens, threadIdx.x);
    load_rows<D, KEYS, Shape::THREADS>(key_stage, keys + (u64)tile * stride, stride, seen - tile, threadIdx.x);
    kx_copies_commit();

    float out[PARTS][2 * STEPS][4];
    // Largest score and sum of weights of rows lane / 4 and lane / 4 + 8 of each part. The sums are of this lane's keys only.
    float largest[PARTS][2], total[PARTS][2];
#pragma unroll
    for (int part = 0; part < PARTS; part++) {
#pragma unroll
        for (int n = 0; n < 2 * STEPS; n++) {
#pragma unroll
            for (int k = 0; k < 4; k++) out[part][n][k] = 0.0f;
        }
#pragma unroll
        for (int k = 0; k < 2; k++) {
            largest[part][k] = -KX_INFINITY;
            total[part][k] = 0.0f;
        }
    }
    // Capped scores are scaled already.
    const float factor = params.cap > 0.0f ? 1.0f : params.scale;

    for (; tile < seen; tile += KEYS) {
        // Keys are in, and every warp is done with the last tile's values.
        kx_copies_wait<0>();
        __syncthreads();
        load_rows<D, KEYS, Shape::THREADS>(value_stage, values + (u64)tile * stride, stride, seen - tile, threadIdx.x);
        kx_copies_commit();

        float scores[PARTS][KEYS / 8][4];
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
                for (int k = 0; k < 4; k++) scores[part][n][k] = 0.0f;
            }
        }
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
            u32 a[PARTS][4];
#pragma unroll
            for (int part = 0; part < PARTS; part++) {
                kx_load_matrices(a[part], own + (part * 16 + lane % 16) * PITCH + (2 * step + lane / 16) * 16);
            }
#pragma unroll
            for (int n = 0; n < KEYS / 8; n += 2) {
                // Matrices: 8 keys, then half of the step's channels.
                u32 b[4];
                kx_load_matrices(b, key_stage + (n * 8 + lane / 16 * 8 + lane % 8) * PITCH + (2 * step + lane / 8 % 2) * 16);
#pragma unroll
                for (int two = 0; two < 2; two++) {
                    const u32 half[2] = {b[2 * two], b[2 * two + 1]};
#pragma unroll
                    for (int part = 0; part < PARTS; part++) kx_mma<T>(scores[part][n + two], a[part], half);
                }
            }
        }

        // Values are in, and every warp is done with the keys.
        kx_copies_wait<0>();
        __syncthreads();
        if (tile + KEYS < seen) load_rows<D, KEYS, Shape::THREADS>(key_stage, keys + (u64)(tile + KEYS) * stride, stride, seen - tile - KEYS, threadIdx.x);
        kx_copies_commit();

        if (params.cap > 0.0f) {
#pragma unroll
            for (int part = 0; part < PARTS; part++) {
#pragma unroll
                for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
                    for (int k = 0; k < 4; k++) {
                        // cap tanh(x / cap) = cap - 2 cap / (1 + e^(2 x / cap))
                        scores[part][n][k] = params.cap - 2.0f * params.cap * kx_reciprocal(1.0f + kx_exp2(scores[part][n][k] * params.steep));
                    }
                }
            }
        }
        // Positions of this warp's first and last row. Where both see all of the tile, so do those between.
        const u32 lowest = params.first + token + mine, highest = lowest + Shape::WARP_TOKENS - 1;
        if (tile + KEYS > lowest + 1 || highest - min(tile, highest) >= params.window) {
#pragma unroll
            for (int part = 0; part < PARTS; part++) {
#pragma unroll
                for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
                    for (int k = 0; k < 4; k++) {
                        const u32 position = lowest + part * 16 + lane / 4 + k / 2 * 8;
                        const u32 key = tile + n * 8 + lane % 4 * 2 + k % 2;
                        if (key > position || position - key >= params.window) scores[part][n][k] = -KX_INFINITY;
                    }
                }
            }
        }

        u32 p[PARTS][KEYS / 16][4];
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
#pragma unroll
            for (int k = 0; k < 2; k++) {
                float most = -KX_INFINITY;
#pragma unroll
                for (int n = 0; n < KEYS / 8; n++) most = fmaxf(most, fmaxf(scores[part][n][2 * k], scores[part][n][2 * k + 1]));
                const float risen = fmaxf(largest[part][k], largest_of_keys(most));
                // A row that has seen no key yet: all of its weights become 0.
                const float base = risen == -KX_INFINITY ? 0.0f : risen * factor;
                const float rescale = kx_exp2(largest[part][k] * factor - base), shift = base - WEIGHT_LIFT;
                largest[part][k] = risen;
                float sum = 0.0f;
#pragma unroll
                for (int n = 0; n < KEYS / 8; n++) {
                    const float low = kx_exp2(scores[part][n][2 * k] * factor - shift);
                    const float high = kx_exp2(scores[part][n][2 * k + 1] * factor - shift);
                    sum += low + high;
                    // Two neighbours of 8 keys are the 16 keys of one operand.
                    p[part][n / 2][n % 2 * 2 + k] = kx_pack<T>(low, high);
                }
                total[part][k] = total[part][k] * rescale + sum;
#pragma unroll
                for (int n = 0; n < 2 * STEPS; n++) {
                    out[part][n][2 * k] *= rescale;
                    out[part][n][2 * k + 1] *= rescale;
                }
            }
        }

#pragma unroll
        for (int sixteen = 0; sixteen < KEYS / 16; sixteen++) {
#pragma unroll
            for (int step = 0; step < STEPS; step++) {
                // Matrices: 8 keys, then 8 channels.
                u32 b[4];
                kx_load_matrices_transposed(b, value_stage + (sixteen * 16 + lane % 16) * PITCH + (2 * step + lane / 16) * 16);
#pragma unroll
                for (int two = 0; two < 2; two++) {
                    const u32 half[2] = {b[2 * two], b[2 * two + 1]};
#pragma unroll
                    for (int part = 0; part < PARTS; part++) kx_mma<T>(out[part][2 * step + two], p[part][sixteen], half);
                }
            }
        }
    }

    // Only this warp reads the rows of its queries.
    __syncwarp();
#pragma unroll
    for (int part = 0; part < PARTS; part++) {
#pragma unroll
        for (int k = 0; k < 2; k++) {
            const float sum = sum_of_keys(total[part][k]);
            const float share = sum > 0.0f ? 1.0f / sum : 0.0f;
            u8* row = own + (part * 16 + lane / 4 + k * 8) * PITCH + lane % 4 * 4;
#pragma unroll
            for (int n = 0; n < 2 * STEPS; n++) *(u32*)(row + n * 16) = kx_pack<T>(out[part][n][2 * k] * share, out[part][n][2 * k + 1] * share);
        }
    }
    __syncwarp();
    u16* to = (u16*)params.out + ((u64)(token + mine) * heads + head) * D;
    for (u32 i = lane; i < Shape::WARP_TOKENS * (D / 8); i += 32) {
        const u32 row = i / (D / 8), unit = i % (D / 8);
        if (mine + row < tokens) *(Vec16*)(to + (u64)row * heads * D + unit * 8) = *(const Vec16*)(own + row * PITCH + unit * 16);
    }
}
