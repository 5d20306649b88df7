/* SPDX-License-Identifier: MIT */
/* How a listener opens, closes, and is looked at; see listener.h. */
#include "net/listener.h"

#include "base/kernel.h"
#include "base/memory.h"
#include "core/loop.h"
#include "core/park.h"
#include "io/close.h"
#include "io/io.h"
#include "io/op.h"
#include "io/spare.h"

#include <weir/chan.h>
#include <weir/descriptor.h>
#include <weir/listen.h>
#include <weir/task.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>

enum { CONNECTIONS_MAX = 65536, ADDRESS_BYTES = 160 };

static int check_options(const struct weir_listener_options *options)
{
    if (options->size && options->size != sizeof *options)
        return -EINVAL;
    if (options->spread > WEIR_LISTENER_HAND_OVER || options->backlog < 0)
        return -EINVAL;
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++)
        if (options->reserved[i])
            return -EINVAL;
    if (options->name && strlen(options->name) >= WEIR__LISTENER_NAME_BYTES)
        return -E2BIG;
    return 0;
}

static void read_gauge(struct weir__gauge *gauge, struct weir_queue_stats *stats)
{
    struct weir_listener *listener = WEIR_CONTAINER_OF(gauge, struct weir_listener, gauge);

    weir__credits_read(&listener->connections, stats);
    weir__gauge_name(stats, listener->name, "connections");
}

static void free_listener(struct weir_listener *listener)
{
    weir__gauge_remove(&listener->gauge);
    weir_chan_release(listener->stops);
    weir__memory_free(listener->sets);
    weir__memory_free(listener->lanes);
    weir__memory_free(listener);
}

static const struct weir__reason awaits_connection = { "room for a connection",
                                                       WEIR_PHASE_SUBMISSION_QUEUE, NULL };

static struct weir_listener *make(const struct weir_listener_options *options, unsigned loop_count)
{
    struct weir_listener *listener = weir__memory_zalloc(NULL, sizeof *listener);

    if (!listener)
        return NULL;
    listener->options = *options;
    strcpy(listener->name, options->name ? options->name : "client");
    listener->set_count = options->spread == WEIR_LISTENER_PER_LOOP ? loop_count : 1;
    listener->lane_count = options->spread == WEIR_LISTENER_HERE ? 1 : loop_count;
    listener->sets = weir__memory_zalloc(NULL, listener->set_count * sizeof *listener->sets);
    listener->lanes = weir__memory_zalloc(NULL, listener->lane_count * sizeof *listener->lanes);
    weir__credits_init(&listener->connections, &awaits_connection,
                       options->connections_max ? options->connections_max : CONNECTIONS_MAX,
                       WEIR_WHEN_FULL_PARK, 0);
    if (!listener->sets || !listener->lanes ||
        weir_chan_create(&listener->stops, sizeof(int64_t), 1, NULL) < 0) {
        free_listener(listener);
        return NULL;
    }
    for (unsigned i = 0; i < listener->set_count; i++) {
        listener->sets[i].listener = listener;
        listener->sets[i].ready_fd = -1;
    }
    for (unsigned i = 0; i < listener->lane_count; i++)
        listener->lanes[i].listener = listener;
    listener->gauge.read = read_gauge;
    weir__gauge_add(&listener->gauge);
    return listener;
}

static int make_non_blocking(int fd)
{
    int flags = weir__kernel_get_flags(fd);

    return flags < 0 ? flags : weir__kernel_set_flags(fd, flags | O_NONBLOCK);
}

/* EPOLLEXCLUSIVE: of the loops that share a socket, one is woken. */
static int watch(struct weir__listen_set *set, int fd)
{
    return weir__kernel_epoll_add(set->ready_fd, fd, EPOLLIN | EPOLLEXCLUSIVE);
}

/* The set waits for all its sockets at once, from now on; on an error as before. */
static int begin_to_watch(struct weir__listen_set *set)
{
    int error = set->ready_fd = weir__kernel_epoll_create();

    for (unsigned i = 0; i < set->fd_count && error >= 0; i++)
        error = watch(set, set->fds[i]);
    if (error < 0 && set->ready_fd >= 0)
        weir_close(set->ready_fd);
    if (error < 0)
        set->ready_fd = -1;
    return error;
}

