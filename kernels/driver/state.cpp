#include "state.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace driver {

std::recursive_mutex turn;
std::vector<Stream*> streams, capturing;
std::map<char*, Block> blocks;
uint64_t held;

static FILE* log_file;

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
static bool is_live(const void* start, size_t bytes) {
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

static bool is_lazy() {
    static const bool lazy = getenv("KSCOPE_DRIVER_LAZY") != nullptr;
    return lazy;
}

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

bool is_known(Stream* stream) { return std::find(streams.begin(), streams.end(), stream) != streams.end(); }

int submit(Stream* stream, Work work) {
    if (stream && stream->capture) stream->capture->nodes.push_back(std::move(work));
    else if (stream && is_lazy()) stream->queue.push_back(std::move(work));
    else finish(stream), work();
    return SUCCESS;
}

bool is_pinned(const void* start, size_t bytes) {
    auto at = blocks.upper_bound((char*)start);
    if (at == blocks.begin()) return false;
    --at;
    return at->second.pinned && (char*)start + bytes <= at->first + at->second.bytes;
}

bool forbid(const char* what) {
    if (capturing.empty()) return false;
    for (Stream* stream : capturing) stream->broken = true;
    complain(CAPTURE_UNSUPPORTED, "%s while a stream captures", what);
    return true;
}

}  // namespace driver
