/* Writing JSON (RFC 8259) into caller's room; every output is valid JSON in valid UTF-8. */
#include <sealmq/json.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void fail(struct smq_json *j, smq_err err)
{
	if (j->err == SMQ_OK)
		j->err = err;
}

/* One byte always stays free for the terminating zero. */
static void put(struct smq_json *j, const void *bytes, size_t len)
{
	if (j->err != SMQ_OK)
		return;
	if (len >= j->room || j->len >= j->room - len) {
		fail(j, SMQ_ERR_NO_ROOM);
		return;
	}
	memcpy(j->p + j->len, bytes, len);
	j->len += len;
}

static void put_char(struct smq_json *j, char c) { put(j, &c, 1); }

struct smq_json smq_json_on(smq_mspan room)
{
	struct smq_json j = { .p = (char *)room.p, .room = room.len };
	return j;
}

static uint32_t level_bit(const struct smq_json *j) { return UINT32_C(1) << (j->depth - 1); }

static void separate(struct smq_json *j)
{
	if (j->started & level_bit(j))
		put_char(j, ',');
	j->started |= level_bit(j);
}

/* Before every value: a comma in arrays, and a check that a value may stand here. */
static void begin_value(struct smq_json *j)
{
	if (j->depth == 0) {
		if (j->done)
			fail(j, SMQ_ERR_BUG);
		j->done = true;
	} else if (j->arrays & level_bit(j)) {
		separate(j);
	} else if (!j->after_key) {
		fail(j, SMQ_ERR_BUG);
	}
	j->after_key = false;
}

static void open_level(struct smq_json *j, bool array)
{
	begin_value(j);
	if (j->depth == SMQ_JSON_DEPTH_MAX) {
		fail(j, SMQ_ERR_BUG);
		return;
	}
	j->depth++;
	j->arrays = array ? j->arrays | level_bit(j) : j->arrays & ~level_bit(j);
	j->started &= ~level_bit(j);
	put_char(j, array ? '[' : '{');
}

void smq_json_object(struct smq_json *j) { open_level(j, false); }

void smq_json_array(struct smq_json *j) { open_level(j, true); }

void smq_json_end(struct smq_json *j)
{
	if (j->depth == 0 || j->after_key) {
		fail(j, SMQ_ERR_BUG);
		return;
	}
	put_char(j, j->arrays & level_bit(j) ? ']' : '}');
	j->depth--;
}

static void put_unicode(struct smq_json *j, unsigned code)
{
	static const char digits[] = "0123456789abcdef";
	char text[6] = { '\\', 'u', '0', '0', digits[code >> 4 & 15], digits[code & 15] };
	put(j, text, sizeof(text));
}

static void put_ascii(struct smq_json *j, char c)
{
	static const char raw[] = "\"\\\b\f\n\r\t";
	static const char letter[] = "\"\\bfnrt";
	const char *hit = c ? strchr(raw, c) : NULL;
	if (hit) {
		put_char(j, '\\');
		put_char(j, letter[hit - raw]);
	} else if ((unsigned char)c < 0x20 || c == 0x7f) {
		put_unicode(j, (unsigned char)c);
	} else {
		put_char(j, c);
	}
}