/* A socket becomes the set's; on an error it stays the caller's. One alone, that no other loop
 * shares, is polled itself. */
static int add_socket(struct weir__listen_set *set, int fd, bool shared)
{
    int error = make_non_blocking(fd);

    if (error >= 0 && set->ready_fd < 0 && (shared || set->fd_count > 0))
        error = begin_to_watch(set);
    if (error >= 0 && set->ready_fd >= 0)
        error = watch(set, fd);
    if (error < 0)
        return error;
    weir__lock_acquire(&set->listener->lock);
    set->fds[set->fd_count++] = fd;
    weir__lock_release(&set->listener->lock);
    return 0;
}

/* The sockets that were added last, after one set could not have its own. The first set's is the
 * caller's again: while that is open, an epoll would go on to watch it and its copies. */
static void remove_last(struct weir_listener *listener, unsigned set_count)
{
    for (unsigned i = 0; i < set_count; i++) {
        struct weir__listen_set *set = &listener->sets[i];
        int fd;

        weir__lock_acquire(&listener->lock);
        fd = set->fds[--set->fd_count];
        weir__lock_release(&listener->lock);
        if (set->ready_fd >= 0)
            weir__kernel_epoll_remove(set->ready_fd, fd);
        if (i > 0)
            weir_close(fd);
    }
}

/* One more socket for the i-th set like the first set's newest: at its address, or the same. */
static int open_another(const struct weir_listener *listener,
                        const struct weir_listen_options *options)
{
    const struct weir__listen_set *first = &listener->sets[0];
    int fd = first->fds[first->fd_count - 1];
    char text[ADDRESS_BYTES];
    int error;

    if (!options->reuse_port)
        return weir__kernel_copy_fd(fd, 0);
    error = weir_socket_address(fd, text, sizeof text);
    return error < 0 ? error : weir_listen_at(text, options);
}

/* `fd` becomes the first set's, the other sets get one each; on an error it stays the caller's. */
static int add_to_sets(struct weir_listener *listener, int fd,
                       const struct weir_listen_options *options)
{
    bool shared = listener->set_count > 1 && !options->reuse_port;
    int error = add_socket(&listener->sets[0], fd, shared);

    for (unsigned i = 1; i < listener->set_count && error >= 0; i++) {
        int another = open_another(listener, options);

        error = another < 0 ? another : add_socket(&listener->sets[i], another, shared);
        if (error < 0 && another >= 0)
            weir_close(another);
        if (error < 0)
            remove_last(listener, i);
    }
    return error < 0 ? error : 0;
}

/* Whether a socket may be added now. */
static int check_addition(struct weir_listener *listener)
{
    int error = 0;

    if (!weir__loop_current)
        return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
    weir__lock_acquire(&listener->lock);
    for (unsigned i = 0; i < listener->set_count; i++)
        if (listener->sets[i].user_count)
            error = -EBUSY;
    if (listener->serving)
        error = -EBUSY;
    else if (atomic_load_explicit(&listener->closed, memory_order_relaxed))
        error = -EBADF;
    else if (listener->sets[0].fd_count == WEIR__LISTENER_SOCKETS_MAX)
        error = -E2BIG;
    weir__lock_release(&listener->lock);
    return error;
}

int weir_listener_add(struct weir_listener *listener, const char *address)
{
    struct weir_listen_options options = { 0 };
    int fd, error;

    if (!listener || !address)
        return -EINVAL;
    error = check_addition(listener);
    if (error < 0)
        return error;
    options.backlog = listener->options.backlog;
    options.no_nodelay = listener->options.no_nodelay;
    options.unlink_stale = listener->options.unlink_stale;
    options.reuse_port = listener->set_count > 1 && strncmp(address, "unix:", 5) != 0;
    fd = weir_listen_at(address, &options);
    if (fd < 0)
        return fd;
    error = add_to_sets(listener, fd, &options);
    if (error < 0)
        weir_close(fd);
    return error;
}

