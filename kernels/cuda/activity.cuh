// Live importance: mean |q_c k_c| over the middle tokens and the query heads of each group.
#pragma once
#include "coded.cuh"

constexpr int ACTIVITY_THREADS = 256;

// Sums |k| per kept channel over the middle tokens of one split. It uses no atomics, so the order
// of additions, and with it the result, is always the same.
template <class T>
KX_DEVICE void activity_sums(const ActivityParams& params) {
    const u32 kv_head = blockIdx.x, split = blockIdx.y;
    const SequenceState& state = *(const SequenceState*)params.state;
    const HeadLayout& head = head_layout(state, params.layer, params.kv_heads, kv_head);
    float* sums = (float*)params.sums + (u64)(kv_head * params.splits + split) * params.head_dim;
    const u32 channel = threadIdx.x;
    if (channel >= head.kept) return;
    float sum = 0.0f;
    if (head.tile != 0) {
        const Codes codes = key_codes(head, channel);
        for (u32 token = split; token < state.middle; token += params.splits) {
            const u32 pair = codes.bits < 16 ? key_scales(state, head, token)[channel - head.widths[0]] : 0;
            sum += fabsf(coded_number<T>(coded_tile(state, head, token), codes, token % ROWS, pair));
        }
    } else {
        for (u32 token = split; token < state.middle; token += params.splits) {
            sum += fabsf(kx_widen<T>(middle_key(state, head, token)[channel]));
        }
    }
    sums[channel] = sum;
}

// The mean of a product of magnitudes over tokens and query heads is the product of the two means.
template <class T>
KX_DEVICE void activity_means(const ActivityParams& params) {
    const u32 kv_head = blockIdx.x;
    const SequenceState& state = *(const SequenceState*)params.state;
    const HeadLayout& head = head_layout(state, params.layer, params.kv_heads, kv_head);
    float* out = (float*)params.out + (u64)kv_head * params.head_dim;
    for (u32 channel = threadIdx.x; channel < params.head_dim; channel += ACTIVITY_THREADS) out[channel] = 0.0f;
    __syncthreads();
    const u32 at = threadIdx.x;
    if (at >= head.kept || state.middle == 0) return;
    const u32 channel = ((const u8*)head.channels)[at];
    const float* sums = (const float*)params.sums + (u64)kv_head * params.splits * params.head_dim;
    float k = 0.0f, q = 0.0f;
    for (u32 split = 0; split < params.splits; split++) k += sums[(u64)split * params.head_dim + at];
    const u16* queries = (const u16*)params.q + (u64)kv_head * params.group * params.head_dim;
    for (u32 of = 0; of < params.group; of++) q += fabsf(kx_widen<T>(queries[of * params.head_dim + channel]));
    out[channel] = (k / (float)state.middle) * (q / (float)params.group);
}
