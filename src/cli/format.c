/* Output formats: a reader of the format string and one function a letter. */
#include "cli/format.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/json.h"
#include "cli/property.h"

enum { WIDTH_MAX = 10000 };

struct spec {
	bool left, zero;
	int width;
	int max; /* -1: none */
	char letter;
};

struct context {
	const struct smq_message *message;
	const struct format_options *options;
	struct tm time;
	struct buf *out;
	smq_err err;
};

/* ---- reading the format ---- */

static const char letters[] = "%ACDEFIjJlmpPqrRStUxXsgeknvBaobG";
static const char escapes[] = "\\0aenrtv";
static const char escape_bytes[] = "\\\0\a\033\n\r\t\v";

static int read_number(const char **at)
{
	int number = 0;
	for (; **at >= '0' && **at <= '9'; ++*at) {
		if (number <= WIDTH_MAX)
			number = number * 10 + (**at - '0');
	}
	return number;
}

/* at: behind the '%'. Returns what follows the specifier. */
static const char *read_spec(const char *at, struct spec *ret_spec)
{
	struct spec spec = { .max = -1 };
	for (; *at == '-' || *at == '0'; at++) {
		spec.left |= *at == '-';
		spec.zero |= *at == '0';
	}
	spec.width = read_number(&at);
	if (*at == '.') {
		at++;
		spec.max = read_number(&at);
	}
	spec.letter = *at;
	*ret_spec = spec;
	return *at ? at + 1 : at;
}

bool format_valid(const char *format, const char **ret_why, char *ret_bad)
{
	struct spec spec;
	for (const char *at = format; *at;) {
		char start = *at++;
		if (start != '%' && start != '@' && start != '\\')
			continue;
		spec.letter = *at;
		spec.width = 0;
		spec.max = -1;
		at = start == '%' ? read_spec(at, &spec) : *at ? at + 1 : at;
		*ret_bad = spec.letter;
		*ret_why = start == '%' ? "no such letter after '%'" : "no such letter after '\\'";
		if (!spec.letter)
			*ret_why = "it ends in the middle of a specifier";
		else if (spec.width > WIDTH_MAX || spec.max > WIDTH_MAX)
			*ret_why = "a width above 10000";
		else if (start == '@' || strchr(start == '%' ? letters : escapes, spec.letter))
			continue;
		return false;
	}
	return true;
}

/* ---- fields ---- */

static void put_data(struct context *c, smq_span bytes)
{
	if (c->options->escape)
		buf_escaped(c->out, bytes);
	else
		buf_put(c->out, bytes.p, bytes.len);
}

static void put_blank(struct context *c, const struct spec *spec, char pad)
{
	buf_fill(c->out, pad, (size_t)spec->width);
}

/* The padding in front, or behind when `behind`. */
static void pad(struct context *c, const struct spec *spec, size_t len, bool behind, char with)
{
	if (spec->left == behind && len < (size_t)spec->width)
		buf_fill(c->out, behind ? ' ' : with, (size_t)spec->width - len);
}

/* No maximum cuts a UTF-8 sequence in two. */
static size_t cut(smq_span text, int max)
{
	size_t len = text.len;
	if (max >= 0 && len > (size_t)max) {
		len = (size_t)max;
		while (len > 0 && (text.p[len] & 0xc0) == 0x80)
			len--;
	}
	return len;
}

static void put_text(struct context *c, const struct spec *spec, smq_span text)
{
	size_t len = cut(text, spec->max);
	pad(c, spec, len, false, ' ');
	put_data(c, smq_span_of(text.p, len));
	pad(c, spec, len, true, ' ');
}

static void put_digits(struct context *c, const struct spec *spec, const char *digits)
{
	size_t len = strlen(digits);
	bool negative = digits[0] == '-' && spec->zero && !spec->left;
	if (negative)
		buf_put(c->out, "-", 1);
	pad(c, spec, len, false, spec->zero ? '0' : ' ');
	buf_text(c->out, digits + negative);
	pad(c, spec, len, true, ' ');
}

static void put_number(struct context *c, const struct spec *spec, uint64_t number)
{
	char digits[24];
	snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
	put_digits(c, spec, digits);
}

static const struct smq_property *property(const struct context *c, const char *name)
{
	size_t index = 0;
	return property_find(c->message->mqtt.properties, c->message->mqtt.property_count, name, &index);
}

