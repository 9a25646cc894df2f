// The simulator: fibers, warp operations, block barriers, asynchronous copies, shared memory,
// schedules.
#include "../cuda/kx.cuh"

#include <sys/mman.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "fiber.h"

namespace ksim {

Dim thread_index, block_index, block_size, grid_size;

namespace {

constexpr size_t STACK = 256 << 10;
// Guard bytes on either side of a block's shared memory, which must not change.
constexpr size_t FENCE = 4096;
constexpr u8 FILL = 0xFF;
const char* const NAMES[] = {"__syncwarp", "__shfl_xor_sync", "ldmatrix", "ldmatrix.trans", "movmatrix", "mma", "mma"};

struct Copy {
    void* to;
    const void* from;
};

enum class State : u8 { READY, IN_WARP, IN_BLOCK, DONE };

struct Fiber {
    State state;
    Meeting* meeting;
    const char* file;
    int line;
    Dim index;
    std::vector<std::vector<Copy>> groups;
    std::vector<Copy> open;
    std::vector<Copy> landed;
    u8* stack;
    Context context;
};

struct Range {
    u64 start, bytes;
};

std::vector<Fiber> fibers;
u32 threads, running;
// Threads of each warp that wait for a warp operation, threads that wait for the block, and threads
// that have ended. Looking for them at every switch took four fifths of a simulation.
u32 in_warp[32], in_block, ended;
u8* dynamic;
size_t dynamic_bytes;
const Range* ranges;
size_t range_count;
Entry entry;
const void* parameters;
char failure[512];

// Switches to the scheduler; returns when this thread continues.
void pause() { leave(fibers[running].context, fibers[running].state == State::DONE); }

[[noreturn]] void fail(const char* format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(failure, sizeof failure, format, args);
    va_end(args);
    // The block is abandoned; its fibers never run again.
    for (;;) pause();
}

void body() {
    arrived();
    entry(parameters);
    fibers[running].state = State::DONE;
    ended++;
    for (;;) pause();
}

void resume(u32 thread) {
    running = thread;
    thread_index = fibers[thread].index;
    enter(fibers[thread].context, fibers[thread].stack, STACK);
}

bool inside_shared(const void* address, size_t bytes) {
    const u8* at = (const u8*)address;
    return at >= dynamic && at + bytes <= dynamic + dynamic_bytes;
}

float element(u32 pair, int which, bool bf16) {
    const u16 x = (u16)(pair >> 16 * which);
    return bf16 ? widen_bf16(x) : widen_f16(x);
}

// Makes the copies that a thread has waited for visible to the others.
void publish(Fiber& fiber) {
    for (const Copy& copy : fiber.landed) {
        if (copy.from) {
            memcpy(copy.to, copy.from, 16);
        } else {
            memset(copy.to, 0, 16);
        }
    }
    fiber.landed.clear();
}

// Carries out a warp operation that all threads of a warp have reached; `first` is the warp's first
// thread.
void carry_out(Meeting* (&lanes)[32], Fiber* first) {
    switch (lanes[0]->kind) {
        case SYNC_WARP:
            for (u32 lane = 0; lane < 32; lane++) publish(first[lane]);
            break;
        case SHUFFLE_XOR:
            for (u32 lane = 0; lane < 32; lane++) lanes[lane]->out[0] = lanes[(lane ^ lanes[lane]->arg) % 32]->in[0];
            break;
        case LOAD_MATRICES:
        case LOAD_MATRICES_TRANSPOSED:
            for (u32 lane = 0; lane < 32; lane++) {
                const void* row = lanes[lane]->address;
                // No fiber runs here that `fail` could stop.
                if (!inside_shared(row, 16)) {
                    snprintf(failure, sizeof failure, "%s at line %d: lane %u reads outside the block's %zu bytes of shared memory (offset %td)",
                             NAMES[lanes[0]->kind], lanes[0]->line, lane, dynamic_bytes, (const u8*)row - dynamic);
                } else if ((uintptr_t)row % 16) {
                    snprintf(failure, sizeof failure, "%s at line %d: lane %u reads from an address that is not aligned to 16 bytes",
                             NAMES[lanes[0]->kind], lanes[0]->line, lane);
                }
                if (failure[0]) return;
            }
            for (u32 lane = 0; lane < 32; lane++) {
                for (u32 matrix = 0; matrix < 4; matrix++) {
                    u32 pair = 0;
                    for (u32 k = 0; k < 2; k++) {
                        const u32 along = lane % 4 * 2 + k, across = lane / 4;
                        const bool flip = lanes[0]->kind == LOAD_MATRICES_TRANSPOSED;
                        const u32 row = flip ? along : across, column = flip ? across : along;
                        u16 x;
                        memcpy(&x, (const u8*)lanes[matrix * 8 + row]->address + column * 2, 2);
                        pair |= (u32)x << 16 * k;
                    }
                    lanes[lane]->out[matrix] = pair;
                }
            }
            break;
        case TRANSPOSE:
            for (u32 lane = 0; lane < 32; lane++) {
                u32 pair = 0;
                for (u32 k = 0; k < 2; k++) {
                    // Element [lane / 4][lane % 4 * 2 + k] of the result is [lane % 4 * 2 + k][lane / 4] of the source.
                    const u32 row = lane % 4 * 2 + k, column = lane / 4;
                    pair |= (lanes[row * 4 + column / 2]->in[0] >> 16 * (column % 2) & 0xffff) << 16 * k;
                }
                lanes[lane]->out[0] = pair;
            }
            break;
        case MMA_BF16:
        case MMA_F16: {
            const bool bf16 = lanes[0]->kind == MMA_BF16;
            float a[16][16], b[16][8];
            for (u32 lane = 0; lane < 32; lane++) {
                for (u32 k = 0; k < 2; k++) {
                    for (u32 part = 0; part < 4; part++) {
                        a[lane / 4 + part % 2 * 8][lane % 4 * 2 + k + part / 2 * 8] = element(lanes[lane]->in[4 + part], k, bf16);
                    }
                    for (u32 part = 0; part < 2; part++) {
                        b[lane % 4 * 2 + k + part * 8][lane / 4] = element(lanes[lane]->in[8 + part], k, bf16);
                    }
                }
            }
            for (u32 lane = 0; lane < 32; lane++) {
                for (u32 k = 0; k < 4; k++) {
                    const u32 row = lane / 4 + k / 2 * 8, column = lane % 4 * 2 + k % 2;
                    float sum = float_of(lanes[lane]->in[k]);
                    for (u32 i = 0; i < 16; i++) sum += a[row][i] * b[i][column];
                    memcpy(&lanes[lane]->out[k], &sum, 4);
                }
            }
        }
    }
}

// Carries out the operation that all threads of a warp have reached and resumes them.
void release_warp(u32 warp) {
    Fiber* lanes = &fibers[warp * 32];
    Meeting* meetings[32];
    for (u32 lane = 0; lane < 32; lane++) meetings[lane] = lanes[lane].meeting;
    for (u32 lane = 1; lane < 32; lane++) {
        const Meeting &a = *meetings[0], &b = *meetings[lane];
        if (a.kind != b.kind || a.line != b.line) {
            snprintf(failure, sizeof failure, "divergent warp: thread %u is at %s (line %d), thread %u at %s (line %d)",
                     warp * 32, NAMES[a.kind], a.line, warp * 32 + lane, NAMES[b.kind], b.line);
            return;
        }
    }
    carry_out(meetings, lanes);
    if (failure[0]) return;
    for (u32 lane = 0; lane < 32; lane++) lanes[lane].state = State::READY;
    in_warp[warp] = 0;
}

// Resumes the block, whose threads all wait or have ended.
void release_block() {
    u32 first = 0;
    while (fibers[first].state != State::IN_BLOCK) first++;
    for (u32 i = 0; i < threads; i++) {
        const Fiber& fiber = fibers[i];
        if (fiber.state == State::DONE) {
            snprintf(failure, sizeof failure, "divergent __syncthreads: thread %u waits at %s:%d, thread %u has ended", first,
                     fibers[first].file, fibers[first].line, i);
            return;
        }
        if (fiber.line != fibers[first].line || strcmp(fiber.file, fibers[first].file) != 0) {
            snprintf(failure, sizeof failure, "divergent __syncthreads: thread %u is at %s:%d, thread %u at %s:%d", first,
                     fibers[first].file, fibers[first].line, i, fiber.file, fiber.line);
            return;
        }
    }
    for (u32 i = 0; i < threads; i++) {
        publish(fibers[i]);
        fibers[i].state = State::READY;
    }
    in_block = 0;
}

// Resumes the warp or the block that this thread was the last to wait for.
void release(u32 thread) {
    if (in_warp[thread / 32] == 32) release_warp(thread / 32);
    if (!failure[0] && in_block > 0 && in_block + ended == threads) release_block();
}

void describe_deadlock() {
    for (u32 i = 0; i < threads; i++) {
        const Fiber &a = fibers[i / 32 * 32], &b = fibers[i];
        if (a.state == b.state) continue;
        auto where = [](const Fiber& fiber, char* text, size_t bytes) {
            switch (fiber.state) {
                case State::IN_WARP:
                    snprintf(text, bytes, "is at %s (line %d)", NAMES[fiber.meeting->kind], fiber.meeting->line);
                    break;
                case State::IN_BLOCK:
                    snprintf(text, bytes, "is at __syncthreads (line %d)", fiber.line);
                    break;
                default:
                    snprintf(text, bytes, "has ended");
            }
        };
        char first[96], second[96];
        where(a, first, sizeof first);
        where(b, second, sizeof second);
        snprintf(failure, sizeof failure, "divergent warp: thread %u %s, thread %u %s", i / 32 * 32, first, i, second);
        return;
    }
    snprintf(failure, sizeof failure, "divergent block: its warps wait at different places and none can go on");
}

u64 random_state;

u32 random_below(u32 n) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (u32)(random_state % n);
}

// In this schedule one warp goes as far as it can before the next one starts. Elsewhere all warps are
// at about the same place, so that a barrier between them is missed by nobody.
constexpr u32 AHEAD = 3;

// The numbers 0 .. n in the order of a schedule: 0 and AHEAD forward, 1 backward, 2 shuffled.
void arrange(std::vector<u32>& order, u32 n, u32 schedule) {
    order.resize(n);
    for (u32 i = 0; i < n; i++) order[i] = schedule == 1 ? n - 1 - i : i;
    if (schedule == 2) {
        for (u32 i = n; i > 1; i--) std::swap(order[i - 1], order[random_below(i)]);
    }
}

void run_block(u32 schedule) {
#if defined(__SANITIZE_ADDRESS__)
    // Allocates exactly the requested size, so that the sanitizer sees the first byte past it.
    // `aligned_alloc` takes multiples of the alignment only.
    void* exact = nullptr;
    if (posix_memalign(&exact, 16, dynamic_bytes ? dynamic_bytes : 16)) abort();
    u8* memory = dynamic = (u8*)exact;
    memset(dynamic, FILL, dynamic_bytes);
#else
    static std::vector<u8> pool;
    pool.assign(dynamic_bytes + 2 * FENCE + 16, FILL);
    u8* memory = pool.data();
    dynamic = memory + FENCE + (16 - (uintptr_t)(memory + FENCE) % 16) % 16;
#endif
    u32 index = 0;
    memset(in_warp, 0, sizeof in_warp);
    in_block = ended = 0;
    for (Fiber& fiber : fibers) {
        fiber.state = State::READY;
        fiber.groups.clear();
        fiber.open.clear();
        fiber.landed.clear();
        fiber.index = {index % block_size.x, index / block_size.x % block_size.y, index / block_size.x / block_size.y};
        prepare(fiber.context, fiber.stack, STACK, body);
        index++;
    }
    std::vector<u32> order;
    for (;;) {
        arrange(order, threads, schedule);
        bool ran = false;
        u32 warp = 0;
        for (u32 thread : order) {
            if (fibers[thread].state != State::READY) continue;
            if (schedule == AHEAD && ran && thread / 32 != warp) break;
            ran = true;
            warp = thread / 32;
            resume(thread);
            if (failure[0]) break;
            // A complete warp operation or barrier resumes its threads at once, in this round.
            if (fibers[thread].state != State::READY) release(thread);
            if (failure[0]) break;
        }
        if (failure[0]) break;
        if (ended == threads) break;
        if (!ran) {
            describe_deadlock();
            break;
        }
    }
#if defined(__SANITIZE_ADDRESS__)
    free(memory);
#else
    for (u8* at = memory; at < memory + pool.size() && !failure[0]; at++) {
        if ((at < dynamic || at >= dynamic + dynamic_bytes) && *at != FILL) {
            snprintf(failure, sizeof failure, "a thread wrote outside the block's %zu bytes of shared memory (offset %td)", dynamic_bytes, at - dynamic);
        }
    }
#endif
}

}  // namespace

