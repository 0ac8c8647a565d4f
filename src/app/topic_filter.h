/* What topic filters have to do with topics, and with each other (MQTT 5, 4.7). */
#ifndef SMQ_APP_TOPIC_FILTER_H
#define SMQ_APP_TOPIC_FILTER_H

#include <stdbool.h>

#include <sealmq/span.h>

/* How narrowly a filter matches a topic: larger is narrower; 0: not at all. */
uint64_t smq_filter_width(smq_span filter, smq_span topic);
/* Whether some topic matches both. What precedes the filter of a shared subscription does not count. */
bool smq_filters_overlap(smq_span a, smq_span b);

#endif
