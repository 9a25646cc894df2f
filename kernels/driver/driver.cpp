// A CUDA driver that runs on a CPU, for development. A program that was built with feature `cuda`
// runs on it as on a GPU, from `cuInit` to the captured graph of a decode step. Everything that the
// driver interface forbids is an error with a name.
//
// Device memory is memory of this process. kscope's kernels run in the host simulator
// (kernels/sim); candle's kernels and cuBLAS's product (candle.h) are plain loops that compute the
// same. So it checks which calls are made and in which order: parameters, lifetimes, captures,
// waiting. It says nothing about speed, nor about the machine code of any kernel.
//
// KSCOPE_DRIVER_LAZY=1: streams queue their work and do it as late as a real GPU could: only when
// something waits for it. A copy from page-locked memory reads its source then; one from pageable
// memory is staged at the call, and one to pageable memory waits, as CUDA documents. Without it
// every stream does its work at once.
// KSCOPE_DRIVER_LOG=FILE writes one line per call that allocates, frees, copies, launches, waits or
// captures.
// KSCOPE_DRIVER_BYTES=N is the size of the GPU's memory, 8 GiB by default.
#include <algorithm>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
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
    SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_HANDLE = 400, NOT_FOUND = 500, NOT_READY = 600, LAUNCH_FAILED = 719,
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
    // Work that was submitted and is not done, the oldest first, and the number of works done.
    std::deque<Work> queue;
    uint64_t done = 0;

    uint64_t submitted() const { return done + queue.size(); }
};

// A point in a stream's work: it is reached when that many works are done. An event that was never
// recorded is reached, as in a real driver.
struct Event {
    Stream* stream = nullptr;
    uint64_t at = 0;
};

struct Module {};
struct Function {
    std::string name;
    // Most dynamic shared memory of a launch, unless an attribute allows more.
    int most_shared = 48 << 10;
};

struct Block {
    size_t bytes;
    bool pinned;
    // The graph that this memory belongs to, if any: each launch allocates and frees it.
    Graph* graph;
    bool alive;
};

std::recursive_mutex turn;
std::vector<Stream*> streams;
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

bool is_lazy() {
    static const bool lazy = getenv("KSCOPE_DRIVER_LAZY") != nullptr;
    return lazy;
}

// Does a stream's work until `number` works are done.
void reach(Stream* stream, uint64_t number) {
    while (stream->done < number && !stream->queue.empty()) {
        Work work = std::move(stream->queue.front());
        stream->queue.pop_front();
        work();
        stream->done++;
    }
}

void finish(Stream* stream) {
    if (stream) reach(stream, stream->submitted());
}

void finish_all() {
    for (Stream* stream : streams) finish(stream);
}

// Whether an event still refers to a stream that exists.
bool is_known(Stream* stream) { return std::find(streams.begin(), streams.end(), stream) != streams.end(); }

// Runs work of a stream at once or queues it, or adds it as a node to the graph that the stream
// captures.
int submit(Stream* stream, Work work) {
    if (stream && stream->capture) stream->capture->nodes.push_back(std::move(work));
    else if (stream && is_lazy()) stream->queue.push_back(std::move(work));
    else finish(stream), work();
    return SUCCESS;
}

// Whether a range of host memory is page-locked: a copy to or from it returns before it is done.
bool is_pinned(const void* start, size_t bytes) {
    auto at = blocks.upper_bound((char*)start);
    if (at == blocks.begin()) return false;
    --at;
    return at->second.pinned && (char*)start + bytes <= at->first + at->second.bytes;
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
    if (forbid("waiting for the context")) return CAPTURE_UNSUPPORTED;
    return finish_all(), SUCCESS;
}
API cuMemGetInfo_v2(size_t* free, size_t* total) { return *total = capacity(), *free = *total - held, SUCCESS; }
API cuGetErrorName(int error, const char** name) {
    static thread_local char text[32];
    snprintf(text, sizeof text, "CUDA_ERROR_%d", error);
    return *name = text, SUCCESS;
}
API cuGetErrorString(int, const char** text) { return *text = "see what the driver wrote before", SUCCESS; }

