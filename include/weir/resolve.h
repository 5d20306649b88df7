/* SPDX-License-Identifier: MIT */
/*
 * Names to addresses, without ever blocking a loop. The system's own resolver is asked, by
 * getaddrinfo(3), so /etc/hosts, nsswitch.conf and whatever serves names here count as everywhere;
 * it blocks, and cannot be interrupted: so it has threads of its own ("weir-dns-N"), and a caller
 * whose deadline passes or who is cancelled returns at once and leaves the question behind.
 *
 * Answers are kept for a while (weir_options.resolve_ttl_ns; getaddrinfo tells no time to live),
 * "no such name" for a short one. Equal questions asked at the same time are asked once. Numeric
 * addresses and "localhost" need nobody (with a numeric service).
 *
 * Example:
 *     struct weir_resolved found[8];
 *     int count = weir_resolve("example.org", "443", NULL, found, 8, weir_in_ms(2000));
 *     if (count > 0)
 *         error = weir_connect(fd, &found[0].any, found[0].bytes, weir_in_ms(2000));
 */
#ifndef WEIR_RESOLVE_H
#define WEIR_RESOLVE_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <weir/base.h>
#include <weir/pool.h>

/* One address, with its port. */
struct weir_resolved {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
    socklen_t bytes;
};

#define WEIR_RESOLVE_MAX 64 /* addresses kept of one answer */

/* Zeroed means default. */
struct weir_resolve_hints {
    size_t size;          /* sizeof(struct weir_resolve_hints); 0 means the first version's */
    int family;           /* AF_INET or AF_INET6; 0: both, in the order the system prefers */
    int type;             /* SOCK_STREAM or SOCK_DGRAM, for services by name; 0: SOCK_STREAM */
    bool fresh;           /* not from the cache */
    uint64_t reserved[2]; /* must be zero */
};

/* Of the calling task's runtime. */
struct weir_resolve_stats {
    uint64_t calls;
    uint64_t numeric;   /* calls that needed nobody */
    uint64_t hits;      /* calls answered from the cache */
    uint64_t joined;    /* calls that waited for a question asked already */
    uint64_t asked;     /* questions given to the resolver's threads */
    uint64_t failed;    /* questions whose answer was an error */
    uint64_t abandoned; /* questions left behind while a thread asked them */
    uint64_t refused;   /* calls for which there was no room in the queue */
    uint64_t evicted;   /* answers that had to make room */
    size_t abandoned_now;
    size_t answers_now;          /* in the cache */
    struct weir_pool_stats pool; /* the threads and their queue */
    size_t answers_now_max;      /* the most so far */
    uint64_t reserved[3];
};

WEIR_BEGIN

/*
 * Finds the addresses of a name or a numeric address ("::1", "fe80::1%eth0"), with the port of a
 * service by number or name; NULL: port 0. Writes at most `max` of them.
 * Returns how many, at least one.
 * Errors:
 *   -ENOENT        no such name, or no address of the family
 *   -ESRCH         no such service
 *   -EREMOTEIO     no name server answered (EAI_AGAIN): it may, later
 *   -EPROTO        a name server failed for good (EAI_FAIL)
 *   -EAGAIN, -ETIME, -ECANCELED   not found by then
 *   -EBUSY         the queue is full (weir_options.resolve_when_full)
 *   -EINVAL        an empty name, a bad hint, no room; -ENAMETOOLONG; -ENOMEM; -ENXIO not in a task
 */
WEIR_API WEIR_MUST_CHECK int weir_resolve(const char *name, const char *service,
                                          const struct weir_resolve_hints *hints,
                                          struct weir_resolved *results, size_t max,
                                          int64_t deadline_ns) WEIR_SUSPENDS;

/* Forgets all answers; what is being asked is not affected. Returns how many; -ENXIO. */
WEIR_API int weir_resolve_forget(void);

/* One reading. Returns 0; -EINVAL; -ENXIO not in a task. */
WEIR_API int weir_resolve_read_stats(struct weir_resolve_stats *stats);

WEIR_END

#endif
