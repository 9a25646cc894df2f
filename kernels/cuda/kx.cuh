// The only file with inline PTX. The kernels call these functions; the host simulator (kernels/sim)
// implements the same functions on a CPU, so that the same sources run without a GPU.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

// The two element types. An element is stored as 16 raw bits; the type says what they mean.
struct Bf16 {};
struct F16 {};

// Sixteen bytes, the unit of every copy.
struct alignas(16) Vec16 {
    u16 x[8];
};

#ifdef KX_SIM
#include "ksim.h"
#else

#define KX_DEVICE __device__ __forceinline__
// An entry point: threads per block, and the number of blocks that must fit one multiprocessor,
// which limits the registers that the compiler uses.
#define KX_KERNEL(threads, blocks) extern "C" __global__ void __launch_bounds__(threads, blocks)
#define KX_INFINITY __int_as_float(0x7f800000)

extern __shared__ __align__(16) u8 kx_dynamic_shared[];

// The block's dynamic shared memory.
KX_DEVICE u8* kx_shared() { return kx_dynamic_shared; }

KX_DEVICE u32 kx_shared_address(const void* shared) { return (u32)__cvta_generic_to_shared(shared); }

// Sixteen bytes of memory, read or written at once; their address is a multiple of 16.
template <class T>
KX_DEVICE T& kx_sixteen(u64 address) {
    static_assert(sizeof(T) == 16);
    return *(T*)address;
}

// Starts a copy of 16 bytes from global to shared memory, bypassing the first-level cache; writes
// zeros where `valid` is false.
KX_DEVICE void kx_copy16_async(void* shared, const void* global, bool valid) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(kx_shared_address(shared)), "l"(global),
                 "r"(valid ? 16 : 0)
                 : "memory");
}

// Closes this thread's group of copies.
KX_DEVICE void kx_copies_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most PENDING of this thread's most recent groups are still pending.
template <int PENDING>
KX_DEVICE void kx_copies_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

// Loads four 8x8 matrices of 16-bit elements; lane l gives the address of row l % 8 of matrix l / 8.
KX_DEVICE void kx_load_matrices(u32 (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(kx_shared_address(row))
                 : "memory");
}

// Loads four 8x8 matrices as kx_load_matrices does, each transposed.
KX_DEVICE void kx_load_matrices_transposed(u32 (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(kx_shared_address(row))
                 : "memory");
}

// Transposes an 8x8 matrix of 16-bit elements that is spread over the warp's registers.
KX_DEVICE u32 kx_transpose(u32 x) {
    u32 y;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(y) : "r"(x));
    return y;
}

// c += a b with a of 16x16, b of 16x8, c of 16x8 in f32, in the fragment layout of mma.m16n8k16.
template <class T>
KX_DEVICE void kx_mma(float (&c)[4], const u32 (&a)[4], const u32 (&b)[2]);

template <>
KX_DEVICE void kx_mma<Bf16>(float (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

template <>
KX_DEVICE void kx_mma<F16>(float (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// 2^x.
KX_DEVICE float kx_exp2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// 1 / x, to about the last bit.
KX_DEVICE float kx_reciprocal(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// Rounds two numbers to nearest even; the first one is the lower half of the result.
template <class T>
KX_DEVICE u32 kx_pack(float low, float high);

template <>
KX_DEVICE u32 kx_pack<Bf16>(float low, float high) {
    u32 pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

template <>
KX_DEVICE u32 kx_pack<F16>(float low, float high) {
    u32 pair;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

// An element as f32, exactly.
template <class T>
KX_DEVICE float kx_widen(u16 x);

template <>
KX_DEVICE float kx_widen<Bf16>(u16 x) {
    return __uint_as_float((u32)x << 16);
}

template <>
KX_DEVICE float kx_widen<F16>(u16 x) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x));
    return y;
}

#endif
