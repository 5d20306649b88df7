/* SPDX-License-Identifier: MIT */
/* A source, and servers one behind the other: each calls the next, the last does a deed. */
#ifndef WEIR_TESTS_FLOW_CALL_FIXTURE_H
#define WEIR_TESTS_FLOW_CALL_FIXTURE_H

#include "sync/fixture.h"

enum { HOPS = 4 };

struct line;

struct hop {
    struct line *line;
    struct weir_chan *port;   /* "port 1" and so on */
    struct weir_scope *scope; /* of its server, "server 1" and so on */
    int (*deed)(struct hop *hop);
    atomic_long entered; /* handlers */
    atomic_long left;
};

struct line {
    struct hop hops[HOPS];
    struct weir_chan *gate; /* of numbers; what some deeds wait for */
    void *context;          /* of other deeds */
    struct weir_trace trace;
    int64_t deadline_ns; /* as the last hop saw it */
};

/* Answers with the request plus the number of hops. */
static inline int pass_on(const void *request, void *response, void *context)
{
    struct hop *hop = context;
    uint64_t number = *(const uint64_t *)request + 1;
    int result;

    atomic_fetch_add(&hop->entered, 1);
    if (hop->deed) {
        result = hop->deed(hop);
        *(uint64_t *)response = number;
    } else {
        result = weir_call(hop[1].port, &number, response, NULL, WEIR_FOREVER);
    }
    atomic_fetch_add(&hop->left, 1);
    return result;
}

static inline int succeed(struct hop *hop)
{
    (void)hop;
    return 7;
}

static inline int break_down(struct hop *hop)
{
    (void)hop;
    return -EDOM;
}

/* Until somebody sends what it shall return, or it is cancelled. */
static inline int wait_at_gate(struct hop *hop)
{
    uint64_t result;
    int error = weir_chan_recv(hop->line->gate, &result, WEIR_FOREVER);

    return error < 0 ? error : (int)result;
}

static inline int look_and_wait_at_gate(struct hop *hop)
{
    hop->line->deadline_ns = weir_deadline_ns();
    CHECK_SAME(weir_trace_get(&hop->line->trace), 0);
    return wait_at_gate(hop);
}

static inline struct weir_chan *make_port(void)
{
    struct weir_chan *port = NULL;

    CHECK_SAME(weir_port_create(&port, "desk", sizeof(uint64_t), sizeof(uint64_t)), 0);
    return port;
}

struct serving {
    struct weir_scope *scope;
    struct weir_chan *port;
    weir_handler_fn *handler;
    void *context;
    const struct weir_serve_options *options;
};

static inline int begin_serving(void *arg)
{
    struct serving *serving = arg;

    CHECK_SAME(weir_serve(serving->scope, serving->port, serving->handler, serving->context,
                          serving->options),
               0);
    return 0;
}

/* A server lives where it was started: here by a task of that loop. */
static inline void serve_at(struct scene *scene, int loop, struct serving serving)
{
    struct actor actor;

    actor_start_at(scene, &actor, loop, begin_serving, &serving);
    actor_join(&actor);
}

static inline void hop_serve(struct scene *scene, struct line *line, int index)
{
    struct hop *hop = &line->hops[index];
    char name[WEIR_NAME_BYTES];
    struct weir_serve_options options = { .name = name, .parallelism = 2 };
    int loop = scene->setting == TWO_LOOPS ? (index + 1) % 2 : 0;

    snprintf(name, sizeof name, "server %d", index + 1);
    serve_at(scene, loop, (struct serving){ hop->scope, hop->port, pass_on, hop, &options });
}

/* Ports for all hops, and servers but for hop `left_out` (-1: none). The last hop does `deed`. */
static inline void line_open(struct scene *scene, struct line *line, int (*deed)(struct hop *),
                             int left_out)
{
    *line = (struct line){ .gate = make_chan(0, NULL) };
    for (int i = 0; i < HOPS; i++) {
        struct hop *hop = &line->hops[i];
        char name[WEIR_NAME_BYTES];

        snprintf(name, sizeof name, "port %d", i + 1);
        hop->line = line;
        hop->deed = i == HOPS - 1 ? deed : NULL;
        CHECK_SAME(weir_port_create(&hop->port, name, sizeof(uint64_t), sizeof(uint64_t)), 0);
        CHECK_SAME(weir_scope_create(&hop->scope, WEIR_SCOPE_COLLECT, NULL), 0);
        if (i != left_out)
            hop_serve(scene, line, i);
    }
}

/* The servers end by themselves; each handler that was entered has been left. */
static inline void line_close(struct line *line)
{
    for (int i = 0; i < HOPS; i++) {
        struct hop *hop = &line->hops[i];

        weir_chan_close(hop->port, 0);
        if (hop->scope)
            CHECK_SAME(weir_scope_join(hop->scope, end_of_patience()), 0);
        CHECK_SAME(weir_chan_release(hop->port), 0);
        CHECK_SAME(hop->entered, hop->left);
    }
    weir_chan_release(line->gate);
}

/* Cancels a hop's server, and its handlers with it, and waits for its end. */
static inline void hop_die(struct hop *hop)
{
    CHECK_SAME(weir_scope_cancel(hop->scope), 0);
    CHECK_SAME(weir_scope_join(hop->scope, end_of_patience()), 0);
    hop->scope = NULL;
}

/* One call by an actor. */
struct source {
    struct actor actor;
    struct weir_chan *port;
    uint64_t request, response;
    int64_t deadline_ns;
    struct weir_trace trace;
    int result;
    struct weir_call_failure failure;
};

static inline int source_call(void *arg)
{
    struct source *source = arg;

    weir_trace_begin(WEIR_TRACE_SAMPLED);
    CHECK_SAME(weir_trace_get(&source->trace), 0);
    source->result = weir_call(source->port, &source->request, &source->response, &source->failure,
                               source->deadline_ns);
    CHECK_SAME(weir_trace_set(NULL), 0);
    return 0;
}

static inline void begin_call(struct scene *scene, struct source *source, struct weir_chan *port,
                              int64_t deadline_ns)
{
    *source = (struct source){ .port = port, .request = 100, .deadline_ns = deadline_ns };
    actor_start(scene, &source->actor, source_call, source);
}

static inline int end_call(struct source *source)
{
    actor_join(&source->actor);
    return source->result;
}

static inline void check_failure(const struct source *source, unsigned hops, const char *port,
                                 const char *task)
{
    const struct weir_call_failure *failure = &source->failure;

    CHECK_SAME(failure->error, source->result);
    CHECK_SAME(failure->hops, hops);
    if (!CHECK(strcmp(failure->port_name, port) == 0) ||
        !CHECK(strcmp(failure->task_name, task) == 0))
        fprintf(stderr, "it says port \"%s\", task \"%s\"\n", failure->port_name,
                failure->task_name);
}

#endif
