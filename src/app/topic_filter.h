/* What topic filters have to do with topics, and with each other (MQTT 5, 4.7). */
#ifndef SMQ_APP_TOPIC_FILTER_H
#define SMQ_APP_TOPIC_FILTER_H

#include <stdbool.h>

#include <sealmq/span.h>

/* How narrowly a filter matches a topic: larger is narrower; 0: not at all. */
uint64_t smq_filter_width(smq_span filter, smq_span topic);
/*
 * Whether a topic agrees with its sender: where it falls under a pattern such as plant/{sender}/#, in which {sender}
 * stands for one whole level, that level is the sender's name. Other topics name nobody, and agree with everybody.
 */
bool smq_topic_names_sender(const char *pattern, const char *topic, const char *sender);
/* Whether it is such a pattern. */
bool smq_sender_pattern_valid(const char *pattern);
/* Whether some topic matches both. What precedes the filter of a shared subscription does not count. */
bool smq_filters_overlap(smq_span a, smq_span b);

#endif
