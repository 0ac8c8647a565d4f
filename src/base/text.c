/* Text at the edges: hex, names, topics, and untrusted bytes made fit for a terminal. */
#include "base/hot.h"
#include "base/text.h"

static const char digits[] = "0123456789abcdef";

smq_err smq_hex_encode(smq_span bytes, char *ret_text, size_t room)
{
	if (room == 0 || (room - 1) / 2 < bytes.len)
		return SMQ_ERR_NO_ROOM;
	for (size_t i = 0; i < bytes.len; i++) {
		ret_text[2 * i] = digits[bytes.p[i] >> 4];
		ret_text[2 * i + 1] = digits[bytes.p[i] & 15];
	}
	ret_text[2 * bytes.len] = 0;
	return SMQ_OK;
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

smq_err smq_hex_decode(const char *text, smq_mspan room, size_t *ret_len)
{
	size_t len = strlen(text);
	if (len % 2 != 0)
		return SMQ_ERR_MALFORMED;
	if (len / 2 > room.len)
		return SMQ_ERR_NO_ROOM;
	for (size_t i = 0; i < len; i += 2) {
		int high = nibble(text[i]);
		int low = nibble(text[i + 1]);
		if (high < 0 || low < 0)
			return SMQ_ERR_MALFORMED;
		room.p[i / 2] = (uint8_t)(high << 4 | low);
	}
	*ret_len = len / 2;
	return SMQ_OK;
}

static bool name_char(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool smq_name_valid(smq_span name)
{
	if (name.len == 0 || name.len > SMQ_NAME_MAX)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		if (!name_char(name.p[i]))
			return false;
	}
	return true;
}

/* Length of the valid UTF-8 sequence at the start of s, 0 if there is none. Table 3-7 of the Unicode standard. */
SMQ_HOT static size_t utf8_len(smq_span s)
{
	uint8_t a = s.p[0];
	size_t n = a < 0x80 ? 1 : a >= 0xc2 && a <= 0xdf ? 2 : (a & 0xf0) == 0xe0 ? 3 : a >= 0xf0 && a <= 0xf4 ? 4 : 0;
	if (n == 0 || n > s.len)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s.p[i] & 0xc0) != 0x80)
			return 0;
	}
	uint8_t b = n > 1 ? s.p[1] : 0;
	if ((a == 0xe0 && b < 0xa0) || (a == 0xed && b > 0x9f) || (a == 0xf0 && b < 0x90) || (a == 0xf4 && b > 0x8f))
		return 0;
	return n;
}

bool smq_utf8_valid(smq_span text)
{
	for (size_t i = 0; i < text.len;) {
		size_t n = utf8_len(smq_span_of(text.p + i, text.len - i));
		if (n == 0 || text.p[i] == 0)
			return false;
		i += n;
	}
	return true;
}

SMQ_HOT bool smq_topic_valid(smq_span topic)
{
	if (topic.len == 0 || topic.len > UINT16_MAX || !smq_utf8_valid(topic))
		return false;
	return !memchr(topic.p, '+', topic.len) && !memchr(topic.p, '#', topic.len);
}

static bool wildcards_in_place(smq_span f)
{
	for (size_t i = 0; i < f.len; i++) {
		bool starts = i == 0 || f.p[i - 1] == '/';
		bool ends = i + 1 == f.len || f.p[i + 1] == '/';
		if (f.p[i] == '+' && !(starts && ends))
			return false;
		if (f.p[i] == '#' && !(starts && i + 1 == f.len))
			return false;
	}
	return true;
}

/* The filter behind "$share/name/", or the filter itself; an empty span where the share is malformed. */
static smq_span behind_share(smq_span f)
{
	static const char share[] = "$share/";
	const size_t n = sizeof(share) - 1;
	if (f.len < n || memcmp(f.p, share, n) != 0)
		return f;
	const uint8_t *slash = memchr(f.p + n, '/', f.len - n);
	if (!slash || slash == f.p + n)
		return smq_span_of(NULL, 0);
	size_t name_len = (size_t)(slash - f.p) - n;
	if (memchr(f.p + n, '+', name_len) || memchr(f.p + n, '#', name_len))
		return smq_span_of(NULL, 0);
	return smq_span_of(slash + 1, f.len - n - name_len - 1);
}

bool smq_topic_filter_valid(smq_span filter)
{
	if (filter.len == 0 || filter.len > UINT16_MAX || !smq_utf8_valid(filter))
		return false;
	smq_span f = behind_share(filter);
	return f.len > 0 && wildcards_in_place(f);
}