static void put_property_text(struct context *c, const struct spec *spec, const char *name, bool blank)
{
	const struct smq_property *p = property(c, name);
	if (p)
		put_text(c, spec, smq_span_of(p->value, p->value_len));
	else if (blank)
		put_blank(c, spec, ' ');
}

static void put_property_number(struct context *c, const struct spec *spec, const char *name)
{
	const struct smq_property *p = property(c, name);
	if (p)
		put_digits(c, spec, p->value);
	else
		put_blank(c, spec, spec->zero && !spec->left ? '0' : ' ');
}

static void put_user_properties(struct context *c)
{
	const struct smq_mqtt_message *m = &c->message->mqtt;
	size_t index = 0;
	bool first = true;
	for (;;) {
		const struct smq_property *p = property_find(m->properties, m->property_count, "user-property", &index);
		if (!p)
			return;
		if (!first)
			buf_put(c->out, " ", 1);
		first = false;
		put_data(c, smq_span_of(p->value, p->value_len));
		buf_put(c->out, ":", 1);
		put_data(c, smq_span_str(p->pair_value));
	}
}

/* As mosquitto, a width is also the most that is printed of a payload. */
static void put_payload(struct context *c, const struct spec *spec)
{
	smq_span payload = c->message->mqtt.payload;
	int max = spec->max >= 0 ? spec->max : spec->width > 0 ? spec->width : -1;
	size_t len = max >= 0 && payload.len > (size_t)max ? (size_t)max : payload.len;
	pad(c, spec, len, false, spec->zero ? '0' : ' ');
	put_data(c, smq_span_of(payload.p, len));
	pad(c, spec, len, true, ' ');
}

/* Whole bytes only. */
static void put_hex(struct context *c, const struct spec *spec, const char *digits)
{
	smq_span payload = c->message->mqtt.payload;
	int max = spec->max >= 0 ? spec->max : spec->width > 0 ? spec->width : -1;
	size_t len = max >= 0 && payload.len > (size_t)max / 2 ? (size_t)max / 2 : payload.len;
	pad(c, spec, len * 2, false, spec->zero ? '0' : ' ');
	for (size_t i = 0; i < len; i++) {
		char two[2] = { digits[payload.p[i] >> 4], digits[payload.p[i] & 15] };
		buf_put(c->out, two, 2);
	}
	pad(c, spec, len * 2, true, ' ');
}

/* ---- times ---- */

/* RFC 3339: strftime's %z lacks the colon. */
static size_t zone_of(const struct tm *time, char room[16])
{
	char zone[16] = "";
	if (strftime(zone, sizeof zone, "%z", time) != 5)
		return (size_t)snprintf(room, 16, "Z");
	return (size_t)snprintf(room, 16, "%.3s:%.2s", zone, zone + 3);
}

static void put_iso_time(struct context *c, const struct spec *spec)
{
	char text[64], zone[16];
	size_t len = strftime(text, sizeof text - sizeof zone, "%Y-%m-%dT%H:%M:%S", &c->time);
	zone_of(&c->time, zone);
	snprintf(text + len, sizeof text - len, "%s", zone);
	put_text(c, spec, smq_span_str(text));
}

static void put_strftime(struct context *c, char letter)
{
	char format[3] = { '%', letter, 0 };
	char text[128];
	if (letter == 'N') {
		buf_printf(c->out, "%09ld", c->options->now.tv_nsec);
		return;
	}
	if (letter == '@') {
		buf_put(c->out, "@", 1);
		return;
	}
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	/* the letter comes from the user's own command line */
	buf_put(c->out, text, strftime(text, sizeof text, format, &c->time));
#pragma GCC diagnostic pop
}

/* ---- JSON ---- */

static void put_json_property(struct buf *out, const struct smq_property *p)
{
	json_string(out, smq_span_str(p->name));
	buf_put(out, ":", 1);
	if (property_is_number(p->name))
		buf_put(out, p->value, p->value_len);
	else
		json_string(out, smq_span_of(p->value, p->value_len));
}

static void put_json_users(struct buf *out, const struct smq_mqtt_message *m)
{
	size_t index = 0;
	const struct smq_property *p;
	bool first = true;
	buf_text(out, "\"user-properties\":{");
	while ((p = property_find(m->properties, m->property_count, "user-property", &index))) {
		buf_text(out, first ? "" : ",");
		first = false;
		json_string(out, smq_span_of(p->value, p->value_len));
		buf_put(out, ":", 1);
		json_string(out, smq_span_str(p->pair_value));
	}
	buf_put(out, "}", 1);
}

