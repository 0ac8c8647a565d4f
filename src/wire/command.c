/* Commands, alerts and their acknowledgements (PROTOCOL.md 9). */
#include "wire/command.h"

#include <sealmq/text.h>

#include "wire/cbor.h"
#include "wire/fields.h"

enum { VERSION = 1, COMMAND_FIELDS = 7, ACK_FIELDS = 5 };

static const char command_magic[] = "sealmq command", ack_magic[] = "sealmq ack";

/* ---- encoding ---- */

static void put_body(struct smq_writer *w, const struct smq_command_document *c)
{
	if (c->body == SMQ_BODY_ALERT) {
		smq_cbor_put_array(w, 3);
		smq_cbor_put_uint(w, SMQ_BODY_ALERT);
		smq_cbor_put_text(w, c->severity);
		smq_cbor_put_text(w, c->text);
		return;
	}
	smq_cbor_put_array(w, 2);
	smq_cbor_put_uint(w, SMQ_BODY_SET);
	smq_cbor_put_array(w, c->setting_count);
	for (size_t i = 0; i < c->setting_count; i++) {
		smq_cbor_put_array(w, 2);
		smq_cbor_put_text(w, c->settings[i].name);
		smq_cbor_put_text(w, c->settings[i].value);
	}
}

smq_err smq_command_encode(const struct smq_command_document *c, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	struct smq_command_document back;
	size_t len = 0;
	if (c->setting_count > SMQ_COMMAND_SETTINGS_MAX)
		return SMQ_ERR_FULL;
	smq_cbor_put_array(&w, COMMAND_FIELDS);
	smq_cbor_put_text(&w, smq_span_str(command_magic));
	smq_cbor_put_uint(&w, VERSION);
	smq_cbor_put_bytes(&w, smq_span_of(c->id, sizeof(c->id)));
	smq_cbor_put_text(&w, c->to);
	smq_put_time(&w, c->issued_ms);
	smq_put_time(&w, c->expires_ms);
	put_body(&w, c);
	smq_err err = smq_writer_end(&w, &len);
	/* what the receiver would refuse is not sent */
	if (err == SMQ_OK)
		err = smq_command_decode(smq_span_of(room.p, len), &back);
	if (err == SMQ_OK)
		*ret_len = len;
	return err;
}

smq_err smq_ack_encode(const struct smq_ack_document *a, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	smq_cbor_put_array(&w, ACK_FIELDS);
	smq_cbor_put_text(&w, smq_span_str(ack_magic));
	smq_cbor_put_uint(&w, VERSION);
	smq_cbor_put_bytes(&w, smq_span_of(a->id, sizeof(a->id)));
	smq_cbor_put_text(&w, a->result);
	smq_cbor_put_text(&w, a->detail);
	return smq_writer_end(&w, ret_len);
}

/* ---- decoding ---- */

static smq_span get_text(struct smq_reader *r, size_t least, size_t most)
{
	smq_span text = smq_cbor_get_text(r);
	if (r->err == SMQ_OK && (text.len < least || text.len > most))
		smq_reader_fail(r, SMQ_ERR_TOO_LARGE);
	return text;
}

static void get_magic(struct smq_reader *r, size_t fields, const char *magic)
{
	if (smq_cbor_get_array(r) != fields || !smq_span_equal(smq_cbor_get_text(r), smq_span_str(magic)))
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
	if (smq_cbor_get_uint(r) != VERSION)
		smq_reader_fail(r, SMQ_ERR_VERSION);
}

static bool is_double(const struct smq_command_document *c, smq_span name)
{
	for (size_t i = 0; i < c->setting_count; i++) {
		if (smq_span_equal(c->settings[i].name, name))
			return true;
	}
	return false;
}

static void get_settings(struct smq_reader *r, struct smq_command_document *c)
{
	size_t count = smq_get_count(r, SMQ_COMMAND_SETTINGS_MAX);
	if (count == 0)
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
	for (size_t i = 0; i < count && r->err == SMQ_OK; i++) {
		if (smq_cbor_get_array(r) != 2)
			smq_reader_fail(r, SMQ_ERR_MALFORMED);
		smq_span name = get_text(r, 1, SMQ_COMMAND_NAME_MAX);
		smq_span value = get_text(r, 0, SMQ_COMMAND_VALUE_MAX);
		if (r->err == SMQ_OK && (!smq_name_valid(name) || is_double(c, name)))
			smq_reader_fail(r, SMQ_ERR_NAME);
		c->settings[c->setting_count++] = (struct smq_command_setting){ name, value };
	}
}

static void get_body(struct smq_reader *r, struct smq_command_document *c)
{
	size_t fields = smq_cbor_get_array(r);
	c->body = (enum smq_command_body)smq_get_between(r, SMQ_BODY_SET, SMQ_BODY_ALERT);
	if (r->err == SMQ_OK && fields != (c->body == SMQ_BODY_SET ? 2u : 3u))
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
	if (c->body == SMQ_BODY_SET) {
		get_settings(r, c);
		return;
	}
	c->severity = get_text(r, 1, SMQ_COMMAND_WORD_MAX);
	c->text = get_text(r, 0, SMQ_COMMAND_TEXT_MAX);
}

