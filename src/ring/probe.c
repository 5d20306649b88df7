/* SPDX-License-Identifier: MIT */
/*
 * Setup flags are tried newest first, each row dropping what the row before asked for in vain. The
 * masks of weir_options.without_features take rows out, so that the older paths can be tested on a
 * newer kernel.
 */
#include "ring/probe.h"

#include <weir/runtime.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

static const struct setup_row {
    unsigned flags;
    unsigned needs; /* enum weir_feature bits */
} setup_rows[] = {
    { IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
      WEIR_FEATURE_SINGLE_ISSUER | WEIR_FEATURE_DEFER_TASKRUN },
    { IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
      WEIR_FEATURE_SINGLE_ISSUER },
    { IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, 0 },
};

enum { CQ_PER_SQ = 4, CQ_LEAST = 64, IOWQ_BOUNDED_MAX = 4, IOWQ_UNBOUNDED_MAX = 1 };

static int try_setup(struct weir__ring *ring, const struct setup_row *row, unsigned entries)
{
    struct io_uring_params params = {
        .flags = row->flags | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
        .cq_entries = entries * CQ_PER_SQ < CQ_LEAST ? CQ_LEAST : entries * CQ_PER_SQ,
    };
    int error;

    if (row->flags & IORING_SETUP_DEFER_TASKRUN)
        params.flags |= IORING_SETUP_TASKRUN_FLAG;
    error = io_uring_queue_init_params(entries, &ring->uring, &params);
    if (error < 0)
        return error;
    ring->setup_flags = params.flags;
    ring->cq_entries = params.cq_entries;
    ring->features = row->needs;
    return 0;
}

int weir__probe_setup(struct weir__ring *ring, const struct weir__ring_options *options, char *why,
                      size_t why_bytes)
{
    int error = -EINVAL;

    for (size_t i = 0; i < sizeof setup_rows / sizeof setup_rows[0]; i++) {
        if (setup_rows[i].needs & options->without_features)
            continue;
        error = try_setup(ring, &setup_rows[i], options->entries);
        if (error != -EINVAL)
            break;
    }
    if (error < 0)
        weir__probe_explain(error, options->entries, why, why_bytes);
    return error;
}

static bool probe_msg_ring(struct weir__ring *ring)
{
    struct io_uring_sqe sqe = {
        .opcode = IORING_OP_MSG_RING,
        .fd = ring->uring.ring_fd,
    };

    return io_uring_register((unsigned)-1, WEIR__REGISTER_SEND_MSG_RING, &sqe, 1) == 0;
}

/* The kernel finds the cards by the sockets the ring waits on (Linux 6.13's "dynamic" tracking,
 * which is all that older ones do). */
static bool register_napi(struct weir__ring *ring, const struct weir__ring_options *options)
{
    struct weir__napi napi = {
        .busy_poll_us = options->napi_busy_poll_us,
        .prefer_busy_poll = options->napi_prefer,
    };

    return io_uring_register((unsigned)ring->uring.ring_fd, WEIR__REGISTER_NAPI, &napi, 1) == 0;
}

/* Kernels that do not know the flag say so before they look at the descriptor. */
static bool probe_clone_buffers(struct weir__ring *ring)
{
    struct weir__clone_buffers clone = {
        .source_fd = UINT32_MAX,
        .flags = WEIR__CLONE_BUFFERS_REPLACE,
    };

    return io_uring_register((unsigned)ring->uring.ring_fd, WEIR__REGISTER_CLONE_BUFFERS, &clone,
                             1) == -EBADF;
}

void weir__probe_features(struct weir__ring *ring, const struct weir__ring_options *options)
{
    unsigned workers[2] = { IOWQ_BOUNDED_MAX, IOWQ_UNBOUNDED_MAX };
    unsigned wanted = ~options->without_features;
    struct io_uring_probe *probe = io_uring_get_probe_ring(&ring->uring);

    for (unsigned op = 0; probe && op < probe->ops_len && op < 256; op++)
        if (probe->ops[op].flags & IO_URING_OP_SUPPORTED)
            ring->ops_supported[op / 8] |= (uint8_t)(1u << (op % 8));
    io_uring_free_probe(probe);
    if (!(wanted & WEIR_FEATURE_FTRUNCATE))
        ring->ops_supported[WEIR__OP_FTRUNCATE / 8] &= (uint8_t) ~(1u << (WEIR__OP_FTRUNCATE % 8));
    if (weir__ring_supports(ring, WEIR__OP_FTRUNCATE))
        ring->features |= WEIR_FEATURE_FTRUNCATE;
    if ((wanted & WEIR_FEATURE_IOWQ_LIMIT) &&
        io_uring_register_iowq_max_workers(&ring->uring, workers) == 0)
        ring->features |= WEIR_FEATURE_IOWQ_LIMIT;
    if ((wanted & WEIR_FEATURE_RING_FD) && io_uring_register_ring_fd(&ring->uring) == 1) {
        ring->features |= WEIR_FEATURE_RING_FD;
        ring->enter_flags |= IORING_ENTER_REGISTERED_RING;
    }
    if ((wanted & WEIR_FEATURE_NO_IOWAIT) && (ring->uring.features & WEIR__FEAT_NO_IOWAIT))
        ring->features |= WEIR_FEATURE_NO_IOWAIT;
    if ((wanted & WEIR_FEATURE_SYNC_MSG_RING) && probe_msg_ring(ring))
        ring->features |= WEIR_FEATURE_SYNC_MSG_RING;
    ring->features |= wanted & WEIR_FEATURE_DIOALIGN; /* each file says whether it knows */
    /* Known by an operation that came with them: buffer rings by SOCKET, multishot receives by
     * SEND_ZC. */
    if (weir__ring_supports(ring, IORING_OP_SOCKET))
        ring->features |= wanted & WEIR_FEATURE_BUFFER_RING;
    if (weir__ring_supports(ring, IORING_OP_SEND_ZC))
        ring->features |= wanted & (WEIR_FEATURE_MULTISHOT_RECV | WEIR_FEATURE_SEND_ZC);
    if ((wanted & WEIR_FEATURE_NAPI) && options->napi_busy_poll_us && register_napi(ring, options))
        ring->features |= WEIR_FEATURE_NAPI;
    if ((wanted & WEIR_FEATURE_CLONE_BUFFERS) && probe_clone_buffers(ring))
        ring->features |= WEIR_FEATURE_CLONE_BUFFERS;
}

