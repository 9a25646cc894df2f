// Coded storage of the middle: where the codes of a head are, writing them and reading them.
//
// A coded head stores its middle in tiles of 16 tokens. A tile holds, channel by channel in the order of `HeadLayout::channels`
// (16 bits first, then 8, 4 and 2), the 16 codes of each key channel, and from `tile_values` on the `head_dim` codes of each
// token's value, then scale and minimum of every group of a value's channels. Codes fill words from the lowest bits up; with 16
// bits they are elements. Scales and minima of the keys, which a group of tokens shares, lie behind all tiles of the slab,
// [SLAB / group][coded channels]. A pair is the scale in the lower half, the minimum in the upper one, both f16.
//
// The number of a code is minimum + scale * code: KIVI's asymmetric rounding (arXiv 2402.02750), rounded as
// src/cache/coded/group.rs does, to the same bits.
#pragma once
#include "layout.cuh"

struct alignas(16) Words {
    u32 x[4];
};

// Scale and minimum of a group.
struct Scale {
    float step, low;
};

KX_DEVICE Scale scale_of(u32 pair) { return {kx_widen<F16>((u16)pair), kx_widen<F16>((u16)(pair >> 16))}; }

// Bytes from one group's pairs to the next one's, a multiple of 16.
KX_DEVICE u32 scale_row(const HeadLayout& head) { return (head.kept - head.widths[0] + 3) / 4 * 16; }

// The tile of a middle token.
KX_DEVICE u8* coded_tile(const SequenceState& state, const HeadLayout& head, u32 token) {
    const u64 slab = ((const u64*)state.slabs)[token / SLAB];
    return (u8*)(slab + head.keys) + token % SLAB / ROWS * head.tile;
}

// The pairs of the keys of a middle token's group, one for each coded channel.
KX_DEVICE u32* key_scales(const SequenceState& state, const HeadLayout& head, u32 token) {
    const u64 slab = ((const u64*)state.slabs)[token / SLAB];
    return (u32*)(slab + head.values + token % SLAB / head.group * scale_row(head));
}

// The pairs of a tile's values, [16][head_dim / v_group].
KX_DEVICE u32* value_scales(u8* tile, const HeadLayout& head, u32 d) {
    return (u32*)(tile + head.tile_values + ROWS * d * head.v_bits / 8);
}

// Where 16 codes are, and how wide they are. They take 2 * bits bytes.
struct Codes {
    u32 at;  // bytes from the tile's start
    u32 bits;
};

// The codes of the stored channel `at`, which is one of the head's.
KX_DEVICE Codes key_codes(const HeadLayout& head, u32 at) {
    Codes codes = {0, 16};
#pragma unroll
    for (u32 k = 0; k < 3; k++) {
        if (at < head.widths[k]) break;
        at -= head.widths[k];
        codes.at += head.widths[k] * 2 * codes.bits;
        codes.bits /= 2;
    }
    codes.at += at * 2 * codes.bits;
    return codes;
}

// The codes of 16 channels of a tile's value.
KX_DEVICE Codes value_codes(const HeadLayout& head, u32 token, u32 part, u32 d) {
    return {head.tile_values + (token * d / 16 + part) * 2 * head.v_bits, head.v_bits};
}

template <class T, u32 BITS>
KX_DEVICE void widen_codes(u32 (&wide)[8], const u32* codes, Scale scale) {
    constexpr u32 IN_WORD = 32 / BITS, LARGEST = (1u << BITS) - 1;
#pragma unroll
    for (u32 k = 0; k < 8; k++) {
        const u32 two = codes[2 * k / IN_WORD] >> 2 * k % IN_WORD * BITS;
        wide[k] = kx_pack<T>(fmaf(scale.step, (float)(two & LARGEST), scale.low), fmaf(scale.step, (float)(two >> BITS & LARGEST), scale.low));
    }
}

// Sixteen codes as elements, two to a register. `pair` is theirs; with 16 bits it does not matter.
template <class T>
KX_DEVICE void widen(u32 (&wide)[8], const u8* tile, Codes codes, u32 pair) {
    const u32* from = (const u32*)(tile + codes.at);
    const Scale scale = scale_of(pair);
    if (codes.bits == 8) {
        widen_codes<T, 8>(wide, from, scale);
    } else if (codes.bits == 4) {
        widen_codes<T, 4>(wide, from, scale);
    } else if (codes.bits == 2) {
        widen_codes<T, 2>(wide, from, scale);
    } else {
#pragma unroll
        for (u32 k = 0; k < 8; k++) wide[k] = from[k];
    }
}

// The number of code `index` of 16.
template <class T>
KX_DEVICE float coded_number(const u8* tile, Codes codes, u32 index, u32 pair) {
    if (codes.bits == 16) return kx_widen<T>(((const u16*)(tile + codes.at))[index]);
    const u32 bit = index * codes.bits, word = ((const u32*)(tile + codes.at))[bit / 32];
    const Scale scale = scale_of(pair);
    return fmaf(scale.step, (float)(word >> bit % 32 & ((1u << codes.bits) - 1)), scale.low);
}

