/* SPDX-License-Identifier: MIT */
/*
 * Syscall user dispatch (prctl(2) PR_SET_SYSCALL_USER_DISPATCH): while a thread's gate is shut, the
 * kernel makes no system call of it, but sends SIGSYS. The handler looks at the call, and has it
 * made after all: not in the handler, but where it was, by way of an instruction that is exempt
 * (check_redo_x86_64.S). So signals, their masks and stacks, restarts, exec and fork are as they
 * would have been. Calls that need more:
 *
 *   rt_sigreturn       the end of a signal handler of the user's: with rsp as it is
 *   rt_sigprocmask     done on the mask that the handler returns to; never SIGSYS, or the next call
 *                      would end the process
 *   rt_sigaction       likewise without SIGSYS; a handler of SIGSYS itself becomes the next in line
 *   clone, vfork       on another stack or in the same memory: where to go on is not on the stack,
 *                      but in thread-local memory; a new thread's own is found, or else the gate
 *                      stays open until the next call of weir shuts it
 *
 * The kernel clears the dispatch in children, threads and processes alike.
 */
#include "watch/check_trap.h"

#include "base/exempt.h"
#include "watch/check.h"
#include "watch/check_call.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__x86_64__) && !defined(WEIR__CHECK_TSAN)

enum {
    USER_DISPATCH = 2, /* si_code SYS_USER_DISPATCH */
    RED_ZONE_BYTES = 128,
    SYSCALL_BYTES = 2, /* of the instruction */
    MASK_BYTES = 8,    /* of the kernel's signal sets */
    KERNEL_RESTORER = 0x04000000,
};

/* As rt_sigaction(2) has it. */
struct action {
    union {
        void (*handle)(int number);
        void (*handle_info)(int number, siginfo_t *info, void *context);
    };
    unsigned long flags;
    void (*restore)(void);
    uint64_t mask;
};

void weir__check_redo(void);
void weir__check_redo_aside(void);
void weir__check_restore(void);
extern const char __start_weir_exempt[] __attribute__((visibility("hidden")));
extern const char __stop_weir_exempt[] __attribute__((visibility("hidden")));

/* Where weir__check_redo_aside goes on. */
extern __thread uint64_t weir__check_back
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

static pthread_mutex_t install_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned install_count;
static struct action before; /* who had SIGSYS; under the lock, and read by the handler */

static const uint64_t sigsys_bit = UINT64_C(1) << (SIGSYS - 1);

static int change_action(int number, const struct action *action, struct action *old)
{
    return syscall(SYS_rt_sigaction, number, action, old, MASK_BYTES) < 0 ? -errno : 0;
}

/* --- What the handler does -------------------------------------------------------------------- */

static void pass_on(int number, siginfo_t *info, void *context)
{
    struct action next = before;
    bool sent = info->si_code <= 0;

    if (next.flags & SA_SIGINFO) {
        next.handle_info(number, info, context);
    } else if (next.handle != SIG_DFL && next.handle != SIG_IGN) {
        next.handle(number);
    } else if (next.handle == SIG_DFL || !sent) {
        weir__exempt_open(); /* or these would be stopped in turn, and change who is next in line */
        signal(number, SIG_DFL);
        raise(number);
    }
}

static void redo(greg_t *registers)
{
    registers[REG_RSP] -= RED_ZONE_BYTES + (greg_t)sizeof(greg_t);
    *(greg_t *)registers[REG_RSP] = registers[REG_RIP];
    registers[REG_RIP] = (greg_t)(uintptr_t)weir__check_redo;
}

static void redo_aside(greg_t *registers)
{
    weir__check_back = (uint64_t)registers[REG_RIP];
    registers[REG_RIP] = (greg_t)(uintptr_t)weir__check_redo_aside;
}

/* It never goes on. Whoever is between the two instructions of redo_aside still has to: vfork(2) is
 * interrupted there by the SIGCHLD of its child. */
static void redo_sigreturn(greg_t *registers)
{
    registers[REG_RIP] = (greg_t)(uintptr_t)weir__check_redo_aside;
}

