/* JSON strings, and a copy of JSON that checks as it goes. */
#include "cli/json.h"

#include <ctype.h>

enum { DEPTH_MAX = 256 };

/* Length of the UTF-8 sequence at p, 0 if there is none (RFC 3629); *ret_code is its code point. */
static size_t utf8_at(const uint8_t *p, size_t left, uint32_t *ret_code)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len = p[0] < 0x80             ? 1
		     : (p[0] & 0xe0) == 0xc0 ? 2
		     : (p[0] & 0xf0) == 0xe0 ? 3
		     : (p[0] & 0xf8) == 0xf0 ? 4
					     : 0;
	if (len == 0 || len > left)
		return 0;
	uint32_t code = len == 1 ? p[0] : p[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3f);
	}
	if (code < least[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return len;
}

static bool is_control(uint32_t code) { return code < 0x20 || (code >= 0x7f && code < 0xa0); }

static void put_code(struct buf *out, const uint8_t *p, size_t len, uint32_t code)
{
	static const char named[] = "\bb\ff\nn\rr\tt\"\"\\\\";
	for (size_t i = 0; i + 1 < sizeof named; i += 2) {
		if (code == (uint32_t)named[i]) {
			buf_printf(out, "\\%c", named[i + 1]);
			return;
		}
	}
	if (is_control(code))
		buf_printf(out, "\\u%04x", (unsigned)code);
	else
		buf_put(out, p, len);
}

void json_string(struct buf *out, smq_span text)
{
	buf_put(out, "\"", 1);
	for (size_t i = 0; i < text.len;) {
		uint32_t code = 0;
		size_t len = utf8_at(text.p + i, text.len - i, &code);
		if (len)
			put_code(out, text.p + i, len, code);
		else
			buf_text(out, "\xef\xbf\xbd");
		i += len ? len : 1;
	}
	buf_put(out, "\"", 1);
}

bool json_can_hold(smq_span text)
{
	for (size_t i = 0; i < text.len;) {
		uint32_t code;
		size_t len = utf8_at(text.p + i, text.len - i, &code);
		if (!len)
			return false;
		i += len;
	}
	return true;
}

void json_base64(struct buf *out, smq_span bytes)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	buf_put(out, "\"", 1);
	for (size_t i = 0; i < bytes.len; i += 3) {
		size_t left = bytes.len - i;
		uint32_t three = (uint32_t)bytes.p[i] << 16 | (left > 1 ? (uint32_t)bytes.p[i + 1] << 8 : 0) |
				 (left > 2 ? bytes.p[i + 2] : 0);
		char four[4] = { digits[three >> 18], digits[three >> 12 & 63],
				 left > 1 ? digits[three >> 6 & 63] : '=', left > 2 ? digits[three & 63] : '=' };
		buf_put(out, four, 4);
	}
	buf_put(out, "\"", 1);
}

/* ---- checked copy ---- */

struct copy {
	const uint8_t *p, *end;
	struct buf *out;
	bool pretty;
	int depth;
};

static void skip_blanks(struct copy *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\n' || *c->p == '\r'))
		c->p++;
}

static int peek(const struct copy *c) { return c->p < c->end ? *c->p : -1; }

static bool take(struct copy *c, char wanted)
{
	skip_blanks(c);
	if (peek(c) != wanted)
		return false;
	c->p++;
	return true;
}

static bool copy_escape(struct copy *c)
{
	size_t len = 2;
	if (c->end - c->p < 2)
		return false;
	if (c->p[1] == 'u') {
		len = 6;
		if (c->end - c->p < 6)
			return false;
		for (int i = 2; i < 6; i++) {
			if (!isxdigit(c->p[i]))
				return false;
		}
	} else if (!c->p[1] || !strchr("\"\\/bfnrt", c->p[1])) {
		return false;
	}
	buf_put(c->out, c->p, len);
	c->p += len;
	return true;
}

