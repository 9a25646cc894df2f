// Flash decoding over a pruned cache, and the merge of its parts.
//
// A work item is the query heads of one KV head of one sequence over a range of rows of the window or
// of the middle. The grid has a fixed number of blocks, which take items in turn until none is left:
// the number of items is in memory, so that a recorded launch serves every plan. Each warp goes
// through tiles of 16 rows with its own two stages of shared memory and its own running softmax, so
// the loop needs no barrier across warps; the only one comes after the loop. The products run on the
// tensor cores, with eight query heads of the group as the dimension of 8, an octet:
//     scores[16 rows x 8 heads] = K[16 x channels] Q^T,   out[channels x 8 heads] += V^T[channels x 16 rows] P^T
// A key or a value is read from memory once for all of them, and group 1 costs as much as group 8.
// Groups of 9 to 16 take kernels with two octets. There the queries are in shared memory, because
// twice the sums leave no registers for them.
//
// Kernels for caches with codes copy a coded tile as it is stored and widen it in shared memory, keys channel by channel; from
// there on it goes the way of every tile. Rows of plain elements, those of the window among them, skip that step.
#pragma once
#include "coded.cuh"
#include "numbers.cuh"

// Query heads of an octet.
constexpr int HEADS = 8;
// Softmax weights are scaled by 2^LIFT before they are rounded, away from the small numbers for
// which f16 has fewer digits. The factor cancels in the quotient.
constexpr float LIFT = 8.0f;

template <int D, int OCTETS, bool CODED>
struct DecodeShape {
    static constexpr int WARPS = D > 128 ? 2 : 4;
    static constexpr int THREADS = WARPS * 32;
    static constexpr int BLOCKS = 3;
    static constexpr int STAGES = 2;
    // Bytes from row to row: an odd number of 16-byte units, so that 8 rows of one column lie in 8 different bank groups.
    static constexpr int PITCH = (D / 8 | 1) * 16;
    static constexpr int STAGE = ROWS * 2 * PITCH;
    // A widened tile: keys [channel][16 rows], then values with PITCH bytes a row.
    static constexpr int WIDE_KEYS = D * ROWS * 2;
    static constexpr int WIDE = WIDE_KEYS + ROWS * PITCH;
    // A coded tile with the pairs of its keys: keys and values of 8 bits, pairs for every channel and for 32 channels of a value.
    static constexpr int CODES = ROWS * 2 * D + 4 * D + ROWS * D / 8;
    static constexpr int CODED_WARP = WIDE + 2 * CODES;
    static constexpr int PLAIN_WARP = STAGES * STAGE;
    static constexpr int WARP = CODED && CODED_WARP > PLAIN_WARP ? CODED_WARP : PLAIN_WARP;
    // The queries of two octets, [head][channel], after the warps' stages.
    static constexpr int QUERIES = WARPS * WARP;
    static constexpr int SHARED = QUERIES + (OCTETS > 1 ? OCTETS * HEADS * PITCH : 0);
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
    constexpr u32 PITCH = DecodeShape<D, 1, false>::PITCH;
    u8* to = stage + ROWS * PITCH;
    for (u32 i = lane; i < ROWS * VALUE_UNITS; i += 32) {
        const u32 row = i / VALUE_UNITS, unit = i % VALUE_UNITS;
        const u32 slot = rows.middle ? row : row_slot(rows, first + min(row, count - 1));
        kx_copy16_async(to + row * PITCH + unit * 16, values + (u64)slot * D + unit * 8, row < count);
    }
}

// Starts the copies of one coded tile into a stage: the tile, then the pairs of its keys.
KX_DEVICE void load_codes(u8* stage, const Rows& rows, u32 first, u32 lane) {
    const u8* tile = coded_tile(*rows.state, *rows.head, first);
    for (u32 at = lane * 16; at < rows.head->tile; at += 32 * 16) kx_copy16_async(stage + at, tile + at, true);
    const u8* pairs = (const u8*)key_scales(*rows.state, *rows.head, first);
    stage += rows.head->tile;
    for (u32 at = lane * 16; at < scale_row(*rows.head); at += 32 * 16) kx_copy16_async(stage + at, pairs + at, true);
}

