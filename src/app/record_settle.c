/*
 * Settling what is provisional. A checkpoint is in the store only if its signature was verified when it came, under the
 * name of its certificate; what remains to be seen is whether it names the message: the stored record is sealed again,
 * and its digest looked up. One that it does not name stays as it is: nobody knows then what it was.
 */
#include "app/record_settle.h"

#include <stdlib.h>

#include "app/evidence.h"
#include "app/record_sql.h"
#include "core/keyschedule.h"

enum { AT_A_TIME = 4096, BOOT_ID_LEN = 16 };
enum column {
	SENDER,
	GROUP,
	EPOCH,
	SLOT,
	BOOT_ID,
	COUNTER,
	TOPIC,
	RAW,
	STAMP,
	DIGEST,
	CONTEXT,
	KEY,
	BASE_IV,
	DOCUMENT
};

struct message {
	char sender[SMQ_MEMBER_NAME_MAX + 1], group[SMQ_MEMBER_NAME_MAX + 1];
	uint64_t epoch, slot, counter;
	uint8_t boot_id[BOOT_ID_LEN];
};

struct settling {
	const struct smq_crypto *crypto;
	struct message *proven;
	size_t count;
	/* the stream that was used last, keyed */
	struct smq_seal_key key;
	uint8_t stream[SMQ_HASH_LEN];
	bool keyed;
	struct smq_evidence_cipher cipher;
	smq_err err;
};

static bool use_stream(struct settling *s, const struct smq_record_cell *c)
{
	struct smq_seal_context context;
	if (c[DIGEST].text.len != SMQ_HASH_LEN)
		return false;
	if (s->keyed && memcmp(s->stream, c[DIGEST].text.p, SMQ_HASH_LEN) == 0)
		return true;
	smq_seal_key_done(&s->key);
	s->keyed = smq_context_decode(c[CONTEXT].text, &context) == SMQ_OK &&
		   smq_seal_key_restore(&s->key, s->crypto, context.alg, c[DIGEST].text.p, c[KEY].text,
					c[BASE_IV].text) == SMQ_OK;
	memcpy(s->stream, c[DIGEST].text.p, SMQ_HASH_LEN);
	return s->keyed;
}

static bool is_named(struct settling *s, const struct smq_record_cell *c)
{
	uint8_t digest[SMQ_HASH_LEN];
	struct smq_evidence_item item = { .counter = (uint64_t)c[COUNTER].integer,
					  .topic = c[TOPIC].text,
					  .has_stamp = c[STAMP].kind != SMQ_CELL_NULL,
					  .stamp = (uint32_t)c[STAMP].integer };
	if (!use_stream(s, c))
		return false;
	smq_err err = smq_evidence_seal_again(s->crypto, &s->key, &s->cipher, &item, c[RAW].text, digest);
	if (err == SMQ_ERR_NO_MEMORY)
		s->err = err;
	return err == SMQ_OK && smq_evidence_names(c[DOCUMENT].text, item.counter, digest);
}

static bool copy_name(char to[SMQ_MEMBER_NAME_MAX + 1], smq_span from)
{
	if (from.len > SMQ_MEMBER_NAME_MAX)
		return false;
	memcpy(to, from.len ? (const void *)from.p : "", from.len);
	to[from.len] = 0;
	return true;
}

/* False, which ends the query, once there are enough for one commit. */
static bool on_open(void *self, const struct smq_record_cell *c, size_t count)
{
	struct settling *s = self;
	struct message *m = &s->proven[s->count];
	(void)count;
	if (c[BOOT_ID].text.len != BOOT_ID_LEN || !copy_name(m->sender, c[SENDER].text) ||
	    !copy_name(m->group, c[GROUP].text) || !is_named(s, c))
		return s->err == SMQ_OK;
	m->epoch = (uint64_t)c[EPOCH].integer;
	m->slot = (uint64_t)c[SLOT].integer;
	m->counter = (uint64_t)c[COUNTER].integer;
	memcpy(m->boot_id, c[BOOT_ID].text.p, BOOT_ID_LEN);
	return ++s->count < AT_A_TIME;
}

static smq_err write_proven(const struct settling *s, struct smq_record_store *store)
{
	struct smq_record_committed done;
	smq_err err = SMQ_OK;
	for (size_t i = 0; i < s->count && err == SMQ_OK; i++) {
		const struct message *m = &s->proven[i];
		const struct smq_record_key key = { m->sender, m->group, m->epoch, m->slot, m->counter, m->boot_id };
		err = store->prove(store->self, &key, NULL);
	}
	if (err == SMQ_OK && s->count > 0)
		err = store->commit(store->self, &done);
	if (err != SMQ_OK)
		store->abandon(store->self);
	return err;
}

static bool on_left(void *self, const struct smq_record_cell *c, size_t count)
{
	(void)count;
	*(uint64_t *)self = (uint64_t)c[0].integer;
	return false;
}

static smq_err ask(struct smq_record_store *store, int question, int64_t before_ms, smq_record_row_fn on_row,
		   void *self)
{
	const struct smq_record_query q = { .question = (enum smq_record_question)question,
					    .from_ms = INT64_MIN,
					    .to_ms = before_ms };
	return store->query(store->self, &q, on_row, self);
}

smq_err smq_record_settle(struct smq_record_store *store, const struct smq_crypto *crypto, int64_t before_ms,
			  uint64_t *ret_settled, uint64_t *ret_left)
{
	struct settling s = { .crypto = crypto, .count = AT_A_TIME };
	uint64_t left = 0, settled = 0;
	smq_err err = ask(store, SMQ_RECORD_EV_LEFT, before_ms, on_left, &left);
	if (err == SMQ_OK && left > 0)
		s.proven = calloc(AT_A_TIME, sizeof(*s.proven));
	if (err == SMQ_OK && left > 0 && !s.proven)
		err = SMQ_ERR_NO_MEMORY;
	while (err == SMQ_OK && left > 0 && s.count == AT_A_TIME) {
		s.count = 0;
		err = ask(store, SMQ_RECORD_EV_OPEN, before_ms, on_open, &s);
		err = err == SMQ_OK ? s.err : err;
		if (err == SMQ_OK)
			err = write_proven(&s, store);
		settled += err == SMQ_OK ? s.count : 0;
	}
	smq_seal_key_done(&s.key);
	free(s.cipher.p);
	free(s.proven);
	if (err != SMQ_OK)
		return err;
	*ret_settled = settled;
	*ret_left = left > settled ? left - settled : 0;
	return SMQ_OK;
}
