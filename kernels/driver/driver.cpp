// A CUDA driver that runs on a CPU, for development. A program that was built with feature `cuda`
// runs on it as on a GPU, from `cuInit` to the captured graph of a decode step. Everything that the
// driver interface forbids is an error with a name.
//
// Device memory is memory of this process, and every stream does its work at once. kscope's kernels
// run in the host simulator (kernels/sim); candle's kernels and cuBLAS's product (candle.h) are
// plain loops that compute the same. So it checks which calls are made and in which order:
// parameters, lifetimes, captures, waiting. It says nothing about speed, nor about the machine code
// of any kernel.
//
// KSCOPE_DRIVER_LOG=FILE writes one line per call that allocates, frees, copies, launches, waits or
// captures.
// KSCOPE_DRIVER_BYTES=N is the size of the GPU's memory, 8 GiB by default.
#include <algorithm>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "candle.h"

extern "C" int ksim_run(const char* variant, const char* name, const uint32_t* grid, const uint32_t* block, size_t shared, const void* params,
                        size_t size, const uint64_t* buffers, size_t buffer_count, uint32_t schedule, uint64_t seed, char* error, size_t error_bytes);
namespace ksim { typedef void (*Entry)(const void*); }
extern "C" ksim::Entry kscope_find(const char* name, size_t* size);

namespace {

enum Status : int {
    SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_HANDLE = 400, NOT_FOUND = 500, LAUNCH_FAILED = 719,
    CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901,
};

typedef std::function<void()> Work;

struct Graph {
    std::vector<Work> nodes;
    // Memory that was allocated during the capture, and the part of it that was not freed again.
    std::vector<char*> memory;
    std::vector<char*> open;
};

struct Stream {
    Graph* capture = nullptr;
    bool broken = false;
};

struct Module {};
struct Function {
    std::string name;
};

struct Block {
    size_t bytes;
    bool pinned;
    // The graph that this memory belongs to, if any: each launch allocates and frees it.
    Graph* graph;
    bool alive;
};

std::recursive_mutex turn;
std::map<char*, Block> blocks;
FILE* log_file;
uint64_t held;
thread_local void* current;

void note(const char* format, ...) {
    static bool opened = (log_file = getenv("KSCOPE_DRIVER_LOG") ? fopen(getenv("KSCOPE_DRIVER_LOG"), "w") : nullptr, true);
    (void)opened;
    if (!log_file) return;
    va_list args;
    va_start(args, format);
    vfprintf(log_file, format, args);
    va_end(args);
    fputc('\n', log_file);
    fflush(log_file);
}

int complain(int status, const char* format, ...) {
    fprintf(stderr, "driver: ");
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    note("error %d", status);
    return status;
}

uint64_t capacity() {
    static const char* set = getenv("KSCOPE_DRIVER_BYTES");
    static const uint64_t bytes = set ? strtoull(set, nullptr, 10) : 8ull << 30;
    return bytes;
}

bool is_full(size_t bytes) { return held + bytes > capacity(); }

char* take(size_t bytes, bool pinned, Graph* graph) {
    char* start = (char*)aligned_alloc(256, (std::max<size_t>(bytes, 1) + 255) / 256 * 256);
    // Memory that is read before it is written holds NaNs.
    memset(start, 0xff, bytes);
    blocks[start] = {bytes, pinned, graph, true};
    held += bytes;
    return start;
}

void give_back(std::map<char*, Block>::iterator at) {
    memset(at->first, 0xff, at->second.bytes);
    held -= at->second.bytes;
    free(at->first);
    blocks.erase(at);
}

// Whether a whole range is inside one live allocation.
bool is_live(const void* start, size_t bytes) {
    auto at = blocks.upper_bound((char*)start);
    if (at == blocks.begin()) return false;
    --at;
    return at->second.alive && (char*)start + bytes <= at->first + at->second.bytes;
}

void need(const void* start, size_t bytes, const char* what) {
    if (bytes && !is_live(start, bytes)) {
        complain(LAUNCH_FAILED, "%s: %zu bytes at %p are not in live memory", what, bytes, start);
        abort();
    }
}

// Runs work of a stream at once, or adds it as a node to the graph that the stream captures.
int submit(Stream* stream, Work work) {
    if (stream && stream->capture) stream->capture->nodes.push_back(std::move(work));
    else work();
    return SUCCESS;
}

// Calls that are forbidden while any stream captures end the capture.
std::vector<Stream*> capturing;
bool forbid(const char* what) {
    if (capturing.empty()) return false;
    for (Stream* stream : capturing) stream->broken = true;
    complain(CAPTURE_UNSUPPORTED, "%s while a stream captures", what);
    return true;
}

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

#define API extern "C" __attribute__((visibility("default"))) int
#define LOCK std::lock_guard<std::recursive_mutex> lock(turn)

API cuInit(unsigned) { return SUCCESS; }
API cuDriverGetVersion(int* version) { return *version = 13000, SUCCESS; }
API cuDeviceGetCount(int* count) { return *count = 1, SUCCESS; }
API cuDeviceGet(int* device, int ordinal) {
    if (ordinal) return complain(101, "there is no GPU %d", ordinal);
    return *device = 0, SUCCESS;
}
API cuDeviceGetName(char* name, int bytes, int) { return snprintf(name, bytes, "a processor that stands for a GPU"), SUCCESS; }
API cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = capacity(), SUCCESS; }
API cuDeviceGetUuid_v2(void* uuid, int) { return memset(uuid, 0, 16), SUCCESS; }
API cuDeviceGetAttribute(int* value, int attribute, int) {
    // Multiprocessors, major and minor compute capability, memory pools, most shared memory per
    // block.
    switch (attribute) {
        case 16: *value = 4; break;
        case 75: *value = 9; break;
        case 76: *value = 0; break;
        case 115: *value = 1; break;
        case 97: *value = 227 << 10; break;
        case 10: *value = 32; break;
        default: *value = 0;
    }
    return SUCCESS;
}
API cuDevicePrimaryCtxRetain(void** context, int) { return *context = (void*)1, SUCCESS; }
API cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
API cuCtxGetCurrent(void** context) { return *context = current, SUCCESS; }
API cuCtxSetCurrent(void* context) { return current = context, SUCCESS; }
API cuCtxSynchronize() {
    LOCK;
    note("wait context");
    return forbid("waiting for the context") ? CAPTURE_UNSUPPORTED : SUCCESS;
}
API cuMemGetInfo_v2(size_t* free, size_t* total) { return *total = capacity(), *free = *total - held, SUCCESS; }
API cuGetErrorName(int error, const char** name) {
    static thread_local char text[32];
    snprintf(text, sizeof text, "CUDA_ERROR_%d", error);
    return *name = text, SUCCESS;
}
API cuGetErrorString(int, const char** text) { return *text = "see what the driver wrote before", SUCCESS; }

