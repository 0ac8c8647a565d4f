/* Lines of logs as events. */
#include "app/watch_line.h"

#include <string.h>

#include <sealmq/err.h>
#include <sealmq/text.h>

#include "base/table.h"

/* ---- spans ---- */

static bool begins(smq_span s, const char *with)
{
	size_t len = strlen(with);
	return s.len >= len && memcmp(s.p, with, len) == 0;
}

static smq_span after(smq_span s, size_t n) { return smq_span_of(s.p + n, s.len - n); }

/* Where a text begins in the span; s.len: nowhere. */
static size_t find(smq_span s, const char *text)
{
	const uint8_t *at = s.len ? memmem(s.p, s.len, text, strlen(text)) : NULL;
	return at ? (size_t)(at - s.p) : s.len;
}

static bool holds(smq_span s, const char *text) { return find(s, text) < s.len; }

/* Between two texts; empty if they are not there. */
static smq_span between(smq_span s, const char *left, const char *right)
{
	size_t from = find(s, left);
	if (from == s.len)
		return smq_span_of(NULL, 0);
	smq_span rest = after(s, from + strlen(left));
	size_t to = find(rest, right);
	return to == rest.len && *right ? smq_span_of(NULL, 0) : smq_span_of(rest.p, to);
}

static uint64_t number_at(smq_span s)
{
	uint64_t n = 0;
	for (size_t i = 0; i < s.len && i < 18 && s.p[i] >= '0' && s.p[i] <= '9'; i++)
		n = n * 10 + (uint64_t)(s.p[i] - '0');
	return n;
}

/* ---- times ---- */

static int64_t days_from_civil(int64_t y, int64_t m, int64_t d)
{
	y -= m <= 2;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t yoe = y - era * 400;
	int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static bool digits(const uint8_t *p, size_t n, int64_t *ret_value)
{
	int64_t v = 0;
	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		v = v * 10 + (p[i] - '0');
	}
	*ret_value = v;
	return true;
}

/* +0000, +00:00, Z, or nothing. */
static int64_t offset_of(smq_span s, size_t *ret_len)
{
	int64_t h = 0;
	int64_t m = 0;
	*ret_len = 0;
	if (s.len >= 1 && s.p[0] == 'Z')
		*ret_len = 1;
	else if (s.len >= 6 && (s.p[0] == '+' || s.p[0] == '-') && s.p[3] == ':' && digits(s.p + 1, 2, &h) &&
		 digits(s.p + 4, 2, &m))
		*ret_len = 6;
	else if (s.len >= 5 && (s.p[0] == '+' || s.p[0] == '-') && digits(s.p + 1, 2, &h) && digits(s.p + 3, 2, &m))
		*ret_len = 5;
	else
		return 0;
	return (s.p[0] == '-' ? 1 : -1) * (h * 3600 + m * 60);
}

/* 2026-11-21T15:21:19+0000, 2026/11/21 15:21:19, or seconds since 1970 and a colon, as Mosquitto does untold. */
static size_t read_time(smq_span s, int64_t *ret_time)
{
	int64_t y, mo, d, h, mi, sec;
	size_t zone = 0;
	if (s.len >= 19 && (s.p[4] == '-' || s.p[4] == '/') && s.p[7] == s.p[4] && digits(s.p, 4, &y) &&
	    digits(s.p + 5, 2, &mo) && digits(s.p + 8, 2, &d) && digits(s.p + 11, 2, &h) && digits(s.p + 14, 2, &mi) &&
	    digits(s.p + 17, 2, &sec)) {
		size_t fraction = s.len > 19 && s.p[19] == '.';
		while (fraction && 19 + fraction < s.len && s.p[19 + fraction] >= '0' && s.p[19 + fraction] <= '9')
			fraction++;
		int64_t shift = offset_of(after(s, 19 + fraction), &zone);
		*ret_time = days_from_civil(y, mo, d) * 86400 + h * 3600 + mi * 60 + sec + shift;
		return 19 + fraction + zone;
	}
	if (s.len >= 11 && digits(s.p, 10, &sec) && s.p[10] == ':') {
		*ret_time = sec;
		return 10;
	}
	*ret_time = 0;
	return 0;
}

static size_t take_time(struct smq_watch_clock *c, smq_span line, int64_t *ret_time)
{
	if (c->len && line.len >= c->len && memcmp(line.p, c->text, c->len) == 0) {
		*ret_time = c->time_s;
		return c->len;
	}
	size_t len = read_time(line, ret_time);
	if (len && len <= sizeof(c->text)) {
		memcpy(c->text, line.p, len);
		c->len = len;
		c->time_s = *ret_time;
	}
	return len;
}

/* ---- Mosquitto ---- */

