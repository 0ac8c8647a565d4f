/* A sender's card (PROTOCOL.md 7.5). */
#include "wire/sender_card.h"

#include <sealmq/text.h>

#include "wire/fields.h"

enum { VERSION = 1, FIELDS = 8 };

static smq_err check(const struct smq_sender_card *c)
{
	if (!smq_name_valid(c->realm) || !smq_name_valid(c->group) || !smq_name_valid(c->name))
		return SMQ_ERR_NAME;
	return c->from_ms < 0 || c->until_ms <= c->from_ms ? SMQ_ERR_MALFORMED : SMQ_OK;
}

smq_err smq_sender_card_encode(const struct smq_sender_card *c, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	if (check(c) != SMQ_OK)
		return SMQ_ERR_USAGE;
	smq_cbor_put_array(&w, FIELDS);
	smq_cbor_put_uint(&w, VERSION);
	smq_cbor_put_text(&w, c->realm);
	smq_cbor_put_text(&w, c->group);
	smq_cbor_put_uint(&w, c->sender_id);
	smq_cbor_put_text(&w, c->name);
	smq_cbor_put_bytes(&w, smq_span_of(c->boot_id, sizeof(c->boot_id)));
	smq_put_time(&w, c->from_ms);
	smq_put_end(&w, c->until_ms);
	return smq_writer_end(&w, ret_len);
}

smq_err smq_sender_card_decode(smq_span bytes, struct smq_sender_card *ret_card)
{
	struct smq_reader r = smq_reader_on(bytes);
	struct smq_sender_card c = { .sender_id = 0 };
	smq_get_head(&r, FIELDS, VERSION);
	c.realm = smq_get_name(&r);
	c.group = smq_get_name(&r);
	c.sender_id = smq_cbor_get_uint(&r);
	c.name = smq_get_name(&r);
	smq_get_fixed(&r, smq_mspan_of(c.boot_id, sizeof(c.boot_id)));
	c.from_ms = smq_get_time(&r);
	c.until_ms = smq_get_end(&r);
	smq_err err = smq_reader_end(&r);
	if (err == SMQ_OK)
		err = check(&c);
	if (err == SMQ_OK)
		*ret_card = c;
	return err;
}
