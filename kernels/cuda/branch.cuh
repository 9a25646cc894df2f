// What lies between the matrix products of a decode step, besides attention: embedding, norms, residual additions and gates.
#pragma once
#include "numbers.cuh"

constexpr int BRANCH_THREADS = 512;
constexpr int GATE_THREADS = 128;

// The sum over the block. `room` holds a number for each warp and must not be in use.
KX_DEVICE float block_sum(float x, float* room) {
#pragma unroll
    for (u32 by = 16; by > 0; by /= 2) x += __shfl_xor_sync(0xffffffffu, x, by);
    if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = x;
    __syncthreads();
    float sum = 0.0f;
    for (u32 warp = 0; warp < BRANCH_THREADS / 32; warp++) sum += room[warp];
    return sum;
}

KX_DEVICE float inverse_rms(float sum_of_squares, u32 width, float eps) { return 1.0f / sqrtf(sum_of_squares / (float)width + eps); }

// What a branch adds to the residual stream, before the norm after it.
template <int N>
KX_DEVICE void load_delta(float (&delta)[N], const BranchParams& params, u32 row, u32 at) {
    load_numbers<N>(delta, params.delta.address, params.delta.type, (u64)row * params.delta.stride + at);
    if (params.bias) {
        float bias[N];
        load_numbers<N>(bias, params.bias, F32_NUMBERS, at);
#pragma unroll
        for (int k = 0; k < N; k++) delta[k] += bias[k];
    }
}

template <int N>
KX_DEVICE void branch_row(const BranchParams& params) {
    const u32 row = blockIdx.x, width = params.width;
    const u64 residual = (u64)row * width;
    float* room = (float*)kx_shared();
    float scale = 1.0f;
    if (params.after) {
        float sum = 0.0f;
        for (u32 at = threadIdx.x * N; at < width; at += BRANCH_THREADS * N) {
            float delta[N];
            load_delta<N>(delta, params, row, at);
#pragma unroll
            for (int k = 0; k < N; k++) sum += delta[k] * delta[k];
        }
        scale = inverse_rms(block_sum(sum, room), width, params.eps);
    }
    float sum = 0.0f;
    for (u32 at = threadIdx.x * N; at < width; at += BRANCH_THREADS * N) {
        float x[N];
        if (params.tokens) {
            const u64 token = ((const u32*)params.tokens)[row];
            load_numbers<N>(x, params.table.address, params.table.type, token * params.table.stride + at);
#pragma unroll
            for (int k = 0; k < N; k++) x[k] *= params.factor;
        } else {
            float delta[N];
            load_numbers<N>(x, params.x, F32_NUMBERS, residual + at);
            load_delta<N>(delta, params, row, at);
            if (params.after) {
                float weight[N];
                load_numbers<N>(weight, params.after, F32_NUMBERS, at);
#pragma unroll
                for (int k = 0; k < N; k++) delta[k] *= scale * weight[k];
            }
#pragma unroll
            for (int k = 0; k < N; k++) x[k] += params.factor * delta[k];
        }
        store_numbers<N>(x, params.x, F32_NUMBERS, residual + at);
#pragma unroll
        for (int k = 0; k < N; k++) sum += x[k] * x[k];
    }
    if (params.before) scale = inverse_rms(block_sum(sum, room + BRANCH_THREADS / 32), width, params.eps);
    // Every thread reads what it wrote itself.
    for (u32 at = threadIdx.x * N; at < width; at += BRANCH_THREADS * N) {
        float x[N];
        load_numbers<N>(x, params.x, F32_NUMBERS, residual + at);
        if (params.before) {
            float weight[N];
            load_numbers<N>(weight, params.before, F32_NUMBERS, at);
#pragma unroll
            for (int k = 0; k < N; k++) x[k] *= scale * weight[k];
        }
        store_numbers<N>(x, params.out.address, params.out.type, (u64)row * params.out.stride + at);
    }
}

// Leaves one branch of a block and enters the next: x += factor * after(delta + bias), then out = before(x). At the start of a
// step x becomes the embedded token instead. One block a row.
KX_DEVICE void branch(const BranchParams& params) {
    const bool aligned = params.width % 8 == 0 && are_aligned(params.delta) && are_aligned(params.table) && are_aligned(params.out) &&
                         (params.x | params.bias | params.after | params.before) % 16 == 0;
    if (aligned) branch_row<8>(params);
    else branch_row<1>(params);
}

KX_DEVICE float activated(u32 activation, float x) {
    if (activation == SILU) return x / (1.0f + expf(-x));
    return 0.5f * x * (1.0f + tanhf(0.7978846f * (x + 0.044715f * x * x * x)));
}

template <int N>
KX_DEVICE void gate_row(const GateParams& params) {
    const u32 row = blockIdx.y;
    for (u32 at = (blockIdx.x * GATE_THREADS + threadIdx.x) * N; at < params.width; at += gridDim.x * GATE_THREADS * N) {
        float gate[N], up[N];
        load_numbers<N>(gate, params.gate.address, params.gate.type, (u64)row * params.gate.stride + at);
        load_numbers<N>(up, params.up.address, params.up.type, (u64)row * params.up.stride + at);
        if (params.bias) {
            float of_gate[N], of_up[N];
            load_numbers<N>(of_gate, params.bias, F32_NUMBERS, at);
            load_numbers<N>(of_up, params.bias, F32_NUMBERS, params.width + at);
#pragma unroll
            for (int k = 0; k < N; k++) gate[k] += of_gate[k], up[k] += of_up[k];
        }
#pragma unroll
        for (int k = 0; k < N; k++) gate[k] = activated(params.activation, gate[k]) * up[k];
        store_numbers<N>(gate, params.out.address, params.out.type, (u64)row * params.out.stride + at);
    }
}

// out = activation(gate) * up.
KX_DEVICE void gate(const GateParams& params) {
    const bool aligned =
        params.width % 8 == 0 && are_aligned(params.gate) && are_aligned(params.up) && are_aligned(params.out) && params.bias % 16 == 0;
    if (aligned) gate_row<8>(params);
    else gate_row<1>(params);
}
