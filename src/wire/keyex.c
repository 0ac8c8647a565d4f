/* The envelope of key-exchange messages on their MQTT topic (PROTOCOL.md 5.1). */
#include "wire/keyex.h"

#include "base/text.h"
#include "wire/cbor.h"
#include "wire/sealed.h"

enum { VERSION = 1, FIELDS = 6 };

static const char hole_text[] = "{to}";

/* Where the hole begins, or the end of the template. */
static size_t find_hole(smq_span t)
{
	const size_t n = sizeof(hole_text) - 1;
	for (size_t i = 0; i + n <= t.len; i++) {
		if (memcmp(t.p + i, hole_text, n) == 0)
			return i;
	}
	return t.len;
}

smq_err smq_keyex_topic(const char *template_text, const char *to, smq_mspan ret_topic)
{
	smq_span t = smq_span_str(template_text);
	size_t hole = find_hole(t);
	size_t len = 0;
	struct smq_writer w = smq_writer_on(ret_topic);
	smq_write(&w, smq_span_of(t.p, hole));
	if (hole < t.len) {
		smq_write(&w, smq_span_str(to));
		smq_write(&w, smq_span_str(template_text + hole + sizeof(hole_text) - 1));
	}
	smq_write_u8(&w, 0);
	smq_err err = smq_writer_end(&w, &len);
	if (err == SMQ_OK && !smq_topic_valid(smq_span_of(ret_topic.p, len - 1)))
		err = SMQ_ERR_TOPIC;
	return err;
}

uint8_t *smq_keyex_put(struct smq_writer *w, const struct smq_keyex *message, size_t body_len)
{
	smq_cbor_put_array(w, FIELDS);
	smq_cbor_put_uint(w, VERSION);
	smq_cbor_put_uint(w, message->kind);
	smq_cbor_put_text(w, message->to);
	smq_cbor_put_text(w, message->from);
	smq_cbor_put_bytes(w, message->id);
	smq_cbor_put_bytes_head(w, body_len);
	return smq_write_reserve(w, body_len);
}

smq_err smq_keyex_encode(const struct smq_keyex *message, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	uint8_t *body = smq_keyex_put(&w, message, message->body.len);
	if (body && message->body.len > 0)
		memcpy(body, message->body.p, message->body.len);
	return smq_writer_end(&w, ret_len);
}

static smq_err check(const struct smq_keyex *m)
{
	bool carries_id = m->kind != SMQ_KEYEX_HELLO;
	bool carries_body = m->kind != SMQ_KEYEX_HELLO && m->kind != SMQ_KEYEX_NO_KEY;
	if (!smq_name_valid(m->to) || !smq_name_valid(m->from))
		return SMQ_ERR_NAME;
	if (m->id.len != (carries_id ? SMQ_KEY_ID_LEN : 0) || (m->body.len > 0) != carries_body)
		return SMQ_ERR_MALFORMED;
	return SMQ_OK;
}

smq_err smq_keyex_decode(smq_span payload, struct smq_keyex *ret_message)
{
	struct smq_keyex m;
	struct smq_reader r = smq_reader_on(payload);
	if (smq_cbor_get_array(&r) != FIELDS)
		smq_reader_fail(&r, SMQ_ERR_MALFORMED);
	if (smq_cbor_get_uint(&r) != VERSION)
		smq_reader_fail(&r, SMQ_ERR_VERSION);
	uint64_t kind = smq_cbor_get_uint(&r);
	if (kind < SMQ_KEYEX_MESSAGE_1 || kind > SMQ_KEYEX_WRITER_1)
		smq_reader_fail(&r, SMQ_ERR_MALFORMED);
	m.kind = (enum smq_keyex_kind)kind;
	m.to = smq_cbor_get_text(&r);
	m.from = smq_cbor_get_text(&r);
	m.id = smq_cbor_get_bytes(&r);
	m.body = smq_cbor_get_bytes(&r);
	smq_err err = smq_reader_end(&r);
	if (err == SMQ_OK)
		err = check(&m);
	if (err == SMQ_OK)
		*ret_message = m;
	return err;
}
