/*
 * Evidence read back: every message held against the signature that is to prove it, as of the time when the recorder
 * judged it. Whoever wrote the file is not believed in anything but in when it received a message.
 */
#include "app/evidence.h"

#include <stdlib.h>

#include "base/table.h"
#include "base/wipe.h"
#include "core/keyschedule.h"
#include "wire/cbor.h"

/* A checkpoint is judged once, when a message first needs it. */
struct checkpoint {
	struct smq_evidence_item item;
	bool judged;
	smq_err verdict;
	char name[SMQ_MEMBER_NAME_MAX + 1];
	struct smq_checkpoint content;
};

struct table {
	void *all;
	size_t count, room;
};

struct reader {
	const struct smq_evidence_reading *in;
	struct smq_evidence_sum *sum;
	char realm[SMQ_MEMBER_NAME_MAX + 1];
	bool has_head;
	struct table certificates, lists, streams, checkpoints; /* smq_evidence_item, but for the last */
	size_t stream;
	bool keyed;
	struct smq_seal_key key;
	struct smq_seal_context context;
	smq_err first; /* verdict that is not SMQ_OK */
	uint8_t *plain;
	size_t plain_room;
};

/* ---- words ---- */

static const struct {
	smq_err err;
	const char *word;
} words[] = {
	{ SMQ_OK, "proven" },
	{ SMQ_ERR_OPEN, "altered" },
	{ SMQ_ERR_SIGNATURE, "signature" },
	{ SMQ_ERR_CERT_NAME, "swapped-certificate" },
	{ SMQ_ERR_CERT_REVOKED, "revoked" },
	{ SMQ_ERR_CERT_EXPIRED, "expired" },
	{ SMQ_ERR_CERT_NOT_YET, "not-yet-valid" },
	{ SMQ_ERR_CERT_CHAIN, "wrong-ca" },
	{ SMQ_ERR_CERT_CRL, "no-current-list" },
	{ SMQ_ERR_NOT_PROVEN, "no-checkpoint" },
	{ SMQ_ERR_REALM, "wrong-realm" },
};

static const char *word_of(smq_err err)
{
	for (size_t i = 0; i < SMQ_COUNT(words); i++) {
		if (words[i].err == err)
			return words[i].word;
	}
	return smq_err_name(err);
}

/* ---- tables ---- */

static void *add(struct table *t, size_t size)
{
	if (t->count == t->room) {
		size_t room = t->room ? 2 * t->room : 16;
		void *all = realloc(t->all, room * size);
		if (!all)
			return NULL;
		t->all = all;
		t->room = room;
	}
	return (uint8_t *)t->all + size * t->count++;
}

static const struct smq_evidence_item *item_at(const struct table *t, uint64_t number)
{
	return number < t->count ? (const struct smq_evidence_item *)t->all + number : NULL;
}

/* ---- signers ---- */

/* The end entity in { 33: x5chain }. */
static smq_err leaf_of(smq_span id_cred, smq_span *ret_leaf)
{
	struct smq_reader r = smq_reader_on(id_cred);
	if (smq_cbor_get_map(&r) != 1 || smq_cbor_get_uint(&r) != 33)
		return SMQ_ERR_MALFORMED;
	if (smq_cbor_peek(&r) == SMQ_CBOR_ARRAY)
		(void)smq_cbor_get_array(&r);
	*ret_leaf = smq_cbor_get_bytes(&r);
	return r.err;
}

static smq_err thumbprint(const struct reader *r, smq_span id_cred, uint8_t ret_hash[SMQ_HASH_LEN])
{
	smq_span leaf;
	smq_err err = leaf_of(id_cred, &leaf);
	return err == SMQ_OK ? r->in->crypto->sha256(&leaf, 1, ret_hash) : err;
}

