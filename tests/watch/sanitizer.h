/* SPDX-License-Identifier: MIT */
/* Whether signals come when they are sent. */
#ifndef WEIR_TESTS_WATCH_SANITIZER_H
#define WEIR_TESTS_WATCH_SANITIZER_H

/* ThreadSanitizer keeps signals back until the thread makes a call that it knows of. */
#if defined(__SANITIZE_THREAD__)
#define PROBES_ANSWERED 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PROBES_ANSWERED 0
#endif
#endif
#ifndef PROBES_ANSWERED
#define PROBES_ANSWERED 1
#endif

#endif
