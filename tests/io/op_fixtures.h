/* SPDX-License-Identifier: MIT */
/* One call per row of the table of operations: one that succeeds, fails, or waits for a peer. */
#ifndef WEIR_TESTS_IO_OP_FIXTURES_H
#define WEIR_TESTS_IO_OP_FIXTURES_H

#include "core/park.h"
#include "fixture.h"

#include "io/socket.h"

enum how { SUCCEED, FAIL, WAIT };

/* What the calls work on. */
struct world {
    int file_read;  /* O_DIRECT where the file system has it, read only; BLOCK_BYTES long */
    int file_write; /* the same file, write only */
    int file_plain; /* another file, read and write */
    int file_gone;  /* a number without a descriptor */
    int pipe_end;
    int pipe_quiet[2];   /* nothing comes */
    int pipe_talking[2]; /* has bytes to read, and room to write */
    int pipe_full[2];    /* has no room to write */
    int pipe_broken;     /* nobody reads it */
    int quiet[2];        /* a pair on which nothing comes */
    int talking[2];      /* [0] has bytes to read, and room to write */
    int full[2];         /* [0] has no room to write */
    int broken;          /* its peer is gone */
    int listener;        /* accepts all */
    int listener_full;
    int clients[2]; /* of the full one */
    int not_listening;
    struct sockaddr_in address, address_full, address_refusing;
    int folder;      /* the current one */
    int memory;      /* a file in memory: never waits */
    char *block;     /* aligned */
    unsigned serial; /* for fresh names */
};

struct fixture {
    int64_t (*call)(struct world *world, enum how how, int64_t deadline_ns);
    int fail_error;
    enum weir__route route; /* on which success is seen */
    bool on_disk;           /* needs a file system with O_DIRECT */
    bool no_deadline;       /* the call has none */
    bool deaf;              /* does not hear that its peer went */
    unsigned features;      /* enum weir_feature, which the row needs */
};

#include "file_fixtures.h"

static const struct weir__reason test_reason = { "test", WEIR_PHASE_TASK, NULL };

static int64_t call_openat(struct world *world, enum how how, int64_t deadline_ns)
{
    const char *path = how == FAIL ? "missing" : "made";
    int fd =
        weir_openat(AT_FDCWD, path, how == FAIL ? O_RDONLY : O_CREAT | O_RDWR, 0600, deadline_ns);

    (void)world;
    if (fd >= 0)
        plain_close(fd);
    return fd;
}

static int64_t call_pread(struct world *world, enum how how, int64_t deadline_ns)
{
    int fd = how == FAIL ? world->file_write : world->file_read;

    return weir_pread(fd, world->block, BLOCK_BYTES, 0, deadline_ns);
}

static int64_t call_pwrite(struct world *world, enum how how, int64_t deadline_ns)
{
    int fd = how == FAIL ? world->file_read : world->file_write;

    return weir_pwrite(fd, world->block, BLOCK_BYTES, 0, deadline_ns);
}

static int64_t call_preadv(struct world *world, enum how how, int64_t deadline_ns)
{
    struct iovec vector = { world->block, BLOCK_BYTES };

    return weir_preadv(how == FAIL ? world->file_write : world->file_read, &vector, 1, 0,
                       deadline_ns);
}

static int64_t call_pwritev(struct world *world, enum how how, int64_t deadline_ns)
{
    struct iovec vector = { world->block, BLOCK_BYTES };

    return weir_pwritev(how == FAIL ? world->file_read : world->file_write, &vector, 1, 0,
                        deadline_ns);
}

static int64_t call_fsync(struct world *world, enum how how, int64_t deadline_ns)
{
    return weir_fsync(how == FAIL ? world->pipe_end : world->file_plain, deadline_ns);
}

static int64_t call_fdatasync(struct world *world, enum how how, int64_t deadline_ns)
{
    return weir_fdatasync(how == FAIL ? world->pipe_end : world->file_plain, deadline_ns);
}

static int64_t call_fallocate(struct world *world, enum how how, int64_t deadline_ns)
{
    return weir_fallocate(how == FAIL ? world->file_read : world->file_plain, 0, 0, BLOCK_BYTES,
                          deadline_ns);
}

static int64_t call_ftruncate(struct world *world, enum how how, int64_t deadline_ns)
{
    return weir_ftruncate(how == FAIL ? world->file_read : world->file_plain, BLOCK_BYTES,
                          deadline_ns);
}

static int64_t call_socket(struct world *world, enum how how, int64_t deadline_ns)
{
    int fd = weir_socket(how == FAIL ? AF_MAX : AF_INET, SOCK_STREAM, 0);

    (void)world;
    (void)deadline_ns;
    if (fd >= 0)
        plain_close(fd);
    return fd;
}