smq_err smq_command_decode(smq_span bytes, struct smq_command_document *ret_command)
{
	struct smq_command_document c = { .setting_count = 0 };
	struct smq_reader r = smq_reader_on(bytes);
	if (bytes.len > SMQ_COMMAND_MAX)
		return SMQ_ERR_TOO_LARGE;
	get_magic(&r, COMMAND_FIELDS, command_magic);
	smq_get_fixed(&r, smq_mspan_of(c.id, sizeof(c.id)));
	c.to = get_text(&r, 0, SMQ_MEMBER_NAME_MAX);
	c.issued_ms = smq_get_time(&r);
	c.expires_ms = smq_get_time(&r);
	get_body(&r, &c);
	smq_err err = smq_reader_end(&r);
	if (err == SMQ_OK && (c.expires_ms <= c.issued_ms || (c.to.len > 0 && !smq_name_valid(c.to))))
		err = SMQ_ERR_MALFORMED;
	if (err == SMQ_OK)
		*ret_command = c;
	return err;
}

smq_err smq_ack_decode(smq_span bytes, struct smq_ack_document *ret_ack)
{
	struct smq_ack_document a;
	struct smq_reader r = smq_reader_on(bytes);
	get_magic(&r, ACK_FIELDS, ack_magic);
	smq_get_fixed(&r, smq_mspan_of(a.id, sizeof(a.id)));
	a.result = get_text(&r, 1, SMQ_COMMAND_WORD_MAX);
	a.detail = get_text(&r, 0, SMQ_COMMAND_VALUE_MAX);
	smq_err err = smq_reader_end(&r);
	if (err == SMQ_OK)
		*ret_ack = a;
	return err;
}

/* ---- topics ---- */

static const struct {
	const char *level;
	bool has_name;
} kinds[] = { [SMQ_TOPIC_OTHER] = { "", false },
	      [SMQ_TOPIC_TO] = { "to", true },
	      [SMQ_TOPIC_ALL] = { "all", false },
	      [SMQ_TOPIC_ACK] = { "ack", true } };

static void put_level(struct smq_writer *w, const char *level)
{
	if (w->len > 0)
		smq_write_u8(w, '/');
	smq_write(w, smq_span_str(level));
}

smq_err smq_command_topic_write(const char *prefix, const char *group, enum smq_command_topic kind, const char *name,
				char ret_topic[SMQ_COMMAND_TOPIC_MAX])
{
	struct smq_writer w = smq_writer_on(smq_mspan_of((uint8_t *)ret_topic, SMQ_COMMAND_TOPIC_MAX - 1));
	put_level(&w, prefix);
	put_level(&w, "command");
	put_level(&w, group);
	put_level(&w, kinds[kind].level);
	if (kinds[kind].has_name)
		put_level(&w, name);
	if (w.err != SMQ_OK)
		return SMQ_ERR_TOPIC;
	ret_topic[w.len] = 0;
	return SMQ_OK;
}

/* Takes the next level; false where there is none. */
static bool next_level(smq_span *rest, smq_span *ret_level)
{
	size_t len = 0;
	if (!rest->p)
		return false;
	while (len < rest->len && rest->p[len] != '/')
		len++;
	*ret_level = smq_span_of(rest->p, len);
	*rest = len < rest->len ? smq_span_of(rest->p + len + 1, rest->len - len - 1) : smq_span_of(NULL, 0);
	return true;
}

enum smq_command_topic smq_command_topic_read(const char *prefix, smq_span topic, smq_span *ret_group,
					      smq_span *ret_name)
{
	smq_span start = smq_span_str(prefix), word, group, kind, name = { NULL, 0 };
	if (topic.len <= start.len + 1 || memcmp(topic.p, start.p, start.len) != 0 || topic.p[start.len] != '/')
		return SMQ_TOPIC_OTHER;
	smq_span rest = smq_span_of(topic.p + start.len + 1, topic.len - start.len - 1);
	(void)next_level(&rest, &word); /* behind the slash there always is one */
	if (!smq_span_equal(word, smq_span_str("command")) || !next_level(&rest, &group) || !next_level(&rest, &kind))
		return SMQ_TOPIC_OTHER;
	for (int i = SMQ_TOPIC_TO; i <= SMQ_TOPIC_ACK; i++) {
		if (!smq_span_equal(kind, smq_span_str(kinds[i].level)))
			continue;
		if (next_level(&rest, &name) != kinds[i].has_name || rest.p || !smq_name_valid(group))
			return SMQ_TOPIC_OTHER;
		if (ret_group)
			*ret_group = group;
		if (ret_name)
			*ret_name = name;
		return (enum smq_command_topic)i;
	}
	return SMQ_TOPIC_OTHER;
}

bool smq_command_topic_is_of(const char *prefix, smq_span group, smq_span topic)
{
	smq_span its;
	return smq_command_topic_read(prefix, topic, &its, NULL) != SMQ_TOPIC_OTHER && smq_span_equal(its, group);
}