long weir__probe_proc_number(const char *path, const char *key, long missing)
{
    char line[128];
    FILE *file = fopen(path, "re");
    long value = missing;

    if (!file)
        return missing;
    while (fgets(line, sizeof line, file)) {
        if (!key && sscanf(line, "%ld", &value) == 1)
            break;
        if (key && strncmp(line, key, strlen(key)) == 0 &&
            sscanf(line + strlen(key), " %ld", &value) == 1)
            break;
    }
    fclose(file);
    return value;
}

static void explain_refused(const char *code, char *why, size_t why_bytes)
{
    long disabled = weir__probe_proc_number("/proc/sys/kernel/io_uring_disabled", NULL, -1);
    long seccomp = weir__probe_proc_number("/proc/self/status", "Seccomp:", 0);

    if (disabled > 0)
        snprintf(why, why_bytes,
                 "io_uring_setup: %s: io_uring is switched off (sysctl kernel.io_uring_disabled is "
                 "%ld); set it to 0%s",
                 code, disabled, disabled == 1 ? ", or join the group in io_uring_group" : "");
    else if (seccomp > 0)
        snprintf(why, why_bytes,
                 "io_uring_setup: %s: blocked by a seccomp filter (/proc/self/status says Seccomp: "
                 "%ld), as container runtimes do; allow io_uring_setup, io_uring_enter and "
                 "io_uring_register in its profile",
                 code, seccomp);
    else
        snprintf(why, why_bytes,
                 "io_uring_setup: %s: the kernel refuses io_uring, and neither the sysctl "
                 "kernel.io_uring_disabled nor seccomp says why; check security modules, and "
                 "CONFIG_IO_URING=y",
                 code);
}

static void explain_memory(unsigned entries, char *why, size_t why_bytes)
{
    struct rlimit limit = { 0 };
    unsigned long kib = entries * (64ul + CQ_PER_SQ * 16ul) / 1024 + 8;

    getrlimit(RLIMIT_MEMLOCK, &limit);
    snprintf(why, why_bytes,
             "io_uring_setup: ENOMEM: a ring of %u entries needs about %lu KiB, the memlock limit "
             "is %lu KiB (charged before Linux 5.12, and again by 6.18) or memory is short; raise "
             "it with ulimit -l or LimitMEMLOCK=, or set weir_options.ring_entries lower",
             entries, kib, (unsigned long)(limit.rlim_cur / 1024));
}

void weir__probe_explain(int error, unsigned entries, char *why, size_t why_bytes)
{
    struct utsname kernel = { 0 };

    uname(&kernel);
    switch (error) {
    case -EPERM:
        explain_refused("EPERM", why, why_bytes);
        break;
    case -EACCES:
        explain_refused("EACCES", why, why_bytes);
        break;
    case -ENOSYS:
        explain_refused("ENOSYS", why, why_bytes);
        break;
    case -ENOMEM:
        explain_memory(entries, why, why_bytes);
        break;
    case -EMFILE:
    case -ENFILE:
        snprintf(why, why_bytes,
                 "io_uring_setup: %s: no descriptor is free for the ring; raise ulimit -n or close "
                 "what is not needed",
                 error == -EMFILE ? "EMFILE" : "ENFILE");
        break;
    case -EINVAL:
        snprintf(why, why_bytes,
                 "io_uring_setup: EINVAL: Linux %s rejects every set of flags weir can use; weir "
                 "needs Linux 6.1 or later, and ring_entries (%u) a power of two up to 32768",
                 kernel.release, entries);
        break;
    default:
        snprintf(why, why_bytes, "io_uring_setup: %s (Linux %s)", strerror(-error), kernel.release);
        break;
    }
}
