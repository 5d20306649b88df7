/* SPDX-License-Identifier: MIT */
/* The libuv contenders; where libuv was not found at build time, uv_absent.c stands in. */
#ifndef BENCH_UV_PEER_H
#define BENCH_UV_PEER_H

#include "bench.h"

const char *uv_peer_version(void);
const char *uv_peer_why_not(const struct bench *bench);

/* The pool's size is read by libuv at first use. Versions that can put some operations on io_uring
 * are told not to: what is measured is thread-pool I/O. 0: no pool is used. */
void uv_peer_set_up(unsigned threads);

void uv_peer_file(struct file_job *job);
void uv_peer_echo(const struct echo_job *job);
void uv_peer_storm(struct storm_job *job);
void uv_peer_jobs(struct jobs_job *job);
void uv_peer_log(struct log_job *job);
void uv_peer_dial(struct dial_job *job);
void uv_peer_udp(const struct udp_job *job);
void uv_peer_overload(const struct overload_job *job);

#endif