/* Who the certificate makes them, as of then; and that it is the one that was to be. */
static smq_err signer(const struct reader *r, uint64_t certificate, uint64_t lists, int64_t at_ms, const char *name,
		      struct smq_credential *ret_credential)
{
	const struct smq_evidence_item *c = item_at(&r->certificates, certificate), *l = item_at(&r->lists, lists);
	const struct smq_evidence_judge *judge = r->in->judge;
	if (!c || (lists != SMQ_EVIDENCE_NONE && !l))
		return SMQ_ERR_MALFORMED;
	smq_err err = judge->judge(judge->self, smq_span_str(r->realm), c->bytes, l ? l->bytes : smq_span_of(NULL, 0),
				   at_ms, ret_credential);
	if (err == SMQ_OK && strcmp(ret_credential->name, name) != 0)
		err = SMQ_ERR_CERT_NAME;
	if (err == SMQ_OK && !(ret_credential->roles & SMQ_ROLE_MEMBER))
		err = SMQ_ERR_CERT_USAGE;
	return err;
}

/* ---- checkpoints ---- */

/* The protected header names the certificate by its hash. */
static smq_err names_certificate(const struct reader *r, const struct smq_sign1 *s, uint64_t certificate)
{
	const struct smq_evidence_item *c = item_at(&r->certificates, certificate);
	struct smq_reader in = smq_reader_on(smq_span_of(s->id_cred, s->id_cred_len));
	uint8_t hash[SMQ_HASH_LEN];
	bool good = c && smq_cbor_get_map(&in) == 1 && smq_cbor_get_uint(&in) == 34 && smq_cbor_get_array(&in) == 2;
	(void)smq_cbor_get_int(&in);
	smq_span named = smq_cbor_get_bytes(&in);
	if (!good || in.err != SMQ_OK || named.len == 0 || named.len > sizeof(hash))
		return SMQ_ERR_MALFORMED;
	smq_err err = thumbprint(r, c->bytes, hash);
	return err != SMQ_OK ? err : memcmp(hash, named.p, named.len) == 0 ? SMQ_OK : SMQ_ERR_CERT_NAME;
}

static smq_err judge_checkpoint(const struct reader *r, struct checkpoint *c, const char *sender)
{
	struct smq_sign1 s;
	struct smq_credential *who = malloc(sizeof(*who));
	smq_err err = who ? smq_sign1_decode(c->item.bytes, &s) : SMQ_ERR_NO_MEMORY;
	if (err == SMQ_OK && (s.detached || s.id_cred_len == 0))
		err = SMQ_ERR_MALFORMED;
	if (err == SMQ_OK)
		err = smq_checkpoint_decode(s.payload, &c->content);
	if (err == SMQ_OK)
		err = names_certificate(r, &s, c->item.certificate);
	if (err == SMQ_OK)
		err = signer(r, c->item.certificate, c->item.lists, c->item.at_ms, sender, who);
	if (err == SMQ_OK)
		err = smq_sign1_verify_document(&s, r->in->crypto, who, SMQ_ROLE_MEMBER, SMQ_CHECKPOINT_KIND);
	/* a document that is broken is one whose signature says nothing */
	if (err == SMQ_ERR_MALFORMED || err == SMQ_ERR_TRUNCATED || err == SMQ_ERR_TRAILING)
		err = SMQ_ERR_SIGNATURE;
	free(who);
	return err;
}

/* Whether it is about this message; not whether it is to be believed. */
static smq_err covers(const struct reader *r, const struct checkpoint *c, uint64_t counter, const uint8_t *digest)
{
	struct smq_sign1 s;
	struct smq_checkpoint content;
	if (smq_sign1_decode(c->item.bytes, &s) != SMQ_OK || smq_checkpoint_decode(s.payload, &content) != SMQ_OK)
		return SMQ_ERR_SIGNATURE;
	uint64_t at = counter - content.first;
	if (memcmp(content.stream, r->key.context_digest, SMQ_HASH_LEN) != 0 || counter < content.first ||
	    at >= content.digests.len / SMQ_HASH_LEN)
		return SMQ_ERR_NOT_PROVEN;
	return memcmp(content.digests.p + at * SMQ_HASH_LEN, digest, SMQ_HASH_LEN) == 0 ? SMQ_OK : SMQ_ERR_OPEN;
}