u8* shared() { return dynamic; }

void meet(Meeting& meeting) {
    if (meeting.mask != 0xffffffffu) fail("%s at line %d: mask %08x leaves out lanes of the warp", NAMES[meeting.kind], meeting.line, meeting.mask);
    Fiber& self = fibers[running];
    self.meeting = &meeting;
    self.state = State::IN_WARP;
    in_warp[running / 32]++;
    pause();
}

void block_barrier(const char* file, int line) {
    Fiber& self = fibers[running];
    self.file = file;
    self.line = line;
    self.state = State::IN_BLOCK;
    in_block++;
    pause();
}

void check_sixteen(u64 address) {
    if (address % 16) fail("16 bytes at an address that is not aligned to 16 bytes");
}

void copy16(void* to, const void* from, bool valid) {
    if (!inside_shared(to, 16)) fail("cp.async writes outside the block's %zu bytes of shared memory (offset %td)", dynamic_bytes, (u8*)to - dynamic);
    if ((uintptr_t)to % 16 || (uintptr_t)from % 16) fail("cp.async with an address that is not aligned to 16 bytes");
    if (valid) {
        bool known = false;
        for (size_t i = 0; i < range_count; i++) known |= (u64)from >= ranges[i].start && (u64)from + 16 <= ranges[i].start + ranges[i].bytes;
        if (!known) fail("cp.async reads global memory outside every buffer of the launch");
    }
    // The copied data must not be visible before the thread has waited for it.
    memset(to, FILL, 16);
    fibers[running].open.push_back({to, valid ? from : nullptr});
}

