/* SPDX-License-Identifier: MIT */
/* One task reads a file, parses it, and asks a database: it blocks, hogs, and blocks again.
 * Repaired: each where it belongs. */
#include "gallery.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char gallery_awaits[] = "is hogged";

static unsigned parse(const char *text)
{
    unsigned sum = 0;

    for (; *text; text++)
        sum = sum * 31 + (unsigned char)*text;
    return sum;
}

int wrong(void *arg)
{
    char line[256] = "", byte;
    FILE *file = fopen("/etc/passwd", "r");
    unsigned sum = 0;

    (void)arg;
    if (!file || !fgets(line, sizeof line, file))
        return -1;
    fclose(file);
    while (!gallery_is_reported()) /* much to parse */
        sum += parse(line);
    return read(gallery_descriptor(), &byte, 1) == 1 ? (int)(sum & 0) : -1;
}

static int parse_all(void *arg)
{
    char *line = arg;
    unsigned sum = 0;

    for (int i = 0; i < 1000; i++)
        sum += parse(line);
    snprintf(line, 256, "%u", sum);
    return 0;
}

static int query(void *arg)
{
    char *line = arg, byte = 'x';
    int fds[2];

    if (pipe(fds) < 0 || write(fds[1], &byte, 1) != 1 || read(fds[0], &byte, 1) != 1)
        return -1;
    close(fds[0]);
    close(fds[1]);
    return strlen(line) > 0 ? 0 : -1;
}

int repaired(void *arg)
{
    char line[256] = "";
    int fd = weir_openat(AT_FDCWD, "/etc/passwd", O_RDONLY, 0, WEIR_FOREVER);
    ssize_t count = weir_pread(fd, line, sizeof line - 1, 0, WEIR_FOREVER);

    (void)arg;
    if (fd < 0 || count <= 0 || weir_close(fd) < 0)
        return -1;
    if (weir_cpu_run(parse_all, line, WEIR_FOREVER) < 0)
        return -1;
    return weir_pool_run(query, line, WEIR_FOREVER);
}
