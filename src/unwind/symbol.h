/* SPDX-License-Identifier: MIT */
/*
 * Names of addresses in code, from the symbol tables of the loaded objects' files: .symtab, which
 * has static functions too, or what strip(1) leaves, .dynsym. A file that was replaced since it was
 * loaded gives no names. Any thread, not in a signal handler; allocates nothing from the heap.
 */
#ifndef WEIR_UNWIND_SYMBOL_H
#define WEIR_UNWIND_SYMBOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { WEIR__SYMBOL_BYTES = 160 }; /* of a text, cut if need be */

/*
 * As "parse_line+0x2f (server)"; "0x2f41 (server)", its place in the object's file, without a name
 * for it; "0x7f00deadbeef" in no object. A return address is looked up one byte before.
 */
void weir__symbol_format(void *address, bool is_return_address, char *text, size_t bytes);

/* The name of the function alone; false when there is none. */
bool weir__symbol_name(void *address, char *text, size_t bytes);

/* What weir__backtrace_* returned: one line a frame, indented by four columns. */
void weir__symbol_print(FILE *stream, void *const *addresses, size_t count);

/* Gives back what is kept of the files between calls. */
void weir__symbol_forget(void);

#endif