static int64_t call_bind(struct world *world, enum how how, int64_t deadline_ns)
{
    struct sockaddr_in address = world->address;
    int fd = known(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    int64_t result;

    if (how != FAIL)
        address.sin_port = 0;
    result = weir_bind(fd, (struct sockaddr *)&address, sizeof address, deadline_ns);
    plain_close(fd);
    return result;
}

static int64_t call_listen(struct world *world, enum how how, int64_t deadline_ns)
{
    (void)deadline_ns;
    return weir_listen(how == FAIL ? world->pipe_end : world->not_listening, 1);
}

static int64_t call_accept(struct world *world, enum how how, int64_t deadline_ns)
{
    int client = how == SUCCEED ? plain_connect(&world->address) : -1;
    int fd = weir_accept(how == FAIL ? world->broken : world->listener, NULL, NULL, 0, deadline_ns);

    if (client >= 0)
        plain_close(client);
    if (fd >= 0)
        plain_close(fd);
    else if (client >= 0) /* not taken: the next call would find it */
        plain_close(known(accept(world->listener, NULL, NULL)));
    return fd;
}

static int64_t call_accept_now(struct world *world, enum how how, int64_t deadline_ns)
{
    struct sockaddr_in address;
    int listener = loopback_socket(16, &address), client = plain_connect(&address);
    int fd = weir__socket_accept_now(how == FAIL ? world->broken : listener, NULL, NULL);

    (void)deadline_ns;
    plain_close(client);
    plain_close(listener);
    if (fd >= 0)
        plain_close(fd);
    return fd;
}

static int64_t call_connect(struct world *world, enum how how, int64_t deadline_ns)
{
    const struct sockaddr_in *addresses[] = {
        [SUCCEED] = &world->address,
        [FAIL] = &world->address_refusing,
        [WAIT] = &world->address_full,
    };
    int fd = known(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    int64_t result = weir_connect(fd, (const struct sockaddr *)addresses[how],
                                  sizeof *addresses[how], deadline_ns);

    plain_close(fd);
    if (result >= 0)
        plain_close(known(accept(world->listener, NULL, NULL)));
    return result;
}

static int receiver(const struct world *world, enum how how)
{
    return how == FAIL ? world->file_plain : how == WAIT ? world->quiet[0] : world->talking[0];
}

static int sender(const struct world *world, enum how how)
{
    return how == FAIL ? world->broken : how == WAIT ? world->full[0] : world->talking[0];
}

static int64_t call_recv(struct world *world, enum how how, int64_t deadline_ns)
{
    return weir_recv(receiver(world, how), world->block, 1, 0, deadline_ns);
}

static int64_t call_send(struct world *world, enum how how, int64_t deadline_ns)
{
    return weir_send(sender(world, how), "x", 1, 0, deadline_ns);
}

static int64_t call_recvmsg(struct world *world, enum how how, int64_t deadline_ns)
{
    struct iovec vector = { world->block, 1 };
    struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };

    return weir_recvmsg(receiver(world, how), &message, 0, deadline_ns);
}

static int64_t call_sendmsg(struct world *world, enum how how, int64_t deadline_ns)
{
    struct iovec vector = { "x", 1 };
    struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };

    return weir_sendmsg(sender(world, how), &message, 0, deadline_ns);
}

static int64_t call_socketpair(struct world *world, enum how how, int64_t deadline_ns)
{
    int pair[2];
    int result = weir_socketpair(how == FAIL ? AF_INET : AF_UNIX, SOCK_STREAM, 0, pair);

    (void)world;
    (void)deadline_ns;
    if (result >= 0) {
        plain_close(pair[0]);
        plain_close(pair[1]);
    }
    return result;
}

static int64_t call_many(struct world *world, enum how how, int64_t deadline_ns,
                         int (*many)(int fd, struct mmsghdr *messages, unsigned count, int flags,
                                     int64_t deadline_ns))
{
    char byte = 'x';
    struct iovec vector = { &byte, 1 };
    struct mmsghdr message = { .msg_hdr = { .msg_iov = &vector, .msg_iovlen = 1 } };
    int result =
        many(how == FAIL ? world->file_plain : world->talking[0], &message, 1, 0, deadline_ns);

    return result < 0 ? result : 0;
}

static int64_t call_recvmmsg(struct world *world, enum how how, int64_t deadline_ns)
{
    return call_many(world, how, deadline_ns, weir_recvmmsg);
}

static int64_t call_sendmmsg(struct world *world, enum how how, int64_t deadline_ns)
{
    return call_many(world, how, deadline_ns, weir_sendmmsg);
}

