/* SPDX-License-Identifier: MIT */
/* What the kernel gave, for programs and for people; the table of features. */
#ifndef WEIR_RUNTIME_REPORT_H
#define WEIR_RUNTIME_REPORT_H

#include <weir/runtime.h>

struct weir__loop;

/* All bits of enum weir_feature. */
unsigned weir__report_features(void);

/* Adds to `report` what `loop` obtained: each has the same kernel, and so the same. */
void weir__report_fill(struct weir_report *report, const struct weir__loop *loop);

#endif
