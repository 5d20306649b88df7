/* SPDX-License-Identifier: MIT */
/* Names and attributes: what each call does, and what it refuses. That each parks, ends and is
 * counted is seen in op_table_test.c. */
#include "fixture.h"

#include <limits.h>
#include <linux/openat2.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

static int links_body(void *arg)
{
    char text[PATH_MAX], folder[PATH_MAX];
    struct statx file;
    int fd;

    (void)arg;
    plain_close(plain_open("one", O_CREAT | O_RDWR));
    CHECK_EQUAL(weir_symlinkat("one", AT_FDCWD, "soft", WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_readlinkat(AT_FDCWD, "soft", text, sizeof text, WEIR_FOREVER), 3);
    CHECK_EQUAL(memcmp(text, "one", 3), 0);
    CHECK_EQUAL(weir_readlinkat(AT_FDCWD, "soft", text, 2, WEIR_FOREVER), 2);
    CHECK(getcwd(folder, sizeof folder) != NULL);
    CHECK_EQUAL(weir_realpath("./soft", text, sizeof text, WEIR_FOREVER), strlen(folder) + 4);
    CHECK_EQUAL(strncmp(text, folder, strlen(folder)), 0);
    CHECK_EQUAL(strcmp(text + strlen(folder), "/one"), 0);
    CHECK_EQUAL(weir_linkat(AT_FDCWD, "one", AT_FDCWD, "two", 0, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_statx(AT_FDCWD, "two", 0, STATX_NLINK, &file, WEIR_FOREVER), 0);
    CHECK(file.stx_nlink == 2);
    fd = weir_openat(AT_FDCWD, ".", O_TMPFILE | O_RDWR, 0600, WEIR_FOREVER);
    if (fd == -EOPNOTSUPP)
        return NO_SUCH_DISK;
    CHECK_EQUAL(weir_pwrite_all(fd, "text", 4, 0, NULL, WEIR_FOREVER), 4);
    CHECK_EQUAL(weir_linkat(fd, "", AT_FDCWD, "named", AT_EMPTY_PATH, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_linkat(fd, "", AT_FDCWD, "named", AT_EMPTY_PATH, WEIR_FOREVER), -EEXIST);
    CHECK_EQUAL(weir_close(fd), 0);
    CHECK_EQUAL(weir_statx(AT_FDCWD, "named", 0, STATX_SIZE, &file, WEIR_FOREVER), 0);
    CHECK(file.stx_size == 4);
    return 0;
}

static void test_links(void **state)
{
    (void)state;
    if (test_run(links_body, NULL, NULL) == NO_SUCH_DISK)
        skip();
}

static bool same_file(const struct statx *found, const char *path, bool follow)
{
    struct stat file;

    CHECK_EQUAL(follow ? stat(path, &file) : lstat(path, &file), 0);
    return found->stx_ino == file.st_ino && found->stx_size == (uint64_t)file.st_size &&
           found->stx_mode == file.st_mode;
}

/* What is in memory of a local disk is told without a thread; the rest is not tried. A rename
 * anywhere on the machine may send a look to the pool: hence the tries. */
static int warm_body(void *arg)
{
    int fd = weir_openat(AT_FDCWD, "file", O_CREAT | O_RDWR, 0600, WEIR_FOREVER);
    struct statx found;
    struct stat file;
    long long inline_count;

    (void)arg;
    CHECK_EQUAL(fstat(fd, &file), 0);
    CHECK_EQUAL(weir_pwrite_all(fd, "text", 4, 0, NULL, WEIR_FOREVER), 4);
    CHECK_EQUAL(symlink("file", "link"), 0);
    CHECK_EQUAL(weir_statx(AT_FDCWD, "/proc/self/status", 0, STATX_SIZE, &found, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_statx(AT_FDCWD, "none", 0, STATX_SIZE, &found, WEIR_FOREVER), -ENOENT);
    CHECK_EQUAL(weir_statx(AT_FDCWD, "", 0, STATX_SIZE, &found, WEIR_FOREVER), -ENOENT);
    CHECK_EQUAL(routed(WEIR__OP_ID_STATX, WEIR__ROUTE_INLINE), 0);
    CHECK_EQUAL(weir_statx(AT_FDCWD, "link", 0, STATX_BASIC_STATS, &found, WEIR_FOREVER), 0);
    CHECK(same_file(&found, "link", true));
    CHECK_EQUAL(
        weir_statx(AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &found, WEIR_FOREVER),
        0);
    CHECK(same_file(&found, "link", false));
    CHECK_EQUAL(weir_statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &found, WEIR_FOREVER), 0);
    CHECK(same_file(&found, "file", true));
    for (int i = 0; i < 1000 && routed(WEIR__OP_ID_STATX, WEIR__ROUTE_INLINE) < 3; i++)
        CHECK_EQUAL(weir_statx(AT_FDCWD, "link", 0, STATX_SIZE, &found, WEIR_FOREVER), 0);
    inline_count = routed(WEIR__OP_ID_STATX, WEIR__ROUTE_INLINE);
    CHECK_EQUAL(weir_close(fd), 0);
    return major(file.st_dev) == 0 || !CHECK_EQUAL(inline_count, 3) ? NO_SUCH_DISK : 0;
}

static void test_a_warm_statx_is_inline(void **state)
{
    (void)state;
    if (test_run(warm_body, NULL, NULL) == NO_SUCH_DISK)
        skip();
}

static int64_t yield_until(void *arg, int64_t deadline_ns)
{
    const bool *stop = arg;

    (void)deadline_ns;
    while (!*stop && weir_yield() == 0)
        ;
    return 0;
}

/* How often, of some looks at a warm file, it was inline. */
static long long count_inline(void)
{
    long long before = routed(WEIR__OP_ID_STATX, WEIR__ROUTE_INLINE);
    struct statx found;

    for (int i = 0; i < 100; i++)
        CHECK_EQUAL(weir_statx(AT_FDCWD, "file", 0, STATX_SIZE, &found, WEIR_FOREVER), 0);
    return routed(WEIR__OP_ID_STATX, WEIR__ROUTE_INLINE) - before;
}

/* While another task waits for the loop, the pool does it beside. */
static int company_body(void *arg)
{
    int fd = weir_openat(AT_FDCWD, "file", O_CREAT | O_RDWR, 0600, WEIR_FOREVER);
    struct call neighbour;
    struct stat file;
    bool stop = false;

    (void)arg;
    CHECK_EQUAL(fstat(fd, &file), 0);
    CHECK_EQUAL(weir_close(fd), 0);
    if (major(file.st_dev) == 0)
        return NO_SUCH_DISK;
    CHECK(count_inline() > 0);
    neighbour = call_of(yield_until, &stop);
    call_start(&neighbour);
    CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(count_inline(), 0);
    stop = true;
    CHECK_EQUAL(call_finish(&neighbour), 0);
    CHECK(count_inline() > 0);
    return 0;
}

static void test_in_company_the_pool_works(void **state)
{
    (void)state;
    if (test_run(company_body, NULL, &one_loop) == NO_SUCH_DISK)
        skip();
}

static int temporary_body(void *arg)
{
    char first[] = "file-XXXXXX", second[] = "file-XXXXXX", folder[] = "folder-XXXXXX";
    int one = weir_mkostemp(first, O_APPEND, WEIR_FOREVER);
    int two = weir_mkostemp(second, 0, WEIR_FOREVER);

    (void)arg;
    CHECK(one >= 0);
    CHECK(two >= 0);
    CHECK(strcmp(first, second) != 0);
    CHECK_EQUAL(access(first, F_OK), 0);
    CHECK_EQUAL(fcntl(one, F_GETFD), FD_CLOEXEC);
    CHECK(fcntl(one, F_GETFL) & O_APPEND);
    CHECK(weir__descriptor_kind(one) != WEIR__FD_UNKNOWN);
    CHECK_EQUAL(weir_mkdtemp(folder, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_unlinkat(AT_FDCWD, folder, AT_REMOVEDIR, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_close(one), 0);
    CHECK_EQUAL(weir_close(two), 0);
    return 0;
}

static void test_temporary_names(void **state)
{
    (void)state;
    assert_int_equal(test_run(temporary_body, NULL, NULL), 0);
}

static int attributes_body(void *arg)
{
    const struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_nsec = UTIME_OMIT } };
    int fd = plain_open("file", O_CREAT | O_RDWR);
    struct statfs file_system;
    struct stat file;

    (void)arg;
    CHECK_EQUAL(weir_fchmod(fd, 0640, WEIR_FOREVER), 0);
    CHECK_EQUAL(fstat(fd, &file), 0);
    CHECK((file.st_mode & 07777) == 0640);
    CHECK_EQUAL(weir_fchmodat(AT_FDCWD, "file", 0600, 0, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_fchownat(fd, "", getuid(), getgid(), AT_EMPTY_PATH, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_fchown(fd, getuid(), (gid_t)-1, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_futimens(fd, times, WEIR_FOREVER), 0);
    CHECK_EQUAL(fstat(fd, &file), 0);
    CHECK((file.st_mode & 07777) == 0600);
    CHECK_EQUAL(file.st_atim.tv_sec, 1000);
    CHECK(file.st_mtim.tv_sec > 1000);
    CHECK_EQUAL(weir_utimensat(AT_FDCWD, "file", NULL, 0, WEIR_FOREVER), 0);
    CHECK_EQUAL(fstat(fd, &file), 0);
    CHECK(file.st_atim.tv_sec > 1000);
    CHECK_EQUAL(weir_faccessat(AT_FDCWD, "file", R_OK | W_OK, AT_EACCESS, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_faccessat(AT_FDCWD, "file", X_OK, 0, WEIR_FOREVER), -EACCES);
    CHECK_EQUAL(weir_fstatfs(fd, &file_system, WEIR_FOREVER), 0);
    CHECK(file_system.f_namelen >= 255);
    CHECK_EQUAL(weir_mknodat(AT_FDCWD, "fifo", S_IFIFO | 0600, 0, WEIR_FOREVER), 0);
    CHECK_EQUAL(stat("fifo", &file), 0);
    CHECK(S_ISFIFO(file.st_mode));
    CHECK_EQUAL(weir_close(fd), 0);
    return 0;
}

static void test_attributes(void **state)
{
    (void)state;
    assert_int_equal(test_run(attributes_body, NULL, NULL), 0);
}

static int xattr_body(void *arg)
{
    char value[16], names[256];
    int fd = plain_open("file", O_CREAT | O_RDWR);

    (void)arg;
    if (fsetxattr(fd, "user.a", "1", 1, 0) < 0)
        return NO_SUCH_DISK;
    CHECK_EQUAL(symlink("file", "link"), 0);
    CHECK_EQUAL(weir_fsetxattr(fd, "user.b", "two", 3, XATTR_CREATE, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_fsetxattr(fd, "user.b", "two", 3, XATTR_CREATE, WEIR_FOREVER), -EEXIST);
    CHECK_EQUAL(weir_setxattr("link", "user.b", "zwei", 4, XATTR_REPLACE, 0, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_fgetxattr(fd, "user.b", value, sizeof value, WEIR_FOREVER), 4);
    CHECK_EQUAL(memcmp(value, "zwei", 4), 0);
    CHECK_EQUAL(weir_getxattr("link", "user.b", value, 3, 0, WEIR_FOREVER), -ERANGE);
    CHECK_EQUAL(weir_getxattr("link", "user.b", NULL, 0, 0, WEIR_FOREVER), 4);
    CHECK_EQUAL(
        weir_getxattr("link", "user.b", value, sizeof value, AT_SYMLINK_NOFOLLOW, WEIR_FOREVER),
        -ENODATA);
    CHECK_EQUAL(weir_removexattr("link", "user.b", 0, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_flistxattr(fd, names, sizeof names, WEIR_FOREVER), sizeof "user.a");
    CHECK_EQUAL(strcmp(names, "user.a"), 0);
    CHECK_EQUAL(weir_listxattr("file", names, 1, 0, WEIR_FOREVER), -ERANGE);
    CHECK_EQUAL(weir_fremovexattr(fd, "user.a", WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_flistxattr(fd, names, sizeof names, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_close(fd), 0);
    return 0;
}

static void test_extended_attributes(void **state)
{
    (void)state;
    if (test_run(xattr_body, NULL, NULL) == NO_SUCH_DISK)
        skip();
}

/* What cannot be is refused before anything is tried, and what the kernel refuses comes back as it
 * is. */
static int refusals_body(void *arg)
{
    static char long_name[300], long_path[2 * PATH_MAX];
    char buffer[PATH_MAX];
    struct stat file;

    (void)arg;
    memset(long_name, 'n', sizeof long_name - 1);
    memset(long_path, '/', sizeof long_path - 1);
    CHECK_EQUAL(weir_openat(AT_FDCWD, long_name, O_CREAT, 0600, WEIR_FOREVER), -ENAMETOOLONG);
    CHECK_EQUAL(weir_mkdirat(AT_FDCWD, long_path, 0700, WEIR_FOREVER), -ENAMETOOLONG);
    CHECK_EQUAL(weir_realpath(long_name, buffer, PATH_MAX, WEIR_FOREVER), -ENAMETOOLONG);
    CHECK_EQUAL(weir_realpath(".", buffer, PATH_MAX - 1, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_unlinkat(AT_FDCWD, NULL, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_renameat(AT_FDCWD, "a", AT_FDCWD, NULL, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_mkdirat(AT_FDCWD, NULL, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_symlinkat(NULL, AT_FDCWD, "a", WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_readlinkat(AT_FDCWD, "a", NULL, 1, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_mkostemp(NULL, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_mkdtemp(NULL, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_statx(AT_FDCWD, ".", 0, 0, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_statfs(".", NULL, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_fstatfs(0, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_getxattr(".", NULL, buffer, 1, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_getxattr(".", "user.a", buffer, 1, AT_EMPTY_PATH, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_fsetxattr(0, "user.a", NULL, 1, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_openat2(AT_FDCWD, ".", NULL, WEIR_FOREVER), -EINVAL);
    CHECK(stat(long_name, &file) < 0);
    return 0;
}

static void test_refusals(void **state)
{
    (void)state;
    assert_int_equal(test_run(refusals_body, NULL, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_a_warm_statx_is_inline),
        IN_FOLDER(test_in_company_the_pool_works),
        IN_FOLDER(test_links),
        IN_FOLDER(test_temporary_names),
        IN_FOLDER(test_attributes),
        IN_FOLDER(test_extended_attributes),
        IN_FOLDER(test_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
