/* SPDX-License-Identifier: MIT */
/*
 * Resolving names; the chapter is <weir/resolve.h>, the life of an answer in answer.h.
 *
 * getaddrinfo(3) and not a resolver of our own or c-ares: names come from /etc/hosts, from what
 * nsswitch.conf lists (mDNS, LDAP, containers, systemd), in the order of gai.conf; only the C
 * library does what the machine's administrator set up. The price is a thread a question, and that
 * no answer says how long it is valid.
 */
#include "net/resolve.h"

#include "base/clock.h"
#include "base/exempt.h"
#include "base/kernel.h"
#include "base/memory.h"
#include "core/loop.h"
#include "core/park.h"
#include "net/address.h"
#include "net/answer.h"
#include "pool/pool.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <strings.h>

/* One call's way to its answer. */
struct lookup {
    struct weir__resolver *resolver;
    struct weir__question question;
    in_port_t port; /* when the service is a number, or none */
    bool fresh;
    int64_t deadline_ns;
};

static int check_hints(const struct weir_resolve_hints *hints)
{
    if (hints->size && hints->size != sizeof *hints)
        return -EINVAL;
    if (hints->family != 0 && hints->family != AF_INET && hints->family != AF_INET6)
        return -EINVAL;
    if (hints->type != 0 && hints->type != SOCK_STREAM && hints->type != SOCK_DGRAM)
        return -EINVAL;
    for (size_t i = 0; i < sizeof hints->reserved / sizeof hints->reserved[0]; i++)
        if (hints->reserved[i])
            return -EINVAL;
    return 0;
}

static int copy_text(char *target, size_t bytes, const char *text)
{
    size_t length = strlen(text);

    if (length == 0)
        return -EINVAL;
    if (length >= bytes)
        return -ENAMETOOLONG;
    for (size_t i = 0; i <= length; i++) /* ASCII only: the locale has no say in names */
        target[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] - 'A' + 'a' : text[i]);
    return 0;
}

static int begin(struct lookup *lookup, const char *name, const char *service,
                 const struct weir_resolve_hints *hints)
{
    int port = service ? weir__address_parse_port(service) : 0;
    int error = check_hints(hints);

    if (error >= 0 && port < 0 && strspn(service, "0123456789") == strlen(service))
        error = -EINVAL; /* a number that is no port */
    if (error >= 0)
        error = copy_text(lookup->question.name, sizeof lookup->question.name, name);
    if (error >= 0 && port < 0)
        error = copy_text(lookup->question.service, sizeof lookup->question.service, service);
    lookup->question.family = hints->family;
    /* A name's addresses do not depend on the type, so one question serves both. */
    lookup->question.type = port < 0 && hints->type ? hints->type : SOCK_STREAM;
    lookup->port = htons((in_port_t)(port < 0 ? 0 : port));
    lookup->fresh = hints->fresh;
    return error;
}

static int copy_out(const struct lookup *lookup, const struct weir_resolved *found, size_t count,
                    struct weir_resolved *results, size_t max)
{
    count = count < max ? count : max;
    for (size_t i = 0; i < count; i++) {
        results[i] = found[i];
        if (lookup->question.service[0])
            continue;
        if (results[i].any.sa_family == AF_INET)
            results[i].v4.sin_port = lookup->port;
        else
            results[i].v6.sin6_port = lookup->port;
    }
    return (int)count;
}

/* --- What needs nobody ------------------------------------------------------------------------ */

static bool fits(const struct lookup *lookup, int family)
{
    return lookup->question.family == 0 || lookup->question.family == family;
}

/* RFC 6761: it is the loopback, whatever a server says. */
static size_t find_localhost(const struct lookup *lookup, struct weir_resolved found[2])
{
    size_t count = 0;

    if (fits(lookup, AF_INET6)) {
        found[count].v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6 };
        found[count].v6.sin6_addr = in6addr_loopback;
        found[count++].bytes = sizeof(struct sockaddr_in6);
    }
    if (fits(lookup, AF_INET)) {
        found[count].v4 = (struct sockaddr_in){ .sin_family = AF_INET };
        found[count].v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        found[count++].bytes = sizeof(struct sockaddr_in);
    }
    return count;
}

/* The number of addresses; -EAGAIN: others must be asked; or what is wrong with a numeric one. */
static int find_here(const struct lookup *lookup, struct weir_resolved found[2])
{
    struct weir__address address;
    int error;

    if (lookup->question.service[0])
        return -EAGAIN;
    if (strcmp(lookup->question.name, "localhost") == 0 ||
        strcmp(lookup->question.name, "localhost.") == 0)
        return (int)find_localhost(lookup, found);
    error = weir__address_parse_number(&address, lookup->question.name, 0);
    if (error < 0)
        return error == -EINVAL ? -EAGAIN : error;
    if (!fits(lookup, address.any.sa_family))
        return -ENOENT;
    memcpy(&found->any, &address.any, address.bytes);
    found->bytes = address.bytes;
    return 1;
}

