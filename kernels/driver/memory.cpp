// Memory of the GPU, page-locked memory, copies and fills.
#include <algorithm>
#include <cstring>

#include "state.h"

using namespace driver;

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
