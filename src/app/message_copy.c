/* Copying messages, with all that they point to. */
#include "app/message_copy.h"

#include <stdlib.h>

#include <sealmq/crypto.h>

#include "base/wipe.h"

static const void *put(uint8_t **at, const void *bytes, size_t len)
{
	void *copy = *at;
	if (!bytes)
		return NULL;
	if (len > 0)
		memcpy(copy, bytes, len);
	*at += len;
	return copy;
}

static const char *put_text(uint8_t **at, const char *text) { return put(at, text, text ? strlen(text) + 1 : 0); }

static smq_span put_span(uint8_t **at, smq_span s) { return smq_span_of(put(at, s.p, s.len), s.len); }

static size_t text_len(const char *text) { return text ? strlen(text) + 1 : 0; }

static size_t size_of(const struct smq_message *m)
{
	const struct smq_evidence *e = m->evidence;
	size_t len = text_len(m->mqtt.topic) + text_len(m->sender) + text_len(m->group) + m->mqtt.payload.len;
	return e ? len + 2 * SMQ_HASH_LEN + e->context.len + e->key.len + e->base_iv.len : len;
}

static void copy_evidence(struct smq_message_copy *c, uint8_t **at)
{
	struct smq_evidence *e = &c->evidence;
	*e = *c->message.evidence;
	e->stream = put(at, e->stream, SMQ_HASH_LEN);
	e->certificate = put(at, e->certificate, SMQ_HASH_LEN);
	e->context = put_span(at, e->context);
	e->key = put_span(at, e->key);
	e->base_iv = put_span(at, e->base_iv);
	if (e->signature)
		e->signature = memcpy(c->signature, e->signature, sizeof(c->signature));
	c->message.evidence = e;
}

struct smq_message_copy *smq_message_copy_new(const struct smq_message *m)
{
	size_t len = size_of(m);
	struct smq_message_copy *c = malloc(sizeof(*c) + len);
	if (!c)
		return NULL;
	uint8_t *at = c->bytes;
	c->len = len;
	c->message = *m;
	c->message.mqtt.topic = put_text(&at, m->mqtt.topic);
	c->message.sender = put_text(&at, m->sender);
	c->message.group = put_text(&at, m->group);
	c->message.mqtt.payload = put_span(&at, m->mqtt.payload);
	c->message.mqtt.properties = NULL;
	c->message.mqtt.property_count = 0;
	if (m->evidence)
		copy_evidence(c, &at);
	return c;
}

void smq_message_copy_free(struct smq_message_copy *c)
{
	if (!c)
		return;
	smq_wipe(c->bytes, c->len); /* plaintext, and with evidence the key */
	free(c);
}