API cuStreamCreate(Stream** stream, unsigned) { return *stream = new Stream, SUCCESS; }
API cuStreamDestroy_v2(Stream* stream) { return delete stream, SUCCESS; }
API cuStreamSynchronize(Stream*) {
    LOCK;
    note("wait stream");
    return forbid("waiting for a stream") ? CAPTURE_UNSUPPORTED : SUCCESS;
}
API cuStreamWaitEvent(Stream* stream, void*, unsigned) {
    LOCK;
    return stream && stream->capture ? (forbid("waiting for an event"), CAPTURE_UNSUPPORTED) : SUCCESS;
}
API cuEventCreate(void** event, unsigned) { return *event = malloc(1), SUCCESS; }
API cuEventDestroy_v2(void* event) { return free(event), SUCCESS; }
API cuEventRecord(void*, Stream* stream) {
    LOCK;
    return stream && stream->capture ? (forbid("recording an event"), CAPTURE_UNSUPPORTED) : SUCCESS;
}
API cuEventSynchronize(void*) { return SUCCESS; }
API cuEventQuery(void*) { return SUCCESS; }
API cuEventElapsedTime(float* milliseconds, void*, void*) { return *milliseconds = 1.0f, SUCCESS; }
API cuEventElapsedTime_v2(float* milliseconds, void*, void*) { return *milliseconds = 1.0f, SUCCESS; }

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
API cuFuncSetAttribute(Function*, int, int) { return SUCCESS; }
API cuFuncGetAttribute(int* value, int, Function*) { return *value = 0, SUCCESS; }