// Where 8 rows of a channel of a widened tile are. The halves of every other four channels are swapped, so that one half of 8
// channels lies in 8 different bank groups.
KX_DEVICE u32 wide_key(u32 channel, u32 half) { return channel * ROWS * 2 + (half ^ (channel / 4 & 1)) * 16; }

// Widens a coded tile. Channels between the last one that is kept and the next multiple of 16 become zeros.
template <class T, int D>
KX_DEVICE void widen_tile(u8* wide, u8* stage, const HeadLayout& head, u32 lane) {
    using Shape = DecodeShape<D, 1, true>;
    const u32* pairs = (const u32*)(stage + head.tile);
    for (u32 at = lane; at < head.padded; at += 32) {
        u32 key[8] = {};
        if (at < head.kept) {
            const Codes codes = key_codes(head, at);
            widen<T>(key, stage, codes, codes.bits < 16 ? pairs[at - head.widths[0]] : 0);
        }
        *(Words*)(wide + wide_key(at, 0)) = {{key[0], key[1], key[2], key[3]}};
        *(Words*)(wide + wide_key(at, 1)) = {{key[4], key[5], key[6], key[7]}};
    }
    constexpr u32 PARTS = D / 16;
    const u32* scales = value_scales(stage, head, D);
    const u32 groups = D / head.v_group;
    for (u32 i = lane; i < ROWS * PARTS; i += 32) {
        const u32 row = i / PARTS, part = i % PARTS;
        u32 value[8];
        widen<T>(value, stage, value_codes(head, row, part, D), head.v_bits < 16 ? scales[row * groups + part * 16 / head.v_group] : 0);
        Words* to = (Words*)(wide + Shape::WIDE_KEYS + row * Shape::PITCH + part * 32);
        to[0] = {{value[0], value[1], value[2], value[3]}};
        to[1] = {{value[4], value[5], value[6], value[7]}};
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
    for (u32 i = threadIdx.x; i < params.group * (D + 2); i += blockDim.x) to[i] = i < params.group ? -KX_INFINITY : 0.0f;
}

// Query heads of the group at stored channels. Every load is made, from a place that exists, so that
// none waits for another; what is not wanted becomes zero.
struct Queries {
    const u16* q;    // of the group's first head
    const u8* kept;  // the stored channels; 0 where all are
    u32 group;
    u32 stored;  // channels
    u32 wanted;  // those that are no padding
    u32 stride;  // elements from head to head

    // Stored channels `at` (even) and the next one of a head.
    KX_DEVICE u32 pair(u32 head, u32 at) const {
        const u16* row = q + min(head, group - 1) * stride;
        const u32 there = min(at, stored - 2), count = head < group ? wanted : 0;
        // Two channels of the list, which starts at an even address.
        const u32 two = kept ? *(const u16*)(kept + there) : there | (there + 1) << 8;
        const u32 low = row[two & 0xff], high = row[two >> 8];
        return (at < count ? low : 0) | (at + 1 < count ? high << 16 : 0);
    }
};

template <class T, int D, int OCTETS, bool CODED>
KX_DEVICE void decode_item(const DecodeParams& params, u32 index) {
    using Shape = DecodeShape<D, OCTETS, CODED>;
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
    const bool coded = CODED && rows.middle && head.tile != 0;
    // Two stages behind the widened tile; a tile of many bytes takes both.
    u8* stages = own + Shape::WIDE;
    const u32 ahead = coded && head.tile + scale_row(head) > Shape::CODES ? 1 : 2;
    if (coded) {
        for (u32 turn = 0; turn < ahead; turn++) {
            if (tile + turn * STRIDE < end) load_codes(stages + turn * Shape::CODES, rows, tile + turn * STRIDE, lane);
            kx_copies_commit();
        }
    } else {
        if (tile < end) load_tile<D>(own, rows, tile, min(ROWS, end - tile), pitch, lane);
        kx_copies_commit();
    }

    Queries q;
    q.q = (const u16*)params.q + (u64)(item.sequence * params.kv_heads + item.kv_head) * params.group * D;
    q.kept = rows.middle ? (const u8*)head.channels : 0;
    q.group = params.group;
    q.stored = rows.channels;
    q.wanted = rows.middle ? head.kept : D;
    q.stride = D;
    // The second operand: channels along the register, query heads along the lanes.
    u32 queries[OCTETS > 1 ? 1 : STEPS][2];
    u8* shared_queries = kx_shared() + Shape::QUERIES;
    if constexpr (OCTETS == 1) {
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
#pragma unroll
            for (int half = 0; half < 2; half++) queries[step][half] = q.pair(lane / 4, step * 16 + half * 8 + lane % 4 * 2);
        }
    } else {
#pragma unroll 4
        for (u32 i = threadIdx.x; i < OCTETS * HEADS * (D / 2); i += Shape::THREADS) {
            const u32 of = i / (D / 2), at = i % (D / 2) * 2;
            *(u32*)(shared_queries + of * Shape::PITCH + at * 2) = q.pair(of, at);
        }
        __syncthreads();
    }

    float out[OCTETS][STEPS][4];
    // Largest score and sum of weights of query heads 2 (lane % 4) and the next one of each octet.
    // The sums are of this lane's rows only.
    float largest[OCTETS][2], total[OCTETS][2];
#pragma unroll
    for (int octet = 0; octet < OCTETS; octet++) {
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
#pragma unroll
            for (int k = 0; k < 4; k++) out[octet][step][k] = 0.0f;
        }
#pragma unroll
        for (int k = 0; k < 2; k++) {
            largest[octet][k] = -KX_INFINITY;
            total[octet][k] = 0.0f;
        }
    }

    for (u32 turn = 0; tile < end; turn++, tile += STRIDE) {
        const u8 *keys, *values;
        if (coded) {
            u8* stage = stages + turn % ahead * Shape::CODES;
            // Copies of this tile are in; those of the next one may be under way in the other stage.
            if (ahead == 1) {
                kx_copies_wait<0>();
            } else {
                kx_copies_wait<1>();
            }
            __syncwarp();
            widen_tile<T, D>(own, stage, head, lane);
            __syncwarp();
            const u32 next = tile + ahead * STRIDE;
            if (next < end) load_codes(stage, rows, next, lane);
            kx_copies_commit();
            keys = own;
            values = own + Shape::WIDE_KEYS;
        } else {
            const u32 next = tile + STRIDE;
            if (next < end) load_tile<D>(own + (turn + 1) % 2 * Shape::STAGE, rows, next, min(ROWS, end - next), pitch, lane);
            kx_copies_commit();
            kx_copies_wait<1>();
            __syncwarp();
            keys = own + turn % 2 * Shape::STAGE;
            values = keys + ROWS * Shape::PITCH;
        }
        float scores[OCTETS][4];
#pragma unroll
        for (int octet = 0; octet < OCTETS; octet++) {
#pragma unroll
            for (int k = 0; k < 4; k++) scores[octet][k] = 0.0f;
        }
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
            if (step < steps) {
                u32 a[4];
                if (coded) {
                    kx_load_matrices_transposed(a, keys + wide_key(step * 16 + lane % 8 + lane / 16 * 8, lane / 8 % 2));
                } else {
                    kx_load_matrices(a, keys + lane % 16 * pitch + (2 * step + lane / 16) * 16);
                    // A row of an odd number of units ends in the middle of the last step; what follows it is another row.
                    if (step * 16 + 8 >= rows.channels) a[2] = a[3] = 0;
                }
                if constexpr (OCTETS == 1) {
                    kx_mma<T>(scores[0], a, queries[step]);
                } else {
                    // Matrices: octet, then half of the step's channels.
                    u32 b[4];
                    kx_load_matrices(b, shared_queries + (lane / 16 * 8 + lane % 8) * Shape::PITCH + (2 * step + lane / 8 % 2) * 16);
#pragma unroll
                    for (int octet = 0; octet < OCTETS; octet++) {
                        const u32 own[2] = {b[2 * octet], b[2 * octet + 1]};
                        kx_mma<T>(scores[octet], a, own);
                    }
                }
            }
        }

        // Scores of this lane: rows lane / 4 and lane / 4 + 8, query heads 2 (lane % 4) and the
        // next one.
        const u32 row = tile + lane / 4;
        float rescale[OCTETS][2];
        u32 p[OCTETS][2];
