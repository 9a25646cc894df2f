// Host versions of the functions in kx.cuh. Every CUDA thread is a fiber; at warp operations and
// barriers the fibers wait for each other.
//
// It checks for threads that wait at different operations, or never arrive; wrong shared-memory
// addresses in the operations of kx.cuh; a copy that is read before its thread has waited for it
// and then passed a __syncwarp or __syncthreads (until then its target is filled with 0xFF, a NaN);
// copies from outside the launch's buffers; and writes past the block's shared memory. It cannot
// see timing, weak memory ordering or bank conflicts.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "element.h"

#define KX_DEVICE inline
#define KX_KERNEL(threads, blocks) static void
#define KX_INFINITY HUGE_VALF

namespace ksim {

// A kernel: takes the address of its parameters.
typedef void (*Entry)(const void*);

struct Dim {
    u32 x, y, z;
};

enum Kind : u32 { SYNC_WARP, SHUFFLE_XOR, LOAD_MATRICES, LOAD_MATRICES_TRANSPOSED, TRANSPOSE, MMA_BF16, MMA_F16 };

// The input of one thread to a warp operation, and its result.
struct Meeting {
    Kind kind;
    int line;
    u32 mask;
    u32 arg;
    u32 in[10];
    u32 out[4];
    const void* address;
};

// The running thread.
extern Dim thread_index, block_index, block_size, grid_size;

u8* shared();
void meet(Meeting& meeting);
void block_barrier(const char* file, int line);
void copy16(void* shared, const void* global, bool valid);
void check_sixteen(u64 address);
void copies_commit();
void copies_wait(int pending);

template <class X>
X shuffle_xor(u32 mask, X x, u32 by, int line) {
    static_assert(sizeof(X) == 4);
    Meeting meeting{SHUFFLE_XOR, line, mask, by, {}, {}, nullptr};
    memcpy(meeting.in, &x, 4);
    meet(meeting);
    memcpy(&x, meeting.out, 4);
    return x;
}

inline void warp_barrier(int line) {
    Meeting meeting{SYNC_WARP, line, 0xffffffffu, 0, {}, {}, nullptr};
    meet(meeting);
}

inline void load_matrices(u32 (&r)[4], const void* row, Kind kind, int line) {
    Meeting meeting{kind, line, 0xffffffffu, 0, {}, {}, row};
    meet(meeting);
    memcpy(r, meeting.out, 16);
}

inline u32 transpose(u32 x, int line) {
    Meeting meeting{TRANSPOSE, line, 0xffffffffu, 0, {x}, {}, nullptr};
    meet(meeting);
    return meeting.out[0];
}

inline void mma(float (&c)[4], const u32 (&a)[4], const u32 (&b)[2], Kind kind, int line) {
    Meeting meeting{kind, line, 0xffffffffu, 0, {}, {}, nullptr};
    memcpy(meeting.in, c, 16);
    memcpy(meeting.in + 4, a, 16);
    memcpy(meeting.in + 8, b, 8);
    meet(meeting);
    memcpy(c, meeting.out, 16);
}

template <class T>
struct Element;
template <>
struct Element<Bf16> {
    static constexpr Kind MMA = MMA_BF16;
    static u32 round(float x) { return round_bf16(x); }
    static float widen(u16 x) { return widen_bf16(x); }
};
template <>
struct Element<F16> {
    static constexpr Kind MMA = MMA_F16;
    static u32 round(float x) { return round_f16(x); }
    static float widen(u16 x) { return widen_f16(x); }
};

}  // namespace ksim

#define threadIdx ksim::thread_index
#define blockIdx ksim::block_index
#define blockDim ksim::block_size
#define gridDim ksim::grid_size
#define __syncthreads() ksim::block_barrier(__FILE__, __LINE__)
#define __syncwarp() ksim::warp_barrier(__LINE__)
#define __shfl_xor_sync(mask, x, by) ksim::shuffle_xor(mask, x, by, __LINE__)
#define kx_shared() ksim::shared()
#define kx_copy16_async(to, from, valid) ksim::copy16(to, from, valid)
#define kx_copies_commit() ksim::copies_commit()
#define kx_load_matrices(r, row) ksim::load_matrices(r, row, ksim::LOAD_MATRICES, __LINE__)
#define kx_load_matrices_transposed(r, row) ksim::load_matrices(r, row, ksim::LOAD_MATRICES_TRANSPOSED, __LINE__)
#define kx_transpose(x) ksim::transpose(x, __LINE__)

template <class T>
inline T& kx_sixteen(u64 address) {
    static_assert(sizeof(T) == 16);
    ksim::check_sixteen(address);
    return *(T*)address;
}

inline u32 min(u32 a, u32 b) { return a < b ? a : b; }

template <int PENDING>
inline void kx_copies_wait() {
    ksim::copies_wait(PENDING);
}

template <class T>
inline void kx_mma(float (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    ksim::mma(c, a, b, ksim::Element<T>::MMA, __LINE__);
}

inline float kx_exp2(float x) { return exp2f(x); }

inline float kx_reciprocal(float x) { return 1.0f / x; }

template <class T>
inline u32 kx_pack(float low, float high) {
    return ksim::Element<T>::round(low) | ksim::Element<T>::round(high) << 16;
}

template <class T>
inline float kx_widen(u16 x) {
    return ksim::Element<T>::widen(x);
}
