/* SPDX-License-Identifier: MIT */
/*
 * Every class of calls: reported with its name, kind of descriptor and remedy, or silent. Then the
 * same again by the interposer, which is loaded in front: the program starts itself once more.
 */
#include "blocking.h"
#include "blocking_fds.h"

#include <linux/futex.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static char buffer[64];

/* --- One function a row ----------------------------------------------------------------------- */

static void do_read(int fd)
{
    CHECK(read(fd, buffer, 1) >= 0);
}

static void do_read_or_fail(int fd)
{
    CHECK(read(fd, buffer, 1) < 0);
}

static void do_write(int fd)
{
    CHECK(write(fd, "a", 1) == 1);
}

static void do_event(int fd)
{
    uint64_t count;

    CHECK(read(fd, &count, sizeof count) == sizeof count);
}

static void do_write_event(int fd)
{
    CHECK(eventfd_write(fd, 1) == 0);
}

static void do_pread(int fd)
{
    CHECK(pread(fd, buffer, 1, 0) >= 0);
}

static void do_recv(int fd)
{
    CHECK(recv(fd, buffer, 1, 0) == 1);
}

static void do_recv_now(int fd)
{
    CHECK(recv(fd, buffer, 1, MSG_DONTWAIT) >= -1);
}

static void do_recvmsg(int fd)
{
    struct iovec vector = { buffer, 1 };
    struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };

    CHECK(recvmsg(fd, &message, 0) == 1);
}

static void do_send(int fd)
{
    CHECK(send(fd, "a", 1, 0) == 1);
}

static void do_send_now(int fd)
{
    CHECK(send(fd, "a", 1, MSG_DONTWAIT) == 1);
}

static void do_accept(int fd)
{
    int accepted = accept(fd, NULL, NULL);

    CHECK(accepted >= 0);
    close(accepted);
}

static void do_accept4(int fd)
{
    CHECK(accept4(fd, NULL, NULL, SOCK_CLOEXEC) < 0);
}

static void do_connect(int fd)
{
    CHECK(connect(fd, (struct sockaddr *)&fds.address, sizeof fds.address) == 0);
}

/* Whether anybody answers there does not matter. */
static void do_connect_server(int fd)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(53) };
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)fd;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(connect(server, (struct sockaddr *)&address, sizeof address) <= 0);
    close(server);
}

static void do_poll(int fd)
{
    struct pollfd look = { .fd = fd, .events = POLLIN };

    CHECK(poll(&look, 1, 1) >= 0);
}

static void do_poll_now(int fd)
{
    struct pollfd look = { .fd = fd, .events = POLLIN };

    CHECK(poll(&look, 1, 0) >= 0);
}

static void do_ppoll(int fd)
{
    struct pollfd look = { .fd = fd, .events = POLLIN };

    CHECK(ppoll(&look, 1, &(struct timespec){ .tv_nsec = 1000 }, NULL) >= 0);
}

static void do_select(int fd)
{
    struct timeval timeout = { .tv_usec = 10 };
    fd_set set;

    FD_ZERO(&set);
    FD_SET((unsigned)fd, &set);
    CHECK(select(fd + 1, &set, NULL, NULL, &timeout) >= 0);
}

static void do_epoll_wait(int fd)
{
    struct epoll_event event;

    CHECK(epoll_wait(fd, &event, 1, 1) == 0);
}

static void do_nanosleep(int fd)
{
    (void)fd;
    CHECK(nanosleep(&(struct timespec){ .tv_nsec = 1000 }, NULL) == 0);
}

static void do_clock_nanosleep(int fd)
{
    (void)fd;
    CHECK(clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){ .tv_nsec = 1000 }, NULL) == 0);
}

static void do_usleep(int fd)
{
    (void)fd;
    CHECK(usleep(10) == 0);
}

static void do_sigtimedwait(int fd)
{
    sigset_t set;

    (void)fd;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    CHECK(sigtimedwait(&set, NULL, &(struct timespec){ .tv_nsec = 1000 }) < 0);
}

static void do_sigtimedwait_now(int fd)
{
    sigset_t set;

    (void)fd;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    CHECK(sigtimedwait(&set, NULL, &(struct timespec){ 0 }) < 0);
}

static void do_waitpid(int fd)
{
    (void)fd;
    CHECK(waitpid(-1, NULL, 0) < 0); /* there is no child */
}

