/* The table of MQTT 5 properties that a user can set. */
#include "cli/property.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sealmq/text.h>

#include "cli/mem.h"

enum command_bit { CONNECT = 1, PUBLISH = 2, SUBSCRIBE = 4, UNSUBSCRIBE = 8, DISCONNECT = 16, WILL = 32, AUTH = 64 };

enum kind { KIND_NUMBER, KIND_TEXT, KIND_BINARY, KIND_PAIR };

static const struct {
	const char *name;
	unsigned bit;
	bool pub, sub; /* which of the two tools sends such a packet with properties */
} packets[] = {
	{ "connect", CONNECT, true, true },
	{ "publish", PUBLISH, true, false },
	{ "subscribe", SUBSCRIBE, false, true },
	{ "unsubscribe", UNSUBSCRIBE, false, true },
	{ "disconnect", DISCONNECT, true, true },
	{ "will", WILL, true, true },
	{ "auth", AUTH, true, true },
};

static const struct row {
	const char *name;
	enum kind kind;
	uint32_t max;
	unsigned packets;
} rows[] = {
	{ "authentication-data", KIND_BINARY, 0, CONNECT | AUTH },
	{ "authentication-method", KIND_TEXT, 0, CONNECT | AUTH },
	{ "content-type", KIND_TEXT, 0, PUBLISH | WILL },
	{ "correlation-data", KIND_BINARY, 0, PUBLISH | WILL },
	{ "maximum-packet-size", KIND_NUMBER, UINT32_MAX, CONNECT },
	{ "message-expiry-interval", KIND_NUMBER, UINT32_MAX, PUBLISH | WILL },
	{ "payload-format-indicator", KIND_NUMBER, 1, PUBLISH | WILL },
	{ "reason-string", KIND_TEXT, 0, DISCONNECT | AUTH },
	{ "receive-maximum", KIND_NUMBER, UINT16_MAX, CONNECT },
	{ "request-problem-information", KIND_NUMBER, 1, CONNECT },
	{ "request-response-information", KIND_NUMBER, 1, CONNECT },
	{ "response-topic", KIND_TEXT, 0, PUBLISH | WILL },
	{ "session-expiry-interval", KIND_NUMBER, UINT32_MAX, CONNECT | DISCONNECT },
	{ "subscription-identifier", KIND_NUMBER, 268435455, SUBSCRIBE },
	{ "topic-alias", KIND_NUMBER, UINT16_MAX, PUBLISH },
	{ "topic-alias-maximum", KIND_NUMBER, UINT16_MAX, CONNECT },
	{ "user-property", KIND_PAIR, 0, CONNECT | PUBLISH | SUBSCRIBE | UNSUBSCRIBE | DISCONNECT | WILL | AUTH },
	{ "will-delay-interval", KIND_NUMBER, UINT32_MAX, WILL },
};

static const struct row *find_row(const char *name)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		if (strcasecmp(rows[i].name, name) == 0)
			return &rows[i];
	}
	return NULL;
}

static bool is_number(const char *text, uint32_t max)
{
	char *end;
	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	unsigned long long number = strtoull(text, &end, 10);
	return errno == 0 && *end == 0 && number <= max;
}

static bool is_text(const char *text) { return smq_utf8_valid(smq_span_str(text)) && strlen(text) <= UINT16_MAX; }

static bool value_fits(const struct row *row, const char *const *words, const char **ret_why)
{
	if (row->kind == KIND_NUMBER && !is_number(words[2], row->max)) {
		*ret_why =
		    row->max == 1 ? "takes 0 or 1" : "takes a whole number, not below 0 and not above its maximum";
		return false;
	}
	if ((row->kind == KIND_TEXT && !is_text(words[2])) || strlen(words[2]) > UINT16_MAX ||
	    (row->kind == KIND_PAIR && (!is_text(words[2]) || !is_text(words[3])))) {
		*ret_why = "takes UTF-8 text of at most 65535 bytes";
		return false;
	}
	return true;
}

static bool packet_of(const char *name, bool publishing, unsigned *ret_bit, const char **ret_name)
{
	for (size_t i = 0; i < sizeof packets / sizeof packets[0]; i++) {
		if (strcasecmp(packets[i].name, name) == 0 && (publishing ? packets[i].pub : packets[i].sub)) {
			*ret_bit = packets[i].bit;
			*ret_name = packets[i].name;
			return true;
		}
	}
	return false;
}

bool property_add(struct properties *list, bool publishing, const char *const *words, const char **ret_why)
{
	const struct row *row = find_row(words[1]);
	const char *packet = NULL;
	unsigned bit = 0;
	if (!packet_of(words[0], publishing, &bit, &packet)) {
		*ret_why = publishing
			       ? "not a packet that is sent: connect, publish, disconnect, will, auth"
			       : "not a packet that is sent: connect, subscribe, unsubscribe, disconnect, will, auth";
		return false;
	}
	if (!row || !(row->packets & bit)) {
		*ret_why = row ? "this property does not go with this packet" : "there is no property of this name";
		return false;
	}
	if (!value_fits(row, words, ret_why))
		return false;
	if (list->count == list->room) {
		list->room = list->room ? 2 * list->room : 4;
		list->items = mem_array(list->items, list->room, sizeof list->items[0]);
	}
	list->items[list->count++] = (struct smq_property){ .command = packet,
							    .name = row->name,
							    .value = words[2],
							    .value_len = strlen(words[2]),
							    .pair_value = row->kind == KIND_PAIR ? words[3] : NULL };
	return true;
}

const struct smq_property *property_find(const struct smq_property *items, size_t count, const char *name,
					 size_t *index)
{
	for (size_t i = *index; i < count; i++) {
		if (strcmp(items[i].name, name) == 0) {
			*index = i + 1;
			return &items[i];
		}
	}
	*index = count;
	return NULL;
}

bool property_is_number(const char *name)
{
	const struct row *row = find_row(name);
	return row && row->kind == KIND_NUMBER;
}
