/*
 * Evidence made from a record store. Sealing is deterministic, so that the store need not hold ciphertexts: each
 * message is sealed once more under its sender's key, and the digest of the result is looked for in the checkpoints.
 */
#include "app/evidence.h"

#include <stdlib.h>

#include "app/record_sql.h"
#include "base/wipe.h"
#include "core/keyschedule.h"

/* ---- bytes that grow ---- */

static smq_err reserve(struct smq_evidence_bytes *b, size_t more)
{
	if (more > SMQ_EVIDENCE_FILE_MAX || b->len > SMQ_EVIDENCE_FILE_MAX - more)
		return SMQ_ERR_TOO_LARGE;
	if (b->len + more <= b->room)
		return SMQ_OK;
	size_t room = b->room ? b->room : 65536;
	while (room < b->len + more)
		room *= 2;
	uint8_t *p = realloc(b->p, room);
	if (!p)
		return SMQ_ERR_NO_MEMORY;
	b->p = p;
	b->room = room;
	return SMQ_OK;
}

static smq_err put_item(struct smq_evidence_bytes *b, const struct smq_evidence_item *i)
{
	smq_err err = reserve(b, SMQ_EVIDENCE_ITEM_MAX + i->bytes.len + i->context.len + i->topic.len + i->realm.len);
	if (err != SMQ_OK)
		return err;
	struct smq_writer w = smq_writer_on(smq_mspan_of(b->p + b->len, b->room - b->len));
	smq_evidence_put(&w, i);
	if (w.err == SMQ_OK)
		b->len += w.len;
	return w.err;
}

static smq_err put_bytes(struct smq_evidence_bytes *b, smq_span bytes)
{
	smq_err err = reserve(b, bytes.len);
	if (err == SMQ_OK && bytes.len > 0)
		memcpy(b->p + b->len, bytes.p, bytes.len);
	if (err == SMQ_OK)
		b->len += bytes.len;
	return err;
}

/* ---- what the store holds beside the messages ---- */

/* A certificate, lists, a stream or a checkpoint. Which is which the table says that it is in. */
struct thing {
	uint8_t name[SMQ_HASH_LEN]; /* what it is found by: thumbprint, digest, of a checkpoint its stream */
	int64_t life;               /* stream */
	uint64_t first, count;      /* checkpoint */
	int64_t at_ms;
	uint8_t certificate[SMQ_HASH_LEN], lists[SMQ_HASH_LEN];
	bool has_lists;
	smq_span bytes, key, base_iv; /* one piece of memory, which bytes.p begins; a stream's bytes are its context */
	uint64_t number;              /* in the file; SMQ_EVIDENCE_NONE until something names it */
};

enum table { CERTIFICATES, LISTS, STREAMS, CHECKPOINTS, TABLES };

struct things {
	struct thing *all;
	size_t count, room;
	uint64_t used;
	size_t *order; /* index by number */
};

struct maker {
	struct smq_record_store *store;
	const struct smq_crypto *crypto;
	smq_err err;
	struct things tables[TABLES];
	size_t bytes_held;
	struct smq_evidence_bytes messages;
	struct smq_evidence_sum sum;
	/* the stream that was used last, keyed */
	size_t stream;
	struct smq_seal_key key;
	bool keyed;
	char realm[SMQ_MEMBER_NAME_MAX + 1];
	struct smq_evidence_cipher cipher;
};

static struct thing *add_thing(struct maker *m, enum table table)
{
	struct things *t = &m->tables[table];
	if (t->count == t->room) {
		size_t room = t->room ? 2 * t->room : 64;
		struct thing *all = realloc(t->all, room * sizeof(*all));
		if (!all) {
			m->err = SMQ_ERR_NO_MEMORY;
			return NULL;
		}
		t->all = all;
		t->room = room;
	}
	t->all[t->count] = (struct thing){ .number = SMQ_EVIDENCE_NONE };
	return &t->all[t->count++];
}

