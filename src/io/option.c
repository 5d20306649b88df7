/* SPDX-License-Identifier: MIT */
/* Options of sockets: one table; the chapter is <weir/socket_option.h>. */
#include "base/kernel.h"
#include "io/control.h"

#include <weir/socket_option.h>

#include <errno.h>
#include <limits.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/ioctl.h>

enum {
    US_NS = 1000,
    MS_NS = 1000 * US_NS,
    SECOND_NS = 1000 * MS_NS,
};

struct row {
    const char *name;
    int level;
    int key;
    int key_v6;      /* at IPPROTO_IPV6, where the socket is one; 0: the same for both */
    int64_t unit_ns; /* durations: of the kernel's unit; 0: a number */
    int64_t max;     /* in the kernel's unit; 0: only read */
    /* What is no plain number; optional. */
    int (*set)(int fd, const struct row *row, int64_t value);
    int (*get)(int fd, const struct row *row, int64_t *value);
};

static int get_number(int fd, int level, int key, int *value)
{
    socklen_t bytes = sizeof *value;

    *value = 0;
    return weir__kernel_getsockopt(fd, level, key, value, &bytes);
}

/* The kernel doubles what is asked for, for its own records, and tells the double. */
static int get_half(int fd, const struct row *row, int64_t *value)
{
    int number;
    int error = get_number(fd, row->level, row->key, &number);

    *value = number / 2;
    return error;
}

static int set_linger(int fd, const struct row *row, int64_t value)
{
    int64_t seconds = value <= 0 ? 0 : (value - 1) / SECOND_NS + 1;
    struct linger linger = { .l_onoff = value >= 0, .l_linger = (int)seconds };

    if (seconds > row->max)
        return -EINVAL;
    return weir__kernel_setsockopt(fd, row->level, row->key, &linger, sizeof linger);
}

static int get_linger(int fd, const struct row *row, int64_t *value)
{
    struct linger linger;
    socklen_t bytes = sizeof linger;
    int error = weir__kernel_getsockopt(fd, row->level, row->key, &linger, &bytes);

    if (error >= 0)
        *value = linger.l_onoff ? (int64_t)linger.l_linger * SECOND_NS : -1;
    return error;
}

static int set_timestamps(int fd, const struct row *row, int64_t value)
{
    static const int flags[] = {
        0,
        SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE,
        SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_RAW_HARDWARE |
            SOF_TIMESTAMPING_RX_HARDWARE,
    };

    if (value < 0 || value > row->max)
        return -EINVAL;
    return weir__kernel_setsockopt(fd, row->level, row->key, &flags[value], sizeof flags[value]);
}

static int get_timestamps(int fd, const struct row *row, int64_t *value)
{
    int flags;
    int error = get_number(fd, row->level, row->key, &flags);

    *value = flags & SOF_TIMESTAMPING_RX_HARDWARE ? 2 : (flags & SOF_TIMESTAMPING_RX_SOFTWARE) != 0;
    return error;
}

static int get_error(int fd, const struct row *row, int64_t *value)
{
    int number;
    int error = get_number(fd, row->level, row->key, &number);

    *value = -number;
    return error;
}

/* Files answer these, too. */
static int get_queue(int fd, const struct row *row, int64_t *value)
{
    int number;
    int error = get_number(fd, SOL_SOCKET, SO_TYPE, &number);

    if (error >= 0)
        error = weir__kernel_ioctl_number(fd, (unsigned long)row->key, &number);
    if (error >= 0)
        *value = number;
    return error;
}

#define SWITCH(text, at, what)                                                                     \
    {                                                                                              \
        .name = text, .level = at, .key = what, .max = 1                                           \
    }
#define NUMBER(text, at, what, most)                                                               \
    {                                                                                              \
        .name = text, .level = at, .key = what, .max = most                                        \
    }
#define DURATION(text, at, what, unit)                                                             \
    {                                                                                              \
        .name = text, .level = at, .key = what, .max = INT_MAX, .unit_ns = unit                    \
    }
#define READ_ONLY(text, what)                                                                      \
    {                                                                                              \
        .name = text, .level = SOL_SOCKET, .key = what                                             \
    }

