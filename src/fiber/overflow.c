/* SPDX-License-Identifier: MIT */
/*
 * Catching the fault in a guard; see overflow.h.
 *
 * A fault that is not ours goes to whoever handled it before, as the kernel would have brought it:
 *
 *      a handler      is called, with the same arguments
 *      the default    is restored; a fault happens again on return, a sent signal is sent again
 *      ignored        stays so for a sent signal; a fault cannot be ignored, and takes the default
 */
#include "fiber/overflow.h"

#include "base/assert.h"
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

/* Table rows: the signals that a guard may raise. SIGBUS is here for exotic mappings. */
static struct {
    int number;
    bool installed;          /* under install_lock */
    struct sigaction before; /* constant while installed */
} signals[] = {
    { .number = SIGSEGV },
    { .number = SIGBUS },
};
enum {
    SIGNAL_COUNT = sizeof signals / sizeof signals[0],
    ALTERNATE_BYTES = 32 * 1024, /* beside the kernel's frame: chained handlers need room */
    MESSAGE_BYTES = 512,
};

static pthread_mutex_t install_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned install_count; /* under install_lock */

/* Release at install, acquire in the handler: whoever sees it sees `signals` filled in. */
static _Atomic(weir__overflow_current *) current_hook;

struct message {
    char text[MESSAGE_BYTES];
    size_t length;
};

static void append(struct message *message, const char *text)
{
    for (; *text != '\0' && message->length < sizeof message->text; text++)
        message->text[message->length++] = *text;
}

static void append_number(struct message *message, size_t number)
{
    char digits[24];
    char *digit = digits + sizeof digits;

    *--digit = '\0';
    do {
        *--digit = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    append(message, digit);
}

/* Only async-signal-safe calls from here on. */
static _Noreturn void die_of_overflow(const struct weir__overflow_report *report)
{
    struct message message = { .length = 0 };

    append(&message, "weir: stack overflow: task \"");
    append(&message, report->task_name != NULL ? report->task_name : "(unnamed)");
    append(&message, "\" ran past the end of its stack of ");
    append_number(&message, report->bytes);
    append(&message, " bytes; spawn it with a larger stack_bytes, or keep large arrays off the "
                     "stack\n");
    weir__log_last(message.text, message.length);
    signal(SIGABRT, SIG_DFL);
    abort();
}

static bool is_overflow(const siginfo_t *info, struct weir__overflow_report *report)
{
    weir__overflow_current *current = atomic_load_explicit(&current_hook, memory_order_acquire);
    uintptr_t fault = (uintptr_t)info->si_addr;

    /* Sent by kill(2) and the like, it has no address. */
    if (info->si_code <= 0 || current == NULL || !current(report))
        return false;
    return fault < (uintptr_t)report->base &&
           fault >= (uintptr_t)report->base - report->guard_bytes;
}

static void pass_on(const struct sigaction *before, int number, siginfo_t *info, void *context)
{
    bool sent = info->si_code <= 0;

    if (before->sa_flags & SA_SIGINFO) {
        before->sa_sigaction(number, info, context);
    } else if (before->sa_handler == SIG_IGN && sent) {
        return;
    } else if (before->sa_handler == SIG_IGN || before->sa_handler == SIG_DFL) {
        signal(number, SIG_DFL);
        if (sent)
            raise(number);
    } else {
        before->sa_handler(number);
    }
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    struct weir__overflow_report report = { 0 };
    int saved_errno = errno;

    if (is_overflow(info, &report))
        die_of_overflow(&report);
    for (int i = 0; i < SIGNAL_COUNT; i++)
        if (signals[i].number == number)
            pass_on(&signals[i].before, number, info, context);
    errno = saved_errno;
}

/* Mask and restart are those of the handler before, which may yet be called. */
static int put_handler(int number, struct sigaction *before)
{
    struct sigaction action;

    if (sigaction(number, NULL, before) != 0)
        return -errno;
    action = *before;
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | (before->sa_flags & (SA_NODEFER | SA_RESTART));
    return sigaction(number, &action, NULL) != 0 ? -errno : 0;
}

static bool is_first_in_line(int number)
{
    struct sigaction now;

    return sigaction(number, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) &&
           now.sa_sigaction == on_fault;
}

static void remove_handlers(void)
{
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        if (!signals[i].installed || !is_first_in_line(signals[i].number))
            continue;
        sigaction(signals[i].number, &signals[i].before, NULL);
        signals[i].installed = false;
    }
}

static int put_handlers(void)
{
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        int error = 0;

        if (!signals[i].installed)
            error = put_handler(signals[i].number, &signals[i].before);
        if (error < 0)
            return error;
        signals[i].installed = true;
    }
    return 0;
}

int weir__overflow_install(weir__overflow_current *current)
{
    int error = 0;

    pthread_mutex_lock(&install_lock);
    if (install_count == 0)
        error = put_handlers();
    if (error == 0) {
        install_count++;
        atomic_store_explicit(&current_hook, current, memory_order_release);
    } else {
        remove_handlers();
    }
    pthread_mutex_unlock(&install_lock);
    return error;
}

void weir__overflow_uninstall(void)
{
    pthread_mutex_lock(&install_lock);
    WEIR_ASSERT(install_count > 0);
    if (--install_count == 0) {
        atomic_store_explicit(&current_hook, NULL, memory_order_release);
        remove_handlers();
    }
    pthread_mutex_unlock(&install_lock);
}

int weir__overflow_thread_enter(struct weir__overflow_thread *thread)
{
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    size_t bytes = ALTERNATE_BYTES + getauxval(AT_MINSIGSTKSZ);
    stack_t alternate;

    *thread = (struct weir__overflow_thread){ 0 };
    if (sigaltstack(NULL, &alternate) != 0)
        return -errno;
    if (!(alternate.ss_flags & SS_DISABLE))
        return 0;
    bytes = (bytes + page_bytes - 1) & ~(page_bytes - 1);
    thread->mapped_bytes = page_bytes + bytes;
    thread->mapping = mmap(NULL, thread->mapped_bytes, PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (thread->mapping == MAP_FAILED) {
        thread->mapping = NULL;
        return -ENOMEM;
    }
    alternate.ss_sp = (char *)thread->mapping + page_bytes;
    alternate.ss_size = bytes;
    alternate.ss_flags = 0;
    if (mprotect(alternate.ss_sp, bytes, PROT_READ | PROT_WRITE) == 0 &&
        sigaltstack(&alternate, NULL) == 0)
        return 0;
    munmap(thread->mapping, thread->mapped_bytes);
    thread->mapping = NULL;
    return -ENOMEM;
}

void weir__overflow_thread_leave(struct weir__overflow_thread *thread)
{
    stack_t none = { .ss_flags = SS_DISABLE };

    if (thread->mapping == NULL)
        return;
    WEIR_ASSERT(sigaltstack(&none, NULL) == 0);
    munmap(thread->mapping, thread->mapped_bytes);
    thread->mapping = NULL;
}