static void put_json_properties(struct buf *out, const struct smq_mqtt_message *m)
{
	bool users = false, first = true;
	buf_text(out, ",\"properties\":{");
	for (size_t i = 0; i < m->property_count; i++) {
		bool user = strcmp(m->properties[i].name, "user-property") == 0;
		if (user && users)
			continue;
		buf_text(out, first ? "" : ",");
		first = false;
		users |= user;
		if (user)
			put_json_users(out, m);
		else
			put_json_property(out, &m->properties[i]);
	}
	buf_put(out, "}", 1);
}

static void put_hex_id(struct buf *out, const uint8_t id[16])
{
	for (int i = 0; i < 16; i++)
		buf_printf(out, "%02x", id[i]);
}

static void put_json_e2e(struct buf *out, const struct smq_message *m)
{
	buf_text(out, ",\"e2e\":{\"sender\":");
	json_string(out, smq_span_str(m->sender));
	buf_text(out, ",\"group\":");
	if (m->group)
		json_string(out, smq_span_str(m->group));
	else
		buf_text(out, "null");
	buf_printf(out, ",\"epoch\":%llu,\"slot\":", (unsigned long long)m->epoch);
	if (m->slot == SMQ_NO_SLOT)
		buf_text(out, "null");
	else
		buf_printf(out, "%llu", (unsigned long long)m->slot);
	buf_printf(out, ",\"counter\":%llu,\"boot_id\":\"", (unsigned long long)m->counter);
	put_hex_id(out, m->boot_id);
	buf_printf(out, "\",\"proof\":\"%s\",\"algorithm\":", smq_proof_name(m->proof));
	json_string(out, smq_span_str(m->algorithm));
	if (m->age_ms == SMQ_NO_AGE)
		buf_text(out, ",\"age_ms\":null");
	else
		buf_printf(out, ",\"age_ms\":%lld", (long long)m->age_ms);
	buf_printf(out, ",\"open_ns\":%llu,\"overhead\":%zu,\"missing\":%llu}", (unsigned long long)m->open_ns,
		   m->overhead, (unsigned long long)m->missing);
}

static bool put_json_payload(struct buf *out, smq_span payload, bool as_json)
{
	buf_text(out, ",\"payload\":");
	if (payload.len == 0)
		buf_text(out, "null");
	else if (as_json)
		return json_lay_out(out, payload, false);
	else if (json_can_hold(payload))
		json_string(out, payload);
	else {
		buf_text(out, "null,\"payload_base64\":");
		json_base64(out, payload);
	}
	return true;
}

static void put_json(struct context *c, bool as_json)
{
	const struct smq_mqtt_message *m = &c->message->mqtt;
	struct buf text = { 0 };
	char time[40], zone[16];
	strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%S", &c->time);
	zone_of(&c->time, zone);
	buf_printf(&text, "{\"tst\":\"%s.%06ld%s\",\"topic\":", time, c->options->now.tv_nsec / 1000, zone);
	json_string(&text, smq_span_str(m->topic));
	buf_printf(&text, ",\"qos\":%d,\"retain\":%d,\"payloadlen\":%zu", m->qos, m->retain, m->payload.len);
	if (m->qos > 0)
		buf_printf(&text, ",\"mid\":%d", m->id);
	if (m->property_count > 0)
		put_json_properties(&text, m);
	if (!put_json_payload(&text, m->payload, as_json)) {
		c->err = SMQ_ERR_DATA;
	} else {
		if (c->message->proof != SMQ_PROOF_PLAIN)
			put_json_e2e(&text, c->message);
		buf_put(&text, "}", 1);
		if (!c->options->pretty)
			buf_put(c->out, text.p, text.len);
		else if (!json_lay_out(c->out, smq_span_of(text.p, text.len), true))
			c->err = SMQ_ERR_DATA; /* nested too deeply once inside our object */
	}
	buf_free(&text);
}

/* ---- letters ---- */

