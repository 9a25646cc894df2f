// Modules, launches, and the part of cuBLAS and cuRAND that candle calls. kscope's kernels run in the
// simulator.
#include <cstdlib>
#include <string>

#include "candle.h"
#include "state.h"

using namespace driver;

extern "C" int ksim_run(const char* variant, const char* name, const uint32_t* grid, const uint32_t* block, size_t shared, const void* params,
                        size_t size, const uint64_t* buffers, size_t buffer_count, uint32_t schedule, uint64_t seed, char* error, size_t error_bytes);
namespace ksim { typedef void (*Entry)(const void*); }
extern "C" ksim::Entry kscope_find(const char* name, size_t* size);

namespace {

struct Module {};
struct Function {
    std::string name;
    // Most dynamic shared memory of a launch, unless an attribute allows more.
    int most_shared = 48 << 10;
};

void run_kscope(const std::string& name, std::vector<char> params, uint32_t gx, uint32_t gy, uint32_t gz, uint32_t threads, uint32_t shared) {
    std::vector<uint64_t> ranges;
    for (auto& [start, block] : blocks) {
        if (block.alive) ranges.insert(ranges.end(), {(uint64_t)start, (uint64_t)block.bytes});
    }
    uint32_t grid[3] = {gx, gy, gz}, block[3] = {threads, 1, 1};
    char error[1024];
    static uint32_t turns = 0;
    if (ksim_run("kscope", name.c_str(), grid, block, shared, params.data(), params.size(), ranges.data(), ranges.size() / 2, turns++ % 3, 7, error,
                 sizeof error)) {
        complain(LAUNCH_FAILED, "%s", error);
        abort();
    }
}

}  // namespace

namespace candle {
void live(const void* start, size_t bytes, const char* what) { need(start, bytes, what); }
}  // namespace candle

API cuModuleLoadData(Module** module, const void*) {
    LOCK;
    note("module");
    if (forbid("loading a module")) return CAPTURE_UNSUPPORTED;
    return *module = new Module, SUCCESS;
}
API cuModuleUnload(Module* module) { return delete module, SUCCESS; }
API cuModuleGetFunction(Function** function, Module*, const char* name) {
    LOCK;
    size_t size;
    if (!kscope_find(name, &size) && !candle::knows(name)) return complain(NOT_FOUND, "there is no kernel `%s`", name);
    // One object per name, as in a real driver.
    static std::map<std::string, Function*> functions;
    Function*& known = functions[name];
    if (!known) known = new Function{name};
    return *function = known, SUCCESS;
}
API cuFuncSetAttribute(Function* function, int attribute, int value) {
    LOCK;
    note("attribute %s %d %d", function->name.c_str(), attribute, value);
    // Most dynamic shared memory, and the share of shared memory in percent.
    if (attribute == 8 && value > 227 << 10) return complain(INVALID_VALUE, "%s: %d bytes of shared memory", function->name.c_str(), value);
    if (attribute == 9 && (value < -1 || value > 100)) return complain(INVALID_VALUE, "%s: a carve-out of %d", function->name.c_str(), value);
    if (attribute == 8) function->most_shared = value;
    return SUCCESS;
}
API cuFuncGetAttribute(int* value, int, Function*) { return *value = 0, SUCCESS; }

// By shared memory and threads of a GPU of compute capability 9.0; registers are not known here, and
// every kernel's are bounded for three blocks or fewer.
API cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, Function* function, int threads, size_t shared, unsigned) {
    LOCK;
    note("occupancy %s", function->name.c_str());
    if (threads < 1 || threads > 1024) return complain(INVALID_VALUE, "%s: a block of %d threads", function->name.c_str(), threads);
    const int by_memory = (int)((228 << 10) / (shared + (1 << 10))), by_threads = 2048 / threads;
    return *blocks = std::min({by_memory, by_threads, 3}), SUCCESS;
}

API cuLaunchKernel(Function* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, Stream* stream,
                   void** params, void**) {
    LOCK;
    note("launch %s", function->name.c_str());
    if (!gx || !gy || !gz || bx * by * bz == 0 || bx * by * bz > 1024) return complain(INVALID_VALUE, "%s: an impossible grid", function->name.c_str());
    if ((int)shared > function->most_shared)
        return complain(INVALID_VALUE, "%s: %u bytes of shared memory without the attribute that allows them", function->name.c_str(), shared);
    size_t size = 0;
    if (kscope_find(function->name.c_str(), &size)) {
        // The driver copies parameters at the call, not when the kernel runs.
        std::vector<char> copy((char*)params[0], (char*)params[0] + size);
        return submit(stream, [=, name = function->name] { run_kscope(name, copy, gx, gy, gz, bx, shared); });
    }
    return submit(stream, candle::launch(function->name, params, gx, bx));
}

// The part of cuBLAS and cuRAND that candle calls.
API cublasCreate_v2(void** handle) { return *handle = new Stream*(nullptr), SUCCESS; }
API cublasDestroy_v2(void*) { return SUCCESS; }
API cublasSetStream_v2(Stream** handle, Stream* stream) { return *handle = stream, SUCCESS; }
API cublasGemmStridedBatchedEx(Stream** handle, int transpose_a, int transpose_b, int m, int n, int k, const void* alpha, const void* a, int a_type, int lda,
                               long long stride_a, const void* b, int b_type, int ldb, long long stride_b, const void* beta, void* c, int c_type, int ldc,
                               long long stride_c, int batch, int compute, int) {
    LOCK;
    // CUBLAS_COMPUTE_32F, or its TF32 variant.
    const bool tf32 = compute == 77 && a_type == 0;
    note("product%s %d %d %d %d", tf32 ? " tf32" : "", batch, m, n, k);
    if ((compute != 68 && !tf32) || a_type != b_type || a_type != c_type) return complain(15, "a product in another type than its factors'");
    const candle::Product product{transpose_a != 0, transpose_b != 0, m, n, k, *(const float*)alpha, *(const float*)beta, a, b, c, tf32, a_type, c_type,
                                  lda, ldb, ldc, stride_a, stride_b, stride_c, batch};
    return submit(*handle, [product] { candle::multiply(product); });
}
API cublasSetWorkspace_v2(Stream**, void* memory, size_t bytes) {
    LOCK;
    need(memory, bytes, "a workspace");
    return SUCCESS;
}
API cublasGemmEx(Stream** handle, int transpose_a, int transpose_b, int m, int n, int k, const void* alpha, const void* a, int a_type, int lda, const void* b,
                 int b_type, int ldb, const void* beta, void* c, int c_type, int ldc, int compute, int) {
    LOCK;
    note("product own %d %d %d", m, n, k);
    if (compute != 68 || a_type != b_type || (c_type != a_type && c_type != 0)) return complain(15, "a product in a type that cuBLAS does not know");
    const candle::Product product{transpose_a != 0, transpose_b != 0, m, n, k, *(const float*)alpha, *(const float*)beta, a, b, c, false, a_type, c_type,
                                  lda, ldb, ldc, 0, 0, 0, 1};
    return submit(*handle, [product] { candle::multiply(product); });
}
API curandCreateGenerator(void** generator, int) { return *generator = (void*)1, SUCCESS; }
API curandDestroyGenerator(void*) { return SUCCESS; }
API curandSetPseudoRandomGeneratorSeed(void*, unsigned long long) { return SUCCESS; }
API curandSetGeneratorOffset(void*, unsigned long long) { return SUCCESS; }
API curandSetStream(void*, void*) { return SUCCESS; }