SMQ_HOT static smq_span take_level(smq_span *s, bool *ret_more)
{
	const uint8_t *slash = s->len ? memchr(s->p, '/', s->len) : NULL;
	size_t n = slash ? (size_t)(slash - s->p) : s->len;
	smq_span level = smq_span_of(s->p, n);
	*ret_more = slash != NULL;
	*s = slash ? smq_span_of(slash + 1, s->len - n - 1) : smq_span_of(NULL, 0);
	return level;
}

static bool match_levels(smq_span f, smq_span topic)
{
	bool filter_more = true;
	bool topic_more = true;
	while (filter_more) {
		smq_span level = take_level(&f, &filter_more);
		if (level.len == 1 && level.p[0] == '#')
			return true; /* "a/#" covers "a" too: MQTT 5, 4.7.1.2 */
		if (!topic_more)
			return false;
		smq_span word = take_level(&topic, &topic_more);
		if (!(level.len == 1 && level.p[0] == '+') && !smq_span_equal(level, word))
			return false;
	}
	return !topic_more;
}

/* How many bytes two texts begin with in common. */
static size_t common_prefix(smq_span a, smq_span b)
{
	size_t i = 0, n = a.len < b.len ? a.len : b.len;
	for (uint64_t x, y; n - i >= sizeof(x); i += sizeof(x)) {
		memcpy(&x, a.p + i, sizeof(x));
		memcpy(&y, b.p + i, sizeof(y));
		if (x != y)
			break;
	}
	while (i < n && a.p[i] == b.p[i])
		i++;
	return i;
}

/* Every message comes by here, so what is the same in both is left behind in one go; levels are looked at one by one
 * from where they begin to differ. */
bool smq_topic_matches(smq_span filter, smq_span topic)
{
	smq_span f = behind_share(filter);
	if (f.len == 0 || topic.len == 0)
		return false;
	if (topic.p[0] == '$' && f.p[0] != '$')
		return false;
	size_t same = common_prefix(f, topic);
	if (same == f.len && same == topic.len)
		return true;
	while (same > 0 && f.p[same - 1] != '/')
		same--;
	if (same + 1 == f.len && f.p[same] == '#')
		return true;
	if (same == f.len || same == topic.len) /* one ends in a slash where the other goes on: an empty level */
		return match_levels(f, topic);
	return match_levels(smq_span_of(f.p + same, f.len - same), smq_span_of(topic.p + same, topic.len - same));
}

/* Bidirectional controls and their kin can make a terminal show other text than was sent. */
static bool misleading(const uint8_t *p, size_t n)
{
	if (n == 2)
		return p[0] == 0xc2 && p[1] < 0xa0; /* C1 controls */
	if (n == 3 && p[0] == 0xe2 && p[1] == 0x80)
		return (p[2] >= 0x8b && p[2] <= 0x8f) || (p[2] >= 0xa8 && p[2] <= 0xae);
	if (n == 3 && p[0] == 0xe2 && p[1] == 0x81)
		return p[2] >= 0xa0 && p[2] <= 0xaf;
	return n == 3 && p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf;
}

/* Writes one unit of escaped text into out (at most 16 bytes) and says how many input bytes it took. */
static size_t escape_one(smq_span s, char out[16], size_t *ret_len)
{
	static const char plain[] = "nrt\\";
	static const char raw[] = "\n\r\t\\";
	const char *hit = s.p[0] ? strchr(raw, s.p[0]) : NULL;
	size_t n = utf8_len(s);
	if (hit) {
		out[0] = '\\';
		out[1] = plain[hit - raw];
		*ret_len = 2;
		return 1;
	}
	if (n > 0 && s.p[0] >= 0x20 && s.p[0] != 0x7f && !misleading(s.p, n)) {
		memcpy(out, s.p, n);
		*ret_len = n;
		return n;
	}
	n = n ? n : 1;
	for (size_t i = 0; i < n; i++) {
		out[4 * i] = '\\';
		out[4 * i + 1] = 'x';
		out[4 * i + 2] = digits[s.p[i] >> 4];
		out[4 * i + 3] = digits[s.p[i] & 15];
	}
	*ret_len = 4 * n;
	return n;
}

size_t smq_escape(smq_span bytes, char *ret_text, size_t room)
{
	size_t len = 0;
	char unit[16];
	if (room == 0)
		return 0;
	while (bytes.len > 0) {
		size_t unit_len;
		size_t taken = escape_one(bytes, unit, &unit_len);
		size_t tail = taken == bytes.len ? 1 : 4; /* zero, or "..." and zero */
		if (len + unit_len + tail > room) {
			size_t dots = room - 1 - len < 3 ? room - 1 - len : 3;
			memcpy(ret_text + len, "...", dots);
			len += dots;
			break;
		}
		memcpy(ret_text + len, unit, unit_len);
		len += unit_len;
		bytes = smq_span_of(bytes.p + taken, bytes.len - taken);
	}
	ret_text[len] = 0;
	return len;
}
