// Flash decoding over a pruned cache, and the merge of its parts.
//
// A work item is the query heads of one KV head of one sequence over a range of rows of the window or
// of the middle. The grid has a fixed number of blocks, which take items in turn until none is left:
// the number of items is in memory, so that a recorded launch serves every plan. Each warp goes through tiles of 16 rows with its own two stages
// of shared memory and its own running softmax, so the loop needs no barrier across warps; the only
// one comes after the loop. The products run on the tensor cores, with the (up to 8) query heads of
// the group as the dimension of 8:
//     scores[16 rows x 8 heads] = K[16 x channels] Q^T,   out[channels x 8 heads] += V^T[channels x 16 rows] P^T
// A key or a value is read from memory once for all of them, and group 1 costs as much as group 8.
#pragma once
#include "layout.cuh"

// Most query heads of a KV head.
constexpr int HEADS = 8;
// Rows of a tile.
constexpr int ROWS = 16;
// Softmax weights are scaled by 2^LIFT before they are rounded, away from the small numbers for
// which f16 has fewer digits. The factor cancels in the quotient.
constexpr float LIFT = 8.0f;

template <int D>
struct DecodeShape {
    static constexpr int WARPS = D > 128 ? 2 : 4;
    static constexpr int THREADS = WARPS * 32;
    static constexpr int BLOCKS = 3;
    static constexpr int STAGES = 2;
    // Bytes from row to row: an odd number of 16-byte units, so that 8 rows of one column lie in 8 different bank groups.
    static constexpr int PITCH = (D / 8 | 1) * 16;
    static constexpr int STAGE = ROWS * 2 * PITCH;
    static constexpr int WARP = STAGES * STAGE;
    static constexpr int SHARED = WARPS * WARP;
};

// The rows that a work item reads, of one head.
struct Rows {
    const SequenceState* state;
    const HeadLayout* head;
    const u16* keys;    // of the window
    const u16* values;  // of the window
    u32 channels;       // stored per key
    u32 start;          // slot of the ring that holds the window's first token behind the sink
    bool middle;
};

// The slot of row `row` of the window, counted over the tokens that are in it.
KX_DEVICE u32 row_slot(const Rows& rows, u32 row) {
    const u32 sink = rows.state->sink, slot = row + rows.start;
    return row < sink ? row : slot < sink + rows.state->ring ? slot : slot - rows.state->ring;
}

// Starts the copies of one tile into a stage: keys with `pitch` bytes a row, then values. Rows past `count` become zeros.
template <int D>
KX_DEVICE void load_tile(u8* stage, const Rows& rows, u32 first, u32 count, u32 pitch, u32 lane) {
    constexpr u32 VALUE_UNITS = D / 8;
    const u32 key_units = rows.channels / 8;
    const u16* keys = rows.keys;
    const u16* values = rows.values;
    if (rows.middle) {
        keys = middle_key(*rows.state, *rows.head, first);
        values = middle_value(*rows.state, *rows.head, first, D);
    }
    // For i / key_units with i < 512 and key_units <= 32.
    const u32 reciprocal = (65536 + key_units - 1) / key_units;
    for (u32 i = lane; i < ROWS * key_units; i += 32) {
        const u32 row = (i * reciprocal) >> 16, unit = i - row * key_units;
        const u32 slot = rows.middle ? row : row_slot(rows, first + min(row, count - 1));
        kx_copy16_async(stage + row * pitch + unit * 16, keys + (u64)slot * rows.channels + unit * 8, row < count);
    }
    u8* to = stage + ROWS * DecodeShape<D>::PITCH;
    for (u32 i = lane; i < ROWS * VALUE_UNITS; i += 32) {
        const u32 row = i / VALUE_UNITS, unit = i % VALUE_UNITS;
        const u32 slot = rows.middle ? row : row_slot(rows, first + min(row, count - 1));
        kx_copy16_async(to + row * DecodeShape<D>::PITCH + unit * 16, values + (u64)slot * D + unit * 8, row < count);
    }
}

