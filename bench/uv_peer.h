/* SPDX-License-Identifier: MIT */
/* The libuv contenders; where libuv was not found at build time, uv_absent.c stands in. */
#ifndef BENCH_UV_PEER_H
#define BENCH_UV_PEER_H

#include "bench.h"

const char *uv_peer_version(void);
const char *uv_peer_why_not(const struct bench *bench);

void uv_peer_file(struct file_job *job);
void uv_peer_echo(const struct echo_job *job);

#endif
