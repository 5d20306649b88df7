/* SPDX-License-Identifier: MIT */
/* In place of the libuv contenders, where libuv was not found at build time. */
#include "uv_peer.h"

const char *uv_peer_version(void)
{
    return "not found at build time";
}

const char *uv_peer_why_not(const struct bench *bench)
{
    (void)bench;
    return "libuv was not found at build time (Debian: libuv1-dev)";
}

static __attribute__((noreturn)) void absent(void)
{
    trial_fail("built without libuv");
}

void uv_peer_file(struct file_job *job)
{
    (void)job;
    absent();
}

void uv_peer_echo(const struct echo_job *job)
{
    (void)job;
    absent();
}

void uv_peer_storm(struct storm_job *job)
{
    (void)job;
    absent();
}

void uv_peer_log(struct log_job *job)
{
    (void)job;
    absent();
}

void uv_peer_dial(struct dial_job *job)
{
    (void)job;
    absent();
}

void uv_peer_udp(const struct udp_job *job)
{
    (void)job;
    absent();
}

void uv_peer_overload(const struct overload_job *job)
{
    (void)job;
    absent();
}

void uv_peer_jobs(struct jobs_job *job)
{
    (void)job;
    absent();
}