static void do_waitpid_now(int fd)
{
    (void)fd;
    CHECK(waitpid(-1, NULL, WNOHANG) < 0);
}

static void do_system(int fd)
{
    (void)fd;
    CHECK(system("exit 3") == 3 << 8);
}

static void do_popen(int fd)
{
    FILE *output = popen("echo out", "re");

    (void)fd;
    if (!CHECK(output != NULL))
        return;
    CHECK(fgets(buffer, sizeof buffer, output) != NULL);
    CHECK(strcmp(buffer, "out\n") == 0);
    CHECK(pclose(output) == 0);
}

static void do_spawn(int fd)
{
    char *const arguments[] = { "true", NULL };
    int status = -1;
    pid_t child;

    (void)fd;
    CHECK(posix_spawnp(&child, "true", NULL, NULL, arguments, environ) == 0);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_EQUAL(status, 0);
}

static void do_open(int fd)
{
    int opened = open("/etc/passwd", O_RDONLY | O_CLOEXEC);

    (void)fd;
    CHECK(opened >= 0);
    close(opened);
}

static void do_stat(int fd)
{
    struct stat file;

    (void)fd;
    CHECK(stat("/etc/passwd", &file) == 0);
}

static void do_fstat(int fd)
{
    struct stat file;

    CHECK(fstat(fd, &file) == 0);
}

static void do_access(int fd)
{
    (void)fd;
    CHECK(access("/etc/passwd", R_OK) == 0);
}

static void do_unlink(int fd)
{
    (void)fd;
    CHECK(unlink("/etc/there is no such file") < 0);
}

static void do_fsync(int fd)
{
    CHECK(fsync(fd) >= -1);
}

static void do_flock(int fd)
{
    CHECK(flock(fd, LOCK_SH) == 0);
}

static void do_flock_now(int fd)
{
    CHECK(flock(fd, LOCK_SH | LOCK_NB) == 0);
    CHECK(flock(fd, LOCK_UN) == 0);
}

static void do_lock(int fd)
{
    struct flock lock = { .l_type = F_RDLCK };

    CHECK(fcntl(fd, F_SETLKW, &lock) == 0);
}

static void do_get_flags(int fd)
{
    CHECK(fcntl(fd, F_GETFL) >= 0);
}

static void do_sendfile(int fd)
{
    CHECK(sendfile(fds.sink[1], fd, &(off_t){ 0 }, 1) == 1);
}

static void do_read_folder(int fd)
{
    (void)fd;
    CHECK(syscall(SYS_getdents64, fds.folder, buffer, sizeof buffer) >= -1);
}

static void do_raw_read(int fd)
{
    CHECK(syscall(SYS_read, fd, buffer, 1) == 1);
}

static void do_futex_wait(int fd)
{
    unsigned word = 1;

    (void)fd;
    CHECK(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) < 0);
}

/* The lock of who hands out memory, as far as the backtrace tells. */
static void do_allocator_wait(int fd) __asm__("memalign");

static __attribute__((noinline)) void do_allocator_wait(int fd)
{
    unsigned word = 1;

    (void)fd;
    CHECK(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) < 0);
}

static void do_futex_wake(int fd)
{
    unsigned word = 1;

    (void)fd;
    CHECK(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 0);
}

static void do_getaddrinfo(int fd)
{
    struct addrinfo *list;

    (void)fd;
    if (CHECK(getaddrinfo("localhost", "80", NULL, &list) == 0))
        freeaddrinfo(list);
}

static void do_getaddrinfo_number(int fd)
{
    struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
    struct addrinfo *list;

    (void)fd;
    if (CHECK(getaddrinfo("127.0.0.1", "80", &hints, &list) == 0))
        freeaddrinfo(list);
}

static void do_stdio(int fd)
{
    FILE *file = fopen("/etc/passwd", "re");

    (void)fd;
    if (!CHECK(file != NULL))
        return;
    CHECK(fgets(buffer, sizeof buffer, file) != NULL);
    fclose(file);
}

static void do_getpwnam(int fd)
{
    (void)fd;
    CHECK(getpwnam("root") != NULL);
}

static int compare_slowly(const void *left, const void *right)
{
    usleep(1);
    return *(const int *)left - *(const int *)right;
}

static void do_qsort(int fd)
{
    int numbers[] = { 2, 1 };

    (void)fd;
    qsort(numbers, 2, sizeof numbers[0], compare_slowly);
    CHECK_EQUAL(numbers[0], 1);
}

