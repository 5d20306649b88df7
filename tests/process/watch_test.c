/* SPDX-License-Identifier: MIT */
/* Watches on the file system, in a folder of their own. */
#include "fixture.h"

#include <sys/stat.h>

enum { PATIENCE_MS = 20000 };

static char folder[256];

static int make_folder(void **state)
{
    const char *parent = getenv("TMPDIR");

    (void)state;
    snprintf(folder, sizeof folder, "%.200s/weir-test-XXXXXX", parent && *parent ? parent : "/tmp");
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[300];

    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return chdir("/") == 0 ? system(command) : -1;
}

static void touch(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    CHECK(fd >= 0);
    CHECK_EQUAL(close(fd), 0);
}

/* What a test works with. */
struct scene {
    struct weir_chan *output;
    struct weir_scope *scope;
    struct weir_watch *watch;
};

static struct scene make_scene(size_t capacity, enum weir_chan_policy policy)
{
    struct weir_chan_options options = { .policy = policy };
    struct scene scene = { .scope = make_scope(WEIR_SCOPE_SUPERVISE) };

    CHECK_EQUAL(
        weir_chan_create(&scene.output, sizeof(struct weir_watch_event), capacity, &options), 0);
    CHECK_EQUAL(weir_watch_open(&scene.watch, scene.output, scene.scope), 0);
    return scene;
}

static void end_scene(struct scene *scene)
{
    CHECK_EQUAL(weir_watch_close(scene->watch), 0);
    CHECK_EQUAL(weir_scope_join(scene->scope, weir_in_ms(PATIENCE_MS)), 0);
    CHECK_EQUAL(weir_chan_release(scene->output), 0);
}

static struct weir_watch_event next(struct scene *scene)
{
    struct weir_watch_event event = { 0 };

    CHECK_EQUAL(weir_chan_recv(scene->output, &event, weir_in_ms(PATIENCE_MS)), 0);
    return event;
}

static void expect(struct scene *scene, int id, uint32_t mask, const char *name)
{
    struct weir_watch_event event = next(scene);

    CHECK_EQUAL(event.id, id);
    CHECK_EQUAL(event.mask, mask);
    CHECK(strcmp(event.name, name) == 0);
}

static int events(void *arg)
{
    struct scene scene = make_scene(4, WEIR_CHAN_PARK);
    struct weir_watch_event from, to;
    char longest[256];
    int here, file;

    (void)arg;
    memset(longest, 'x', 255);
    longest[255] = '\0';
    here = weir_watch_add(scene.watch, ".", IN_CREATE | IN_DELETE | IN_MOVE, WEIR_FOREVER);
    CHECK(here > 0);
    touch("one");
    expect(&scene, here, IN_CREATE, "one");
    touch(longest);
    expect(&scene, here, IN_CREATE, longest);
    CHECK_EQUAL(unlink(longest), 0);
    expect(&scene, here, IN_DELETE, longest);
    CHECK_EQUAL(mkdir("inner", 0700), 0);
    expect(&scene, here, IN_CREATE | IN_ISDIR, "inner");
    CHECK_EQUAL(rename("one", "two"), 0);
    from = next(&scene);
    to = next(&scene);
    CHECK(from.mask == IN_MOVED_FROM && to.mask == IN_MOVED_TO && from.cookie == to.cookie);
    file = weir_watch_add(scene.watch, "two", IN_CLOSE_WRITE, WEIR_FOREVER);
    CHECK(file > 0 && file != here);
    touch("two");
    expect(&scene, file, IN_CLOSE_WRITE, "");
    CHECK_EQUAL(weir_watch_remove(scene.watch, file), 0);
    expect(&scene, file, IN_IGNORED, "");
    CHECK_EQUAL(weir_watch_remove(scene.watch, file), -EINVAL);
    CHECK_EQUAL(unlink("two") + rmdir("inner"), 0);
    expect(&scene, here, IN_DELETE, "two");
    expect(&scene, here, IN_DELETE | IN_ISDIR, "inner");
    end_scene(&scene);
    return 0;
}

static void test_events_come_as_records(void **state)
{
    (void)state;
    run_clean(events, &two_loops);
}

enum { BURST = 500 };

static int bursts(void *arg)
{
    struct scene slow = make_scene(1, WEIR_CHAN_PARK);
    struct scene dropping = make_scene(1, WEIR_CHAN_DROP_NEWEST);
    struct weir_chan_stats stats = { 0 };
    char name[32];

    (void)arg;
    CHECK(weir_watch_add(slow.watch, ".", IN_CREATE, WEIR_FOREVER) > 0);
    CHECK(weir_watch_add(dropping.watch, ".", IN_CREATE, WEIR_FOREVER) > 0);
    for (int i = 0; i < BURST; i++) {
        snprintf(name, sizeof name, "burst-%d", i);
        touch(name);
    }
    for (int i = 0; i < BURST; i++) {
        snprintf(name, sizeof name, "burst-%d", i);
        CHECK(strcmp(next(&slow).name, name) == 0);
        CHECK_EQUAL(unlink(name), 0);
    }
    while (stats.dropped_total < BURST - 1) {
        CHECK_EQUAL(weir_yield(), 0);
        CHECK_EQUAL(weir_chan_read_stats(dropping.output, &stats), 0);
    }
    CHECK(strcmp(next(&dropping).name, "burst-0") == 0);
    end_scene(&slow);
    end_scene(&dropping);
    return 0;
}

