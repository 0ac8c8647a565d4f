/* What topic filters have to do with topics, and with each other (MQTT 5, 4.7). */
#include "app/topic_filter.h"

#include <stdio.h>
#include <string.h>

#include <sealmq/text.h>

enum { LEVELS_COUNTED = 16, SENDER_FILTER_MAX = 512 };

/* Level by level, from the left: a word is narrower than '+', that than '#'; where a filter ends with the topic it is
 * as narrow as words. */
uint64_t smq_filter_width(smq_span filter, smq_span topic)
{
	uint64_t width = 0;
	bool ended = false;
	size_t at = 0;
	if (!smq_topic_matches(filter, topic))
		return 0;
	for (int level = 0; level < LEVELS_COUNTED; level++) {
		unsigned kind = 3;
		if (!ended && at < filter.len && filter.p[at] == '+')
			kind = 2;
		else if (!ended && at < filter.len && filter.p[at] == '#')
			kind = 1;
		width = 4 * width + kind;
		ended = ended || kind == 1;
		while (!ended && at < filter.len && filter.p[at] != '/')
			at++;
		ended = ended || at >= filter.len;
		at++;
		if (kind == 1)
			return width << 2 * (LEVELS_COUNTED - 1 - level);
	}
	return width;
}

/* ---- two filters ---- */

/* Takes the first level off; false: there is none. */
static bool take_level(smq_span *rest, smq_span *ret_level)
{
	if (!rest->p)
		return false;
	const uint8_t *slash = rest->len > 0 ? memchr(rest->p, '/', rest->len) : NULL;
	size_t len = slash ? (size_t)(slash - rest->p) : rest->len;
	*ret_level = smq_span_of(rest->p, len);
	*rest = slash ? smq_span_of(slash + 1, rest->len - len - 1) : smq_span_of(NULL, 0);
	return true;
}

static bool is_word(smq_span level, char c) { return level.len == 1 && level.p[0] == (uint8_t)c; }

static smq_span unshared(smq_span filter)
{
	smq_span level, rest = filter;
	if (!take_level(&rest, &level) || !smq_span_equal(level, smq_span_str("$share")))
		return filter;
	return take_level(&rest, &level) && rest.p ? rest : filter;
}

/* A wildcard at the beginning leaves out what begins with '$'. */
static bool begins_apart(smq_span a, smq_span b)
{
	bool wild = a.len > 0 && (a.p[0] == '+' || a.p[0] == '#');
	return wild && b.len > 0 && b.p[0] == '$';
}

bool smq_filters_overlap(smq_span a, smq_span b)
{
	a = unshared(a);
	b = unshared(b);
	if (begins_apart(a, b) || begins_apart(b, a))
		return false;
	for (;;) {
		smq_span x = smq_span_of(NULL, 0), y = x;
		bool has_x = take_level(&a, &x), has_y = take_level(&b, &y);
		if ((has_x && is_word(x, '#')) || (has_y && is_word(y, '#')))
			return true; /* it matches the level above, too */
		if (!has_x || !has_y)
			return has_x == has_y;
		if (!is_word(x, '+') && !is_word(y, '+') && !smq_span_equal(x, y))
			return false;
	}
}

/* ---- topics that name their sender ---- */

static const char hole[] = "{sender}";

/* The pattern with something in the place of {sender}; false: it does not fit, or there is no such place. */
static bool fill(const char *pattern, const char *with, char ret_filter[SENDER_FILTER_MAX])
{
	const char *at = strstr(pattern, hole);
	if (!at || (at > pattern && at[-1] != '/') || (at[sizeof(hole) - 1] && at[sizeof(hole) - 1] != '/') ||
	    strstr(at + 1, hole))
		return false;
	int len = snprintf(ret_filter, SENDER_FILTER_MAX, "%.*s%s%s", (int)(at - pattern), pattern, with,
			   at + sizeof(hole) - 1);
	return len > 0 && len < SENDER_FILTER_MAX;
}

bool smq_sender_pattern_valid(const char *pattern)
{
	char filter[SENDER_FILTER_MAX];
	return fill(pattern, "+", filter) && smq_topic_filter_valid(smq_span_str(filter));
}

bool smq_topic_names_sender(const char *pattern, const char *topic, const char *sender)
{
	char filter[SENDER_FILTER_MAX];
	smq_span t = smq_span_str(topic);
	if (!fill(pattern, "+", filter) || !smq_topic_matches(smq_span_str(filter), t))
		return true;
	return fill(pattern, sender, filter) && smq_topic_matches(smq_span_str(filter), t);
}
