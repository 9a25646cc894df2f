// Compiles the kernels' sources once, in a namespace of their own, and finds the kernels by name.
#include "kx.cuh"

namespace KX_VARIANT {

#include "kscope.cu"

template <class Params, void (*KERNEL)(Params)>
void call(const void* params) {
    KERNEL(*(const Params*)params);
}

struct Named {
    const char* name;
    size_t size;
    ksim::Entry entry;
};

#define KX_NAMED(kernel, Params) {#kernel, sizeof(Params), call<const Params, kernel>},
#define KX_NAMED_DECODE(of)                      \
    KX_NAMED(decode_##of##_8, DecodeParams)        \
    KX_NAMED(decode_##of##_16, DecodeParams)       \
    KX_NAMED(decode_##of##_8_coded, DecodeParams)  \
    KX_NAMED(decode_##of##_16_coded, DecodeParams)
#define KX_NAMED_DECODES(of)   \
    KX_NAMED_DECODE(of##_64)   \
    KX_NAMED_DECODE(of##_80)   \
    KX_NAMED_DECODE(of##_96)   \
    KX_NAMED_DECODE(of##_112)  \
    KX_NAMED_DECODE(of##_128)  \
    KX_NAMED_DECODE(of##_256)
#define KX_NAMED_PREFILLS(of)                   \
    KX_NAMED(prefill_##of##_64, PrefillParams)  \
    KX_NAMED(prefill_##of##_80, PrefillParams)  \
    KX_NAMED(prefill_##of##_96, PrefillParams)  \
    KX_NAMED(prefill_##of##_112, PrefillParams) \
    KX_NAMED(prefill_##of##_128, PrefillParams) \
    KX_NAMED(prefill_##of##_256, PrefillParams)
const Named KERNELS[] = {
#if defined(KX_MUTANT_PREFILL)
    KX_NAMED(prefill_bf16_64, PrefillParams)
#elif defined(KX_MUTANT)
    KX_NAMED_DECODE(bf16_64)
#else
    KX_NAMED_DECODES(bf16)
    KX_NAMED_DECODES(f16)
    KX_NAMED(combine_80, CombineParams)
    KX_NAMED(combine_96, CombineParams)
    KX_NAMED(combine_112, CombineParams)
    KX_NAMED(combine_128, CombineParams)
    KX_NAMED(combine_256, CombineParams)
    KX_NAMED_PREFILLS(bf16)
    KX_NAMED_PREFILLS(f16)
#endif
    KX_NAMED(combine_64, CombineParams)
    KX_NAMED(next_branch, BranchParams)
    KX_NAMED(gate_rows, GateParams)
    KX_NAMED(append_f16, AppendParams)
    KX_NAMED(append_bf16, AppendParams)
    KX_NAMED(rebuild_cache, RebuildParams)
    KX_NAMED(code_middle_tokens, RebuildParams)
    KX_NAMED(activity_sums_bf16, ActivityParams)
    KX_NAMED(activity_sums_f16, ActivityParams)
    KX_NAMED(activity_means_bf16, ActivityParams)
    KX_NAMED(activity_means_f16, ActivityParams)
};

}  // namespace KX_VARIANT

#define KX_JOIN_NAMES(a, b) a##b
#define KX_JOIN(a, b) KX_JOIN_NAMES(a, b)
#define KX_FIND(variant) KX_JOIN(variant, _find)

extern "C" ksim::Entry KX_FIND(KX_VARIANT)(const char* name, size_t* size) {
    for (const auto& kernel : KX_VARIANT::KERNELS) {
        if (strcmp(kernel.name, name) == 0) {
            *size = kernel.size;
            return kernel.entry;
        }
    }
    return nullptr;
}