/* --- Asking: on a thread of the pool ---------------------------------------------------------- */

/* At most WEIR_RESOLVE_MAX internet addresses, in their order. */
static int keep_addresses(struct weir__answer *answer, const struct addrinfo *list)
{
    unsigned count = 0;

    for (const struct addrinfo *info = list; info && count < WEIR_RESOLVE_MAX; info = info->ai_next)
        count += info->ai_addrlen <= sizeof(struct sockaddr_in6);
    if (count == 0)
        return -ENOENT;
    answer->addresses = weir__memory_zalloc(NULL, count * sizeof *answer->addresses);
    if (!answer->addresses)
        return -ENOMEM;
    for (; answer->count < count; list = list->ai_next) {
        struct weir_resolved *address = &answer->addresses[answer->count];

        if (list->ai_addrlen > sizeof(struct sockaddr_in6))
            continue;
        memcpy(&address->any, list->ai_addr, list->ai_addrlen);
        address->bytes = list->ai_addrlen;
        answer->count++;
    }
    return 0;
}

static int ask(void *arg)
{
    struct weir__answer *answer = arg;
    const struct weir__question *question = &answer->question;
    const struct addrinfo hints = { .ai_family = question->family, .ai_socktype = question->type };
    struct addrinfo *list = NULL;
    int error = weir__kernel_getaddrinfo(
        question->name, question->service[0] ? question->service : NULL, &hints, &list);

    answer->error = error < 0 ? error : keep_addresses(answer, list);
    if (list)
        weir__kernel_freeaddrinfo(list);
    return 0;
}

/* The thread gives the job back: the answer is known to all who wait, and kept. */
static void answered(struct weir__job *job)
{
    struct weir__answer *answer = WEIR_CONTAINER_OF(job, struct weir__answer, job);
    struct weir__resolver *resolver = answer->resolver;
    struct weir__wait *wake = NULL, **last = &wake;
    struct weir__waiter *waiter;

    weir__exempt_lock(&resolver->mutex);
    resolver->stats.failed += answer->error < 0;
    resolver->stats.abandoned_now -= answer->abandoned;
    weir__answer_keep(answer, weir__clock_now());
    while ((waiter = weir__waiter_claim_first(&answer->waiters)))
        last = weir__wait_chain(last, waiter->wait);
    weir__answer_unref(answer);
    pthread_mutex_unlock(&resolver->mutex);
    weir__wait_wake_all(wake);
}

/* --- Waiting: on the caller's loop ------------------------------------------------------------ */

/* Under the mutex: the last caller has left. A question that no thread has begun is taken back. */
static void abandon(struct weir__answer *answer)
{
    struct weir__resolver *resolver = answer->resolver;

    if (weir__pool_withdraw(&answer->job)) {
        weir__answer_remove(answer);
        weir__answer_unref(answer); /* the job's */
        return;
    }
    answer->abandoned = true;
    resolver->stats.abandoned++;
    resolver->stats.abandoned_now++;
}

/* Under the mutex: what the caller gets of a known answer. */
static int outcome(const struct lookup *lookup, const struct weir__answer *answer,
                   struct weir_resolved *results, size_t max)
{
    if (answer->error < 0)
        return answer->error;
    return copy_out(lookup, answer->addresses, answer->count, results, max);
}

static struct weir__answer *make_answer(const struct lookup *lookup)
{
    struct weir__answer *answer = weir__memory_zalloc(NULL, sizeof *answer);

    if (!answer)
        return NULL;
    answer->resolver = lookup->resolver;
    answer->question = lookup->question;
    answer->refs = 1; /* the job's */
    weir__list_init(&answer->bucket);
    weir__list_init(&answer->age);
    weir__list_init(&answer->waiters);
    answer->job = (struct weir__job){ .fn = ask, .arg = answer, .done = answered };
    return answer;
}

static const struct weir__reason awaits_name = { "name resolution", WEIR_PHASE_POOL, NULL };

/* Under the mutex, which is given back meanwhile: waits until the answer is known. A new question
 * goes to the pool, with the caller's credit, once the caller can be found. */
