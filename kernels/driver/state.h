// What the driver's files share: streams with their work, memory, captures, and the log.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

namespace driver {

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

struct Block {
    size_t bytes;
    bool pinned;
    // The graph that this memory belongs to, if any: each launch allocates and frees it.
    Graph* graph;
    bool alive;
};

// Every call takes turns with those of other threads.
extern std::recursive_mutex turn;
extern std::vector<Stream*> streams;
extern std::vector<Stream*> capturing;
// Memory of the GPU and page-locked memory, by address, and the bytes of both.
extern std::map<char*, Block> blocks;
extern uint64_t held;

// Writes a line to the log.
void note(const char* format, ...);
// Says what is wrong; the result is `status`.
int complain(int status, const char* format, ...);

// Bytes of the GPU's memory.
uint64_t capacity();
bool is_full(size_t bytes);
char* take(size_t bytes, bool pinned, Graph* graph);
void give_back(std::map<char*, Block>::iterator at);
// Ends the program unless a whole range is inside one live allocation.
void need(const void* start, size_t bytes, const char* what);
// Whether a range of host memory is page-locked: a copy to or from it returns before it is done.
bool is_pinned(const void* start, size_t bytes);

// Does a stream's work until `number` works are done.
void reach(Stream* stream, uint64_t number);
void finish(Stream* stream);
void finish_all();
// Whether an event still refers to a stream that exists.
bool is_known(Stream* stream);
// Runs work of a stream at once or queues it, or adds it as a node to the graph that the stream
// captures.
int submit(Stream* stream, Work work);
// Calls that are forbidden while any stream captures end the capture.
bool forbid(const char* what);

}  // namespace driver

#define API extern "C" __attribute__((visibility("default"))) int
#define LOCK std::lock_guard<std::recursive_mutex> lock(driver::turn)