// The maximum over the 8 lanes that hold the same query heads.
KX_DEVICE float largest_of_rows(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 4));
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 8));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 16));
}

KX_DEVICE float sum_of_rows(float x) {
    x += __shfl_xor_sync(0xffffffffu, x, 4);
    x += __shfl_xor_sync(0xffffffffu, x, 8);
    return x + __shfl_xor_sync(0xffffffffu, x, 16);
}

// The result of a work item without rows.
template <int D>
KX_DEVICE void write_nothing(const DecodeParams& params, float* to) {
    for (u32 i = threadIdx.x; i < params.group * (D + 2); i += DecodeShape<D>::THREADS) to[i] = i < params.group ? -KX_INFINITY : 0.0f;
}

template <class T, int D>
KX_DEVICE void decode_item(const DecodeParams& params, u32 index) {
    using Shape = DecodeShape<D>;
    constexpr int STEPS = D / 16;
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const WorkItem item = ((const WorkItem*)params.items)[index];
    float* to = (float*)params.partials + (u64)index * params.group * (D + 2);
    const SequenceState& state = ((const SequenceState*)params.states)[item.sequence];
    const HeadLayout& head = head_layout(state, params.layer, params.kv_heads, item.kv_head);

    Rows rows;
    rows.state = &state;
    rows.head = &head;
    rows.middle = item.part == MIDDLE;
    rows.channels = rows.middle ? head.padded : D;
    // A dropped head has no rows in the middle, whatever a plan says.
    if (rows.channels == 0) return write_nothing<D>(params, to);
    rows.start = state.middle % state.ring;
    rows.keys = window_rows(state, params.layer, params.kv_heads, item.kv_head, 0, D);
    rows.values = window_rows(state, params.layer, params.kv_heads, item.kv_head, 1, D);
    // A plan is used for more than one token: it may list rows that do not exist yet. Skip them.
    const u32 end = min(item.end, rows.middle ? state.middle : state.len - state.middle);
    const u32 steps = (rows.channels + 15) / 16;
    const u32 pitch = (rows.channels / 8 | 1) * 16;

    // The first copies are started before anything else is read.
    u8* own = kx_shared() + warp * Shape::WARP;
    constexpr u32 STRIDE = Shape::WARPS * ROWS;
    u32 tile = item.first + warp * ROWS;
    if (tile < end) load_tile<D>(own, rows, tile, min((u32)ROWS, end - tile), pitch, lane);
    kx_copies_commit();

    // Queries of the stored channels as the second operand: channels along the register, query
    // heads along the lanes. Every load is made, from a place that exists, so that none waits for
    // another; what is not wanted becomes zero.
    u32 queries[STEPS][2];
    const u32 query_head = lane / 4, wanted = query_head < params.group ? (rows.middle ? head.kept : D) : 0;
    const u16* q = (const u16*)params.q +
                   ((u64)(item.sequence * params.kv_heads + item.kv_head) * params.group + min(query_head, params.group - 1)) * D;
    const u8* kept = (const u8*)head.channels;
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const u32 at = step * 16 + half * 8 + lane % 4 * 2, there = min(at, rows.channels - 2);
            // Two channels of the list, which starts at an even address.
            const u32 two = rows.middle ? *(const u16*)(kept + there) : there | (there + 1) << 8;
            const u32 low = q[two & 0xff], high = q[two >> 8];
            queries[step][half] = (at < wanted ? low : 0) | (at + 1 < wanted ? high << 16 : 0);
        }
    }

    float out[STEPS][4];
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
#pragma unroll
        for (int k = 0; k < 4; k++) out[step][k] = 0.0f;
    }
    // Largest score and sum of weights of query heads 2 (lane % 4) and the next one. The sums are
    // of this lane's rows only.
    float largest[2] = {-KX_INFINITY, -KX_INFINITY};
    float total[2] = {0.0f, 0.0f};

    for (u32 turn = 0; tile < end; turn++, tile += STRIDE) {
        const u32 next = tile + STRIDE;
        if (next < end) load_tile<D>(own + (turn + 1) % 2 * Shape::STAGE, rows, next, min((u32)ROWS, end - next), pitch, lane);
        kx_copies_commit();
        kx_copies_wait<1>();
        __syncwarp();

        const u8* keys = own + turn % 2 * Shape::STAGE;
        const u8* values = keys + ROWS * Shape::PITCH;
        float scores[4] = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
            if (step < steps) {
                u32 a[4];
                kx_load_matrices(a, keys + lane % 16 * pitch + (2 * step + lane / 16) * 16);
                // A row of an odd number of units ends in the middle of the last step; what follows it is another row.
                if (step * 16 + 8 >= rows.channels) a[2] = a[3] = 0;
                kx_mma<T>(scores, a, queries[step]);
            }
        }

        // Scores of this lane: rows lane / 4 and lane / 4 + 8, query heads 2 (lane % 4) and the
        // next one.
        const u32 row = tile + lane / 4;
