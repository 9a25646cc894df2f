// Writes the cache: the new token, the chunk that leaves the recent window, and a whole sequence at
// once.
#pragma once
#include "coded.cuh"
#include "numbers.cuh"

constexpr int STORE_THREADS = 128;
// Tokens that a block of `rebuild` writes.
constexpr u32 REBUILD_TOKENS = 32;
// Middle tokens that a block of `code_middle` writes: whole groups.
constexpr u32 CODED_TOKENS = 64;

// Eight kept channels of a key, from unit `unit` of the packed row; zeros past the last one.
KX_DEVICE Vec16 gather(const u16* key, const HeadLayout& head, u32 unit) {
    const u8* channels = (const u8*)head.channels;
    Vec16 packed;
#pragma unroll
    for (u32 k = 0; k < 8; k++) {
        const u32 at = unit * 8 + k;
        packed.x[k] = at < head.kept ? key[channels[at]] : (u16)0;
    }
    return packed;
}

// Writes one head of a projection of one sequence's token to `to`, in the cache's type: normed where there is a norm, rotated
// where there are angles, times `factor`. By one warp. Whether a number is not finite in that type.
template <class T>
KX_DEVICE bool project(const Projection of, u32 sequence, u32 head, const float* cos, const float* sin, float factor, u16* to, const AppendParams& params) {
    const u32 lane = threadIdx.x % 32, d = params.head_dim, half = d / 2;
    const u64 row = (u64)sequence * of.rows.stride;
    auto number = [&](u32 at) {
        float x[1];
        load_numbers<1>(x, of.rows.address, of.rows.type, row + at);
        return of.bias ? x[0] + ((const float*)of.bias)[at] : x[0];
    };
    // The channels of the head, or of all heads.
    const u32 first = of.span == d ? head * d : 0;
    float scale = 1.0f;
    if (of.norm) {
        float sum = 0.0f;
        for (u32 at = lane; at < of.span; at += 32) {
            const float x = number(first + at);
            sum += x * x;
        }
#pragma unroll
        for (u32 by = 16; by > 0; by /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, by);
        scale = 1.0f / sqrtf(sum / (float)of.span + params.eps);
    }
    bool misfits = false;
    for (u32 pair = lane; pair < half; pair += 32) {
        float x[2];
#pragma unroll
        for (u32 k = 0; k < 2; k++) {
            const u32 at = head * d + k * half + pair;
            x[k] = number(at);
            if (of.norm) x[k] *= scale * ((const float*)of.norm)[at - first];
        }
        if (cos) {
            const float c = cos[pair], s = sin[pair], turned = x[0] * c - x[1] * s;
            x[1] = x[1] * c + x[0] * s;
            x[0] = turned;
        }
        const u32 both = kx_pack<T>(x[0] * factor, x[1] * factor);
        to[pair] = (u16)both;
        to[half + pair] = (u16)(both >> 16);
        misfits |= (both & params.infinity) == params.infinity || (both >> 16 & params.infinity) == params.infinity;
    }
    return misfits;
}

// Rotates the queries of one KV head of one sequence, appends its current token's key and value to the window, then copies the
// tokens that leave the recent window at this step to the middle. That frees their slots; nothing else moves. A key or value that
// is not finite in the cache's type is marked in the state.
template <class T>
KX_DEVICE void append(const AppendParams& params) {
    const u32 kv_head = blockIdx.x, sequence = blockIdx.y, d = params.head_dim, units = d / 8, group = params.group;
    SequenceState& state = ((SequenceState*)params.states)[sequence];
    u16* keys = window_rows(state, params.layer, params.kv_heads, kv_head, 0, d);
    u16* values = window_rows(state, params.layer, params.kv_heads, kv_head, 1, d);
    const u64 slot = window_slot(state, state.len - 1);
    const float* cos = (const float*)params.cos + (u64)sequence * (d / 2);
    const float* sin = (const float*)params.sin + (u64)sequence * (d / 2);
    for (u32 of = threadIdx.x / 32; of < group + 2; of += STORE_THREADS / 32) {
        if (of < group) {
            const u32 head = kv_head * group + of;
            u16* to = (u16*)params.out + ((u64)sequence * params.kv_heads * group + head) * d;
            project<T>(params.q, sequence, head, cos, sin, params.factor, to, params);
        } else if (of == group) {
            if (project<T>(params.k, sequence, kv_head, cos, sin, 1.0f, keys + slot * d, params)) state.misfits = 1;
        } else if (project<T>(params.v, sequence, kv_head, nullptr, nullptr, 1.0f, values + slot * d, params)) {
            state.misfits = 1;
        }
    }
    const HeadLayout& head = head_layout(state, params.layer, params.kv_heads, kv_head);
    if (state.moved == 0 || head.kept == 0) return;
    // The current token may be in the chunk itself.
    __syncthreads();
    if (head.tile != 0) {
        const u32 first = state.middle - state.moved;
        code_tokens(state, head, first, state.moved, d, params.infinity, [&](u32 token, u32 which) {
            return (which ? values : keys) + (u64)window_slot(state, state.sink + token) * d;
        });
        return;
    }
    const u32 key_units = head.padded / 8, row_units = key_units + units;
    for (u32 i = threadIdx.x; i < state.moved * row_units; i += STORE_THREADS) {
        const u32 token = state.middle - state.moved + i / row_units, unit = i % row_units;
        const u64 from = window_slot(state, state.sink + token);
        if (unit < key_units) {
            ((Vec16*)middle_key(state, head, token))[unit] = gather(keys + from * d, head, unit);
        } else {
            ((Vec16*)middle_value(state, head, token, d))[unit - key_units] = ((const Vec16*)(values + from * d))[unit - key_units];
        }
    }
}

