/* SPDX-License-Identifier: MIT */
/* Parking and waking, of tasks and of plain threads; see wait.h for the state machine. */
#include "core/wait.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/exempt.h"
#include "core/expiry.h"
#include "core/park.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { NS_PER_SECOND = 1000000000 };

static __thread struct weir__thread_wait thread_wait;

static struct weir__thread_wait *thread_wait_of(struct weir__wait *wait)
{
    return WEIR_CONTAINER_OF(wait, struct weir__thread_wait, wait);
}

static void wake_thread(struct weir__wait *wait)
{
    struct weir__thread_wait *thread = thread_wait_of(wait);

    /* release; pairs with the acquire in park_thread. The owner may be gone right after: the
     * address is thread-local storage, and waking an address nobody waits on is harmless. */
    atomic_store_explicit(&thread->futex, 1, memory_order_release);
    weir__exempt_open();
    syscall(SYS_futex, &thread->futex, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    weir__exempt_shut();
}

struct weir__wait *weir__wait_of_thread(void)
{
    if (!thread_wait.timers.next) {
        weir__list_init(&thread_wait.timers);
        thread_wait.wait.wake = wake_thread;
        atomic_init(&thread_wait.wait.word, WEIR__WAIT_IDLE);
    }
    return &thread_wait.wait;
}

struct weir__random *weir__wait_random_of_thread(void)
{
    static __thread struct weir__random random;

    if (!random.state)
        weir__random_seed(&random);
    return &random;
}

int weir__wait_refusal(int64_t deadline_ns)
{
    struct weir__loop *loop = weir__loop_current;

    if (deadline_ns == WEIR_NOW)
        return -EAGAIN;
    /* The loop's reading is never ahead of the clock: what it calls past has passed. */
    if (deadline_ns <= (loop ? loop->now_ns : weir__clock_now()))
        return -ETIME;
    return 0;
}

int weir__wait_refuse_deadline(int64_t deadline_ns)
{
    int refusal = weir__wait_refusal(deadline_ns);

    if (refusal == -ETIME)
        weir__expiry_note_refused(deadline_ns);
    return refusal;
}

/* Runs on the home loop, from its mailbox: the task was woken from elsewhere. */
static void deliver_wake(struct weir__loop *loop, struct weir__mail *mail)
{
    weir__sched_ready(loop, weir__task_of_mail(mail));
}

void weir__wait_wake_elsewhere(struct weir__wait *wait)
{
    if (wait->loop) {
        wait->mail.deliver = deliver_wake;
        weir__loop_post(wait->loop, &wait->mail);
    } else {
        wait->wake(wait);
    }
}

bool weir__wait_fire(struct weir__wait *wait, int code)
{
    if (!weir__wait_claim(wait, code))
        return false;
    weir__wait_wake(wait);
    return true;
}

void weir__wait_interrupt(struct weir__wait *wait, int reason)
{
    if (!weir__wait_is_open(wait)) /* decided: what `interrupt` is about may be gone */
        return;
    if (wait->interrupt)
        wait->interrupt(wait, reason);
    else
        weir__wait_fire(wait, reason);
}

struct deadline {
    struct weir__timer timer;
    struct weir__wait *wait;
};

static void deadline_passed(struct weir__timer *timer)
{
    struct deadline *deadline = WEIR_CONTAINER_OF(timer, struct deadline, timer);

    weir__wait_interrupt(deadline->wait, -ETIME);
    weir__expiry_came(weir__task_of(deadline->wait), timer->deadline_ns);
}

static int park_task(struct weir__loop *loop, struct weir__wait *wait, int64_t deadline_ns,
                     unsigned flags)
{
    struct weir_task *task = weir__task_of(wait);
    struct deadline deadline = { .wait = wait };
    int code;

    task->late_phase = wait->reason->phase;
    task->park_flags = (uint8_t)flags;
    task->deadline_ns = deadline_ns;
    weir__timer_init(&deadline.timer, deadline_passed);
    if (deadline_ns != WEIR_FOREVER)
        weir__timer_arm(&loop->wheel, &deadline.timer, deadline_ns);
    if (!(flags & WEIR__PARK_RELEASE) && weir__task_is_interrupted(task))
        weir__wait_interrupt(wait, -ECANCELED);
    weir__sched_park(loop);
    weir__timer_disarm(&loop->wheel, &deadline.timer);
    task->deadline_ns = WEIR_FOREVER;
    /* acquire; pairs with the claim: what the winner knew before it is seen */
    code = atomic_load_explicit(&wait->word, memory_order_acquire);
    if (code == -ETIME && wait->reason->phase != WEIR_PHASE_TIMER) /* a sleep is to end so */
        weir__expiry_note(loop, task->late_phase);
    return code;
}

/* The earliest of the thread's clause timers and its deadline. */
static int64_t next_thread_deadline(const struct weir__thread_wait *thread, int64_t deadline_ns)
{
    for (const struct weir__list *link = thread->timers.next; link != &thread->timers;
         link = link->next) {
        const struct weir__timer *timer = WEIR_CONTAINER_OF(link, struct weir__timer, link);

        if (timer->deadline_ns < deadline_ns)
            deadline_ns = timer->deadline_ns;
    }
    return deadline_ns;
}

static void expire_thread_timers(struct weir__thread_wait *thread, int64_t now_ns)
{
    struct weir__list *link = thread->timers.next;

    while (link != &thread->timers) {
        struct weir__timer *timer = WEIR_CONTAINER_OF(link, struct weir__timer, link);

        link = link->next;
        if (timer->deadline_ns <= now_ns) {
            weir__list_unlink(&timer->link);
            timer->fire(timer);
        }
    }
}

static int park_thread(struct weir__thread_wait *thread, int64_t deadline_ns)
{
    /* acquire; pairs with the release in wake_thread */
    while (!atomic_load_explicit(&thread->futex, memory_order_acquire)) {
        int64_t next_ns = next_thread_deadline(thread, deadline_ns);
        struct timespec until = {
            .tv_sec = (time_t)(next_ns / NS_PER_SECOND),
            .tv_nsec = (long)(next_ns % NS_PER_SECOND),
        };
        int64_t now_ns;

        syscall(SYS_futex, &thread->futex, FUTEX_WAIT_BITSET_PRIVATE, 0,
                next_ns == INT64_MAX ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
        if (next_ns == INT64_MAX)
            continue;
        now_ns = weir__clock_now();
        expire_thread_timers(thread, now_ns);
        if (deadline_ns <= now_ns) {
            deadline_ns = INT64_MAX; /* once: an interrupted wait may take its time */
            weir__wait_interrupt(&thread->wait, -ETIME);
        }
    }
    atomic_store_explicit(&thread->futex, 0, memory_order_relaxed);
    return atomic_load_explicit(&thread->wait.word, memory_order_acquire);
}

int weir__wait_park_slowly(struct weir__wait *wait, int64_t deadline_ns, unsigned flags)
{
    if (wait->loop)
        return park_task(wait->loop, wait, deadline_ns, flags);
    if (!(flags & WEIR__PARK_RELEASE))
        deadline_ns = weir__wait_deadline(deadline_ns);
    return park_thread(thread_wait_of(wait), deadline_ns);
}

void weir__wait_arm_timer(struct weir__wait *wait, struct weir__timer *timer, int64_t deadline_ns)
{
    if (wait->loop) {
        weir__timer_arm(&wait->loop->wheel, timer, deadline_ns);
        return;
    }
    timer->deadline_ns = deadline_ns;
    weir__list_append(&thread_wait_of(wait)->timers, &timer->link);
}

void weir__wait_disarm_timer(struct weir__wait *wait, struct weir__timer *timer)
{
    if (wait->loop)
        weir__timer_disarm(&wait->loop->wheel, timer);
    else
        weir__list_unlink(&timer->link);
}
