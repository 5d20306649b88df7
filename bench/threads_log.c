/* SPDX-License-Identifier: MIT */
/*
 * A thread per appender, and group commit as databases have it: who finds no commit under way leads
 * one for all that have appended so far, the others wait for its end.
 *
 * Two batches take turns, each with a condition of its own: the end of one wakes only those whose
 * records were in it.
 */
#include "log.h"

#include <pthread.h>
#include <string.h>

enum { STACK_BYTES = 64 << 10 };

struct batch {
    pthread_cond_t durable;
    size_t bytes;
    char records[LOG_BATCH_BYTES];
};

struct log {
    struct log_job *job;
    pthread_mutex_t lock; /* of all below */
    struct batch batches[2];
    uint64_t open;      /* the number of the batch that takes records */
    uint64_t committed; /* all up to this one are durable */
    bool committing;
    bool over;
};

/* Under the lock, which is released meanwhile. */
static void lead(struct log *log)
{
    struct batch *batch = &log->batches[log->open++ % 2];

    log->committing = true;
    pthread_mutex_unlock(&log->lock);
    trial_check(log_write(log->job, batch->records, batch->bytes), "a batch");
    pthread_mutex_lock(&log->lock);
    log->over = !log_committed(log->job, batch->bytes) || log->over;
    log->committing = false;
    log->committed++;
    batch->bytes = 0;
    pthread_cond_broadcast(&batch->durable);
    /* Somebody must lead the batch that has been waiting: one of its own. */
    pthread_cond_signal(&log->batches[log->open % 2].durable);
}

static void append(struct log *log, const char record[LOG_RECORD_BYTES])
{
    uint64_t number = log->open;
    struct batch *batch = &log->batches[number % 2];

    memcpy(batch->records + batch->bytes, record, LOG_RECORD_BYTES);
    batch->bytes += LOG_RECORD_BYTES;
    while (log->committed <= number) {
        if (log->committing)
            pthread_cond_wait(&batch->durable, &log->lock);
        else
            lead(log);
    }
}

static void *appender(void *argument)
{
    char record[LOG_RECORD_BYTES] = "record";
    struct log *log = argument;

    pthread_mutex_lock(&log->lock);
    while (!log->over)
        append(log, record);
    pthread_mutex_unlock(&log->lock);
    return NULL;
}

void threads_log(struct log_job *job)
{
    static struct log log = {
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .batches = { { .durable = PTHREAD_COND_INITIALIZER },
                     { .durable = PTHREAD_COND_INITIALIZER } },
    };
    pthread_t threads[LOG_APPENDERS_MAX];
    pthread_attr_t attributes;

    log.job = job;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    for (unsigned index = 0; index < job->appenders; index++)
        trial_check(-pthread_create(&threads[index], &attributes, appender, &log),
                    "pthread_create");
    for (unsigned index = 0; index < job->appenders; index++)
        pthread_join(threads[index], NULL);
    pthread_attr_destroy(&attributes);
}