static void test_a_slow_reader_loses_nothing_and_a_dropping_one_counts(void **state)
{
    (void)state;
    run_clean(bursts, &one_loop);
}

static long limit_of(const char *name)
{
    char path[64];
    long value = -1;
    FILE *file;

    snprintf(path, sizeof path, "/proc/sys/fs/inotify/%s", name);
    file = fopen(path, "re");
    if (!file || fscanf(file, "%ld", &value) != 1)
        value = -1;
    if (file)
        fclose(file);
    return value;
}

static int overflow(void *arg)
{
    struct scene scene = make_scene(1, WEIR_CHAN_PARK);
    long queued = limit_of("max_queued_events");
    struct weir_watch_event event;

    (void)arg;
    CHECK(weir_watch_add(scene.watch, ".", IN_CREATE | IN_DELETE, WEIR_FOREVER) > 0);
    for (long i = 0; i < queued; i++) { /* equal neighbours would be one */
        touch("flood");
        CHECK_EQUAL(unlink("flood"), 0);
    }
    do {
        event = next(&scene);
    } while (!(event.mask & (WEIR_WATCH_OVERFLOW | IN_UNMOUNT)) && event.mask);
    CHECK_EQUAL(event.mask, WEIR_WATCH_OVERFLOW);
    CHECK_EQUAL(event.id, -1);
    touch("after"); /* and it goes on */
    expect(&scene, 1, IN_CREATE, "after");
    CHECK_EQUAL(unlink("after"), 0);
    end_scene(&scene);
    return 0;
}

static void test_an_overflow_is_told(void **state)
{
    long queued = limit_of("max_queued_events");

    (void)state;
    if (queued < 0 || queued > 20000)
        skip(); /* too many to fill */
    run_clean(overflow, &one_loop);
}

static int limits(void *arg)
{
    struct scene scene = make_scene(1, WEIR_CHAN_PARK);
    struct weir_chan *narrow;
    struct weir_watch *watch;

    (void)arg;
    CHECK_EQUAL(weir_chan_create(&narrow, 4, 1, NULL), 0);
    CHECK_EQUAL(weir_watch_open(&watch, narrow, scene.scope), -EINVAL);
    CHECK_EQUAL(weir_watch_open(&watch, NULL, scene.scope), -EINVAL);
    CHECK_EQUAL(weir_watch_add(scene.watch, NULL, IN_CREATE, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_watch_add(scene.watch, "missing", IN_CREATE, WEIR_FOREVER), -ENOENT);
    CHECK_EQUAL(weir_watch_add(scene.watch, ".", 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_watch_add(scene.watch, ".", IN_CREATE, WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(weir_watch_close(NULL), 0);
    CHECK_EQUAL(weir_chan_release(narrow), 0);
    /* The scope ends before the watch. */
    CHECK_EQUAL(weir_scope_join(scene.scope, WEIR_NOW), -ETIME);
    CHECK_EQUAL(weir_watch_add(scene.watch, ".", IN_CREATE, WEIR_FOREVER), -EPIPE);
    CHECK_EQUAL(weir_chan_recv(scene.output, NULL, WEIR_FOREVER), -ECANCELED);
    CHECK_EQUAL(weir_watch_close(scene.watch), 0);
    CHECK_EQUAL(weir_chan_release(scene.output), 0);
    return 0;
}

static void test_misuse_is_refused(void **state)
{
    (void)state;
    run_clean(limits, &one_loop);
}

static int exhaust(void *arg)
{
    struct scene scene = make_scene(1, WEIR_CHAN_PARK);
    struct weir_watch *watches[2048];
    long most = limit_of("max_user_instances");
    int count = 0, error = 0;

    (void)arg;
    while (error >= 0 && count < 2048 && count <= most) {
        error = weir_watch_open(&watches[count], scene.output, scene.scope);
        count += error >= 0;
    }
    CHECK_EQUAL(error, -EMFILE);
    CHECK(strstr(weir_last_error(), "max_user_instances") != NULL);
    while (count > 0)
        CHECK_EQUAL(weir_watch_close(watches[--count]), 0);
    end_scene(&scene);
    return 0;
}

static void test_a_limit_names_its_remedy(void **state)
{
    long most = limit_of("max_user_instances");

    (void)state;
    if (most < 0 || most > 1000)
        skip(); /* descriptors would run out first */
    run_clean(exhaust, &one_loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_come_as_records),
        cmocka_unit_test(test_a_slow_reader_loses_nothing_and_a_dropping_one_counts),
        cmocka_unit_test(test_an_overflow_is_told),
        cmocka_unit_test(test_misuse_is_refused),
        cmocka_unit_test(test_a_limit_names_its_remedy),
    };

    return cmocka_run_group_tests_name("process/watch", tests, make_folder, remove_folder);
}