static void read_client(struct smq_watch_line *l, smq_span s)
{
	static const struct {
		const char *text;
		enum smq_watch_kind kind;
	} rows[] = {
		{ " disconnected, not authorised", SMQ_WATCH_LOGIN_REFUSED },
		{ " already connected, closing old connection", SMQ_WATCH_TAKEN_OVER },
		{ " disconnected due to malformed packet", SMQ_WATCH_MALFORMED },
		{ " disconnected due to protocol error", SMQ_WATCH_MALFORMED },
		{ " disconnected due to oversize packet", SMQ_WATCH_OVERSIZE },
		{ " has exceeded timeout", SMQ_WATCH_TIMED_OUT },
	};
	smq_span rest = after(s, 7); /* "Client " */
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		size_t at = find(rest, rows[i].text);
		if (at == rest.len)
			continue;
		l->kind = rows[i].kind;
		l->who = smq_span_of(rest.p, at);
		return;
	}
}

/* Received PUBLISH from ID (d0, q1, r0, m1, 'TOPIC', ... (12 bytes)) */
static void read_packet(struct smq_watch_line *l, enum smq_watch_kind kind, smq_span s)
{
	size_t open = find(s, " (d");
	smq_span rest = after(s, open);
	l->kind = kind;
	l->who = smq_span_of(s.p, open);
	l->what = between(rest, ", '", "', ...");
	l->number = number_at(between(rest, "... (", " bytes"));
}

/* $SYS/broker/publish/messages/dropped 12 */
static void read_sys(struct smq_watch_line *l, smq_span s)
{
	size_t blank = find(s, " ");
	l->what = smq_span_of(s.p, blank);
	l->number = blank < s.len ? number_at(after(s, blank + 1)) : 0;
	l->kind = blank < s.len ? SMQ_WATCH_SYS : SMQ_WATCH_NOTHING;
}

static void read_mosquitto(struct smq_watch_line *l, smq_span s)
{
	if (begins(s, "$SYS/")) {
		read_sys(l, s);
	} else if (begins(s, "Received PUBLISH from ")) {
		read_packet(l, SMQ_WATCH_PUBLISHED, after(s, 22));
	} else if (begins(s, "Client ")) {
		read_client(l, s);
	} else if (begins(s, "New connection from ")) {
		l->kind = SMQ_WATCH_NEW;
	} else if (begins(s, "New client connected from ")) {
		l->kind = SMQ_WATCH_CONNECTED;
		l->who = between(s, " as ", " (p");
		l->what = between(s, ", u'", "')");
	} else if (begins(s, "OpenSSL Error")) {
		/* An end without goodbye is a lost connection, and no more. */
		if (!holds(s, "unexpected eof"))
			l->kind = SMQ_WATCH_TLS_REFUSED;
		l->what = s;
	} else if (begins(s, "Denied PUBLISH from ")) {
		read_packet(l, SMQ_WATCH_DENIED, after(s, 20));
	} else if (begins(s, "Received SUBSCRIBE from ")) {
		l->kind = SMQ_WATCH_SUBSCRIBER;
		l->who = after(s, 24);
	} else if (begins(s, "\t") && holds(s, " (QoS ")) {
		l->kind = SMQ_WATCH_FILTER;
		l->what = between(s, "\t", " (QoS ");
	} else if (begins(s, "mosquitto version ") && holds(s, " starting")) {
		l->kind = SMQ_WATCH_STARTING;
	}
}

/* ---- NGINX ---- */

static void read_access(struct smq_watch_line *l, smq_span s)
{
	smq_span client = between(s, "client=", " ");
	smq_span tls = between(s, " tls=", " ");
	smq_span seconds = between(s, " seconds=", " ");
	size_t port = client.len;
	while (port > 0 && client.p[port - 1] != ':')
		port--;
	l->who = smq_span_of(client.p, port ? port - 1 : client.len);
	l->kind = begins(tls, "TLSv1.3") ? SMQ_WATCH_PASSED : SMQ_WATCH_NOT_TLS13;
	size_t dot = find(seconds, ".");
	l->number = number_at(seconds) * 1000 + (dot < seconds.len ? number_at(after(seconds, dot + 1)) : 0);
}

static void read_nginx_error(struct smq_watch_line *l, smq_span s)
{
	if (holds(s, "limiting connections by zone")) {
		l->kind = SMQ_WATCH_LIMITED;
		l->who = between(s, "client: ", ",");
	} else if (holds(s, "while connecting to upstream") || holds(s, "no live upstreams")) {
		l->kind = SMQ_WATCH_UNREACHABLE;
		l->who = between(s, "upstream: \"", "\"");
	}
}

/* ---- ours ---- */

/* What `sealmq sub -F %j` prints of a message: quotes inside of its texts are escaped, so these are ours. */
static void read_opened(struct smq_watch_line *l, smq_span s)
{
	l->who = between(s, "\"e2e\":{\"sender\":\"", "\"");
	l->number = number_at(between(s, ",\"missing\":", "}"));
	l->kind = l->who.len ? SMQ_WATCH_SEEN : SMQ_WATCH_NOTHING;
}

