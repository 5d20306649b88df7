/* SPDX-License-Identifier: MIT */
/* The resolver of a runtime; the public verbs are in <weir/resolve.h>. */
#ifndef WEIR_NET_RESOLVE_H
#define WEIR_NET_RESOLVE_H

#include <weir/resolve.h>

struct weir__resolver;
struct weir__runtime;

/* Makes the resolver of a runtime, by its filled-in options; its threads start with the first
 * question. Returns 0 or -ENOMEM. */
int weir__resolver_create(struct weir__resolver **resolver, struct weir__runtime *runtime);

/*
 * No task is left. Its threads are joined, except those that are inside of getaddrinfo, which may
 * take a minute and cannot be told to stop: the last of them frees the resolver.
 */
void weir__resolver_destroy(struct weir__resolver *resolver);

#endif
