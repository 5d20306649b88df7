/* SPDX-License-Identifier: MIT */
/*
 * A filter, as cat(1): what the files hold, or what standard input brings ("-", and by default),
 * goes to standard output. Pipes, ttys and files alike; the task waits, the thread never.
 *
 *     weir-cat [FILE...]
 */
#include <weir.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BUFFER_BYTES = 32 * 1024 };

/* Returns 0 at the end of `from`. */
static ssize_t copy(int from)
{
    char buffer[BUFFER_BYTES];
    ssize_t count;

    while ((count = weir_read(from, buffer, sizeof buffer, WEIR_FOREVER)) > 0) {
        count = weir_write_all(STDOUT_FILENO, buffer, (size_t)count, NULL, WEIR_FOREVER);
        if (count < 0)
            break;
    }
    return count;
}

static ssize_t copy_file(const char *path)
{
    ssize_t error;
    int fd;

    if (strcmp(path, "-") == 0)
        return copy(STDIN_FILENO);
    fd = weir_openat(AT_FDCWD, path, O_RDONLY, 0, WEIR_FOREVER);
    if (fd < 0)
        return fd;
    error = copy(fd);
    weir_close(fd);
    return error;
}

/* Goes on after a file that cannot be read, and says so in the end. */
static int copy_all(void *arg)
{
    char **paths = arg;
    int result = 0;

    for (; *paths; paths++) {
        ssize_t error = copy_file(*paths);

        if (error == -EPIPE) /* nobody reads any more, and that is no error of ours */
            return result;
        if (error < 0) {
            fprintf(stderr, "weir-cat: %s: %s\n", *paths, strerror((int)-error));
            result = 1;
        }
    }
    return result;
}

int main(int argc, char **argv)
{
    char *standard_input[] = { "-", NULL };
    struct weir_options options = { .loop_count = 1 };
    int result = weir_run(copy_all, argc > 1 ? argv + 1 : standard_input, &options);

    return result != 0;
}
