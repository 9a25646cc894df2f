// The entry points. src/attention/cuda/launch.rs computes their grids; kernels/sim lists them for the simulator.
#include "activity.cuh"
#include "decode.cuh"
#include "store.cuh"

#define KX_DECODE(name, T, D)                                                                                  \
    KX_KERNEL(DecodeShape<D>::THREADS, DecodeShape<D>::BLOCKS) decode_##name##_##D(const DecodeParams params) { \
        decode<T, D>(params);                                                                                  \
    }                                                                                                          \
    KX_KERNEL(CombineShape<D>::THREADS, 1) combine_##name##_##D(const CombineParams params) { combine<T, D>(params); }

#ifdef KX_MUTANT
// The defective copies for the simulator's tests are compiled for one width only.
KX_DECODE(bf16, Bf16, 64)
#else
KX_DECODE(bf16, Bf16, 64)
KX_DECODE(bf16, Bf16, 96)
KX_DECODE(bf16, Bf16, 128)
KX_DECODE(bf16, Bf16, 256)
KX_DECODE(f16, F16, 64)
KX_DECODE(f16, F16, 96)
KX_DECODE(f16, F16, 128)
KX_DECODE(f16, F16, 256)
#endif

KX_KERNEL(STORE_THREADS, 1) append_token(const AppendParams params) { append(params); }
KX_KERNEL(STORE_THREADS, 1) rebuild_cache(const RebuildParams params) { rebuild(params); }
KX_KERNEL(ACTIVITY_THREADS, 1) activity_sums_bf16(const ActivityParams params) { activity_sums<Bf16>(params); }
KX_KERNEL(ACTIVITY_THREADS, 1) activity_sums_f16(const ActivityParams params) { activity_sums<F16>(params); }
KX_KERNEL(ACTIVITY_THREADS, 1) activity_means_bf16(const ActivityParams params) { activity_means<Bf16>(params); }
KX_KERNEL(ACTIVITY_THREADS, 1) activity_means_f16(const ActivityParams params) { activity_means<F16>(params); }