API cuMemAllocAsync(char** memory, size_t bytes, Stream* stream) {
    LOCK;
    note("%s %zu", stream && stream->capture ? "node allocate" : "allocate", bytes);
    if (is_full(bytes)) return note("full"), OUT_OF_MEMORY;
    if (!stream || !stream->capture) return *memory = take(bytes, false, nullptr), SUCCESS;
    char* start = *memory = take(bytes, false, stream->capture);
    stream->capture->memory.push_back(start);
    stream->capture->open.push_back(start);
    blocks[start].alive = true;
    return submit(stream, [start] {
        Block& block = blocks[start];
        block.alive = true;
        memset(start, 0xff, block.bytes);
    });
}
API cuMemFreeAsync(char* memory, Stream* stream) {
    LOCK;
    const bool node = stream && stream->capture;
    note("%s", node ? "node free" : "free");
    auto at = blocks.find(memory);
    if (at == blocks.end()) return complain(INVALID_VALUE, "freeing %p, which is not allocated", memory);
    if (!node) {
        if (at->second.graph) return complain(INVALID_VALUE, "freeing memory of a graph outside of it");
        return give_back(at), SUCCESS;
    }
    auto& open = stream->capture->open;
    auto of = std::find(open.begin(), open.end(), memory);
    if (of == open.end()) {
        stream->broken = true;
        return complain(INVALID_VALUE, "a capture frees memory that it did not allocate");
    }
    open.erase(of);
    return submit(stream, [memory] {
        Block& block = blocks[memory];
        block.alive = false;
        memset(memory, 0xff, block.bytes);
    });
}
API cuMemAlloc_v2(char** memory, size_t bytes) {
    LOCK;
    note("allocate %zu", bytes);
    if (forbid("allocating out of order")) return CAPTURE_UNSUPPORTED;
    if (is_full(bytes)) return OUT_OF_MEMORY;
    return *memory = take(bytes, false, nullptr), SUCCESS;
}
API cuMemFree_v2(char* memory) {
    LOCK;
    note("free");
    auto at = blocks.find(memory);
    if (at == blocks.end()) return complain(INVALID_VALUE, "freeing %p, which is not allocated", memory);
    return give_back(at), SUCCESS;
}
API cuMemHostAlloc(char** memory, size_t bytes, unsigned) {
    LOCK;
    note("pinned %zu", bytes);
    if (forbid("page-locking memory")) return CAPTURE_UNSUPPORTED;
    return *memory = take(bytes, true, nullptr), SUCCESS;
}
API cuMemFreeHost(char* memory) { return cuMemFree_v2(memory); }
API cuDeviceGetDefaultMemPool(void** pool, int) { return *pool = (void*)1, SUCCESS; }
API cuDeviceGetMemPool(void** pool, int) { return *pool = (void*)1, SUCCESS; }
API cuMemPoolSetAttribute(void*, int, void*) { return note("pool attribute"), SUCCESS; }

// A copy between the host and the GPU; `there` is the GPU's side.
static int copy_now(const char* which, char* to, const char* from, const char* there, size_t bytes, Stream* stream) {
    LOCK;
    note("copy %s %zu", which, bytes);
    if (stream && stream->capture) return forbid("copying from or to the host"), CAPTURE_UNSUPPORTED;
    need(there, bytes, "copying");
    return memcpy(to, from, bytes), SUCCESS;
}
API cuMemcpyHtoDAsync_v2(char* to, const char* from, size_t bytes, Stream* stream) { return copy_now("in", to, from, to, bytes, stream); }
API cuMemcpyHtoD_v2(char* to, const char* from, size_t bytes) { return cuMemcpyHtoDAsync_v2(to, from, bytes, nullptr); }
API cuMemcpyDtoHAsync_v2(char* to, const char* from, size_t bytes, Stream* stream) { return copy_now("out", to, from, from, bytes, stream); }
API cuMemcpyDtoH_v2(char* to, const char* from, size_t bytes) { return cuMemcpyDtoHAsync_v2(to, from, bytes, nullptr); }
API cuMemcpyDtoDAsync_v2(char* to, const char* from, size_t bytes, Stream* stream) {
    LOCK;
    note("copy %zu", bytes);
    return submit(stream, [=] {
        need(from, bytes, "copying from");
        need(to, bytes, "copying to");
        memmove(to, from, bytes);
    });
}
API cuMemsetD8Async(char* to, unsigned char value, size_t bytes, Stream* stream) {
    LOCK;
    note("fill %zu", bytes);
    return submit(stream, [=] {
        need(to, bytes, "filling");
        memset(to, value, bytes);
    });
}

