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
//
// Here: the device, streams, events and captures. Memory and copies are in memory.cpp, kernels and
// products in launch.cpp, what they share in state.h.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "state.h"

using namespace driver;

static thread_local void* current;

// The major compute capability.
static int capability() {
    static const char* set = getenv("KSCOPE_DRIVER_CAPABILITY");
    return set ? atoi(set) : 9;
}

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
        case 75: *value = capability(); break;
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

API cuStreamIsCapturing(Stream* stream, int* status) {
    LOCK;
    return *status = stream && stream->capture ? (stream->broken ? 2 : 1) : 0, SUCCESS;
}
API cuStreamBeginCapture_v2(Stream* stream, int) {
    LOCK;
    note("capture");
    static const bool refuses = getenv("KSCOPE_DRIVER_NO_CAPTURE") != nullptr;
    if (refuses) return complain(CAPTURE_UNSUPPORTED, "this driver captures nothing");
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
