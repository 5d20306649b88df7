/* SPDX-License-Identifier: MIT */
/*
 * Shapes built of tasks and channels: the chapters on stages, pipelines, one to many, many to one,
 * calls and what makes them robust.
 *
 * For people who know core.async (version 1.8): where each of its names is found here. Each row is
 * compiled and run as an example in tests/flow/core_async_test.c.
 *
 * core.async                            weir
 * ------------------------------------  --------------------------------------------------------
 * chan buffer                           weir_chan_create, with a capacity
 * dropping-buffer sliding-buffer        weir_chan_options.policy, WEIR_CHAN_DROP_NEWEST, _OLDEST
 * promise-chan                          weir_chan_options.policy, WEIR_CHAN_PROMISE
 * unblocking-buffer?                    whether the policy is another than WEIR_CHAN_PARK
 * close!                                weir_chan_close; weir_chan_abort also drops what is left
 * >! >!!                                weir_chan_send, from a task or a thread
 * <! <!!                                weir_chan_recv, from a task or a thread
 * offer! poll!                          the same with the deadline WEIR_NOW
 * put! take!                            weir_chan_send_async, weir_chan_recv_async
 * alts! alts!! alt! alt!! do-alts       weir_select; :priority is WEIR_SELECT_PRIORITY, :default
 *                                       the deadline WEIR_NOW
 * timeout                               the deadline of each call; weir_clause_timer, weir_sleep
 * go go-loop                            weir_spawn; the value is what weir_join gives
 * thread thread-call io-thread          weir_pool_run; for computations weir_cpu_run
 * onto-chan! onto-chan!! to-chan!       weir_from_array
 * to-chan!! onto-chan to-chan           weir_from_array
 * into                                  weir_collect
 * reduce                                weir_reduce
 * transduce                             weir_map and its kin, then weir_reduce
 * take                                  weir_take
 * pipe                                  weir_pipe
 * split                                 weir_split
 * merge                                 weir_merge
 * map                                   weir_zip, then weir_map
 * map< map>                             weir_map
 * filter< filter> remove< remove>       weir_filter
 * mapcat< mapcat>                       weir_expand
 * partition                             weir_partition
 * partition-by                          weir_expand, with the group in its context
 * unique                                weir_filter, with the last element in its context
 * pipeline                              weir_pipeline, WEIR_PIPELINE_TASK or WEIR_PIPELINE_CPU
 * pipeline-blocking                     weir_pipeline, WEIR_PIPELINE_POOL
 * pipeline-async                        weir_pipeline_async
 * mult tap untap untap-all              weir_mult_create, _tap, _untap, _untap_all
 * pub sub unsub unsub-all               weir_pub_create, _sub, _unsub, _unsub_all
 * mix admix unmix unmix-all             weir_mix_create, _add, _remove, _remove_all
 * toggle solo-mode                      weir_mix_toggle, weir_mix_solo_mode
 *
 * What has no name there: deadlines and cancel on everything, scopes, weir_all, weir_race, weir_any
 * and weir_for_each, bounds by weight, watermarks, counted handles, weir_call and weir_each,
 * weir_chain_run, tickers, retry, breaker, limiter, bucket and shed. A process layer
 * (clojure.core.async.flow) there is not yet.
 */
#ifndef WEIR_FLOW_H
#define WEIR_FLOW_H

#include <weir/branch.h>
#include <weir/breaker.h>
#include <weir/bucket.h>
#include <weir/call.h>
#include <weir/chain.h>
#include <weir/for_each.h>
#include <weir/limiter.h>
#include <weir/mix.h>
#include <weir/mult.h>
#include <weir/pipeline.h>
#include <weir/pub.h>
#include <weir/retry.h>
#include <weir/shed.h>
#include <weir/stage.h>
#include <weir/ticker.h>

#endif