/* sealmq sub: refused: replay: ...; topic 'T', says it is from 'NAME' (epoch ... */
static void read_ours(struct smq_watch_line *l, smq_span s)
{
	size_t refused = find(s, ": refused: ");
	if (refused < s.len) {
		l->kind = SMQ_WATCH_REFUSED;
		l->what = between(after(s, refused), ": refused: ", ":");
		l->who = between(s, "says it is from '", "' (epoch");
	} else if (holds(s, ": key exchange with '")) {
		l->kind = SMQ_WATCH_KEYEX_FAILED;
		l->who = between(s, ": key exchange with '", "' failed");
	} else if (holds(s, ": key exchange failed")) {
		l->kind = SMQ_WATCH_KEYEX_FAILED;
	}
}

/* ---- the key server ---- */

/* By its name, or (words) by its text. SMQ_OK: none of ours. */
static smq_err error_of(smq_span text, bool words)
{
	for (int code = 1; code <= SMQ_ERR_BUG; code++) {
		smq_err err = (smq_err)code;
		if (smq_span_equal(text, smq_span_str(words ? smq_err_text(err) : smq_err_name(err))) &&
		    (err == SMQ_ERR_BUG || smq_err_kind_of(err) != SMQ_KIND_BUG))
			return err;
	}
	return SMQ_OK;
}

/* Somebody proven asked for what it may not have. An admin that looks for a group that is not there yet may. */
static bool is_denial(smq_span what, smq_err err)
{
	return smq_err_kind_of(err) == SMQ_KIND_AUTH || err == SMQ_ERR_NOT_AUTHORIZED ||
	       (err == SMQ_ERR_NOT_FOUND && smq_span_equal(what, smq_span_str("join")));
}

static void judge(struct smq_watch_line *l, smq_span who, smq_span what, smq_err err)
{
	if (what.len == 0 && smq_err_kind_of(err) == SMQ_KIND_AUTH && err != SMQ_ERR_REPLAY)
		l->kind = SMQ_WATCH_KEYEX_FAILED; /* a key exchange in somebody's name */
	else if (what.len > 0 && is_denial(what, err))
		l->kind = SMQ_WATCH_JOIN_DENIED;
	l->who = who;
	l->what = what;
}

/* `sealmq keyserver run --json` and `sealmq keyserver audit --json`. */
static void read_keyserver_json(struct smq_watch_line *l, smq_span s)
{
	smq_span event = between(s, "\"event\":\"", "\"");
	smq_span outcome = between(s, event.len ? "\"error\":\"" : "\"outcome\":\"", "\"");
	bool dropped = smq_span_equal(event, smq_span_str("dropped"));
	if (event.len && !dropped && !smq_span_equal(event, smq_span_str("asked")))
		return;
	if (!event.len && !begins(s, "{\"number\":"))
		return;
	judge(l, between(s, "\"who\":\"", "\""), between(s, "\"what\":\"", "\""), error_of(outcome, false));
}

/* The same as it is printed: NAME: WHAT[ WHOM][ in GROUP]: TEXT, dropped a request in the name of NAME: TEXT. */
static void read_keyserver_words(struct smq_watch_line *l, smq_span s)
{
	static const char dropped[] = "dropped a request in the name of ";
	size_t colon = find(s, ": ");
	smq_span first = smq_span_of(s.p, colon), rest = colon < s.len ? after(s, colon + 2) : smq_span_of(s.p, 0);
	if (begins(s, dropped)) {
		judge(l, after(first, strlen(dropped)), smq_span_of(s.p, 0), error_of(rest, true));
		return;
	}
	size_t second = find(rest, ": "), blank = find(rest, " ");
	if (second == rest.len || !smq_name_valid(first))
		return;
	size_t len = blank < second ? blank : second;
	judge(l, first, smq_span_of(rest.p, len), error_of(after(rest, second + 2), true));
}

struct smq_watch_line smq_watch_read(struct smq_watch_clock *clock, smq_span line)
{
	struct smq_watch_line l = { .kind = SMQ_WATCH_NOTHING };
	if (begins(line, "{\"")) {
		if (holds(line, "\"e2e\":"))
			read_opened(&l, line);
		else
			read_keyserver_json(&l, line);
		take_time(clock, between(line, l.kind == SMQ_WATCH_SEEN ? "\"tst\":\"" : "\"time\":\"", "\""),
			  &l.time_s);
		return l;
	}
	if (begins(line, "$SYS/")) {
		read_sys(&l, line);
		return l;
	}
	size_t len = take_time(clock, line, &l.time_s);
	smq_span rest = after(line, len);
	if (begins(rest, ": "))
		read_mosquitto(&l, after(rest, 2));
	else if (len && begins(rest, " client="))
		read_access(&l, rest);
	else if (len && begins(rest, " ["))
		read_nginx_error(&l, rest);
	if (l.kind == SMQ_WATCH_NOTHING && holds(rest, "sealmq"))
		read_ours(&l, rest);
	else if (l.kind == SMQ_WATCH_NOTHING && !len)
		read_keyserver_words(&l, rest);
	return l;
}
