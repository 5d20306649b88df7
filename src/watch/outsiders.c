/* SPDX-License-Identifier: MIT */
/* Who else is there; see outsiders.h. */
#include "watch/outsiders.h"

#include "base/thread.h"
#include "pool/pool.h"
#include "pool/thread.h"
#include "watch/watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Whether the kernel made it for a ring; false when it has just ended. */
static bool is_of_ring(const char *id)
{
    char path[64], comm[5] = "";
    ssize_t count;
    int fd;

    snprintf(path, sizeof path, "/proc/self/task/%.20s/comm", id);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    count = read(fd, comm, sizeof comm - 1);
    close(fd);
    return count == sizeof comm - 1 && strcmp(comm, "iou-") == 0;
}

/* The program's own threads; more than anybody can have when /proc does not say. */
static unsigned count_threads(void)
{
    unsigned own_count = weir__thread_count();
    DIR *directory = opendir("/proc/self/task");
    const struct dirent *entry;
    unsigned count = 0;

    if (!directory)
        return UINT_MAX;
    while ((entry = readdir(directory)))
        count += entry->d_name[0] != '.' && !is_of_ring(entry->d_name);
    closedir(directory);
    return count > own_count ? count - own_count : 0;
}

static bool is_at_work(struct weir_pool *pool)
{
    struct weir_pool_stats stats;

    weir__pool_read_stats(pool, &stats);
    return stats.threads_busy > 0 || stats.queued > 0;
}

static bool has_pool_at_work(struct weir__runtime *runtime)
{
    bool any = is_at_work(runtime->pool) || is_at_work(runtime->cpu_pool);

    pthread_mutex_lock(&runtime->pools_mutex);
    for (struct weir__list *link = runtime->pools.next; link != &runtime->pools && !any;
         link = link->next)
        any = is_at_work(WEIR_CONTAINER_OF(link, struct weir_pool, link));
    pthread_mutex_unlock(&runtime->pools_mutex);
    return any;
}

/* A second one that is listed. */
static bool has_other_runtime(void)
{
    struct weir__watch *other = weir__watch_use(1);

    if (other)
        weir__watch_leave(other);
    return other != NULL;
}

bool weir__outsiders_exist(struct weir__runtime *runtime, unsigned known_count)
{
    return runtime->is_driven || has_other_runtime() || has_pool_at_work(runtime) ||
           count_threads() > known_count;
}
