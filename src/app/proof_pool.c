/* Messages whose signatures other threads verify meanwhile. */
#include "app/proof_pool.h"

#include <stdlib.h>

#include "app/message_copy.h"

enum { WAITING_MAX = 4096 };

struct item {
	struct smq_work work; /* first */
	struct item *next;
	const struct smq_crypto *crypto;
	struct smq_message_copy *copy;
	struct smq_proof_input input;
	uint8_t signature[SMQ_SIG_LEN];
	struct smq_proof_verifier verifier;
	size_t which; /* of the verifier's keys */
	smq_err err;
	uint8_t ciphertext[];
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
	smq_message_copy_free(i->copy);
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
	size_t len = opened->input.ciphertext.len;
	struct item *i = p->count < WAITING_MAX ? malloc(sizeof(*i) + len) : NULL;
	if (!i)
		return false;
	*i = (struct item){ .work = { .run = verify },
			    .crypto = p->crypto,
			    .copy = smq_message_copy_new(m),
			    .input = opened->input,
			    .verifier = *verifier,
			    .err = SMQ_ERR_BUG };
	if (!i->copy) {
		free(i);
		return false;
	}
	i->input.ciphertext = smq_span_of(memcpy(i->ciphertext, opened->input.ciphertext.p, len), len);
	memcpy(i->signature, opened->signature, sizeof(i->signature));
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
		i->copy->message.proof = i->err == SMQ_OK ? SMQ_PROOF_PROVEN : SMQ_PROOF_MEMBER;
		if (i->err == SMQ_OK)
			i->copy->evidence.certificate = i->verifier.keys[i->which].id;
		i->copy->message.signer_roles = i->err == SMQ_OK ? i->verifier.keys[i->which].roles : 0;
		tell(self, &i->copy->message, i->err);
		free_item(i);
	}
}