static int64_t call_multicast(struct world *world, enum how how, int64_t deadline_ns)
{
    int fd = known(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    int result =
        weir_multicast_join(fd, "239.255.7.7", how == FAIL ? "missing" : "lo", deadline_ns);

    (void)world;
    plain_close(fd);
    return result;
}

static int64_t call_pipe2(struct world *world, enum how how, int64_t deadline_ns)
{
    int pair[2];
    int result = weir_pipe2(pair, how == FAIL ? O_APPEND : 0);

    (void)world;
    (void)deadline_ns;
    if (result >= 0) {
        plain_close(pair[0]);
        plain_close(pair[1]);
    }
    return result;
}

static int64_t call_shutdown(struct world *world, enum how how, int64_t deadline_ns)
{
    int pair[2];
    int result;

    (void)deadline_ns;
    make_pair(pair);
    result = weir_shutdown(how == FAIL ? world->pipe_end : pair[0], SHUT_WR);
    plain_close(pair[0]);
    plain_close(pair[1]);
    return result;
}

static int pipe_reader(const struct world *world, enum how how)
{
    return how == FAIL   ? world->pipe_broken
           : how == WAIT ? world->pipe_quiet[0]
                         : world->pipe_talking[0];
}

static int pipe_writer(const struct world *world, enum how how)
{
    return how == FAIL   ? world->pipe_broken
           : how == WAIT ? world->pipe_full[1]
                         : world->pipe_talking[1];
}

static int64_t call_read(struct world *world, enum how how, int64_t deadline_ns)
{
    return weir_read(pipe_reader(world, how), world->block, 1, deadline_ns);
}

static int64_t call_write(struct world *world, enum how how, int64_t deadline_ns)
{
    return weir_write(pipe_writer(world, how), "x", 1, deadline_ns);
}

static int64_t call_readv(struct world *world, enum how how, int64_t deadline_ns)
{
    struct iovec vector = { world->block, 1 };

    return weir_readv(pipe_reader(world, how), &vector, 1, deadline_ns);
}

static int64_t call_writev(struct world *world, enum how how, int64_t deadline_ns)
{
    struct iovec vector = { "x", 1 };

    return weir_writev(pipe_writer(world, how), &vector, 1, deadline_ns);
}

static int64_t call_poll(struct world *world, enum how how, int64_t deadline_ns)
{
    int fd = how == FAIL ? world->file_gone : how == WAIT ? world->quiet[0] : world->talking[0];

    return weir_poll(fd, POLLIN, deadline_ns);
}

/* A standing op, made into a call: until its first event, then until it has ended. */
struct standing {
    struct weir__op op;
    struct weir__wait *wait;
    int result; /* of the first event */
    bool is_over;
};

static void standing_event(struct weir__op *op, int result, uint32_t flags)
{
    struct standing *standing = WEIR_CONTAINER_OF(op, struct standing, op);
    struct weir__receive_pool *buffers = &weir__loop_current->io->buffers;
    unsigned id = flags >> IORING_CQE_BUFFER_SHIFT;

    if (result > 0) {
        weir__receive_pool_take(buffers, id, (uint32_t)result);
        weir__receive_pool_release(buffers, id);
    }
    if (!standing->result)
        standing->result = result;
    weir__wait_fire(standing->wait, 0);
}

static void standing_ended(struct weir__op *op)
{
    struct standing *standing = WEIR_CONTAINER_OF(op, struct standing, op);

    standing->is_over = true;
    weir__wait_fire(standing->wait, 0);
}

static int standing_park(struct standing *standing, int64_t deadline_ns, unsigned flags)
{
    weir__wait_begin(standing->wait, &test_reason, NULL);
    return weir__wait_park(standing->wait, deadline_ns, flags);
}

static int64_t call_recv_multishot(struct world *world, enum how how, int64_t deadline_ns)
{
    struct weir__loop *loop = weir__loop_current;
    struct standing standing = {
        .op = { .fd = receiver(world, how), .event = standing_event, .ended = standing_ended },
        .wait = weir__wait_self(),
    };
    int error = weir__receive_pool_open(&loop->io->buffers, &loop->ring, &loop->runtime->options,
                                        loop->runtime->memory);
    int reason, pair[2];

    CHECK_EQUAL(error, 0);
    make_pair(pair);
    if (how == SUCCEED) { /* it takes all there is, which others need */
        standing.op.fd = pair[0];
        CHECK_EQUAL(send(pair[1], "x", 1, 0), 1);
    }
    error = weir__op_start(WEIR__OP_ID_RECV_MULTISHOT, &standing.op);
    if (error < 0) {
        standing.is_over = true;
        standing.op.result = error;
    }
    reason = error < 0 ? error : weir__wait_refuse(deadline_ns);
    if (reason == 0)
        reason = standing_park(&standing, deadline_ns, WEIR__PARK_CANCELLABLE);
    if (!standing.is_over)
        weir__op_interrupt(&standing.op, reason);
    while (!standing.is_over)
        standing_park(&standing, WEIR_FOREVER, WEIR__PARK_RELEASE);
    plain_close(pair[0]);
    plain_close(pair[1]);
    return standing.result > 0 ? standing.result : standing.op.result;
}

static int64_t call_send_zc(struct world *world, enum how how, int64_t deadline_ns)
{
    struct weir__op op = { .address = world->block, .length = BLOCK_BYTES };
    int peer = -1;
    int64_t result;

    op.fd = how == FAIL ? world->broken : plain_connect(&world->address);
    if (how != FAIL)
        peer = known(accept(world->listener, NULL, NULL));
    result = weir__op_run(WEIR__OP_ID_SEND_ZC, &op, deadline_ns);
    if (how != FAIL) {
        plain_close(peer);
        plain_close(op.fd);
    }
    return result;
}

static int64_t call_close(struct world *world, enum how how, int64_t deadline_ns)
{
    (void)deadline_ns;
    return weir_close(how == FAIL ? world->file_gone : plain_open("closed", O_CREAT | O_RDWR));
}

#define FIXTURE(function, error, where, ...)                                                       \
    {                                                                                              \
        .call = function, .fail_error = error, .route = WEIR__ROUTE_##where, __VA_ARGS__           \
    }

static const struct fixture fixtures[WEIR__OP_ID_COUNT] = {
    [WEIR__OP_ID_OPENAT] = FIXTURE(call_openat, -ENOENT, POOL),
    [WEIR__OP_ID_PREAD] = FIXTURE(call_pread, -EBADF, RING, .on_disk = true),
    [WEIR__OP_ID_PWRITE] = FIXTURE(call_pwrite, -EBADF, RING, .on_disk = true),
    [WEIR__OP_ID_PREADV] = FIXTURE(call_preadv, -EBADF, RING, .on_disk = true),
    [WEIR__OP_ID_PWRITEV] = FIXTURE(call_pwritev, -EBADF, RING, .on_disk = true),
    [WEIR__OP_ID_FSYNC] = FIXTURE(call_fsync, -EINVAL, POOL),
    [WEIR__OP_ID_FDATASYNC] = FIXTURE(call_fdatasync, -EINVAL, POOL),
    [WEIR__OP_ID_FALLOCATE] = FIXTURE(call_fallocate, -EBADF, POOL),
    [WEIR__OP_ID_FTRUNCATE] = FIXTURE(call_ftruncate, -EINVAL, POOL),
    FILE_FIXTURES,
    [WEIR__OP_ID_SOCKET] = FIXTURE(call_socket, -EAFNOSUPPORT, INLINE, .no_deadline = true),
    [WEIR__OP_ID_BIND] = FIXTURE(call_bind, -EADDRINUSE, INLINE),
    [WEIR__OP_ID_LISTEN] = FIXTURE(call_listen, -ENOTSOCK, INLINE, .no_deadline = true),
    [WEIR__OP_ID_ACCEPT] = FIXTURE(call_accept, -EINVAL, RING),
    [WEIR__OP_ID_ACCEPT_NOW] = FIXTURE(call_accept_now, -EINVAL, INLINE, .no_deadline = true),
    [WEIR__OP_ID_CONNECT] = FIXTURE(call_connect, -ECONNREFUSED, RING, .deaf = true),
    [WEIR__OP_ID_RECV] = FIXTURE(call_recv, -ENOTSOCK, RING),
    [WEIR__OP_ID_SEND] = FIXTURE(call_send, -EPIPE, RING),
    [WEIR__OP_ID_RECVMSG] = FIXTURE(call_recvmsg, -ENOTSOCK, RING),
    [WEIR__OP_ID_SENDMSG] = FIXTURE(call_sendmsg, -EPIPE, RING),
    [WEIR__OP_ID_SOCKETPAIR] = FIXTURE(call_socketpair, -EOPNOTSUPP, INLINE, .no_deadline = true),
    [WEIR__OP_ID_RECVMMSG] = FIXTURE(call_recvmmsg, -ENOTSOCK, INLINE),
    [WEIR__OP_ID_SENDMMSG] = FIXTURE(call_sendmmsg, -ENOTSOCK, INLINE),
    [WEIR__OP_ID_MULTICAST] = FIXTURE(call_multicast, -ENODEV, POOL),
    [WEIR__OP_ID_SHUTDOWN] = FIXTURE(call_shutdown, -ENOTSOCK, INLINE, .no_deadline = true),
    [WEIR__OP_ID_READ] = FIXTURE(call_read, -EBADF, RING),
    [WEIR__OP_ID_WRITE] = FIXTURE(call_write, -EPIPE, RING),
    [WEIR__OP_ID_READV] = FIXTURE(call_readv, -EBADF, RING),
    [WEIR__OP_ID_WRITEV] = FIXTURE(call_writev, -EPIPE, RING),
    [WEIR__OP_ID_PIPE2] = FIXTURE(call_pipe2, -EINVAL, INLINE, .no_deadline = true),
    [WEIR__OP_ID_RECV_MULTISHOT] =
        FIXTURE(call_recv_multishot, -ENOTSOCK, RING,
                .features = WEIR_FEATURE_BUFFER_RING | WEIR_FEATURE_MULTISHOT_RECV),
    [WEIR__OP_ID_SEND_ZC] = FIXTURE(call_send_zc, -EOPNOTSUPP, RING, .deaf = true),
    [WEIR__OP_ID_POLL] = FIXTURE(call_poll, -EBADF, RING),
    [WEIR__OP_ID_CLOSE] = FIXTURE(call_close, -EBADF, POOL, .no_deadline = true),
};

static int open_direct(const char *path, int flags)
{
    int fd = open(path, flags | O_DIRECT | O_CLOEXEC, 0600);

    return fd >= 0 ? known(fd) : plain_open(path, flags);
}

static void world_init(struct world *world)
{
    int pair[2];

    world->memory = memory_file();
    CHECK_EQUAL(weir_fdatasync(world->memory, WEIR_FOREVER), 0); /* its kind is learned */
    world->folder = plain_open(".", O_RDONLY | O_DIRECTORY);
    CHECK_EQUAL(symlink("plain", "symlink"), 0);
    world->block = aligned_alloc(BLOCK_BYTES, BLOCK_BYTES);
    memset(world->block, 'b', BLOCK_BYTES);
    world->file_write = open_direct("direct", O_CREAT | O_WRONLY);
    world->file_read = open_direct("direct", O_RDONLY);
    CHECK_EQUAL(weir_pwrite(world->file_write, world->block, BLOCK_BYTES, 0, WEIR_FOREVER),
                BLOCK_BYTES);
    world->file_plain = plain_open("plain", O_CREAT | O_RDWR);
    fsetxattr(world->file_plain, "user.weir", "v", 1, 0); /* where there are such */
    world->file_gone = plain_open("plain", O_RDONLY);
    CHECK_EQUAL(pipe2(pair, O_CLOEXEC), 0);
    world->pipe_end = known(pair[0]);
    plain_close(known(pair[1]));
    make_pipe(world->pipe_quiet);
    make_pipe(world->pipe_talking);
    CHECK_EQUAL(write(world->pipe_talking[1], world->block, BLOCK_BYTES), BLOCK_BYTES);
    make_pipe(world->pipe_full);
    fill_pipe(world->pipe_full[1]);
    make_pipe(pair);
    world->pipe_broken = pair[1];
    plain_close(pair[0]);
    make_pair(world->quiet);
    make_pair(world->talking);
    fill_socket(world->talking[1]);
    make_pair(world->full);
    fill_socket(world->full[0]);
    make_pair(pair);
    world->broken = pair[0];
    plain_close(pair[1]);
    world->listener = loopback_socket(16, &world->address);
    world->not_listening = loopback_socket(-1, &world->address_refusing);
    world->listener_full = loopback_socket(0, &world->address_full);
    world->clients[0] = plain_connect(&world->address_full);
    world->clients[1] = loopback_socket(-1, &world->address_refusing);
    plain_close(world->file_gone);
}

static void world_term(struct world *world)
{
    const int fds[] = { world->file_read,     world->file_write,      world->file_plain,
                        world->pipe_end,      world->quiet[0],        world->quiet[1],
                        world->talking[0],    world->talking[1],      world->full[0],
                        world->full[1],       world->broken,          world->listener,
                        world->listener_full, world->clients[0],      world->clients[1],
                        world->not_listening, world->pipe_broken,     world->pipe_quiet[0],
                        world->pipe_quiet[1], world->pipe_talking[0], world->pipe_talking[1],
                        world->pipe_full[0],  world->pipe_full[1],    world->memory,
                        world->folder };

    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        plain_close(fds[i]);
    free(world->block);
}

#endif