int weir_listener_adopt(struct weir_listener *listener, int fd)
{
    static const struct weir_listen_options shared;
    int listening = 0, error;
    socklen_t bytes = sizeof listening;

    if (!listener)
        return -EINVAL;
    error = check_addition(listener);
    if (error >= 0)
        error = weir__kernel_getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &bytes);
    if (error == -ENOTSOCK || (error >= 0 && !listening))
        error = -EINVAL;
    if (error >= 0)
        error = weir__kernel_set_cloexec(fd);
    return error < 0 ? error : add_to_sets(listener, fd, &shared);
}

int weir_listener_open(struct weir_listener **out, const char *address,
                       const struct weir_listener_options *options)
{
    static const struct weir_listener_options standard;
    struct weir_listener *listener;
    int error;

    options = options ? options : &standard;
    error = out ? check_options(options) : -EINVAL;
    if (error < 0)
        return error;
    if (!weir__loop_current)
        return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
    listener = make(options, weir__loop_current->runtime->loop_count);
    if (!listener)
        return -ENOMEM;
    error = address ? weir_listener_add(listener, address) : 0;
    if (error < 0)
        weir_listener_close(listener);
    else
        *out = listener;
    return error;
}

int weir__listen_set_enter(struct weir__listen_set *set)
{
    struct weir_listener *listener = set->listener;
    int error = 0;

    weir__lock_acquire(&listener->lock);
    /* relaxed: it changes under the lock */
    if (atomic_load_explicit(&listener->closed, memory_order_relaxed))
        error = -EBADF;
    else if (set->fd_count == 0)
        error = -EINVAL;
    else if (set->user_count && set->loop != weir__loop_current)
        error = -EBUSY;
    if (error >= 0) {
        set->loop = weir__loop_current;
        set->user_count++;
    }
    weir__lock_release(&listener->lock);
    return error;
}

void weir__listen_set_leave(struct weir__listen_set *set)
{
    struct weir_listener *listener = set->listener;
    struct weir__waiter *closer = NULL;
    struct weir__wait *wait;

    weir__lock_acquire(&listener->lock);
    if (--set->user_count == 0)
        closer = listener->closer;
    wait = closer && weir__wait_claim(closer->wait, 0) ? closer->wait : NULL;
    weir__lock_release(&listener->lock);
    if (wait)
        weir__wait_wake(wait);
}

/* The set's loop: the operations under way there end with -EBADF. */
static void end_ops(struct weir__loop *loop, struct weir__mail *mail)
{
    struct weir__listen_set *set = WEIR_CONTAINER_OF(mail, struct weir__listen_set, mail);

    weir__close_end_calls(loop->io, set->ready_fd < 0 ? set->fds[0] : set->ready_fd);
    weir__listen_set_leave(set);
}

/* Under the lock: whether anybody still uses the sockets. */
static bool has_users(const struct weir_listener *listener)
{
    for (unsigned i = 0; i < listener->set_count; i++)
        if (listener->sets[i].user_count)
            return true;
    return false;
}

static const struct weir__reason awaits_users = { "close of a listener", WEIR_PHASE_TASK, NULL };

/* Ends the calls that wait in accept, and parks until the last of them has left. The mail is a user
 * too, since it refers to the set. */
static void end_users(struct weir_listener *listener)
{
    struct weir__waiter closer = { .wait = weir__wait_self() };
    bool parks = true;

    for (unsigned i = 0; i < listener->set_count; i++) {
        struct weir__listen_set *set = &listener->sets[i];
        bool used;

        weir__lock_acquire(&listener->lock);
        used = set->user_count > 0;
        set->user_count += used;
        weir__lock_release(&listener->lock);
        set->mail.deliver = end_ops;
        if (used)
            weir__loop_post(set->loop, &set->mail);
    }
    weir__spare_notify(); /* those who pause look again */
    while (parks) {
        weir__lock_acquire(&listener->lock);
        parks = has_users(listener);
        if (parks) {
            weir__wait_begin(closer.wait, &awaits_users, listener);
            listener->closer = &closer;
        }
        weir__lock_release(&listener->lock);
        if (parks)
            weir__wait_park(closer.wait, WEIR_FOREVER, WEIR__PARK_RELEASE);
        weir__lock_acquire(&listener->lock);
        listener->closer = NULL;
        weir__lock_release(&listener->lock);
    }
}

