// The two element types on the host: rounded to nearest even, widened exactly.
#pragma once
#include <cstring>

namespace ksim {

inline float float_of(u32 bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

inline float widen_bf16(u16 x) { return float_of((u32)x << 16); }

inline u32 round_bf16(float x) {
    u32 bits;
    memcpy(&bits, &x, 4);
    if (x != x) return 0x7fff;
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

inline u32 round_f16(float x) {
    u32 bits;
    memcpy(&bits, &x, 4);
    const u32 sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return sign | 0x7fff;
    if (magnitude >= 0x477ff000) return sign | 0x7c00;  // rounds to 65536 or more
    if (magnitude < 0x38800000) {
        // Below 2^-14: a multiple of 2^-24, which adding 0.5 rounds to.
        float size, shifted;
        memcpy(&size, &magnitude, 4);
        shifted = size + 0.5f;
        u32 rounded;
        memcpy(&rounded, &shifted, 4);
        return sign | (rounded - 0x3f000000);
    }
    return sign | ((magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13);
}

inline float widen_f16(u16 x) {
    const u32 sign = (u32)(x & 0x8000) << 16, exponent = x >> 10 & 31, digits = x & 1023;
    if (exponent == 0) {
        const float size = (float)digits * 0x1p-24f;
        return sign ? -size : size;
    }
    return float_of(sign | (exponent == 31 ? 0x7f800000 : (exponent + 112) << 23) | digits << 13);
}

}  // namespace ksim
