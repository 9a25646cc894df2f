// Switches between the stacks of fibers and the scheduler's, on one thread of the host. The address
// sanitizer is told about each switch.
#pragma once

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace ksim {

// The saved state of a suspended stack.
struct Context {
#if defined(__x86_64__)
    void* pointer;
#else
    ucontext_t context;
#endif
#if defined(__SANITIZE_ADDRESS__)
    void* fake;
#endif
};

namespace {

Context scheduler;
#if defined(__SANITIZE_ADDRESS__)
const void* scheduler_stack;
size_t scheduler_stack_bytes;
#endif

#if defined(__x86_64__)
extern "C" void ksim_switch(void** save, void* load);
asm(R"(
.text
.globl ksim_switch
.type ksim_switch, @function
ksim_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size ksim_switch, .-ksim_switch
)");
#endif

// Prepares a fiber: the first `enter` calls `body`, which never returns, on the fiber's own stack.
void prepare(Context& fiber, u8* stack, size_t bytes, void (*body)()) {
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(stack, bytes);
    fiber.fake = nullptr;
#endif
#if defined(__x86_64__)
    void** top = (void**)(stack + bytes - 64);
    // Six registers, the address of `body`, and its own return address, which leaves the stack
    // aligned as after a call.
    for (int i = 1; i <= 8; i++) top[-i] = nullptr;
    top[-2] = (void*)body;
    fiber.pointer = top - 8;
#else
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = stack;
    fiber.context.uc_stack.ss_size = bytes;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, body, 0);
#endif
}

// Switches from the scheduler to a fiber; returns when the fiber leaves.
void enter(Context& fiber, u8* stack, size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&scheduler.fake, stack, bytes);
#else
    (void)stack, (void)bytes;
#endif
#if defined(__x86_64__)
    ksim_switch(&scheduler.pointer, fiber.pointer);
#else
    swapcontext(&scheduler.context, &fiber.context);
#endif
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(scheduler.fake, nullptr, nullptr);
#endif
}

// Switches from a fiber to the scheduler. Returns at the next `enter`, or never if the fiber has
// ended.
void leave(Context& fiber, bool ended) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(ended ? nullptr : &fiber.fake, scheduler_stack, scheduler_stack_bytes);
#else
    (void)ended;
#endif
#if defined(__x86_64__)
    ksim_switch(&fiber.pointer, scheduler.pointer);
#else
    swapcontext(&fiber.context, &scheduler.context);
#endif
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fiber.fake, nullptr, nullptr);
#endif
}

// The first call that a fiber makes.
void arrived() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_stack_bytes);
#endif
}

}  // namespace
}  // namespace ksim
