/* SPDX-License-Identifier: MIT */
/*
 * What the interposer (tools/interpose) and the runtime know of each other. The runtime may be
 * linked statically, its names hidden: so it looks for the interposer's one name, and leaves its
 * hook there.
 */
#ifndef WEIR_WATCH_INTERPOSE_H
#define WEIR_WATCH_INTERPOSE_H

#define WEIR__INTERPOSE_NAME    "weir_interpose_to"
#define WEIR__INTERPOSE_LIBRARY "libweir-interpose.so"

/* Stands for a system call where there are many: a name is asked for. */
enum { WEIR__INTERPOSE_RESOLVE = 511 };

/* Called on any thread before a call that the C library would make, as the kernel would see it. */
typedef void weir__interpose_hook(long number, const long args[6]);

/* The interposer's: from now on to this one. It is never unset: it knows which threads it is for.
 */
typedef void weir__interpose_to(weir__interpose_hook *hook);

#endif