/* Length of the valid UTF-8 sequence at p, 0 if there is none (table 3-7 of the Unicode standard). */
static size_t sequence_len(const uint8_t *p, size_t len)
{
	uint8_t a = p[0];
	size_t n = a < 0x80 ? 1 : a >= 0xc2 && a <= 0xdf ? 2 : (a & 0xf0) == 0xe0 ? 3 : a >= 0xf0 && a <= 0xf4 ? 4 : 0;
	if (n == 0 || n > len)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	if ((a == 0xe0 && p[1] < 0xa0) || (a == 0xed && p[1] > 0x9f) || (a == 0xf0 && p[1] < 0x90) ||
	    (a == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

static void put_quoted(struct smq_json *j, smq_span text)
{
	static const char replacement[] = "\xef\xbf\xbd";
	put_char(j, '"');
	for (size_t i = 0; i < text.len && j->err == SMQ_OK;) {
		size_t n = sequence_len(text.p + i, text.len - i);
		if (n == 0)
			put(j, replacement, 3);
		else if (n == 1)
			put_ascii(j, (char)text.p[i]);
		else
			put(j, text.p + i, n);
		i += n ? n : 1;
	}
	put_char(j, '"');
}

void smq_json_key_span(struct smq_json *j, smq_span name)
{
	if (j->depth == 0 || j->arrays & level_bit(j) || j->after_key) {
		fail(j, SMQ_ERR_BUG);
		return;
	}
	separate(j);
	put_quoted(j, name);
	put_char(j, ':');
	j->after_key = true;
}

void smq_json_key(struct smq_json *j, const char *name) { smq_json_key_span(j, smq_span_str(name)); }

void smq_json_string(struct smq_json *j, smq_span text)
{
	begin_value(j);
	put_quoted(j, text);
}

void smq_json_null(struct smq_json *j)
{
	begin_value(j);
	put(j, "null", 4);
}

void smq_json_str(struct smq_json *j, const char *text)
{
	if (text)
		smq_json_string(j, smq_span_str(text));
	else
		smq_json_null(j);
}

static size_t skip_digits(smq_span t, size_t i)
{
	while (i < t.len && t.p[i] >= '0' && t.p[i] <= '9')
		i++;
	return i;
}

bool smq_json_is_number(smq_span t)
{
	size_t i = t.len > 0 && t.p[0] == '-' ? 1 : 0;
	size_t whole = i;
	i = skip_digits(t, i);
	if (i == whole || (t.p[whole] == '0' && i > whole + 1))
		return false;
	if (i < t.len && t.p[i] == '.') {
		size_t dot = i;
		i = skip_digits(t, dot + 1);
		if (i == dot + 1)
			return false;
	}
	if (i < t.len && (t.p[i] == 'e' || t.p[i] == 'E')) {
		size_t sign = i + 1 < t.len && (t.p[i + 1] == '+' || t.p[i + 1] == '-') ? 1 : 0;
		size_t first = i + 1 + sign;
		i = skip_digits(t, first);
		if (i == first)
			return false;
	}
	return i == t.len;
}

void smq_json_number(struct smq_json *j, smq_span digits)
{
	begin_value(j);
	if (smq_json_is_number(digits))
		put(j, digits.p, digits.len);
	else
		fail(j, SMQ_ERR_MALFORMED);
}

void smq_json_int(struct smq_json *j, int64_t value)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%lld", (long long)value);
	begin_value(j);
	put(j, text, (size_t)n);
}

void smq_json_uint(struct smq_json *j, uint64_t value)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	begin_value(j);
	put(j, text, (size_t)n);
}

void smq_json_double(struct smq_json *j, double value)
{
	char text[40];
	int n = 0;
	if (!isfinite(value)) {
		smq_json_null(j);
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		n = snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	/* The locale of the program that we are part of may have a decimal comma. */
	for (int i = 0; i < n; i++) {
		if (!strchr("0123456789eE+-", text[i]))
			text[i] = '.';
	}
	begin_value(j);
	put(j, text, (size_t)n);
}

void smq_json_bool(struct smq_json *j, bool value)
{
	begin_value(j);
	put(j, value ? "true" : "false", value ? 4 : 5);
}

void smq_json_hex(struct smq_json *j, smq_span bytes)
{
	static const char digits[] = "0123456789abcdef";
	begin_value(j);
	put_char(j, '"');
	for (size_t i = 0; i < bytes.len && j->err == SMQ_OK; i++) {
		char pair[2] = { digits[bytes.p[i] >> 4], digits[bytes.p[i] & 15] };
		put(j, pair, 2);
	}
	put_char(j, '"');
}

smq_err smq_json_finish(const struct smq_json *j, size_t *ret_len)
{
	if (j->err != SMQ_OK)
		return j->err;
	if (j->depth > 0 || !j->done)
		return SMQ_ERR_BUG;
	j->p[j->len] = 0;
	*ret_len = j->len;
	return SMQ_OK;
}