// An element of the type with this infinity.
KX_DEVICE float element(u16 x, u32 infinity) { return infinity == 0x7c00 ? kx_widen<F16>(x) : kx_widen<Bf16>(x); }

// The next larger f16.
KX_DEVICE u16 f16_above(u16 x) {
    if ((x & 0x7fff) == 0) return 1;  // of either zero
    return x < 0x8000 ? x + 1 : x - 1;
}

// The largest f16 that is not above `x`.
KX_DEVICE u16 f16_down(float x) {
    const u16 nearest = (u16)kx_pack<F16>(x, 0.0f);
    return kx_widen<F16>(nearest) <= x ? nearest : f16_above(nearest ^ 0x8000) ^ 0x8000;
}

// The smallest f16 that is not below `x`.
KX_DEVICE u16 f16_up(float x) {
    const u16 nearest = (u16)kx_pack<F16>(x, 0.0f);
    return kx_widen<F16>(nearest) >= x ? nearest : f16_above(nearest);
}

// What a group of numbers spans.
struct Span {
    float low = KX_INFINITY, high = -KX_INFINITY;
    // Whether all of them lie within the range of f16, as scale and minimum must.
    bool fits = true;

    KX_DEVICE void add(float number) {
        low = fminf(low, number);
        high = fmaxf(high, number);
        fits &= fabsf(number) <= 65504.0f;
    }

    // The pair of the group, so that every number lies between the first and the last code; a minimum that is no number where one
    // does not fit.
    KX_DEVICE u32 pair(u32 bits) const {
        if (!fits) return 0x7e00u << 16;
        if (low == high) return kx_pack<F16>(0.0f, low);
        const u16 minimum = f16_down(low);
        return (u32)minimum << 16 | f16_up((high - kx_widen<F16>(minimum)) / (float)((1u << bits) - 1));
    }
};

// The code of a number, rounded to nearest even.
KX_DEVICE u32 code_of(float x, Scale scale, u32 bits) {
    if (scale.step == 0.0f) return 0;
    const float code = rintf((x - scale.low) / scale.step);
    return (u32)fminf(fmaxf(code, 0.0f), (float)((1u << bits) - 1));
}

// Writes 16 numbers as codes; `number(i)` is the i-th one's element.
template <class Number>
KX_DEVICE void write_codes(u8* tile, Codes codes, u32 pair, u32 infinity, Number number) {
    const Scale scale = scale_of(pair);
    u32* to = (u32*)(tile + codes.at);
    const u32 in_word = 32 / codes.bits;
    for (u32 first = 0; first < 16; first += in_word) {
        u32 word = 0;
        for (u32 k = 0; k < in_word; k++) {
            const u16 x = number(first + k);
            const u32 code = codes.bits == 16 ? x : code_of(element(x, infinity), scale, codes.bits);
            word |= code << k * codes.bits;
        }
        *to++ = word;
    }
}

// Codes `count` middle tokens from `first` on, whole groups, with all threads of a block. `row(token, which)` is the token's key
// (0) or value (1). What codes cannot hold is marked in the state.
template <class Row>
KX_DEVICE void code_tokens(SequenceState& state, const HeadLayout& head, u32 first, u32 count, u32 d, u32 infinity, Row row) {
    const u8* channels = (const u8*)head.channels;
    bool fits = true;
    for (u32 i = threadIdx.x; i < count / head.group * head.kept; i += blockDim.x) {
        const u32 at = i % head.kept, channel = channels[at], start = first + i / head.kept * head.group;
        const Codes codes = key_codes(head, at);
        u32 pair = 0;
        if (codes.bits < 16) {
            Span span;
            for (u32 k = 0; k < head.group; k++) span.add(element(row(start + k, 0)[channel], infinity));
            fits &= span.fits;
            pair = span.pair(codes.bits);
            key_scales(state, head, start)[at - head.widths[0]] = pair;
        }
        for (u32 token = start; token < start + head.group; token += ROWS) {
            write_codes(coded_tile(state, head, token), codes, pair, infinity, [&](u32 k) { return row(token + k, 0)[channel]; });
        }
    }
    const u32 groups = d / head.v_group;
    for (u32 i = threadIdx.x; i < count * groups; i += blockDim.x) {
        const u32 token = first + i / groups, group = i % groups;
        const u16* value = row(token, 1) + group * head.v_group;
        u8* tile = coded_tile(state, head, token);
        u32 pair = 0;
        if (head.v_bits < 16) {
            Span span;
            for (u32 k = 0; k < head.v_group; k++) span.add(element(value[k], infinity));
            fits &= span.fits;
            pair = span.pair(head.v_bits);
            value_scales(tile, head, d)[token % ROWS * groups + group] = pair;
        }
        for (u32 part = 0; part < head.v_group / 16; part++) {
            const Codes codes = value_codes(head, token % ROWS, group * head.v_group / 16 + part, d);
            write_codes(tile, codes, pair, infinity, [&](u32 k) { return value[part * 16 + k]; });
        }
    }
    // Whoever writes it writes the same.
    if (!fits) state.misfits = 1;
}