void copies_commit() {
    Fiber& self = fibers[running];
    self.groups.push_back(std::move(self.open));
    self.open.clear();
}

void copies_wait(int pending) {
    auto& groups = fibers[running].groups;
    while (groups.size() > (size_t)pending) {
        auto& landed = fibers[running].landed;
        landed.insert(landed.end(), groups.front().begin(), groups.front().end());
        groups.erase(groups.begin());
    }
}

}  // namespace ksim

// Every variant of the kernels: `kscope`, the sources as they are, and the defective copies that the build script makes.
extern "C" {
#define KX_DECLARE(variant) ksim::Entry variant##_find(const char* name, size_t* size);
KX_VARIANTS(KX_DECLARE)
}

namespace {

ksim::Entry find(const char* variant, const char* name, size_t* size) {
#define KX_LOOK(of) \
    if (!strcmp(variant, #of)) return of##_find(name, size);
    KX_VARIANTS(KX_LOOK)
    return nullptr;
}

}  // namespace

// Runs a kernel. `size` is that of its parameters. Returns 0, or 1 and a sentence in `error`.
extern "C" int ksim_run(const char* variant, const char* name, const u32* grid, const u32* block, size_t shared_bytes, const void* params, size_t size,
                        const u64* buffers, size_t buffer_count, u32 schedule, u64 seed, char* error, size_t error_bytes) {
    using namespace ksim;
    failure[0] = 0;
    size_t expected = 0;
    entry = find(variant, name, &expected);
    threads = block[0] * block[1] * block[2];
    if (!entry) snprintf(failure, sizeof failure, "%s has no kernel `%s`", variant, name);
    else if (size != expected) snprintf(failure, sizeof failure, "%s takes %zu bytes of parameters, not %zu", name, expected, size);
    else if (threads == 0 || threads > 1024 || threads % 32) snprintf(failure, sizeof failure, "%s: a block of %u threads", name, threads);
    else if (shared_bytes > 232448) snprintf(failure, sizeof failure, "%s: %zu bytes of shared memory", name, shared_bytes);
    parameters = params;
    ranges = (const Range*)buffers;
    range_count = buffer_count;
    dynamic_bytes = shared_bytes;
    random_state = seed | 1;
    grid_size = {grid[0], grid[1], grid[2]};
    block_size = {block[0], block[1], block[2]};
    while (!failure[0] && fibers.size() < threads) {
        Fiber fiber{};
        fiber.stack = (u8*)mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (fiber.stack == MAP_FAILED) snprintf(failure, sizeof failure, "no memory for the stacks of %u threads", threads);
        else fibers.push_back(std::move(fiber));
    }
    if (!failure[0]) {
        std::vector<Fiber> rest;
        while (fibers.size() > threads) {
            rest.push_back(std::move(fibers.back()));
            fibers.pop_back();
        }
        std::vector<u32> order;
        arrange(order, grid[0] * grid[1] * grid[2], schedule);
        for (u32 at : order) {
            block_index = {at % grid[0], at / grid[0] % grid[1], at / grid[0] / grid[1]};
            run_block(schedule);
            if (failure[0]) break;
        }
        for (Fiber& fiber : rest) fibers.push_back(std::move(fiber));
    }
    if (!failure[0]) return 0;
    snprintf(error, error_bytes, "%s, block (%u, %u, %u): %s", name, block_index.x, block_index.y, block_index.z, failure);
    return 1;
}
