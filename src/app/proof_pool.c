/* Messages whose signatures other threads verify meanwhile. */
#include "app/proof_pool.h"

#include <stdlib.h>

#include "base/wipe.h"

enum { WAITING_MAX = 4096 };

struct item {
	struct smq_work work; /* first */
	struct item *next;
	const struct smq_crypto *crypto;
	struct smq_message message;
	struct smq_evidence evidence;
	struct smq_proof_input input;
	uint8_t signature[SMQ_SIG_LEN];
	struct smq_proof_verifier verifier;
	size_t which; /* of the verifier's keys */
	smq_err err;
	size_t len;
	uint8_t bytes[]; /* what the pointers above point to */
};

struct smq_proof_pool {
	const struct smq_crypto *crypto;
	struct smq_workers workers;
	struct item *first, **end;
	size_t count;
};

smq_err smq_proof_pool_new(const struct smq_crypto *crypto, const struct smq_workers *workers,
			   struct smq_proof_pool **ret_pool)
{
	struct smq_proof_pool *p = calloc(1, sizeof(*p));
	if (!p)
		return SMQ_ERR_NO_MEMORY;
	p->crypto = crypto;
	p->workers = *workers;
	p->end = &p->first;
	*ret_pool = p;
	return SMQ_OK;
}

static void free_item(struct item *i)
{
	smq_wipe(i->bytes, i->len); /* plaintext, and with evidence the key */
	free(i);
}

void smq_proof_pool_free(struct smq_proof_pool *p)
{
	if (!p)
		return;
	p->workers.free(p->workers.self);
	while (p->first) {
		struct item *i = p->first;
		p->first = i->next;
		free_item(i);
	}
	free(p);
}

/* ---- copying ---- */

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

static size_t size_of(const struct smq_message *m, const struct smq_opened_proof *opened)
{
	const struct smq_evidence *e = m->evidence;
	size_t len = text_len(m->mqtt.topic) + text_len(m->sender) + text_len(m->group) + m->mqtt.payload.len +
		     opened->input.ciphertext.len;
	return e ? len + SMQ_HASH_LEN + e->context.len + e->key.len + e->base_iv.len : len;
}

static void copy_evidence(struct item *i, uint8_t **at)
{
	struct smq_evidence *e = &i->evidence;
	*e = *i->message.evidence;
	e->stream = put(at, e->stream, SMQ_HASH_LEN);
	e->context = put_span(at, e->context);
	e->key = put_span(at, e->key);
	e->base_iv = put_span(at, e->base_iv);
	e->signature = i->signature;
	e->certificate = NULL;
	i->message.evidence = e;
}

/* Properties are left behind: what they say was never sealed. */
static void copy(struct item *i, const struct smq_message *m, const struct smq_opened_proof *opened)
{
	uint8_t *at = i->bytes;
	i->message = *m;
	i->message.mqtt.topic = put_text(&at, m->mqtt.topic);
	i->message.sender = put_text(&at, m->sender);
	i->message.group = put_text(&at, m->group);
	i->message.mqtt.payload = put_span(&at, m->mqtt.payload);
	i->message.mqtt.properties = NULL;
	i->message.mqtt.property_count = 0;
	i->input = opened->input;
	i->input.ciphertext = put_span(&at, opened->input.ciphertext);
	memcpy(i->signature, opened->signature, sizeof(i->signature));
	if (m->evidence)
		copy_evidence(i, &at);
}

/* ---- in some thread ---- */

static void verify(struct smq_work *work)
{
	struct item *i = (struct item *)work;
	i->err = smq_proof_verify(i->crypto, &i->verifier, &i->input, i->signature, &i->which);
}

/* ---- in the owner's ---- */

bool smq_proof_pool_is_empty(const struct smq_proof_pool *p) { return p->first == NULL; }

bool smq_proof_pool_add(struct smq_proof_pool *p, const struct smq_message *m, const struct smq_opened_proof *opened,
			const struct smq_proof_verifier *verifier)
{
	size_t len = size_of(m, opened);
	struct item *i = p->count < WAITING_MAX ? calloc(1, sizeof(*i) + len) : NULL;
	if (!i)
		return false;
	i->work.run = verify;
	i->crypto = p->crypto;
	i->verifier = *verifier;
	i->err = SMQ_ERR_BUG;
	i->len = len;
	copy(i, m, opened);
	*p->end = i;
	p->end = &i->next;
	p->count++;
	p->workers.begin(p->workers.self, &i->work);
	return true;
}

void smq_proof_pool_join(struct smq_proof_pool *p, smq_proof_pool_fn tell, void *self)
{
	if (!p->first)
		return;
	p->workers.wait(p->workers.self);
	struct item *all = p->first;
	p->first = NULL;
	p->end = &p->first;
	p->count = 0;
	while (all) {
		struct item *i = all;
		all = i->next;
		i->message.proof = i->err == SMQ_OK ? SMQ_PROOF_PROVEN : SMQ_PROOF_MEMBER;
		if (i->err == SMQ_OK)
			i->evidence.certificate = i->verifier.keys[i->which].id;
		i->message.signer_roles = i->err == SMQ_OK ? i->verifier.keys[i->which].roles : 0;
		tell(self, &i->message, i->err);
		free_item(i);
	}
}
