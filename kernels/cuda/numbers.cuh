// Rows of numbers of any type that weights and activations have.
#pragma once
#include "layout.cuh"

struct alignas(16) FourFloats {
    float x[4];
};

KX_DEVICE float widen_number(u32 type, u16 x) { return type == F16_NUMBERS ? kx_widen<F16>(x) : kx_widen<Bf16>(x); }

// The lower half is `low`, rounded.
KX_DEVICE u32 pack_numbers(u32 type, float low, float high) {
    return type == F16_NUMBERS ? kx_pack<F16>(low, high) : kx_pack<Bf16>(low, high);
}

// Numbers `at` and the N - 1 after it. Eight at once are at a multiple of 16 bytes.
template <int N>
KX_DEVICE void load_numbers(float (&x)[N], u64 address, u32 type, u64 at) {
    static_assert(N == 1 || N == 8, "a number, or eight");
    if constexpr (N == 1) {
        x[0] = type == F32_NUMBERS ? ((const float*)address)[at] : widen_number(type, ((const u16*)address)[at]);
    } else if (type == F32_NUMBERS) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const FourFloats four = kx_sixteen<const FourFloats>(address + at * 4 + half * 16);
#pragma unroll
            for (int k = 0; k < 4; k++) x[half * 4 + k] = four.x[k];
        }
    } else {
        const Vec16 eight = kx_sixteen<const Vec16>(address + at * 2);
#pragma unroll
        for (int k = 0; k < 8; k++) x[k] = widen_number(type, eight.x[k]);
    }
}

// Writes what load_numbers reads.
template <int N>
KX_DEVICE void store_numbers(const float (&x)[N], u64 address, u32 type, u64 at) {
    if constexpr (N == 1) {
        if (type == F32_NUMBERS) ((float*)address)[at] = x[0];
        else ((u16*)address)[at] = (u16)pack_numbers(type, x[0], 0.0f);
    } else if (type == F32_NUMBERS) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            FourFloats four;
#pragma unroll
            for (int k = 0; k < 4; k++) four.x[k] = x[half * 4 + k];
            kx_sixteen<FourFloats>(address + at * 4 + half * 16) = four;
        }
    } else {
        Vec16 eight;
#pragma unroll
        for (int k = 0; k < 8; k += 2) {
            const u32 pair = pack_numbers(type, x[k], x[k + 1]);
            eight.x[k] = (u16)pair;
            eight.x[k + 1] = (u16)(pair >> 16);
        }
        kx_sixteen<Vec16>(address + at * 2) = eight;
    }
}

// Whether every eighth number of every row, where there are any, is at a multiple of 16 bytes.
KX_DEVICE bool are_aligned(const Numbers& rows) { return rows.address % 16 == 0 && (rows.address == 0 || rows.stride % 8 == 0); }