/* Under no lock: the set's sockets as they are now. */
static unsigned copy_fds(struct weir__listen_set *set, int fds[WEIR__LISTENER_SOCKETS_MAX])
{
    unsigned count;

    weir__lock_acquire(&set->listener->lock);
    count = set->fd_count;
    memcpy(fds, set->fds, count * sizeof *fds);
    weir__lock_release(&set->listener->lock);
    return count;
}

void weir__listener_close_sockets(struct weir_listener *listener)
{
    int fds[WEIR__LISTENER_SOCKETS_MAX];

    weir__lock_acquire(&listener->lock);
    /* relaxed: who acts on it later has taken the lock, or is woken after this */
    atomic_store_explicit(&listener->closed, true, memory_order_relaxed);
    weir__lock_release(&listener->lock);
    end_users(listener);
    for (unsigned i = 0; i < listener->set_count; i++) {
        struct weir__listen_set *set = &listener->sets[i];
        unsigned count = copy_fds(set, fds);

        weir__lock_acquire(&listener->lock);
        set->fd_count = 0;
        weir__lock_release(&listener->lock);
        while (count)
            weir_close(fds[--count]);
        if (set->ready_fd >= 0)
            weir_close(set->ready_fd);
        set->ready_fd = -1;
    }
}

int weir_listener_close(struct weir_listener *listener)
{
    bool serving;

    if (!listener)
        return 0;
    if (!weir__loop_current)
        return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
    weir__lock_acquire(&listener->lock);
    serving = listener->serving;
    weir__lock_release(&listener->lock);
    if (serving)
        return -EBUSY;
    weir__listener_close_sockets(listener);
    free_listener(listener);
    return 0;
}

int weir_listener_address(struct weir_listener *listener, unsigned index, char *text, size_t bytes)
{
    int fds[WEIR__LISTENER_SOCKETS_MAX];

    if (!listener)
        return -EINVAL;
    if (index >= copy_fds(&listener->sets[0], fds))
        return -ENOENT;
    return weir_socket_address(fds[index], text, bytes);
}

/* For a socket that listens, the kernel gives its queue in the fields of what is unacknowledged. */
static void add_backlog(struct weir_listener_stats *stats, struct weir__listen_set *set)
{
    int fds[WEIR__LISTENER_SOCKETS_MAX];

    for (unsigned count = copy_fds(set, fds); count--;) {
        struct tcp_info info = { 0 };
        socklen_t bytes = sizeof info;

        if (weir__kernel_getsockopt(fds[count], IPPROTO_TCP, TCP_INFO, &info, &bytes) < 0)
            continue;
        stats->backlog += info.tcpi_unacked;
        stats->backlog_max += info.tcpi_sacked;
    }
}

static uint64_t read_figure(atomic_ullong *figure)
{
    return atomic_load_explicit(figure, memory_order_relaxed);
}

int weir_listener_read_stats(struct weir_listener *listener, struct weir_listener_stats *stats)
{
    struct weir__credits *connections;

    if (!listener || !stats)
        return -EINVAL;
    *stats = (struct weir_listener_stats){
        .accepted = read_figure(&listener->accepted),
        .refused = read_figure(&listener->refused),
        .lost = read_figure(&listener->lost),
        .handed_over = read_figure(&listener->handed_over),
        .paused = read_figure(&listener->paused),
        .paused_ns = read_figure(&listener->paused_ns),
        .waited = read_figure(&listener->waited),
        .paused_now = atomic_load_explicit(&listener->paused_now, memory_order_relaxed) > 0,
    };
    connections = &listener->connections;
    weir__lock_acquire(&connections->lock);
    stats->full = connections->waited_count;
    stats->full_ns = connections->wait_ns;
    weir__lock_release(&connections->lock);
    for (unsigned i = 0; i < listener->lane_count; i++)
        stats->open += atomic_load_explicit(&listener->lanes[i].open_count, memory_order_relaxed);
    for (unsigned i = 0; i < listener->set_count; i++)
        add_backlog(stats, &listener->sets[i]);
    return 0;
}