// The key (0) or value (1) of a token of the sequence or of the plain rows that a sequence is filled from.
struct FillRows {
    const RebuildParams& params;
    u32 layer, kv_head;

    KX_DEVICE const u16* row(u32 position, u32 which) const {
        const SequenceState* source = (const SequenceState*)params.source;
        const u32 d = params.head_dim;
        if (!source) return (const u16*)(which ? params.v : params.k) + ((u64)position * params.kv_heads + kv_head) * d;
        if (position >= source->sink && position < source->sink + source->middle) {
            const HeadLayout& full = head_layout(*source, layer, params.kv_heads, kv_head);
            return which ? middle_value(*source, full, position - source->sink, d) : middle_key(*source, full, position - source->sink);
        }
        return window_rows(*source, layer, params.kv_heads, kv_head, which, d) + (u64)window_slot(*source, position) * d;
    }
};

// Writes all tokens of one head to their places in the window or the middle, but for codes.
KX_DEVICE void rebuild(const RebuildParams& params) {
    const SequenceState& state = *(const SequenceState*)params.state;
    const u32 kv_head = blockIdx.y, layer = params.layer + blockIdx.z, d = params.head_dim, units = d / 8;
    const HeadLayout& head = head_layout(state, layer, params.kv_heads, kv_head);
    const FillRows rows = {params, layer, kv_head};
    const u32 first = blockIdx.x * REBUILD_TOKENS, end = min(first + REBUILD_TOKENS, state.len);
    for (u32 i = threadIdx.x; i < (end - first) * 2 * units; i += STORE_THREADS) {
        const u32 position = first + i / (2 * units), which = i / units % 2, unit = i % units;
        const bool middle = position >= state.sink && position < state.sink + state.middle;
        if (middle && (head.kept == 0 || head.tile != 0 || params.keep_middle || (which == 0 && unit >= head.padded / 8))) continue;

        const u16* row = rows.row(position, which);
        if (!middle) {
            u16* window = window_rows(state, layer, params.kv_heads, kv_head, which, d);
            ((Vec16*)(window + (u64)window_slot(state, position) * d))[unit] = ((const Vec16*)row)[unit];
        } else if (which) {
            ((Vec16*)middle_value(state, head, position - state.sink, d))[unit] = ((const Vec16*)row)[unit];
        } else {
            ((Vec16*)middle_key(state, head, position - state.sink))[unit] = gather(row, head, unit);
        }
    }
}

// Codes the middle of one head.
KX_DEVICE void code_middle(const RebuildParams& params) {
    SequenceState& state = *(SequenceState*)params.state;
    const u32 kv_head = blockIdx.y, layer = params.layer + blockIdx.z;
    const HeadLayout& head = head_layout(state, layer, params.kv_heads, kv_head);
    const u32 first = blockIdx.x * CODED_TOKENS;
    if (head.tile == 0 || first >= state.middle) return;
    const FillRows rows = {params, layer, kv_head};
    code_tokens(state, head, first, min(CODED_TOKENS, state.middle - first), params.head_dim, params.infinity, [&](u32 token, u32 which) {
        return rows.row(state.sink + token, which);
    });
}