static long change_mask(ucontext_t *context, const long *args)
{
    uint64_t mask, set;

    if (args[3] != MASK_BYTES)
        return -EINVAL;
    memcpy(&mask, &context->uc_sigmask, sizeof mask);
    if (args[1]) {
        uint64_t next = mask;

        memcpy(&set, (const void *)args[1], sizeof set);
        switch (args[0]) {
        case SIG_BLOCK:
            next |= set;
            break;
        case SIG_UNBLOCK:
            next &= ~set;
            break;
        case SIG_SETMASK:
            next = set;
            break;
        default:
            return -EINVAL;
        }
        next &= ~(sigsys_bit | UINT64_C(1) << (SIGKILL - 1) | UINT64_C(1) << (SIGSTOP - 1));
        memcpy(&context->uc_sigmask, &next, sizeof next);
    }
    if (args[2])
        memcpy((void *)args[2], &mask, sizeof mask);
    return 0;
}

static long set_action(const long *args)
{
    struct action action = { .flags = 0 };

    if (args[3] != MASK_BYTES)
        return -EINVAL;
    if (args[1])
        memcpy(&action, (const void *)args[1], sizeof action);
    action.mask &= ~sigsys_bit;
    if (args[0] != SIGSYS)
        return change_action((int)args[0], args[1] ? &action : NULL, (struct action *)args[2]);
    if (args[2])
        memcpy((void *)args[2], &before, sizeof before);
    if (args[1])
        before = action;
    return 0;
}

static uint64_t clone_flags(const struct weir__check_call *call)
{
    switch (call->number) {
    case SYS_clone:
        return (uint64_t)call->args[0];
    case SYS_clone3:
        return ((const struct clone_args *)call->args[0])->flags;
    default:
        return CLONE_VM | CLONE_VFORK;
    }
}

static bool clone_has_stack(const struct weir__check_call *call)
{
    return call->number == SYS_clone3 ? ((const struct clone_args *)call->args[0])->stack != 0
                                      : call->args[1] != 0;
}

/* The thread pointer that a new thread will have, if it is one as the C library makes them: the
 * first word there is its own address, and thread-local memory lies below it as it does here. */
static char *thread_pointer_of(const struct weir__check_call *call)
{
    char *pointer = call->number == SYS_clone3
                        ? (char *)(uintptr_t)((const struct clone_args *)call->args[0])->tls
                        : (char *)call->args[4];

    return *(char **)pointer == pointer ? pointer : NULL;
}

/* A new thread finds in its own memory where to go on. False: that is not to be found. */
static bool redo_thread(const struct weir__check_call *call, greg_t *registers)
{
    char *pointer = thread_pointer_of(call);
    ptrdiff_t offset = (char *)&weir__check_back - (char *)__builtin_thread_pointer();

    if (!pointer) {
        registers[REG_RIP] -= SYSCALL_BYTES;
        return false;
    }
    memcpy(pointer + offset, &registers[REG_RIP], sizeof registers[REG_RIP]);
    redo_aside(registers);
    return true;
}

/* The C library's clone cannot be unwound: the search begins with who called it. */
static void look_at_clone(const struct weir__check_call *call, const ucontext_t *context)
{
    ucontext_t caller = *context;
    greg_t *registers = caller.uc_mcontext.gregs;

    if (call->number != SYS_vfork) {
        registers[REG_RIP] = *(const greg_t *)registers[REG_RSP];
        registers[REG_RSP] += (greg_t)sizeof(greg_t);
    }
    weir__check_look(call, &caller);
}

/* Returns whether the gate is shut again when the call is made. */
static bool start_child(const struct weir__check_call *call, ucontext_t *context)
{
    greg_t *registers = context->uc_mcontext.gregs;
    uint64_t flags = clone_flags(call);

    look_at_clone(call, context);
    if (flags & CLONE_SETTLS)
        return redo_thread(call, registers);
    if ((flags & CLONE_VM) || clone_has_stack(call))
        redo_aside(registers);
    else
        redo(registers);
    return true;
}

static bool carry_out(const siginfo_t *info, ucontext_t *context)
{
    greg_t *registers = context->uc_mcontext.gregs;
    struct weir__check_call call = {
        .number = info->si_syscall,
        .args = { registers[REG_RDI], registers[REG_RSI], registers[REG_RDX], registers[REG_R10],
                  registers[REG_R8], registers[REG_R9] },
    };

    if (info->si_arch != AUDIT_ARCH_X86_64) {
        registers[REG_RIP] -= SYSCALL_BYTES;
        return false;
    }
    switch (call.number) {
    case SYS_rt_sigreturn:
        redo_sigreturn(registers);
        return true;
    case SYS_rt_sigprocmask:
        registers[REG_RAX] = change_mask(context, call.args);
        return true;
    case SYS_rt_sigaction:
        registers[REG_RAX] = set_action(call.args);
        return true;
    case SYS_clone:
    case SYS_clone3:
    case SYS_vfork:
        return start_child(&call, context);
    default:
        weir__check_look(&call, context);
        redo(registers);
        return true;
    }
}

