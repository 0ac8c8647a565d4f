/* Showing untrusted text in aligned columns. */
#ifndef SMQ_CLI_PRINT_H
#define SMQ_CLI_PRINT_H

#include <stddef.h>
#include <stdio.h>

#include <sealmq/json.h>

/* Places that the escaped text takes on a terminal, one per character. */
size_t print_width(const char *text, size_t width_max);
/* The text, escaped, cut to width_max places, then blanks up to width; width 0: none. */
void print_cell(FILE *out, const char *text, size_t width, size_t width_max);

/* Calls write with ever larger room until it fits, then prints what it wrote and a newline. */
smq_err print_json(FILE *out, void (*write)(struct smq_json *j, const void *of), const void *of);

#endif
