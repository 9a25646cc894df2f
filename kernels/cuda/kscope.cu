// The entry points. src/attention/cuda/launch.rs computes their grids; kernels/sim lists them for the simulator.
#include "activity.cuh"
#include "branch.cuh"
#include "decode.cuh"
#include "prefill.cuh"
#include "store.cuh"

#define KX_DECODE_HEADS(name, T, D, HEADS)                                                    \
    KX_DECODE_KERNEL(decode_##name##_##D##_##HEADS, T, D, HEADS, false)                       \
    KX_DECODE_KERNEL(decode_##name##_##D##_##HEADS##_coded, T, D, HEADS, true)
#define KX_DECODE_KERNEL(kernel, T, D, HEADS, CODED)                                          \
    KX_KERNEL((DecodeShape<D, HEADS / 8, CODED>::THREADS), (DecodeShape<D, HEADS / 8, CODED>::BLOCKS)) \
    kernel(const DecodeParams params) {                                                       \
        decode<T, D, HEADS / 8, CODED>(params);                                               \
    }
#define KX_DECODE(name, T, D)      \
    KX_DECODE_HEADS(name, T, D, 8) \
    KX_DECODE_HEADS(name, T, D, 16)
#define KX_DECODES(name, T)  \
    KX_DECODE(name, T, 64)   \
    KX_DECODE(name, T, 80)   \
    KX_DECODE(name, T, 96)   \
    KX_DECODE(name, T, 112)  \
    KX_DECODE(name, T, 128)  \
    KX_DECODE(name, T, 256)

#define KX_COMBINE(D) \
    KX_KERNEL(CombineShape<D>::THREADS, 1) combine_##D(const CombineParams params) { combine<D>(params); }

#define KX_PREFILL(name, T, D)                                                    \
    KX_KERNEL(PrefillShape<D>::THREADS, PrefillShape<D>::BLOCKS)                  \
    prefill_##name##_##D(const PrefillParams params) {                            \
        prefill<T, D>(params);                                                    \
    }
#define KX_PREFILLS(name, T) \
    KX_PREFILL(name, T, 64)  \
    KX_PREFILL(name, T, 80)  \
    KX_PREFILL(name, T, 96)  \
    KX_PREFILL(name, T, 112) \
    KX_PREFILL(name, T, 128) \
    KX_PREFILL(name, T, 256)

// The defective copies for the simulator's tests are compiled for one width only, and for the kind of
// attention that has the defect.
#if defined(KX_MUTANT_PREFILL)
KX_PREFILL(bf16, Bf16, 64)
#elif defined(KX_MUTANT)
KX_DECODE(bf16, Bf16, 64)
#else
KX_DECODES(bf16, Bf16)
KX_DECODES(f16, F16)
KX_COMBINE(80)
KX_COMBINE(96)
KX_COMBINE(112)
KX_COMBINE(128)
KX_COMBINE(256)
KX_PREFILLS(bf16, Bf16)
KX_PREFILLS(f16, F16)
#endif
KX_COMBINE(64)

KX_KERNEL(BRANCH_THREADS, 1) next_branch(const BranchParams params) { branch(params); }
KX_KERNEL(GATE_THREADS, 1) gate_rows(const GateParams params) { gate(params); }
KX_KERNEL(STORE_THREADS, 1) append_f16(const AppendParams params) { append<F16>(params); }
KX_KERNEL(STORE_THREADS, 1) append_bf16(const AppendParams params) { append<Bf16>(params); }
KX_KERNEL(STORE_THREADS, 1) rebuild_cache(const RebuildParams params) { rebuild(params); }
KX_KERNEL(STORE_THREADS, 1) code_middle_tokens(const RebuildParams params) { code_middle(params); }
KX_KERNEL(ACTIVITY_THREADS, 1) activity_sums_bf16(const ActivityParams params) { activity_sums<Bf16>(params); }
KX_KERNEL(ACTIVITY_THREADS, 1) activity_sums_f16(const ActivityParams params) { activity_sums<F16>(params); }
KX_KERNEL(ACTIVITY_THREADS, 1) activity_means_bf16(const ActivityParams params) { activity_means<Bf16>(params); }
KX_KERNEL(ACTIVITY_THREADS, 1) activity_means_f16(const ActivityParams params) { activity_means<F16>(params); }