#pragma unroll
        for (int octet = 0; octet < OCTETS; octet++) {
            float* score = scores[octet];
#pragma unroll
            for (int k = 0; k < 4; k++) {
                score[k] = row + k / 2 * 8 < end ? score[k] * params.scale : -KX_INFINITY;
            }
#pragma unroll
            for (int k = 0; k < 2; k++) {
                const float risen = fmaxf(largest[octet][k], largest_of_rows(fmaxf(score[k], score[k + 2])));
                rescale[octet][k] = kx_exp2(largest[octet][k] - risen);
                largest[octet][k] = risen;
            }
            u32 weights[2];
#pragma unroll
            for (int half = 0; half < 2; half++) {
                weights[half] = kx_pack<T>(kx_exp2(score[2 * half] - largest[octet][0] + LIFT), kx_exp2(score[2 * half + 1] - largest[octet][1] + LIFT));
            }
            // Adds up the weights after rounding, because the values are multiplied by the rounded
            // ones.
            total[octet][0] = total[octet][0] * rescale[octet][0] + kx_widen<T>(weights[0] & 0xffff) + kx_widen<T>(weights[1] & 0xffff);
            total[octet][1] = total[octet][1] * rescale[octet][1] + kx_widen<T>(weights[0] >> 16) + kx_widen<T>(weights[1] >> 16);
#pragma unroll
            for (int half = 0; half < 2; half++) p[octet][half] = kx_transpose(weights[half]);
        }