__attribute__((no_sanitize("address"))) static void on_call(int number, siginfo_t *info,
                                                            void *context)
{
    int saved_errno = errno;

    if (info->si_code != USER_DISPATCH || !weir__exempt.rest) {
        pass_on(number, info, context);
    } else {
        weir__exempt_open();
        if (carry_out(info, context))
            weir__exempt_shut();
    }
    errno = saved_errno;
}

/* --- Process and threads ---------------------------------------------------------------------- */

/* valgrind makes the program's system calls itself, and preloads its core into it. */
static bool under_valgrind(void)
{
    const char *preloaded = getenv("LD_PRELOAD");

    return preloaded && strstr(preloaded, "vgpreload");
}

const char *weir__check_trap_refusal(void)
{
    if (under_valgrind())
        return "valgrind makes the system calls itself";
    if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0) < 0)
        return "this kernel cannot stop system calls (prctl PR_SET_SYSCALL_USER_DISPATCH, Linux "
               "5.11)";
    return NULL;
}

/* A handler that runs with SIGSYS blocked would end the process by its first call. */
static void unmask_handlers(void)
{
    struct action action;

    for (int number = 1; number < NSIG; number++)
        if (change_action(number, NULL, &action) == 0 && action.handle != SIG_DFL &&
            action.handle != SIG_IGN && (action.mask & sigsys_bit)) {
            action.mask &= ~sigsys_bit;
            change_action(number, &action, NULL);
        }
}

int weir__check_trap_install(void)
{
    static const struct action ours = {
        .handle_info = on_call,
        .flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART | KERNEL_RESTORER,
        .restore = weir__check_restore,
    };
    int error = 0;

    pthread_mutex_lock(&install_lock);
    if (install_count == 0) {
        unmask_handlers();
        error = change_action(SIGSYS, &ours, &before);
    }
    install_count += error >= 0;
    pthread_mutex_unlock(&install_lock);
    return error;
}

/* Whoever has put a handler in front of ours keeps it. */
void weir__check_trap_uninstall(void)
{
    struct action now;

    pthread_mutex_lock(&install_lock);
    if (--install_count == 0 && change_action(SIGSYS, NULL, &now) == 0 &&
        now.handle_info == on_call)
        change_action(SIGSYS, &before, NULL);
    pthread_mutex_unlock(&install_lock);
}

static __thread bool was_blocked __attribute__((tls_model("initial-exec")));

static void block_sigsys(int how)
{
    sigset_t sigsys, earlier;

    sigemptyset(&sigsys);
    sigaddset(&sigsys, SIGSYS);
    pthread_sigmask(how, &sigsys, &earlier);
    was_blocked = sigismember(&earlier, SIGSYS) == 1;
}

int weir__check_trap_enter(void)
{
    block_sigsys(SIG_UNBLOCK);
    return prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON,
                 (unsigned long)(uintptr_t)__start_weir_exempt,
                 (unsigned long)(__stop_weir_exempt - __start_weir_exempt),
                 &weir__exempt.selector) < 0
               ? -errno
               : 0;
}

void weir__check_trap_leave(void)
{
    prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0);
    if (was_blocked)
        block_sigsys(SIG_BLOCK);
}

#else

#if defined(WEIR__CHECK_TSAN)
#define REFUSAL "ThreadSanitizer takes signals and system calls into its own hands"
#else
#define REFUSAL "this architecture's kernel cannot stop system calls"
#endif

const char *weir__check_trap_refusal(void)
{
    return REFUSAL;
}

int weir__check_trap_install(void)
{
    return -EOPNOTSUPP;
}

void weir__check_trap_uninstall(void)
{
}

int weir__check_trap_enter(void)
{
    return -EOPNOTSUPP;
}

void weir__check_trap_leave(void)
{
}

#endif