#pragma unroll
        for (int k = 0; k < 4; k++) {
            scores[k] = row + k / 2 * 8 < end ? scores[k] * params.scale : -KX_INFINITY;
        }
        float rescale[2];
#pragma unroll
        for (int k = 0; k < 2; k++) {
            const float risen = fmaxf(largest[k], largest_of_rows(fmaxf(scores[k], scores[k + 2])));
            rescale[k] = kx_exp2(largest[k] - risen);
            largest[k] = risen;
        }
        u32 weights[2];
#pragma unroll
        for (int half = 0; half < 2; half++) {
            weights[half] = kx_pack<T>(kx_exp2(scores[2 * half] - largest[0] + LIFT), kx_exp2(scores[2 * half + 1] - largest[1] + LIFT));
        }
        // Adds up the weights after rounding, because the values are multiplied by the rounded
        // ones.
        total[0] = total[0] * rescale[0] + kx_widen<T>(weights[0] & 0xffff) + kx_widen<T>(weights[1] & 0xffff);
        total[1] = total[1] * rescale[1] + kx_widen<T>(weights[0] >> 16) + kx_widen<T>(weights[1] >> 16);
        const u32 p[2] = {kx_transpose(weights[0]), kx_transpose(weights[1])};

#pragma unroll
        for (int step = 0; step < STEPS; step++) {
            u32 a[4];
            kx_load_matrices_transposed(a, values + (lane % 8 + lane / 16 * 8) * Shape::PITCH + (2 * step + lane / 8 % 2) * 16);
#pragma unroll
            for (int k = 0; k < 4; k++) out[step][k] *= rescale[k % 2];
            kx_mma<T>(out[step], a, p);
        }
        // The copies of the next iteration overwrite this stage.
        __syncwarp();
    }
    kx_copies_wait<0>();
    __syncwarp();

    // Each warp writes its result to its own shared memory: [head][channel], then the largest
    // scores and the totals.
    constexpr int PART = HEADS * (D + 4);
    float* part = (float*)own;
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
#pragma unroll
        for (int k = 0; k < 4; k++) {
            part[(lane % 4 * 2 + k % 2) * (D + 4) + step * 16 + lane / 4 + k / 2 * 8] = out[step][k];
        }
    }
#pragma unroll
    for (int k = 0; k < 2; k++) {
        const float sum = sum_of_rows(total[k]);
        if (lane < 4) {
            part[PART + lane * 2 + k] = largest[k];
            part[PART + HEADS + lane * 2 + k] = sum;
        }
    }
    __syncthreads();

    for (u32 i = threadIdx.x; i < params.group * D; i += Shape::THREADS) {
        const u32 of = i / D, channel = i % D;
        float most = -KX_INFINITY;
        for (int w = 0; w < Shape::WARPS; w++) most = fmaxf(most, ((float*)(kx_shared() + w * Shape::WARP))[PART + of]);
        float sum = 0.0f, weight = 0.0f;
        for (int w = 0; w < Shape::WARPS; w++) {
            const float* other = (float*)(kx_shared() + w * Shape::WARP);
            // A warp without a tile contributes nothing.
            const float factor = other[PART + of] == -KX_INFINITY ? 0.0f : kx_exp2(other[PART + of] - most);
            sum += factor * other[of * (D + 4) + channel];
            weight += factor * other[PART + HEADS + of];
        }
        to[2 * params.group + i] = sum;
        if (channel == 0) {
            to[of] = most;
            to[params.group + of] = weight;
        }
    }
}