#pragma unroll
        for (int step = 0; step < STEPS; step++) {
            u32 a[4];
            kx_load_matrices_transposed(a, values + (lane % 8 + lane / 16 * 8) * Shape::PITCH + (2 * step + lane / 8 % 2) * 16);
#pragma unroll
            for (int octet = 0; octet < OCTETS; octet++) {
#pragma unroll
                for (int k = 0; k < 4; k++) out[octet][step][k] *= rescale[octet][k % 2];
                kx_mma<T>(out[octet][step], a, p[octet]);
            }
        }
        // The copies of the next iteration overwrite this stage.
        __syncwarp();
    }
    kx_copies_wait<0>();
    __syncwarp();

    // Each warp writes its result to its own shared memory: [head][channel], then the largest
    // scores and the totals.
    constexpr int PART = OCTETS * HEADS * (D + 4);
    static_assert((PART + 2 * OCTETS * HEADS) * 4 <= Shape::WARP, "a warp's result fits where its tiles were");
    float* part = (float*)own;
#pragma unroll
    for (int octet = 0; octet < OCTETS; octet++) {
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
#pragma unroll
            for (int k = 0; k < 4; k++) {
                part[(octet * HEADS + lane % 4 * 2 + k % 2) * (D + 4) + step * 16 + lane / 4 + k / 2 * 8] = out[octet][step][k];
            }
        }
#pragma unroll
        for (int k = 0; k < 2; k++) {
            const float sum = sum_of_rows(total[octet][k]);
            if (lane < 4) {
                part[PART + octet * HEADS + lane * 2 + k] = largest[octet][k];
                part[PART + (OCTETS + octet) * HEADS + lane * 2 + k] = sum;
            }
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
            weight += factor * other[PART + OCTETS * HEADS + of];
        }
        to[2 * params.group + i] = sum;
        if (channel == 0) {
            to[of] = most;
            to[params.group + of] = weight;
        }
    }
}

template <class T, int D, int OCTETS, bool CODED>
KX_DEVICE void decode(const DecodeParams& params) {
    const u32 items = *(const u32*)params.count;
    for (u32 index = blockIdx.x; index < items; index += gridDim.x) {
        decode_item<T, D, OCTETS, CODED>(params, index);
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
template <int D>
KX_DEVICE void combine(const CombineParams& params) {
    using Shape = CombineShape<D>;
    const u32 head = blockIdx.x, sequence = blockIdx.y;
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
        const float channels[2] = {sum[0] * share, sum[1] * share};
        const u64 at = (u64)sequence * params.out.stride + head * D + pair * 2;
        if (params.out.type == F32_NUMBERS) {
            ((float*)params.out.address)[at] = channels[0];
            ((float*)params.out.address)[at + 1] = channels[1];
        } else {
            *(u32*)((u16*)params.out.address + at) = pack_numbers(params.out.type, channels[0], channels[1]);
        }
    }
}
