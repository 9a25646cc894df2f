// Writes the cache: the new token, the chunk that leaves the recent window, and a whole sequence at
// once.
#pragma once
#include "coded.cuh"

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

// Appends the current token's key and value of one head of one sequence to the window, then copies
// the tokens that leave the recent window at this step to the middle. That frees their slots;
// nothing else moves. A number that is not finite in the cache's type is marked in the state.
KX_DEVICE void append(const AppendParams& params) {
    const u32 kv_head = blockIdx.x, sequence = blockIdx.y, d = params.head_dim, units = d / 8;
    SequenceState& state = ((SequenceState*)params.states)[sequence];
    u16* keys = window_rows(state, params.layer, params.kv_heads, kv_head, 0, d);
    u16* values = window_rows(state, params.layer, params.kv_heads, kv_head, 1, d);
    const u64 source = (u64)(sequence * params.kv_heads + kv_head) * d;
    const u64 slot = window_slot(state, state.len - 1);
    for (u32 unit = threadIdx.x; unit < 2 * units; unit += STORE_THREADS) {
        const u16* from = unit < units ? (const u16*)params.k : (const u16*)params.v;
        u16* to = unit < units ? keys : values;
        const Vec16 row = ((const Vec16*)(from + source))[unit % units];
        ((Vec16*)(to + slot * d))[unit % units] = row;
        bool misfits = false;
#pragma unroll
        for (u32 k = 0; k < 8; k++) misfits |= (row.x[k] & params.infinity) == params.infinity;
        // Whoever writes it writes the same.
        if (misfits) state.misfits = 1;
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
