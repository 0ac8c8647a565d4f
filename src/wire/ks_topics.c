/* The topics of the control plane (PROTOCOL.md 7.2). */
#include "wire/ks_topics.h"

#include <sealmq/text.h>

#include "base/hot.h"
#include "base/reader.h"
#include "base/writer.h"

enum { DIGITS_MAX = 20 };

/* ---- writing ---- */

static void put_text(struct smq_writer *w, const char *text) { smq_write(w, smq_span_str(text)); }

static void put_number(struct smq_writer *w, uint64_t value)
{
	uint8_t digits[DIGITS_MAX];
	size_t at = sizeof(digits);
	do {
		digits[--at] = (uint8_t)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	smq_write(w, smq_span_of(digits + at, sizeof(digits) - at));
}

smq_err smq_ks_topic_write(const char *prefix, const struct smq_ks_topic *t, smq_mspan ret_text)
{
	static const char *const heads[] = { "", "/ks/q/", "/ks/a/", "/ks/claim", "/g/", "/g/", "/g/", "/g/" };
	static const char *const tails[] = { "", "", "", "", "/m", "/p", "/n/", "/s/" };
	struct smq_writer w = smq_writer_on(ret_text);
	size_t len;
	if (t->kind == SMQ_KS_TOPIC_NONE)
		return SMQ_ERR_USAGE;
	put_text(&w, prefix);
	put_text(&w, heads[t->kind]);
	if (t->kind != SMQ_KS_TOPIC_CLAIM)
		smq_write(&w, t->name);
	put_text(&w, tails[t->kind]);
	if (t->kind == SMQ_KS_TOPIC_NODE) {
		put_number(&w, t->height);
		smq_write_u8(&w, '/');
	}
	if (t->kind == SMQ_KS_TOPIC_NODE || t->kind == SMQ_KS_TOPIC_SENDER)
		put_number(&w, t->number);
	smq_write_u8(&w, 0);
	return smq_writer_end(&w, &len);
}

/* ---- reading ---- */

/* What follows this text; a failure where something else is there. */
SMQ_HOT static void take(struct smq_reader *r, const char *text)
{
	smq_span want = smq_span_str(text);
	if (!smq_span_equal(smq_read(r, want.len), want))
		smq_reader_fail(r, SMQ_ERR_TOPIC);
}

/* Up to the next slash, or the end. */
SMQ_HOT static smq_span take_level(struct smq_reader *r)
{
	size_t len = 0;
	while (len < r->left && r->p[len] != '/')
		len++;
	return smq_read(r, len);
}

/* One spelling of each number: no sign, no zero in front. */
static uint64_t take_number(struct smq_reader *r)
{
	smq_span digits = take_level(r);
	uint64_t value = 0;
	if (digits.len < 1 || digits.len >= DIGITS_MAX || (digits.len > 1 && digits.p[0] == '0'))
		smq_reader_fail(r, SMQ_ERR_TOPIC);
	for (size_t i = 0; i < digits.len && r->err == SMQ_OK; i++) {
		if (digits.p[i] < '0' || digits.p[i] > '9')
			smq_reader_fail(r, SMQ_ERR_TOPIC);
		value = value * 10 + (uint64_t)(digits.p[i] - '0');
	}
	return value;
}

static void read_group(struct smq_reader *r, struct smq_ks_topic *t)
{
	t->name = take_level(r);
	take(r, "/");
	switch (smq_read_u8(r)) {
	case 'm':
		t->kind = SMQ_KS_TOPIC_MANIFEST;
		break;
	case 'p':
		t->kind = SMQ_KS_TOPIC_POLICY;
		break;
	case 'n':
		t->kind = SMQ_KS_TOPIC_NODE;
		take(r, "/");
		t->height = take_number(r);
		take(r, "/");
		t->number = take_number(r);
		break;
	case 's':
		t->kind = SMQ_KS_TOPIC_SENDER;
		take(r, "/");
		t->number = take_number(r);
		break;
	default:
		smq_reader_fail(r, SMQ_ERR_TOPIC);
	}
}

static void read_request(struct smq_reader *r, struct smq_ks_topic *t)
{
	smq_span what = take_level(r);
	if (smq_span_equal(what, smq_span_str("claim"))) {
		t->kind = SMQ_KS_TOPIC_CLAIM;
		return;
	}
	take(r, "/");
	if (smq_span_equal(what, smq_span_str("q")))
		t->kind = SMQ_KS_TOPIC_REQUEST;
	else if (smq_span_equal(what, smq_span_str("a")))
		t->kind = SMQ_KS_TOPIC_ANSWER;
	else
		smq_reader_fail(r, SMQ_ERR_TOPIC);
	t->name = take_level(r);
}

SMQ_HOT struct smq_ks_topic smq_ks_topic_read(const char *prefix, const char *topic)
{
	struct smq_ks_topic t = { SMQ_KS_TOPIC_NONE, { NULL, 0 }, 0, 0 };
	struct smq_reader r = smq_reader_on(smq_span_str(topic));
	take(&r, prefix);
	take(&r, "/");
	smq_span room = take_level(&r);
	take(&r, "/");
	if (smq_span_equal(room, smq_span_str("g")))
		read_group(&r, &t);
	else if (smq_span_equal(room, smq_span_str("ks")))
		read_request(&r, &t);
	else
		smq_reader_fail(&r, SMQ_ERR_TOPIC);
	if (smq_reader_end(&r) != SMQ_OK || (t.kind != SMQ_KS_TOPIC_CLAIM && !smq_name_valid(t.name)))
		return (struct smq_ks_topic){ SMQ_KS_TOPIC_NONE, { NULL, 0 }, 0, 0 };
	return t;
}