template <class T, int D>
KX_DEVICE void decode(const DecodeParams& params) {
    const u32 items = *(const u32*)params.count;
    for (u32 index = blockIdx.x; index < items; index += gridDim.x) {
        decode_item<T, D>(params, index);
        // The copies of the next item overwrite what other warps may still add up.
        __syncthreads();
    }
}

struct alignas(8) TwoFloats {
    float x, y;
};

template <int D>
struct CombineShape {
    static constexpr int THREADS = D > 64 ? 512 : 256;
    // Threads that add up one item together, two channels each, and how many items that is at once.
    static constexpr int PAIRS = D / 2;
    static constexpr int TEAMS = THREADS / PAIRS;
    // The teams' sums of two channels a thread, then their weights, then the warps' largest scores.
    static constexpr int SHARED = (TEAMS * D + TEAMS + THREADS / 32) * 4;
};

// Merges the items of one query head, relative to the largest score of all of them. A head that
// sees no token gives zeros. Each team adds up every TEAMS-th item; the teams' sums are added in the
// order of the teams, so that the result does not depend on timing.
template <class T, int D>
KX_DEVICE void combine(const CombineParams& params) {
    using Shape = CombineShape<D>;
    const u32 head = blockIdx.x, sequence = blockIdx.y, heads = params.kv_heads * params.group;
    const u32 of = head % params.group, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const u32* range = (const u32*)params.ranges + sequence * params.kv_heads + head / params.group;
    const u32 first = range[0], end = range[1];
    const u64 stride = (u64)params.group * (D + 2);
    const float* partials = (const float*)params.partials;
    float* sums = (float*)kx_shared();
    float* weights = sums + Shape::TEAMS * D;
    float* largest = weights + Shape::TEAMS;

    float most = -KX_INFINITY;
    for (u32 item = first + threadIdx.x; item < end; item += Shape::THREADS) most = fmaxf(most, partials[item * stride + of]);
    most = largest_of_rows(most);
    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
    if (lane == 0) largest[warp] = most;
    __syncthreads();
    for (int w = 0; w < Shape::THREADS / 32; w++) most = fmaxf(most, largest[w]);

    const u32 team = threadIdx.x / Shape::PAIRS, pair = threadIdx.x % Shape::PAIRS;
    float sum[2] = {0.0f, 0.0f}, weight = 0.0f;
    if (team < Shape::TEAMS) {
#pragma unroll 4
        for (u32 item = first + team; item < end; item += Shape::TEAMS) {
            const float* part = partials + item * stride;
            const float factor = part[of] == -KX_INFINITY ? 0.0f : kx_exp2(part[of] - most);
            const TwoFloats values = *(const TwoFloats*)(part + 2 * params.group + of * D + pair * 2);
            weight += factor * part[params.group + of];
            sum[0] += factor * values.x;
            sum[1] += factor * values.y;
        }
        sums[team * D + pair * 2] = sum[0];
        sums[team * D + pair * 2 + 1] = sum[1];
        if (pair == 0) weights[team] = weight;
    }
    __syncthreads();
    if (threadIdx.x < Shape::PAIRS) {
        sum[0] = sum[1] = weight = 0.0f;
#pragma unroll
        for (int t = 0; t < Shape::TEAMS; t++) {
            sum[0] += sums[t * D + pair * 2];
            sum[1] += sums[t * D + pair * 2 + 1];
            weight += weights[t];
        }
        const float share = weight > 0.0f ? 1.0f / weight : 0.0f;
        ((u32*)params.out)[(((u64)sequence * heads + head) * D) / 2 + pair] = kx_pack<T>(sum[0] * share, sum[1] * share);
    }
}