static int wait_for(struct weir__answer *answer, bool is_new, int64_t deadline_ns)
{
    struct weir__resolver *resolver = answer->resolver;
    struct weir__waiter waiter = { .wait = weir__wait_self(), .alone = true };
    int code;

    weir__wait_begin(waiter.wait, &awaits_name, answer);
    weir__list_append(&answer->waiters, &waiter.link);
    answer->refs++;
    resolver->stats.abandoned_now -= answer->abandoned;
    answer->abandoned = false;
    pthread_mutex_unlock(&resolver->mutex);
    if (is_new)
        weir__pool_post(resolver->pool, &answer->job);
    code = weir__wait_park(waiter.wait, deadline_ns, WEIR__PARK_CANCELLABLE);
    weir__exempt_lock(&resolver->mutex);
    if (code < 0)
        weir__list_unlink(&waiter.link);
    if (!answer->known && weir__list_empty(&answer->waiters))
        abandon(answer);
    return code;
}

/* The answer in the table, if it serves this call. */
static struct weir__answer *find(const struct lookup *lookup)
{
    struct weir__answer *answer =
        weir__answer_find(lookup->resolver, &lookup->question, weir__clock_now());

    if (answer && answer->known && lookup->fresh) {
        weir__answer_remove(answer);
        return NULL;
    }
    return answer;
}

/* Under the mutex: a new question, in the table; the caller has a credit for it. */
static struct weir__answer *begin_to_ask(const struct lookup *lookup)
{
    struct weir__answer *answer = make_answer(lookup);

    if (answer) {
        weir__answer_add(answer);
        lookup->resolver->stats.asked++;
    }
    return answer;
}

/* Under the mutex: from the table, or by waiting. */
static int take_answer(const struct lookup *lookup, struct weir__answer *answer, bool is_new,
                       struct weir_resolved *results, size_t max)
{
    struct weir_resolve_stats *stats = &lookup->resolver->stats;
    int result;

    if (answer->known) {
        stats->hits++;
        return outcome(lookup, answer, results, max);
    }
    stats->joined += !is_new;
    result = wait_for(answer, is_new, lookup->deadline_ns);
    if (result >= 0)
        result = outcome(lookup, answer, results, max);
    weir__answer_unref(answer);
    return result;
}

/* Under the mutex, which is given back meanwhile: a credit, then the question, unless others have
 * begun to ask it by then. */
static int begin_or_join(const struct lookup *lookup, struct weir__answer **answer, bool *is_new)
{
    struct weir__resolver *resolver = lookup->resolver;
    int error;

    pthread_mutex_unlock(&resolver->mutex);
    error = weir__pool_start(resolver->pool) < 0 ? -ENOMEM : 0; /* no thread can be had */
    if (error >= 0)
        error = weir__pool_admit(resolver->pool, lookup->deadline_ns);
    weir__exempt_lock(&resolver->mutex);
    if (error < 0)
        return error;
    *answer = find(lookup);
    *is_new = *answer == NULL;
    if (*is_new)
        *answer = begin_to_ask(lookup);
    if (!*is_new || !*answer)
        weir__pool_give_up(resolver->pool);
    return *answer ? 0 : -ENOMEM;
}

static int look_up(const struct lookup *lookup, struct weir_resolved *results, size_t max)
{
    struct weir__resolver *resolver = lookup->resolver;
    struct weir__answer *answer;
    bool is_new = false;
    int result = 0;

    weir__exempt_lock(&resolver->mutex);
    resolver->stats.calls++;
    answer = find(lookup);
    if (!answer || !answer->known)
        result = weir__wait_refuse(lookup->deadline_ns);
    if (result >= 0 && !answer)
        result = begin_or_join(lookup, &answer, &is_new);
    resolver->stats.refused += result == -EBUSY;
    if (result >= 0)
        result = take_answer(lookup, answer, is_new, results, max);
    pthread_mutex_unlock(&resolver->mutex);
    return result;
}

static void count_numeric(struct weir__resolver *resolver)
{
    weir__exempt_lock(&resolver->mutex);
    resolver->stats.calls++;
    resolver->stats.numeric++;
    pthread_mutex_unlock(&resolver->mutex);
}

int weir_resolve(const char *name, const char *service, const struct weir_resolve_hints *hints,
                 struct weir_resolved *results, size_t max, int64_t deadline_ns)
{
    static const struct weir_resolve_hints standard;
    struct lookup lookup = { .deadline_ns = deadline_ns };
    struct weir_resolved found[2];
    int result;

    if (!name || !results || max == 0)
        return -EINVAL;
    if (!weir__loop_current)
        return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
    lookup.resolver = weir__loop_current->runtime->resolver;
    result = begin(&lookup, name, service, hints ? hints : &standard);
    if (result >= 0)
        result = weir__wait_check();
    if (result < 0)
        return result;
    result = find_here(&lookup, found);
    if (result == -EAGAIN) {
        result = look_up(&lookup, results, max);
    } else {
        count_numeric(lookup.resolver);
        if (result > 0)
            result = copy_out(&lookup, found, (size_t)result, results, max);
    }
    weir__wait_settle(NULL);
    return result;
}