static smq_err check_covered(struct reader *r, const struct smq_evidence_item *m, const char *sender,
			     const struct smq_proof_input *input, uint64_t *ret_checkpoint)
{
	uint8_t digest[SMQ_HASH_LEN];
	smq_err answer = SMQ_ERR_NOT_PROVEN;
	if (smq_proof_input_digest(r->in->crypto, input, digest) != SMQ_OK)
		return SMQ_ERR_CRYPTO;
	for (size_t i = 0; i < m->checkpoint_count; i++) {
		if (m->checkpoints[i] >= r->checkpoints.count)
			return SMQ_ERR_MALFORMED;
		struct checkpoint *c = (struct checkpoint *)r->checkpoints.all + m->checkpoints[i];
		smq_err err = covers(r, c, m->counter, digest);
		if (err == SMQ_ERR_NOT_PROVEN)
			continue;
		*ret_checkpoint = m->checkpoints[i];
		if (err == SMQ_OK && (!c->judged || strcmp(c->name, sender) != 0)) {
			c->verdict = r->in->judge ? judge_checkpoint(r, c, sender) : SMQ_OK;
			c->judged = true;
			memcpy(c->name, sender, strlen(sender) + 1);
		}
		answer = err == SMQ_OK ? c->verdict : err;
		if (answer == SMQ_OK)
			break;
	}
	return answer;
}

/* ---- messages ---- */

static smq_err check_signed(const struct reader *r, const struct smq_evidence_item *m, const char *sender,
			    const struct smq_proof_input *input)
{
	const smq_span parts[] = { smq_span_of(input->head, input->head_len), input->ciphertext };
	struct smq_credential *who = malloc(sizeof(*who));
	smq_err err = who ? SMQ_OK : SMQ_ERR_NO_MEMORY;
	if (err == SMQ_OK && r->in->judge)
		err = signer(r, m->certificate, m->lists, m->at_ms, sender, who);
	if (err == SMQ_OK && r->in->judge)
		err = r->in->crypto->verify(who->sig_alg, smq_span_of(who->public_key, who->public_key_len), parts, 2,
					    m->signature.p);
	free(who);
	return err;
}

/* The key and what it is bound to; SMQ_ERR_OPEN: the two do not fit together. */
static smq_err use_stream(struct reader *r, uint64_t number)
{
	const struct smq_evidence_item *s = item_at(&r->streams, number);
	uint8_t digest[SMQ_HASH_LEN];
	if (!s)
		return SMQ_ERR_MALFORMED;
	if (r->keyed && r->stream == number)
		return SMQ_OK;
	smq_seal_key_done(&r->key);
	r->keyed = false;
	smq_err err = smq_context_decode(s->context, &r->context);
	if (err == SMQ_OK && r->context.kind == SMQ_SEALED_SESSION)
		err = SMQ_ERR_MALFORMED;
	if (err == SMQ_OK)
		err = r->in->crypto->sha256(&s->context, 1, digest);
	if (err == SMQ_OK)
		err = smq_seal_key_restore(&r->key, r->in->crypto, r->context.alg, digest, s->key, s->base_iv);
	r->keyed = err == SMQ_OK;
	r->stream = number;
	return err == SMQ_ERR_NO_MEMORY || err == SMQ_ERR_CRYPTO ? err : err != SMQ_OK ? SMQ_ERR_OPEN : SMQ_OK;
}

static void copy_text(char *to, size_t room, smq_span from)
{
	size_t len = from.len < room ? from.len : room - 1;
	if (len > 0)
		memcpy(to, from.p, len);
	to[len] = 0;
}

/* Opens it, and says which bytes were to be signed. */
static smq_err open_message(struct reader *r, const struct smq_evidence_item *m, struct smq_proof_input *input,
			    smq_span *ret_plain)
{
	const struct smq_sealed s = { .alg = r->key.header.alg,
				      .counter = m->counter,
				      .has_stamp = m->has_stamp,
				      .stamp = m->stamp,
				      .covered = m->signature.len == 0,
				      .signature = m->signature,
				      .ciphertext = m->bytes };
	size_t len = 0;
	if (m->bytes.len > r->plain_room) {
		uint8_t *p = realloc(r->plain, m->bytes.len);
		if (!p)
			return SMQ_ERR_NO_MEMORY;
		r->plain = p;
		r->plain_room = m->bytes.len;
	}
	smq_err err = smq_proof_input_make(&r->key, &s, m->topic, input);
	if (err == SMQ_OK)
		err = smq_seal_key_open(&r->key, &s, m->topic, smq_mspan_of(r->plain, r->plain_room), &len);
	*ret_plain = smq_span_of(r->plain, err == SMQ_OK ? len : 0);
	return err == SMQ_OK || err == SMQ_ERR_CRYPTO ? err : SMQ_ERR_OPEN;
}