/* Copies into one piece of memory; false ends the query. */
static bool hold(struct maker *m, struct thing *t, smq_span a, smq_span b, smq_span c)
{
	size_t len = a.len + b.len + c.len;
	if (len > SMQ_EVIDENCE_FILE_MAX || m->bytes_held > SMQ_EVIDENCE_FILE_MAX - len)
		m->err = SMQ_ERR_TOO_LARGE;
	uint8_t *p = m->err == SMQ_OK ? malloc(len + 1) : NULL;
	if (!p) {
		m->err = m->err == SMQ_OK ? SMQ_ERR_NO_MEMORY : m->err;
		return false;
	}
	m->bytes_held += len;
	memcpy(p, a.len ? (const void *)a.p : "", a.len);
	memcpy(p + a.len, b.len ? (const void *)b.p : "", b.len);
	memcpy(p + a.len + b.len, c.len ? (const void *)c.p : "", c.len);
	t->bytes = smq_span_of(p, a.len);
	t->key = smq_span_of(p + a.len, b.len);
	t->base_iv = smq_span_of(p + a.len + b.len, c.len);
	return true;
}

static bool copy_hash(const struct smq_record_cell *c, uint8_t ret_hash[SMQ_HASH_LEN])
{
	if (c->kind == SMQ_CELL_NULL || c->text.len != SMQ_HASH_LEN)
		return false;
	memcpy(ret_hash, c->text.p, SMQ_HASH_LEN);
	return true;
}

static const smq_span nothing = { NULL, 0 };

static bool on_certificate(void *self, const struct smq_record_cell *c, size_t count)
{
	struct thing *t = add_thing(self, CERTIFICATES);
	(void)count;
	return t && copy_hash(&c[0], t->name) && hold(self, t, c[2].text, nothing, nothing);
}

static bool on_lists(void *self, const struct smq_record_cell *c, size_t count)
{
	struct thing *t = add_thing(self, LISTS);
	(void)count;
	return t && copy_hash(&c[0], t->name) && hold(self, t, c[2].text, nothing, nothing);
}

static bool on_stream(void *self, const struct smq_record_cell *c, size_t count)
{
	struct thing *t = add_thing(self, STREAMS);
	(void)count;
	if (t)
		t->life = c[0].integer;
	return t && copy_hash(&c[1], t->name) && hold(self, t, c[2].text, c[3].text, c[4].text);
}

static bool on_checkpoint(void *self, const struct smq_record_cell *c, size_t count)
{
	struct thing *t = add_thing(self, CHECKPOINTS);
	(void)count;
	if (!t || !copy_hash(&c[0], t->name) || !copy_hash(&c[5], t->certificate))
		return false;
	t->first = (uint64_t)c[1].integer;
	t->count = (uint64_t)c[2].integer;
	t->at_ms = c[3].integer;
	t->has_lists = copy_hash(&c[6], t->lists);
	return hold(self, t, c[4].text, nothing, nothing);
}

static void ask(struct maker *m, int question, const struct smq_evidence_selection *what, bool narrow,
		smq_record_row_fn on_row)
{
	const struct smq_record_query q = {
		.question = (enum smq_record_question)question,
		.sender = what->sender,
		.topic = narrow ? what->topic : NULL,
		.from_ms = narrow ? what->from_ms : INT64_MIN,
		.to_ms = narrow ? what->to_ms : INT64_MAX,
		.limit = narrow ? what->limit : 0,
	};
	if (m->err != SMQ_OK)
		return;
	smq_err err = m->store->query(m->store->self, &q, on_row, m);
	if (m->err == SMQ_OK)
		m->err = err;
}

/* ---- numbers in the file ---- */

static uint64_t number_of(struct maker *m, enum table table, size_t index)
{
	struct things *t = &m->tables[table];
	if (!t->order)
		t->order = calloc(t->count + 1, sizeof(*t->order));
	if (!t->order) {
		m->err = SMQ_ERR_NO_MEMORY;
		return 0;
	}
	if (t->all[index].number == SMQ_EVIDENCE_NONE) {
		t->order[t->used] = index;
		t->all[index].number = t->used++;
	}
	return t->all[index].number;
}

