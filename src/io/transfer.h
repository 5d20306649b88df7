/* SPDX-License-Identifier: MIT */
/*
 * The rows of pipe2, read, write, readv and writev: bytes without an offset of the caller's. What
 * has no position (pipes, ttys, eventfds, sockets) waits on the ring, held as a pollable descriptor
 * is. What has one (files, directories, block devices) is the pool's: the position belongs to the
 * open file, which other processes may share, and only read(2) itself takes it and moves it as one
 * step.
 *
 * Arguments in an op: `fd`; `address` the buffer or iovecs; `length` bytes or iovecs.
 */
#ifndef WEIR_IO_TRANSFER_H
#define WEIR_IO_TRANSFER_H

#include "io/op.h"

enum weir__route weir__transfer_choose(const struct weir__op *op);

void weir__transfer_prep_read(struct weir__op *op, struct io_uring_sqe *sqe);
void weir__transfer_prep_write(struct weir__op *op, struct io_uring_sqe *sqe);
void weir__transfer_prep_readv(struct weir__op *op, struct io_uring_sqe *sqe);
/* other_address: a msghdr for the case that it is a socket */
void weir__transfer_prep_writev(struct weir__op *op, struct io_uring_sqe *sqe);

int64_t weir__transfer_call_read(struct weir__op *op);
int64_t weir__transfer_call_write(struct weir__op *op);
int64_t weir__transfer_call_readv(struct weir__op *op);
int64_t weir__transfer_call_writev(struct weir__op *op);
int64_t weir__transfer_call_pipe2(struct weir__op *op); /* address: the pair */

#endif