struct names {
	char group[SMQ_MEMBER_NAME_MAX + 1], sender[SMQ_MEMBER_NAME_MAX + 1];
};

static smq_err judge_message(struct reader *r, const struct smq_evidence_item *m, struct names *names,
			     struct smq_evidence_finding *f, struct smq_evidence_detail *d,
			     struct smq_proof_input *input)
{
	smq_err err = use_stream(r, m->stream);
	if (err != SMQ_OK)
		return err;
	copy_text(names->group, sizeof(names->group), r->context.group);
	copy_text(names->sender, sizeof(names->sender), r->context.sender);
	f->epoch = r->context.epoch;
	memcpy(f->boot_id, r->context.boot_id, sizeof(f->boot_id));
	d->key = &r->key;
	d->context = item_at(&r->streams, m->stream)->context;
	err = open_message(r, m, input, &f->payload);
	if (err != SMQ_OK)
		return err;
	d->input = input;
	if (!smq_span_equal(r->context.realm, smq_span_str(r->realm)))
		return SMQ_ERR_REALM;
	return m->signature.len ? check_signed(r, m, f->sender, input)
				: check_covered(r, m, f->sender, input, &d->checkpoint);
}

static smq_err on_message(struct reader *r, const struct smq_evidence_item *m)
{
	struct names names = { "", "" };
	uint8_t certificate_hash[SMQ_HASH_LEN], lists_hash[SMQ_HASH_LEN];
	struct smq_evidence_list_facts facts = { 0 };
	struct smq_proof_input input;
	struct smq_evidence_finding f = { .number = ++r->sum->messages,
					  .realm = r->realm,
					  .group = names.group,
					  .sender = names.sender,
					  .topic = m->topic,
					  .counter = m->counter,
					  .received_ms = m->at_ms,
					  .is_signed = m->signature.len > 0 };
	struct smq_evidence_detail d = { .message = m, .checkpoint = SMQ_EVIDENCE_NONE };
	smq_err err = f.verdict = judge_message(r, m, &names, &f, &d, &input);
	if (err == SMQ_ERR_NO_MEMORY || err == SMQ_ERR_CRYPTO || err == SMQ_ERR_MALFORMED)
		return err;
	f.reason = word_of(err);
	const struct smq_evidence_item *by = m;
	if (d.checkpoint != SMQ_EVIDENCE_NONE)
		by = &((struct checkpoint *)r->checkpoints.all + d.checkpoint)->item;
	const struct smq_evidence_item *c = item_at(&r->certificates, by->certificate),
				       *l = item_at(&r->lists, by->lists);
	bool named = f.is_signed || d.checkpoint != SMQ_EVIDENCE_NONE;
	if (named && c && thumbprint(r, c->bytes, certificate_hash) == SMQ_OK)
		f.certificate = certificate_hash;
	if (named && l && r->in->judge && r->in->crypto->sha256(&l->bytes, 1, lists_hash) == SMQ_OK) {
		r->in->judge->facts(r->in->judge->self, l->bytes, &facts);
		f.lists = lists_hash;
		f.list_number = *facts.number ? facts.number : NULL;
		f.list_from_ms = facts.from_ms;
	}
	r->sum->proven += err == SMQ_OK;
	r->sum->unlisted += err == SMQ_OK && !f.lists;
	r->first = r->first == SMQ_OK ? err : r->first;
	if (r->in->on_message)
		r->in->on_message(r->in->self, &f, &d);
	return SMQ_OK;
}

/* ---- the file ---- */

static smq_err take_head(struct reader *r, const struct smq_evidence_item *i)
{
	copy_text(r->realm, sizeof(r->realm), i->realm);
	if (r->has_head)
		return SMQ_ERR_MALFORMED;
	r->has_head = true;
	return r->in->realm && strcmp(r->in->realm, r->realm) != 0 ? SMQ_ERR_REALM : SMQ_OK;
}

