/*
 * What sub prints for a message: the formats of mosquitto_sub -F, and letters of our own for what was opened.
 *
 *     %s sender   %g group   %e epoch   %k slot   %n counter   %v proof   %B boot id
 *     %a age, ms   %o time to open, ns   %b bytes over plaintext   %G messages missing before this one
 */
#ifndef SMQ_CLI_FORMAT_H
#define SMQ_CLI_FORMAT_H

#include <stdbool.h>
#include <time.h>

#include <sealmq/client.h>

#include "cli/buf.h"

struct format_options {
	bool escape;         /* the output is a terminal: nothing from the network may steer it */
	bool pretty;         /* indent JSON */
	struct timespec now; /* of reception, Unix time */
};

/* false: *ret_why says what is wrong, *ret_bad which character (0: the end). */
bool format_valid(const char *format, const char **ret_why, char *ret_bad);

/*
 * Appends the message in a valid format, without an end of line. SMQ_ERR_DATA: %J, and the payload is no JSON;
 * what was appended so far stays.
 */
SMQ_MUST_USE smq_err format_message(const char *format, const struct smq_message *message,
				    const struct format_options *options, struct buf *out);

/* Without -F: the payload alone, or with -v topic, blank and payload ("(null)" for an empty one, as mosquitto). */
void format_default(const struct smq_message *message, bool verbose, bool escape, struct buf *out);

#endif