static void *end_later(void *arg)
{
    usleep(1000);
    return arg;
}

static void do_join(int fd)
{
    pthread_t thread;

    (void)fd;
    CHECK(pthread_create(&thread, NULL, end_later, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

static void do_memory(int fd)
{
    void *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)fd;
    CHECK(memory != MAP_FAILED);
    CHECK(munmap(memory, 1 << 20) == 0);
    free(malloc(1 << 22));
    CHECK(getppid() > 0);
}

/* --- The rows --------------------------------------------------------------------------------- */

#define SILENT NULL, NULL, NULL, false

/* clang-format off */
static const struct row {
    const char *name;
    void (*call)(int fd);
    const int *fd;
    const char *reported; /* NULL: silent; the interposer's word, where it is another, behind it */
    const char *kind;     /* "" for none */
    const char *remedy;
    bool raw; /* no function of the C library that stands for it */
} rows[] = {
    { "read a pipe", do_read, &fds.pipe[0], "read", "pipe", "weir_read", false },
    { "read a non-blocking pipe", do_read_or_fail, &fds.quiet_pipe[0], SILENT },
    { "read a file", do_read, &fds.file, "read", "regular file", "weir_read", false },
    { "pread a file", do_pread, &fds.file, "pread", "regular file", "weir_pread", false },
    { "read a file in memory", do_read, &fds.memory, SILENT },
    { "read /dev/null", do_read, &fds.null, SILENT },
    { "read an eventfd", do_event, &fds.event, "read", "eventfd", "weir_read", false },
    { "read a timerfd", do_event, &fds.timer, "read", "timerfd", "weir_read", false },
    { "read a terminal", do_read, &fds.terminal, "read", "terminal", "weir_read", false },
    { "read by syscall(2)", do_raw_read, &fds.pipe[0], "read", "pipe", "weir_read", true },
    { "write a pipe", do_write, &fds.pipe[1], "write", "pipe", "weir_write", false },
    { "write a non-blocking pipe", do_write, &fds.quiet_pipe[1], SILENT },
    { "write an eventfd", do_write_event, &fds.event, SILENT },
    { "recv", do_recv, &fds.unix_pair[0], "recv", "unix socket", "weir_recv", false },
    { "recv, now", do_recv_now, &fds.unix_pair[0], SILENT },
    { "recvmsg", do_recvmsg, &fds.unix_pair[0], "recvmsg", "unix socket", "weir_recvmsg", false },
    { "recv a datagram", do_recv, &fds.datagrams[0], "recv",
      "unix datagram socket", "weir_recv", false },
    { "send", do_send, &fds.stream, "send", "TCP socket", "weir_send", false },
    { "send, now", do_send_now, &fds.stream, SILENT },
    { "accept", do_accept, &fds.listener, "accept",
      "TCP socket", "weir_accept, or a weir_listener", false },
    { "accept, non-blocking", do_accept4, &fds.quiet_listener, SILENT },
    { "connect", do_connect, &fds.client, "connect",
      "TCP socket", "weir_connect, or weir_dial", false },
    { "connect to a name server", do_connect_server, &fds.null, "connect",
      "TCP socket", "weir_resolve", false },
    { "connect of datagrams", do_connect, &fds.udp, SILENT },
    { "poll", do_poll, &fds.quiet_pipe[0], "poll ppoll",
      "", "weir_select, with a clause for each descriptor", false },
    { "poll, now", do_poll_now, &fds.quiet_pipe[0], SILENT },
    { "ppoll", do_ppoll, &fds.quiet_pipe[0], "ppoll",
      "", "weir_select, with a clause for each descriptor", false },
    { "select", do_select, &fds.quiet_pipe[0], "pselect",
      "", "weir_select, with a clause for each descriptor", false },
    { "epoll_wait", do_epoll_wait, &fds.epoll, "epoll_wait epoll_pwait",
      "", "weir_select, or weir_embed", false },
    { "nanosleep", do_nanosleep, &fds.null, "clock_nanosleep", "", "weir_sleep", false },
    { "clock_nanosleep", do_clock_nanosleep, &fds.null, "clock_nanosleep",
      "", "weir_sleep", false },
    { "usleep", do_usleep, &fds.null, "clock_nanosleep", "", "weir_sleep", false },
    { "sigtimedwait", do_sigtimedwait, &fds.null, "sigtimedwait",
      "", "weir_clause_signal in a weir_select", false },
    { "sigtimedwait, now", do_sigtimedwait_now, &fds.null, SILENT },
    { "futex, wait", do_futex_wait, &fds.null, "futex",
      "", "a channel, or weir_pool_run around it", true },
    { "futex, wake", do_futex_wake, &fds.null, SILENT },
    { "futex, wait in memalign", do_allocator_wait, &fds.null, SILENT },
    { "pthread_join", do_join, &fds.null, "futex", "", NULL, false },
    { "waitpid", do_waitpid, &fds.null, "wait4", "", "weir_child_wait", false },
    { "waitpid, now", do_waitpid_now, &fds.null, SILENT },
    { "system", do_system, &fds.null, "wait4", "", NULL, false },
    { "popen", do_popen, &fds.null, "wait4", "", "weir_child_wait", false },
    { "posix_spawn", do_spawn, &fds.null, "wait4", "", "weir_child_wait", false },
    { "open", do_open, &fds.null, "openat", "", "weir_openat", false },
    { "stat", do_stat, &fds.null, "fstatat", "", "weir_statx", false },
    { "fstat", do_fstat, &fds.file, SILENT },
    { "access", do_access, &fds.null, "access faccessat", "", "weir_faccessat", false },
    { "unlink", do_unlink, &fds.null, "unlink unlinkat", "", "weir_unlinkat", false },
    { "fsync", do_fsync, &fds.file, "fsync", "regular file", "weir_fsync", false },
    { "fsync of memory", do_fsync, &fds.memory, SILENT },
    { "flock", do_flock, &fds.file, "flock", "", "weir_flock", false },
    { "flock, now", do_flock_now, &fds.file, SILENT },
    { "a lock, waited for", do_lock, &fds.file, "fcntl", "regular file", "weir_ofd_lock", false },
    { "flags", do_get_flags, &fds.file, SILENT },
    { "sendfile", do_sendfile, &fds.memory, "sendfile",
      "", "weir_stream_send_file, or weir_copy", false },
    { "getdents", do_read_folder, &fds.folder, "getdents64",
      "directory", "weir_directory_next", true },
    { "getaddrinfo", do_getaddrinfo, &fds.null, "openat getaddrinfo", "", "weir_resolve", false },
    { "getaddrinfo of a number", do_getaddrinfo_number, &fds.null, SILENT },
    { "stdio", do_stdio, &fds.null, "read", "regular file", NULL, false },
    { "fopen", do_stdio, &fds.null, "openat", "",
      "weir_read_file, weir_write_file, or weir_pool_run around the use of the FILE", true },
    { "getpwnam", do_getpwnam, &fds.null, "openat", "", "weir_pool_run around it", true },
    { "in a callback of qsort", do_qsort, &fds.null, "clock_nanosleep", "", "weir_sleep", false },
    { "memory", do_memory, &fds.null, SILENT },
};
/* clang-format on */

static struct notes notes;

static int run_row(void *arg)
{
    const struct row *row = arg;

    row->call(*row->fd);
    return 0;
}

/* Whether `word` is one of those, with spaces between them. */
static bool is_one_of(const char *words, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = words; (at = strstr(at, word)); at++)
        if ((at == words || at[-1] == ' ') && (at[length] == '\0' || at[length] == ' '))
            return true;
    return false;
}

static bool is_expected(const struct row *row, const struct note *note)
{
    return is_one_of(row->reported, note->call) &&
           (!*row->kind || strcmp(note->kind, row->kind) == 0) &&
           (!row->remedy || strcmp(note->remedy, row->remedy) == 0);
}

static bool check_row(const struct row *row)
{
    bool found = false;

    run_checked(run_row, (void *)(uintptr_t)row, &notes);
    for (int i = 0; i < notes.count && i < NOTES_MAX; i++)
        found |= row->reported && is_expected(row, &notes.at[i]);
    if (found == (row->reported != NULL) && (row->reported || notes.count == 0))
        return true;
    fprintf(stderr, "%s: expected %s, %d reports:\n", row->name,
            row->reported ? row->reported : "silence", notes.count);
    print_notes(&notes);
    return false;
}

static void test_every_class(void **state)
{
    bool all = true;

    (void)state;
    need_check();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!rows[i].raw || !interposed())
            all &= check_row(&rows[i]);
    assert_true(all);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_class),
    };

    (void)argc;
    return run_both_ways(cmocka_run_group_tests(tests, open_all, NULL), argv[0]);
}
