/* SPDX-License-Identifier: MIT */
/* A mutex is held while its owner waits for a message, so everybody waits for that message.
 * Repaired: the message first, then the mutex. */
#include "gallery.h"

struct table {
    struct weir_mutex *mutex;
    struct weir_chan *news;
    bool news_first;
    int value;
};

static int update(void *arg)
{
    struct table *table = arg;
    int value, error = 0;

    if (table->news_first)
        error = weir_chan_recv(table->news, &value, WEIR_FOREVER);
    if (error < 0 || weir_mutex_lock(table->mutex, WEIR_FOREVER) < 0)
        return error;
    if (!table->news_first)
        error = weir_chan_recv(table->news, &value, WEIR_FOREVER);
    if (error >= 0)
        table->value = value;
    weir_mutex_unlock(table->mutex);
    return error;
}

static int look(void *arg)
{
    struct table *table = arg;

    if (weir_mutex_lock(table->mutex, WEIR_FOREVER) < 0)
        return -1;
    return weir_mutex_unlock(table->mutex);
}

static int run_table(bool news_first)
{
    struct table table = { .news_first = news_first };
    const struct weir_spawn_options updater = { .name = "update" }, looker = { .name = "look" };
    struct weir_scope *scope;
    int error, value = 1;

    if (weir_mutex_create(&table.mutex, "table") < 0 ||
        weir_chan_create(&table.news, sizeof(int), 0, NULL) < 0 ||
        weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL) < 0)
        return -1;
    error = weir_spawn(scope, update, &table, &updater);
    if (error >= 0)
        error = weir_spawn(scope, look, &table, &looker);
    if (error >= 0 && !news_first)
        error = gallery_await();
    if (error >= 0)
        error = weir_chan_send(table.news, &value, WEIR_FOREVER);
    error = weir_scope_join(scope, WEIR_FOREVER) < 0 ? -1 : error;
    weir_chan_release(table.news);
    weir_mutex_destroy(table.mutex);
    return error;
}

int wrong(void *arg)
{
    (void)arg;
    return run_table(false);
}

int repaired(void *arg)
{
    (void)arg;
    return run_table(true);
}
