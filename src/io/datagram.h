/* SPDX-License-Identifier: MIT */
/*
 * The rows on many datagrams, and on multicast groups. Receiving and sending many is one call of
 * the kernel that does not wait: recvmmsg took 0.69 to 0.81 of the time of as many recvmsg in one
 * submission of the ring (64 B, loopback, batches of 1 to 64; sendmmsg 0.90 to 0.96). When there is
 * nothing, the first one is waited for on the ring, by the rows recvmsg and sendmsg.
 */
#ifndef WEIR_IO_DATAGRAM_H
#define WEIR_IO_DATAGRAM_H

#include "io/op.h"

/* address: the mmsghdrs; length: their number; flags: MSG_*. */
int64_t weir__datagram_call_recvmmsg(struct weir__op *op);
int64_t weir__datagram_call_sendmmsg(struct weir__op *op);

/* flags: MCAST_JOIN_GROUP or MCAST_LEAVE_GROUP; mode: IPPROTO_IP or _IPV6; address: a group_req. */
int64_t weir__datagram_call_multicast(struct weir__op *op);

/* Whether this kernel cuts what is sent: asks it. */
bool weir__datagram_can_cut(void);

#endif