/* Ours. Plain messages have none of these: as many blanks as the width asks for. */
static void put_ours(struct context *c, const struct spec *spec)
{
	const struct smq_message *m = c->message;
	char text[40];
	if (spec->letter == 'v') {
		put_text(c, spec, smq_span_str(smq_proof_name(m->proof)));
		return;
	}
	if (m->proof == SMQ_PROOF_PLAIN || (spec->letter == 'k' && m->slot == SMQ_NO_SLOT) ||
	    (spec->letter == 'a' && m->age_ms == SMQ_NO_AGE)) {
		put_blank(c, spec, ' ');
		return;
	}
	switch (spec->letter) {
	case 's':
		put_text(c, spec, smq_span_str(m->sender));
		break;
	case 'g':
		put_text(c, spec, smq_span_str(m->group));
		break;
	case 'B':
		put_hex_id(c->out, m->boot_id);
		break;
	case 'a':
		snprintf(text, sizeof text, "%lld", (long long)m->age_ms);
		put_digits(c, spec, text);
		break;
	default:
		put_number(c, spec,
			   spec->letter == 'e'   ? m->epoch
			   : spec->letter == 'k' ? m->slot
			   : spec->letter == 'n' ? m->counter
			   : spec->letter == 'o' ? m->open_ns
			   : spec->letter == 'b' ? m->overhead
						 : m->missing);
	}
}

static void put_letter(struct context *c, const struct spec *spec)
{
	const struct smq_mqtt_message *m = &c->message->mqtt;
	switch (spec->letter) {
	case '%':
		buf_put(c->out, "%", 1);
		break;
	case 'A':
		put_property_number(c, spec, "topic-alias");
		break;
	case 'C':
		put_property_text(c, spec, "content-type", true);
		break;
	case 'D':
		put_property_text(c, &(struct spec){ .max = -1 }, "correlation-data", false);
		break;
	case 'E':
		put_property_number(c, spec, "message-expiry-interval");
		break;
	case 'F':
		put_property_number(c, spec, "payload-format-indicator");
		break;
	case 'I':
		put_iso_time(c, spec);
		break;
	case 'j':
	case 'J':
		put_json(c, spec->letter == 'J');
		break;
	case 'l':
		put_number(c, spec, m->payload.len);
		break;
	case 'm':
		put_number(c, spec, (uint64_t)m->id);
		break;
	case 'P':
		put_user_properties(c);
		break;
	case 'p':
		put_payload(c, spec);
		break;
	case 'q':
		buf_printf(c->out, "%d", m->qos);
		break;
	case 'r':
		buf_printf(c->out, "%d", m->retain);
		break;
	case 'R':
		put_property_text(c, spec, "response-topic", false);
		break;
	case 'S':
		put_property_number(c, spec, "subscription-identifier");
		break;
	case 't':
		put_text(c, spec, smq_span_str(m->topic));
		break;
	case 'U':
		buf_printf(c->out, "%lld.%09ld", (long long)c->options->now.tv_sec, c->options->now.tv_nsec);
		break;
	case 'x':
		put_hex(c, spec, "0123456789abcdef");
		break;
	case 'X':
		put_hex(c, spec, "0123456789ABCDEF");
		break;
	default:
		put_ours(c, spec);
	}
}

smq_err format_message(const char *format, const struct smq_message *message, const struct format_options *options,
		       struct buf *out)
{
	struct context c = { .message = message, .options = options, .out = out };
	struct spec spec;
	localtime_r(&options->now.tv_sec, &c.time);
	for (const char *at = format; *at;) {
		size_t plain = strcspn(at, "%@\\");
		buf_put(out, at, plain);
		at += plain;
		if (*at == '%') {
			at = read_spec(at + 1, &spec);
			put_letter(&c, &spec);
		} else if (*at && at[1]) {
			if (*at == '@')
				put_strftime(&c, at[1]);
			else
				buf_put(out, &escape_bytes[strchr(escapes, at[1]) - escapes], 1);
			at += 2;
		} else if (*at) {
			break;
		}
	}
	return c.err;
}

void format_default(const struct smq_message *message, bool verbose, bool escape, struct buf *out)
{
	struct format_options options = { .escape = escape };
	struct context c = { .message = message, .options = &options, .out = out };
	if (verbose) {
		put_data(&c, smq_span_str(message->mqtt.topic));
		buf_put(out, " ", 1);
		if (message->mqtt.payload.len == 0)
			buf_text(out, "(null)");
	}
	put_data(&c, message->mqtt.payload);
}