static bool copy_string(struct copy *c)
{
	if (!take(c, '"'))
		return false;
	buf_put(c->out, "\"", 1);
	while (c->p < c->end && *c->p != '"') {
		uint32_t code = 0;
		size_t len;
		if (*c->p == '\\') {
			if (!copy_escape(c))
				return false;
			continue;
		}
		len = utf8_at(c->p, (size_t)(c->end - c->p), &code);
		if (!len || code < 0x20)
			return false;
		put_code(c->out, c->p, len, code);
		c->p += len;
	}
	buf_put(c->out, "\"", 1);
	return take(c, '"');
}

static size_t digits_at(const struct copy *c, size_t at)
{
	size_t count = 0;
	while (c->p + at + count < c->end && isdigit(c->p[at + count]))
		count++;
	return count;
}

static bool copy_number(struct copy *c)
{
	size_t left = (size_t)(c->end - c->p), len = left > 0 && c->p[0] == '-', digits = digits_at(c, len);
	if (digits == 0 || (digits > 1 && c->p[len] == '0'))
		return false;
	len += digits;
	if (len < left && c->p[len] == '.') {
		digits = digits_at(c, ++len);
		if (digits == 0)
			return false;
		len += digits;
	}
	if (len < left && (c->p[len] == 'e' || c->p[len] == 'E')) {
		len++;
		if (len < left && (c->p[len] == '+' || c->p[len] == '-'))
			len++;
		digits = digits_at(c, len);
		if (digits == 0)
			return false;
		len += digits;
	}
	buf_put(c->out, c->p, len);
	c->p += len;
	return true;
}

static bool copy_word(struct copy *c)
{
	static const char *const words[] = { "true", "false", "null" };
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		size_t len = strlen(words[i]);
		if ((size_t)(c->end - c->p) >= len && memcmp(c->p, words[i], len) == 0) {
			buf_put(c->out, words[i], len);
			c->p += len;
			return true;
		}
	}
	return false;
}

static bool copy_value(struct copy *c);

static void new_line(struct copy *c)
{
	if (!c->pretty)
		return;
	buf_put(c->out, "\n", 1);
	buf_fill(c->out, '\t', (size_t)c->depth);
}

static bool copy_member(struct copy *c)
{
	new_line(c);
	if (!copy_string(c) || !take(c, ':'))
		return false;
	buf_text(c->out, c->pretty ? ":\t" : ":");
	return copy_value(c);
}

static bool copy_object(struct copy *c)
{
	bool first = true;
	c->depth++;
	buf_put(c->out, "{", 1);
	while (skip_blanks(c), peek(c) != '}') {
		if (!first && !take(c, ','))
			return false;
		if (!first)
			buf_put(c->out, ",", 1);
		first = false;
		if (!copy_member(c))
			return false;
	}
	c->depth--;
	if (!first || c->pretty)
		new_line(c);
	buf_put(c->out, "}", 1);
	return take(c, '}');
}

static bool copy_array(struct copy *c)
{
	bool first = true;
	c->depth++;
	buf_put(c->out, "[", 1);
	while (skip_blanks(c), peek(c) != ']') {
		if (!first && !take(c, ','))
			return false;
		if (!first)
			buf_text(c->out, c->pretty ? ", " : ",");
		first = false;
		if (!copy_value(c))
			return false;
	}
	c->depth--;
	buf_put(c->out, "]", 1);
	return take(c, ']');
}

static bool copy_value(struct copy *c)
{
	if (c->depth >= DEPTH_MAX)
		return false;
	skip_blanks(c);
	switch (peek(c)) {
	case '{':
		c->p++;
		return copy_object(c);
	case '[':
		c->p++;
		return copy_array(c);
	case '"':
		return copy_string(c);
	case 't':
	case 'f':
	case 'n':
		return copy_word(c);
	default:
		return copy_number(c);
	}
}

bool json_lay_out(struct buf *out, smq_span text, bool pretty)
{
	size_t before = out->len;
	struct copy c = { text.p, text.p + text.len, out, pretty, 0 };
	bool ok = text.len > 0 && copy_value(&c);
	skip_blanks(&c);
	if (ok && c.p == c.end)
		return true;
	out->len = before;
	return false;
}