static smq_err keep(struct table *t, const struct smq_evidence_item *i)
{
	struct smq_evidence_item *at = add(t, sizeof(*at));
	if (!at)
		return SMQ_ERR_NO_MEMORY;
	*at = *i;
	return SMQ_OK;
}

static smq_err keep_checkpoint(struct reader *r, const struct smq_evidence_item *i)
{
	struct checkpoint *at = add(&r->checkpoints, sizeof(*at));
	if (!at)
		return SMQ_ERR_NO_MEMORY;
	*at = (struct checkpoint){ .item = *i };
	return SMQ_OK;
}

static smq_err take(struct reader *r, const struct smq_evidence_item *i)
{
	const struct smq_evidence_reading *in = r->in;
	if (!r->has_head && i->kind != SMQ_EVIDENCE_HEAD)
		return SMQ_ERR_MALFORMED;
	struct table *tables[] = { NULL, &r->certificates, &r->lists, &r->streams, &r->checkpoints };
	if (in->on_item && i->kind != SMQ_EVIDENCE_MESSAGE)
		in->on_item(in->self, i->kind && i->kind <= SMQ_EVIDENCE_CHECKPOINT ? tables[i->kind]->count : 0, i);
	switch (i->kind) {
	case SMQ_EVIDENCE_HEAD:
		return take_head(r, i);
	case SMQ_EVIDENCE_CERTIFICATE:
		r->sum->certificates++;
		return keep(&r->certificates, i);
	case SMQ_EVIDENCE_LISTS:
		r->sum->lists++;
		return keep(&r->lists, i);
	case SMQ_EVIDENCE_STREAM:
		return keep(&r->streams, i);
	case SMQ_EVIDENCE_CHECKPOINT:
		r->sum->checkpoints++;
		return keep_checkpoint(r, i);
	case SMQ_EVIDENCE_MESSAGE:
		return on_message(r, i);
	default:
		return SMQ_OK;
	}
}

static smq_err read_items(struct reader *r)
{
	struct smq_reader at = smq_reader_on(r->in->bytes);
	for (;;) {
		struct smq_evidence_item i;
		size_t before = r->in->bytes.len - at.left;
		if (at.left == 0)
			return r->has_head ? SMQ_ERR_TRUNCATED : SMQ_ERR_MALFORMED;
		smq_err err = smq_evidence_get(&at, &i);
		if (err == SMQ_OK)
			err = take(r, &i);
		if (err == SMQ_ERR_TRUNCATED && !r->has_head)
			err = SMQ_ERR_MALFORMED;
		if (err != SMQ_OK)
			return err;
		if (i.kind != SMQ_EVIDENCE_END)
			continue;
		smq_span all = smq_span_of(r->in->bytes.p, before);
		uint8_t digest[SMQ_HASH_LEN];
		err = r->in->crypto->sha256(&all, 1, digest);
		if (err == SMQ_OK && at.left > 0)
			err = SMQ_ERR_TRAILING;
		if (err == SMQ_OK && r->first == SMQ_OK &&
		    (i.counter != r->sum->messages || memcmp(digest, i.digest.p, sizeof(digest)) != 0))
			err = SMQ_ERR_CORRUPT;
		return err;
	}
}

smq_err smq_evidence_read(const struct smq_evidence_reading *reading, struct smq_evidence_sum *ret_sum)
{
	struct reader *r = calloc(1, sizeof(*r));
	struct smq_evidence_sum sum = { 0 };
	if (!r)
		return SMQ_ERR_NO_MEMORY;
	r->in = reading;
	r->sum = &sum;
	smq_err err = read_items(r);
	if (err == SMQ_OK)
		err = r->first;
	*ret_sum = sum;
	smq_seal_key_done(&r->key);
	if (r->plain)
		smq_wipe(r->plain, r->plain_room);
	free(r->plain);
	free(r->certificates.all);
	free(r->lists.all);
	free(r->streams.all);
	free(r->checkpoints.all);
	free(r);
	return err;
}