/* Few of them, and mostly the same one. SIZE_MAX: it is not in the store. */
static size_t find(const struct maker *m, enum table table, const uint8_t name[SMQ_HASH_LEN])
{
	const struct things *t = &m->tables[table];
	for (size_t i = 0; i < t->count; i++) {
		if (memcmp(t->all[i].name, name, SMQ_HASH_LEN) == 0)
			return i;
	}
	return SIZE_MAX;
}

/* ---- one message ---- */

static bool use_stream(struct maker *m, size_t index)
{
	const struct thing *t = &m->tables[STREAMS].all[index];
	struct smq_seal_context c;
	if (m->keyed && m->stream == index)
		return true;
	smq_seal_key_done(&m->key);
	m->keyed = smq_context_decode(t->bytes, &c) == SMQ_OK &&
		   smq_seal_key_restore(&m->key, m->crypto, c.alg, t->name, t->key, t->base_iv) == SMQ_OK;
	m->stream = index;
	if (m->keyed && !*m->realm)
		memcpy(m->realm, c.realm.p, c.realm.len);
	return m->keyed;
}

smq_err smq_evidence_seal_again(const struct smq_crypto *crypto, struct smq_seal_key *key,
				struct smq_evidence_cipher *cipher, struct smq_evidence_item *item, smq_span raw,
				uint8_t ret_digest[SMQ_HASH_LEN])
{
	struct smq_sealed s = { .alg = key->header.alg,
				.counter = item->counter,
				.has_stamp = item->has_stamp,
				.stamp = item->stamp,
				.covered = item->signature.len == 0,
				.signature = item->signature };
	struct smq_proof_input input;
	size_t len = 0, need = raw.len + SMQ_AEAD_TAG_MAX;
	if (need > cipher->room) {
		uint8_t *p = realloc(cipher->p, need);
		if (!p)
			return SMQ_ERR_NO_MEMORY;
		cipher->p = p;
		cipher->room = need;
	}
	smq_err err = smq_seal_key_again(key, &s, item->topic, raw, smq_mspan_of(cipher->p, cipher->room), &len);
	if (err != SMQ_OK)
		return err;
	s.ciphertext = item->bytes = smq_span_of(cipher->p, len);
	err = smq_proof_input_make(key, &s, item->topic, &input);
	return err == SMQ_OK ? smq_proof_input_digest(crypto, &input, ret_digest) : err;
}

static bool seal_again(struct maker *m, struct smq_evidence_item *item, smq_span raw, uint8_t digest[SMQ_HASH_LEN])
{
	smq_err err = smq_evidence_seal_again(m->crypto, &m->key, &m->cipher, item, raw, digest);
	if (err == SMQ_ERR_NO_MEMORY)
		m->err = err;
	return err == SMQ_OK;
}

bool smq_evidence_names(smq_span document, uint64_t counter, const uint8_t digest[SMQ_HASH_LEN])
{
	struct smq_sign1 s;
	struct smq_checkpoint c;
	if (smq_sign1_decode(document, &s) != SMQ_OK || smq_checkpoint_decode(s.payload, &c) != SMQ_OK)
		return false;
	return counter >= c.first && counter - c.first < c.digests.len / SMQ_HASH_LEN &&
	       memcmp(c.digests.p + (counter - c.first) * SMQ_HASH_LEN, digest, SMQ_HASH_LEN) == 0;
}

/* Checkpoints come sorted by stream and first counter; none covers more than 256. */
static size_t find_checkpoint(const struct maker *m, const uint8_t stream[SMQ_HASH_LEN], uint64_t counter,
			      const uint8_t digest[SMQ_HASH_LEN])
{
	const struct things *t = &m->tables[CHECKPOINTS];
	size_t low = 0, high = t->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct thing *c = &t->all[middle];
		int order = memcmp(c->name, stream, SMQ_HASH_LEN);
		if (order < 0 || (order == 0 && c->first + SMQ_CHECKPOINT_MESSAGES_MAX <= counter))
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < t->count && memcmp(t->all[low].name, stream, SMQ_HASH_LEN) == 0; low++) {
		const struct thing *c = &t->all[low];
		if (c->first > counter)
			break;
		if (counter - c->first < c->count && smq_evidence_names(c->bytes, counter, digest))
			return low;
	}
	return SIZE_MAX;
}