static const struct row rows[WEIR_SOCKET_OPTION_COUNT] = {
    [WEIR_SOCKET_REUSE_ADDRESS] = SWITCH("reuse_address", SOL_SOCKET, SO_REUSEADDR),
    [WEIR_SOCKET_REUSE_PORT] = SWITCH("reuse_port", SOL_SOCKET, SO_REUSEPORT),
    [WEIR_SOCKET_RECEIVE_BUFFER] = { .name = "receive_buffer",
                                     .level = SOL_SOCKET,
                                     .key = SO_RCVBUF,
                                     .max = INT_MAX / 2,
                                     .get = get_half },
    [WEIR_SOCKET_SEND_BUFFER] = { .name = "send_buffer",
                                  .level = SOL_SOCKET,
                                  .key = SO_SNDBUF,
                                  .max = INT_MAX / 2,
                                  .get = get_half },
    [WEIR_SOCKET_LINGER] = { .name = "linger",
                             .level = SOL_SOCKET,
                             .key = SO_LINGER,
                             .max = 65535,
                             .set = set_linger,
                             .get = get_linger },
    [WEIR_SOCKET_PRIORITY] = NUMBER("priority", SOL_SOCKET, SO_PRIORITY, INT_MAX),
    [WEIR_SOCKET_BUSY_POLL] = DURATION("busy_poll", SOL_SOCKET, SO_BUSY_POLL, US_NS),
    [WEIR_SOCKET_INCOMING_CPU] = NUMBER("incoming_cpu", SOL_SOCKET, SO_INCOMING_CPU, INT_MAX),
    [WEIR_SOCKET_TIMESTAMPS] = { .name = "timestamps",
                                 .level = SOL_SOCKET,
                                 .key = SO_TIMESTAMPING,
                                 .max = 2,
                                 .set = set_timestamps,
                                 .get = get_timestamps },
    [WEIR_SOCKET_NO_DELAY] = SWITCH("no_delay", IPPROTO_TCP, TCP_NODELAY),
    [WEIR_SOCKET_CORK] = SWITCH("cork", IPPROTO_TCP, TCP_CORK),
    [WEIR_SOCKET_QUICK_ACK] = SWITCH("quick_ack", IPPROTO_TCP, TCP_QUICKACK),
    [WEIR_SOCKET_UNSENT_LIMIT] = NUMBER("unsent_limit", IPPROTO_TCP, TCP_NOTSENT_LOWAT, INT_MAX),
    [WEIR_SOCKET_USER_TIMEOUT] = DURATION("user_timeout", IPPROTO_TCP, TCP_USER_TIMEOUT, MS_NS),
    [WEIR_SOCKET_KEEP_ALIVE] = SWITCH("keep_alive", SOL_SOCKET, SO_KEEPALIVE),
    [WEIR_SOCKET_KEEP_ALIVE_IDLE] =
        DURATION("keep_alive_idle", IPPROTO_TCP, TCP_KEEPIDLE, SECOND_NS),
    [WEIR_SOCKET_KEEP_ALIVE_INTERVAL] =
        DURATION("keep_alive_interval", IPPROTO_TCP, TCP_KEEPINTVL, SECOND_NS),
    [WEIR_SOCKET_KEEP_ALIVE_COUNT] = NUMBER("keep_alive_count", IPPROTO_TCP, TCP_KEEPCNT, 127),
    [WEIR_SOCKET_DEFER_ACCEPT] = DURATION("defer_accept", IPPROTO_TCP, TCP_DEFER_ACCEPT, SECOND_NS),
    [WEIR_SOCKET_FAST_OPEN] = NUMBER("fast_open", IPPROTO_TCP, TCP_FASTOPEN, INT_MAX),
    [WEIR_SOCKET_SYN_COUNT] = NUMBER("syn_count", IPPROTO_TCP, TCP_SYNCNT, 127),
    [WEIR_SOCKET_SEGMENT_LIMIT] = NUMBER("segment_limit", IPPROTO_TCP, TCP_MAXSEG, 65535),
    [WEIR_SOCKET_V6_ONLY] = SWITCH("v6_only", IPPROTO_IPV6, IPV6_V6ONLY),
    [WEIR_SOCKET_FREE_BIND] = { .name = "free_bind",
                                .level = IPPROTO_IP,
                                .key = IP_FREEBIND,
                                .key_v6 = IPV6_FREEBIND,
                                .max = 1 },
    [WEIR_SOCKET_HOPS] = { .name = "hops",
                           .level = IPPROTO_IP,
                           .key = IP_TTL,
                           .key_v6 = IPV6_UNICAST_HOPS,
                           .max = 255 },
    [WEIR_SOCKET_TRAFFIC_CLASS] = { .name = "traffic_class",
                                    .level = IPPROTO_IP,
                                    .key = IP_TOS,
                                    .key_v6 = IPV6_TCLASS,
                                    .max = 255 },
    [WEIR_SOCKET_MULTICAST_HOPS] = { .name = "multicast_hops",
                                     .level = IPPROTO_IP,
                                     .key = IP_MULTICAST_TTL,
                                     .key_v6 = IPV6_MULTICAST_HOPS,
                                     .max = 255 },
    [WEIR_SOCKET_MULTICAST_LOOP] = { .name = "multicast_loop",
                                     .level = IPPROTO_IP,
                                     .key = IP_MULTICAST_LOOP,
                                     .key_v6 = IPV6_MULTICAST_LOOP,
                                     .max = 1 },
    [WEIR_SOCKET_BROADCAST] = SWITCH("broadcast", SOL_SOCKET, SO_BROADCAST),
    [WEIR_SOCKET_SEGMENT] = NUMBER("segment", IPPROTO_UDP, WEIR__UDP_SEGMENT, 65535),
    [WEIR_SOCKET_GRO] = SWITCH("gro", IPPROTO_UDP, WEIR__UDP_GRO),
    [WEIR_SOCKET_PASS_CREDENTIALS] = SWITCH("pass_credentials", SOL_SOCKET, SO_PASSCRED),
    [WEIR_SOCKET_ERROR] = { .name = "error",
                            .level = SOL_SOCKET,
                            .key = SO_ERROR,
                            .get = get_error },
    [WEIR_SOCKET_DOMAIN] = READ_ONLY("domain", SO_DOMAIN),
    [WEIR_SOCKET_TYPE] = READ_ONLY("type", SO_TYPE),
    [WEIR_SOCKET_PROTOCOL] = READ_ONLY("protocol", SO_PROTOCOL),
    [WEIR_SOCKET_LISTENING] = READ_ONLY("listening", SO_ACCEPTCONN),
    [WEIR_SOCKET_UNREAD_BYTES] = { .name = "unread_bytes", .key = SIOCINQ, .get = get_queue },
    [WEIR_SOCKET_UNSENT_BYTES] = { .name = "unsent_bytes", .key = SIOCOUTQ, .get = get_queue },
};