API cuLaunchKernel(Function* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, Stream* stream,
                   void** params, void**) {
    LOCK;
    note("launch %s", function->name.c_str());
    if (!gx || !gy || !gz || bx * by * bz == 0 || bx * by * bz > 1024) return complain(INVALID_VALUE, "%s: an impossible grid", function->name.c_str());
    size_t size = 0;
    if (kscope_find(function->name.c_str(), &size)) {
        // The driver copies parameters at the call, not when the kernel runs.
        std::vector<char> copy((char*)params[0], (char*)params[0] + size);
        return submit(stream, [=, name = function->name] { run_kscope(name, copy, gx, gy, gz, bx, shared); });
    }
    return submit(stream, candle::launch(function->name, params, gx, bx));
}

API cuStreamIsCapturing(Stream* stream, int* status) {
    LOCK;
    return *status = stream && stream->capture ? (stream->broken ? 2 : 1) : 0, SUCCESS;
}
API cuStreamBeginCapture_v2(Stream* stream, int) {
    LOCK;
    note("capture");
    if (!stream || stream->capture) return complain(INVALID_VALUE, "a capture of this stream is under way");
    stream->capture = new Graph;
    stream->broken = false;
    capturing.push_back(stream);
    return SUCCESS;
}
API cuStreamEndCapture(Stream* stream, Graph** graph) {
    LOCK;
    capturing.erase(std::remove(capturing.begin(), capturing.end(), stream), capturing.end());
    Graph* captured = stream->capture;
    stream->capture = nullptr;
    for (char* memory : captured->memory) blocks[memory].alive = false;
    note("captured %zu nodes", captured->nodes.size());
    if (stream->broken) return *graph = nullptr, CAPTURE_INVALIDATED;
    if (!captured->open.empty()) complain(SUCCESS, "a capture leaves %zu allocations open", captured->open.size());
    return *graph = captured, SUCCESS;
}
API cuGraphInstantiateWithFlags(Graph** exec, Graph* graph, unsigned long long) { return *exec = graph, SUCCESS; }
API cuGraphLaunch(Graph* exec, Stream* stream) {
    LOCK;
    note("graph");
    if (stream && stream->capture) return complain(INVALID_VALUE, "a graph in a capture");
    for (Work& work : exec->nodes) work();
    return SUCCESS;
}
API cuGraphExecDestroy(Graph* graph) {
    LOCK;
    note("graph destroyed");
    for (char* memory : graph->memory) {
        auto at = blocks.find(memory);
        if (at != blocks.end()) give_back(at);
    }
    graph->memory.clear();
    return SUCCESS;
}
API cuGraphDestroy(Graph* graph) { return delete graph, SUCCESS; }

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
    const candle::Product product{transpose_a != 0, transpose_b != 0, m, n, k, *(const float*)alpha, *(const float*)beta, a, b, c, tf32, a_type,
                                  lda, ldb, ldc, stride_a, stride_b, stride_c, batch};
    return submit(*handle, [product] { candle::multiply(product); });
}
API curandCreateGenerator(void** generator, int) { return *generator = (void*)1, SUCCESS; }
API curandDestroyGenerator(void*) { return SUCCESS; }
API curandSetPseudoRandomGeneratorSeed(void*, unsigned long long) { return SUCCESS; }
API curandSetGeneratorOffset(void*, unsigned long long) { return SUCCESS; }
API curandSetStream(void*, void*) { return SUCCESS; }