static bool add_signed(struct maker *m, struct smq_evidence_item *item, const struct smq_record_cell *c)
{
	uint8_t hash[SMQ_HASH_LEN];
	size_t at = copy_hash(&c[7], hash) ? find(m, CERTIFICATES, hash) : SIZE_MAX;
	if (at == SIZE_MAX)
		return false;
	item->certificate = number_of(m, CERTIFICATES, at);
	at = copy_hash(&c[8], hash) ? find(m, LISTS, hash) : SIZE_MAX;
	item->lists = at == SIZE_MAX ? SMQ_EVIDENCE_NONE : number_of(m, LISTS, at);
	return true;
}

static bool add_covered(struct maker *m, struct smq_evidence_item *item, const uint8_t *stream, const uint8_t *digest)
{
	size_t at = find_checkpoint(m, stream, item->counter, digest);
	if (at == SIZE_MAX || find(m, CERTIFICATES, m->tables[CHECKPOINTS].all[at].certificate) == SIZE_MAX)
		return false;
	item->checkpoint_count = 1;
	item->checkpoints[0] = number_of(m, CHECKPOINTS, at);
	return true;
}

/* A life has one stream; where a sender changed its algorithm within it, the one fits that proves. */
static bool add_under(struct maker *m, size_t stream, const struct smq_record_cell *c)
{
	uint8_t digest[SMQ_HASH_LEN];
	struct smq_evidence_item item = { .kind = SMQ_EVIDENCE_MESSAGE,
					  .counter = (uint64_t)c[1].integer,
					  .topic = c[2].text,
					  .at_ms = c[3].integer,
					  .has_stamp = c[5].kind != SMQ_CELL_NULL,
					  .stamp = (uint32_t)c[5].integer };
	if (c[6].kind != SMQ_CELL_NULL && c[6].text.len == SMQ_SIG_LEN)
		item.signature = c[6].text;
	if (!use_stream(m, stream) || !seal_again(m, &item, c[4].text, digest))
		return false;
	bool good = item.signature.len ? add_signed(m, &item, c)
				       : add_covered(m, &item, m->tables[STREAMS].all[stream].name, digest);
	if (!good)
		return false;
	item.stream = number_of(m, STREAMS, stream);
	if (m->err == SMQ_OK)
		m->err = put_item(&m->messages, &item);
	return true;
}

static bool on_message(void *self, const struct smq_record_cell *c, size_t count)
{
	struct maker *m = self;
	const struct things *t = &m->tables[STREAMS];
	bool found = false;
	size_t low = 0, high = t->count;
	(void)count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (t->all[middle].life < c[0].integer)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < t->count && t->all[low].life == c[0].integer && !found && m->err == SMQ_OK; low++)
		found = add_under(m, low, c);
	if (found)
		m->sum.messages++;
	else
		m->sum.left_out++;
	return m->err == SMQ_OK;
}

/* ---- the file ---- */

/* What checkpoints name is numbered before anything is written. */
static void number_rest(struct maker *m)
{
	struct things *t = &m->tables[CHECKPOINTS];
	for (size_t i = 0; i < t->used && m->err == SMQ_OK; i++) {
		const struct thing *c = &t->all[t->order[i]];
		number_of(m, CERTIFICATES, find(m, CERTIFICATES, c->certificate));
		size_t at = c->has_lists ? find(m, LISTS, c->lists) : SIZE_MAX;
		if (at != SIZE_MAX)
			number_of(m, LISTS, at);
	}
}

