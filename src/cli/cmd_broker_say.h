/* What the parts of `sealmq broker` have in common: refusals, numbers, times, JSON. */
#ifndef SMQ_CLI_CMD_BROKER_SAY_H
#define SMQ_CLI_CMD_BROKER_SAY_H

#include <stdbool.h>
#include <stdint.h>

#include <sealmq/err.h>
#include <sealmq/json.h>

enum { BROKER_TIME_LEN = 24 };

/* Say it on standard error; return the exit status. text may be NULL. */
int broker_fail(smq_err err, const char *text);
int broker_misuse(const char *text, const char *word);
/* Output that did not arrive is a failure too. */
int broker_flushed(void);
/* RFC 3339 in UTC. */
void broker_time(int64_t ms, char ret_text[BROKER_TIME_LEN]);
/* A whole number from min to max, nothing around it. */
bool broker_number(const char *text, int min, int max, int *ret_number);
/* Prints a finished object with a newline; returns the exit status. */
int broker_print_json(const struct smq_json *j, const char *text);

#endif
