/* SPDX-License-Identifier: MIT */
/* The signal, its handler, and who is asked; see probe.h. */
#include "watch/probe.h"

#include "base/assert.h"
#include "base/clock.h"
#include "core/loop.h"
#include "core/task.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LOOK_NS = 200000, LEAVE_LOOKS = 1000 };

static pthread_mutex_t install_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned install_count;         /* under install_lock */
static int signal_number;              /* constant while installed; 0: never chosen */
static struct sigaction action_before; /* constant while installed */

/* The calling thread's; the handler believes only what is sent for this one. */
static __thread struct weir__probe *own_probe __attribute__((tls_model("initial-exec")));

/* By the handler, on the interrupted thread. */
static void answer(struct weir__probe *probe, const void *ucontext)
{
    const struct weir__loop *loop = weir__loop_current;
    const struct weir_task *task = loop ? loop->current : NULL;
    /* acquire; pairs with the store in weir__probe_ask: the last answer has been read */
    unsigned number = atomic_load_explicit(&probe->asked, memory_order_acquire);

    probe->frame_count = weir__backtrace_of_context(ucontext, probe->frames, WEIR__BACKTRACE_MAX);
    probe->task_name[0] = '\0';
    if (task)
        memcpy(probe->task_name, task->name, sizeof probe->task_name);
    /* release; pairs with the acquire in weir__probe_ask. Only this handler writes. */
    atomic_store_explicit(&probe->answered, number, memory_order_release);
}

static void pass_on(int number, siginfo_t *info, void *ucontext)
{
    if (action_before.sa_flags & SA_SIGINFO)
        action_before.sa_sigaction(number, info, ucontext);
    else if (action_before.sa_handler != SIG_DFL && action_before.sa_handler != SIG_IGN)
        action_before.sa_handler(number);
}

static void on_probe(int number, siginfo_t *info, void *ucontext)
{
    int saved_errno = errno;
    struct weir__probe *probe = own_probe;

    if (info->si_code == SI_QUEUE && probe && info->si_value.sival_ptr == probe)
        answer(probe, ucontext);
    else
        pass_on(number, info, ucontext);
    errno = saved_errno;
}

static bool is_ours(const struct sigaction *action)
{
    return action->sa_flags & SA_SIGINFO && action->sa_sigaction == on_probe;
}

/* Whether the handler is still there: programs reset all signals, or take this one. */
static bool is_installed(void)
{
    struct sigaction now;

    return sigaction(signal_number, NULL, &now) == 0 && is_ours(&now);
}

/* The highest that nobody handles. */
static int choose(void)
{
    struct sigaction action;

    for (int number = SIGRTMAX; number >= SIGRTMIN; number--)
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_DFL)
            return number;
    return -EBUSY;
}

static int put_handler(int number)
{
    struct sigaction action = { .sa_sigaction = on_probe };

    if (number < SIGRTMIN || number > SIGRTMAX)
        return -EINVAL;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigfillset(&action.sa_mask);
    sigdelset(&action.sa_mask, SIGSEGV);
    sigdelset(&action.sa_mask, SIGBUS);
    sigdelset(&action.sa_mask, SIGSYS); /* check_trap.c stops its end by it */
    if (sigaction(number, NULL, &action_before) != 0)
        return -errno;
    if (is_ours(&action_before)) /* it was left behind somebody else's, who has gone */
        action_before = (struct sigaction){ .sa_handler = SIG_DFL };
    if (sigaction(number, &action, NULL) != 0)
        return -errno;
    signal_number = number;
    return 0;
}

int weir__probe_install(unsigned number)
{
    int result = 0;

    pthread_mutex_lock(&install_lock);
    if (install_count == 0) {
        result = number ? (int)number : choose();
        if (result >= 0)
            result = put_handler(result);
    }
    if (result >= 0) {
        install_count++;
        result = signal_number;
    }
    pthread_mutex_unlock(&install_lock);
    return result;
}

void weir__probe_uninstall(void)
{
    pthread_mutex_lock(&install_lock);
    WEIR_ASSERT(install_count > 0);
    if (--install_count == 0 && is_installed())
        sigaction(signal_number, &action_before, NULL);
    pthread_mutex_unlock(&install_lock);
}

void weir__probe_enter(struct weir__probe *probe)
{
    sigset_t set;

    weir__backtrace_enter();
    probe->tid = (pid_t)syscall(SYS_gettid);
    probe->stack = weir__backtrace_thread_stack();
    own_probe = probe;
    sigemptyset(&set);
    sigaddset(&set, signal_number);
    pthread_sigmask(SIG_UNBLOCK, &set, &probe->mask_before);
}

/* All that were sent have been handled: later none may come to a thread without a handler. One that
 * somebody else's handler took is not waited for. */
static void await_answers(const struct weir__probe *probe)
{
    for (int look = 0; look < LEAVE_LOOKS; look++) {
        if (atomic_load(&probe->answered) == atomic_load(&probe->asked))
            return;
        if (!is_installed())
            return;
        weir__clock_sleep(LOOK_NS);
    }
}

void weir__probe_leave(struct weir__probe *probe)
{
    sigset_t set;

    await_answers(probe);
    sigemptyset(&set);
    sigaddset(&set, signal_number);
    if (sigismember(&probe->mask_before, signal_number))
        pthread_sigmask(SIG_BLOCK, &set, NULL);
    own_probe = NULL;
}

static bool send_to(struct weir__probe *probe)
{
    siginfo_t info;

    memset(&info, 0, sizeof info);
    info.si_signo = signal_number;
    info.si_code = SI_QUEUE;
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_ptr = probe;
    return syscall(SYS_rt_tgsigqueueinfo, getpid(), probe->tid, signal_number, &info) == 0;
}

bool weir__probe_ask(struct weir__probe *probe, int64_t patience_ns)
{
    int64_t until_ns = weir__clock_add(weir__clock_now(), patience_ns);
    unsigned number = atomic_load(&probe->asked);

    /* Nobody is asked again before the last answer has come: the frames are being written. Nor
     * without our handler: the signal would end the process. */
    if (atomic_load(&probe->answered) != number || !is_installed())
        return false;
    atomic_store(&probe->asked, number + 1);
    if (!send_to(probe)) {
        atomic_store(&probe->asked, number);
        return false;
    }
    do {
        /* acquire; pairs with the release in answer() */
        if (atomic_load_explicit(&probe->answered, memory_order_acquire) == number + 1)
            return true;
        weir__clock_sleep(LOOK_NS);
    } while (weir__clock_now() < until_ns);
    return false;
}