static smq_err put_table(struct maker *m, enum table table, struct smq_evidence_bytes *out)
{
	static const enum smq_evidence_kind kinds[] = { SMQ_EVIDENCE_CERTIFICATE, SMQ_EVIDENCE_LISTS,
							SMQ_EVIDENCE_STREAM, SMQ_EVIDENCE_CHECKPOINT };
	const struct things *t = &m->tables[table];
	smq_err err = SMQ_OK;
	for (size_t i = 0; i < t->used && err == SMQ_OK; i++) {
		const struct thing *c = &t->all[t->order[i]];
		struct smq_evidence_item item = { .kind = kinds[table],
						  .bytes = c->bytes,
						  .key = c->key,
						  .base_iv = c->base_iv,
						  .at_ms = c->at_ms,
						  .lists = SMQ_EVIDENCE_NONE };
		if (table == STREAMS)
			item.context = c->bytes;
		if (table == CHECKPOINTS) {
			size_t at = c->has_lists ? find(m, LISTS, c->lists) : SIZE_MAX;
			item.certificate = m->tables[CERTIFICATES].all[find(m, CERTIFICATES, c->certificate)].number;
			item.lists = at == SIZE_MAX ? SMQ_EVIDENCE_NONE : m->tables[LISTS].all[at].number;
		}
		err = put_item(out, &item);
	}
	return err;
}

static smq_err put_end(struct maker *m, struct smq_evidence_bytes *out)
{
	uint8_t digest[SMQ_HASH_LEN];
	smq_span all = smq_span_of(out->p, out->len);
	smq_err err = m->crypto->sha256(&all, 1, digest);
	const struct smq_evidence_item end = { .kind = SMQ_EVIDENCE_END,
					       .counter = m->sum.messages,
					       .digest = smq_span_of(digest, sizeof(digest)) };
	return err == SMQ_OK ? put_item(out, &end) : err;
}

static smq_err put_file(struct maker *m, int64_t now_ms, struct smq_evidence_bytes *out)
{
	const struct smq_evidence_item head = { .kind = SMQ_EVIDENCE_HEAD,
						.realm = smq_span_str(m->realm),
						.at_ms = now_ms };
	number_rest(m);
	smq_err err = m->err == SMQ_OK ? put_item(out, &head) : m->err;
	for (int i = 0; i < TABLES && err == SMQ_OK; i++)
		err = put_table(m, (enum table)i, out);
	if (err == SMQ_OK)
		err = put_bytes(out, smq_span_of(m->messages.p, m->messages.len));
	if (err == SMQ_OK)
		err = put_end(m, out);
	m->sum.certificates = m->tables[CERTIFICATES].used;
	m->sum.lists = m->tables[LISTS].used;
	m->sum.checkpoints = m->tables[CHECKPOINTS].used;
	return err;
}

static void done(struct maker *m)
{
	smq_seal_key_done(&m->key);
	for (int i = 0; i < TABLES; i++) {
		for (size_t k = 0; k < m->tables[i].count; k++) {
			struct thing *t = &m->tables[i].all[k];
			uint8_t *p = (uint8_t *)(uintptr_t)t->bytes.p;
			if (p && i == STREAMS)
				smq_wipe(p, t->bytes.len + t->key.len + t->base_iv.len);
			free(p);
		}
		free(m->tables[i].all);
		free(m->tables[i].order);
	}
	free(m->cipher.p);
	free(m->messages.p);
}

smq_err smq_evidence_make(struct smq_record_store *store, const struct smq_crypto *crypto,
			  const struct smq_evidence_selection *what, int64_t now_ms,
			  struct smq_evidence_bytes *ret_bytes, struct smq_evidence_sum *ret_sum)
{
	struct maker m = { .store = store, .crypto = crypto };
	struct smq_evidence_bytes out = { 0 };
	ask(&m, SMQ_RECORD_EV_STREAMS, what, false, on_stream);
	ask(&m, SMQ_RECORD_EV_CERTIFICATES, what, false, on_certificate);
	ask(&m, SMQ_RECORD_EV_CRLS, what, false, on_lists);
	ask(&m, SMQ_RECORD_EV_CHECKPOINTS, what, false, on_checkpoint);
	ask(&m, SMQ_RECORD_EV_MESSAGES, what, true, on_message);
	smq_err err = m.err;
	if (err == SMQ_OK && m.sum.messages == 0)
		err = SMQ_ERR_NOT_FOUND;
	if (err == SMQ_OK)
		err = put_file(&m, now_ms, &out);
	*ret_sum = m.sum;
	done(&m);
	if (err != SMQ_OK) {
		if (out.p)
			smq_wipe(out.p, out.len);
		free(out.p);
		return err;
	}
	*ret_bytes = out;
	return SMQ_OK;
}