static const struct row *find_row(int option)
{
    return option >= 0 && option < WEIR_SOCKET_OPTION_COUNT ? &rows[option] : NULL;
}

/* By the socket's own version of IP. */
static int find_key(int fd, const struct row *row, int *level, int *key)
{
    int domain;
    int error;

    *level = row->level;
    *key = row->key;
    if (!row->key_v6)
        return 0;
    error = get_number(fd, SOL_SOCKET, SO_DOMAIN, &domain);
    if (error >= 0 && domain == AF_INET6) {
        *level = IPPROTO_IPV6;
        *key = row->key_v6;
    }
    return error;
}

int weir_socket_set(int fd, enum weir_socket_option option, int64_t value)
{
    const struct row *row = find_row((int)option);
    int level, key, number, error;

    if (!row || !row->max)
        return -EINVAL;
    if (row->set)
        return row->set(fd, row, value);
    if (row->unit_ns && value > 0)
        value = (value - 1) / row->unit_ns + 1;
    if (value < 0 || value > row->max)
        return -EINVAL;
    error = find_key(fd, row, &level, &key);
    if (error < 0)
        return error;
    number = (int)value;
    return weir__kernel_setsockopt(fd, level, key, &number, sizeof number);
}

int weir_socket_get(int fd, enum weir_socket_option option, int64_t *value)
{
    const struct row *row = find_row((int)option);
    int level, key, number, error;

    if (!row || !value)
        return -EINVAL;
    *value = 0;
    if (row->get)
        return row->get(fd, row, value);
    error = find_key(fd, row, &level, &key);
    if (error >= 0)
        error = get_number(fd, level, key, &number);
    if (error < 0)
        return error;
    *value = row->unit_ns ? number * row->unit_ns : number;
    return 0;
}

const char *weir_socket_option_name(int option)
{
    const struct row *row = find_row(option);

    return row ? row->name : NULL;
}
