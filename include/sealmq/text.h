/*
 * Text at the edges: topics, filters and names checked, and untrusted bytes made fit for a terminal.
 *
 * All of these are pure functions over the bytes handed in.
 */
#ifndef SEALMQ_TEXT_H
#define SEALMQ_TEXT_H

#include <stdbool.h>

#include <sealmq/span.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Member, group and realm names: 1 to 64 of A-Z a-z 0-9 - _ ; they stand in topics and in file names. */
bool smq_name_valid(smq_span name);

/* UTF-8 without overlong forms, surrogates or U+0000 (MQTT 5, 1.5.4). */
bool smq_utf8_valid(smq_span text);

/* A topic that can be published to: 1 to 65,535 bytes of UTF-8, no '+' or '#' (MQTT 5, 4.7). */
bool smq_topic_valid(smq_span topic);
/* A topic filter, wildcards in their places, "$share/name/filter" included. */
bool smq_topic_filter_valid(smq_span filter);
/* Whether the topic falls under the filter; '$' topics are not matched by a leading wildcard. */
bool smq_topic_matches(smq_span filter, smq_span topic);

/* The bytes with everything that is not printable UTF-8 written as \xNN or \n, \r, \t, \\ ; for logs and
 * terminals. Returns the length written, without the terminating zero; cut at room, ended with "..." then. */
size_t smq_escape(smq_span bytes, char *ret_text, size_t room);

#ifdef __cplusplus
}
#endif
#endif