API cuStreamCreate(Stream** stream, unsigned) {
    LOCK;
    streams.push_back(*stream = new Stream);
    return SUCCESS;
}
API cuStreamDestroy_v2(Stream* stream) {
    LOCK;
    finish(stream);
    streams.erase(std::remove(streams.begin(), streams.end(), stream), streams.end());
    return delete stream, SUCCESS;
}
API cuStreamSynchronize(Stream* stream) {
    LOCK;
    note("wait stream");
    if (forbid("waiting for a stream")) return CAPTURE_UNSUPPORTED;
    return finish(stream), SUCCESS;
}
API cuStreamWaitEvent(Stream* stream, Event* event, unsigned) {
    LOCK;
    if (stream && stream->capture) return forbid("waiting for an event"), CAPTURE_UNSUPPORTED;
    return submit(stream, [of = event->stream, at = event->at] {
        if (is_known(of)) reach(of, at);
    });
}
API cuEventCreate(Event** event, unsigned) { return *event = new Event, SUCCESS; }
API cuEventDestroy_v2(Event* event) { return delete event, SUCCESS; }
API cuEventRecord(Event* event, Stream* stream) {
    LOCK;
    note("event");
    if (stream && stream->capture) return forbid("recording an event"), CAPTURE_UNSUPPORTED;
    return *event = {stream, stream ? stream->submitted() : 0}, SUCCESS;
}
API cuEventSynchronize(Event* event) {
    LOCK;
    note("wait event");
    if (is_known(event->stream)) reach(event->stream, event->at);
    return SUCCESS;
}
API cuEventQuery(Event* event) {
    LOCK;
    return !is_known(event->stream) || event->stream->done >= event->at ? SUCCESS : NOT_READY;
}
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

API cuMemAllocAsync(char** memory, size_t bytes, Stream* stream) {
    LOCK;
    note("%s %zu", stream && stream->capture ? "node allocate" : "allocate", bytes);
    // Memory that queued work frees is free for what comes after it.
    if (is_full(bytes) && capturing.empty()) finish_all();
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
        return submit(stream, [memory] { give_back(blocks.find(memory)); });
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
    // This call waits for everything, as in a real driver.
    finish_all();
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
API cuMemFreeHost(char* memory) {
    LOCK;
    // A copy that is still queued would read or write it later.
    for (Stream* stream : streams) {
        if (!stream->queue.empty()) return complain(INVALID_VALUE, "page-locked memory is freed before the work that may use it is done");
    }
    return cuMemFree_v2(memory);
}
API cuDeviceGetDefaultMemPool(void** pool, int) { return *pool = (void*)1, SUCCESS; }
API cuDeviceGetMemPool(void** pool, int) { return *pool = (void*)1, SUCCESS; }
API cuMemPoolSetAttribute(void*, int, void*) { return note("pool attribute"), SUCCESS; }
API cuMemPoolGetAttribute(void*, int, void* value) { return *(uint64_t*)value = 0, SUCCESS; }

// A copy between the host and the GPU; `there` is the GPU's side, `here` the host's.
static int copy_host(const char* which, char* to, const char* from, bool is_in, size_t bytes, Stream* stream) {
    LOCK;
    note("copy %s %zu", which, bytes);
    if (stream && stream->capture) return forbid("copying from or to the host"), CAPTURE_UNSUPPORTED;
    const char *here = is_in ? from : to, *there = is_in ? to : from;
    auto copy = [=](const char* source) {
        need(there, bytes, "copying");
        memcpy(to, source, bytes);
    };
    if (is_pinned(here, bytes)) return submit(stream, [=] { copy(from); });
    if (is_in) {
        std::vector<char> staged(from, from + bytes);
        return submit(stream, [copy, staged = std::move(staged)] { copy(staged.data()); });
    }
    return finish(stream), copy(from), SUCCESS;
}
API cuMemcpyHtoDAsync_v2(char* to, const char* from, size_t bytes, Stream* stream) { return copy_host("in", to, from, true, bytes, stream); }
API cuMemcpyDtoHAsync_v2(char* to, const char* from, size_t bytes, Stream* stream) { return copy_host("out", to, from, false, bytes, stream); }
API cuMemcpyHtoD_v2(char* to, const char* from, size_t bytes) { return finish_all(), copy_host("in", to, from, true, bytes, nullptr); }
API cuMemcpyDtoH_v2(char* to, const char* from, size_t bytes) { return finish_all(), copy_host("out", to, from, false, bytes, nullptr); }
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
    return submit(stream, [exec] {
        for (Work& work : exec->nodes) work();
    });
}
API cuGraphExecDestroy(Graph* graph) {
    LOCK;
    note("graph destroyed");
    // A real driver frees it once its launches are done.
    finish_all();
    for (char* memory : graph->memory) {
        auto at = blocks.find(memory);
        if (at != blocks.end()) give_back(at);
    }
    graph->memory.clear();
    return SUCCESS;
}
API cuGraphDestroy(Graph* graph) {
    LOCK;
    finish_all();
    return delete graph, SUCCESS;
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
    const candle::Product product{transpose_a != 0, transpose_b != 0, m, n, k, *(const float*)alpha, *(const float*)beta, a, b, c, tf32, a_type,
                                  lda, ldb, ldc, stride_a, stride_b, stride_c, batch};
    return submit(*handle, [product] { candle::multiply(product); });
}
API curandCreateGenerator(void** generator, int) { return *generator = (void*)1, SUCCESS; }
API curandDestroyGenerator(void*) { return SUCCESS; }
API curandSetPseudoRandomGeneratorSeed(void*, unsigned long long) { return SUCCESS; }
API curandSetGeneratorOffset(void*, unsigned long long) { return SUCCESS; }
API curandSetStream(void*, void*) { return SUCCESS; }
