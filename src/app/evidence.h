/*
 * Evidence as a use case (FORMATS.md 9): made from a record store, and read back with a verdict for each message.
 * Nothing here touches a file; certificates are judged behind a port.
 */
#ifndef SMQ_APP_EVIDENCE_H
#define SMQ_APP_EVIDENCE_H

#include <sealmq/credential.h>
#include <sealmq/evidence.h>

#include "app/record_store.h"
#include "core/seal.h"
#include "wire/checkpoint.h"
#include "wire/evidence_items.h"

#define SMQ_EVIDENCE_FILE_MAX ((size_t)1 << 30)

/* ---- making ---- */

struct smq_evidence_bytes {
	uint8_t *p;
	size_t len, room;
};

/* *ret_bytes: wipe and free. SMQ_ERR_NOT_FOUND: nothing of it can be proven. */
SMQ_MUST_USE smq_err smq_evidence_make(struct smq_record_store *store, const struct smq_crypto *crypto,
				       const struct smq_evidence_selection *what, int64_t now_ms,
				       struct smq_evidence_bytes *ret_bytes, struct smq_evidence_sum *ret_sum);

/* Sealing is deterministic: the ciphertext of a stored record, under its sender's key. */
struct smq_evidence_cipher {
	uint8_t *p; /* to be freed */
	size_t room;
};
/* Seals raw again as item says (counter, topic, stamp, signature); sets item->bytes, which lie in `cipher`, and the
 * digest that a checkpoint names it by. */
SMQ_MUST_USE smq_err smq_evidence_seal_again(const struct smq_crypto *crypto, struct smq_seal_key *key,
					     struct smq_evidence_cipher *cipher, struct smq_evidence_item *item,
					     smq_span raw, uint8_t ret_digest[SMQ_HASH_LEN]);
/* Whether a checkpoint's document says this digest of that counter. Its signature is not looked at. */
bool smq_evidence_names(smq_span document, uint64_t counter, const uint8_t digest[SMQ_HASH_LEN]);

/* ---- reading ---- */

/* What a list file says. */
struct smq_evidence_list_facts {
	char number[64]; /* hex; "": none */
	int64_t from_ms;
};

struct smq_evidence_judge {
	void *self;
	/* Whose certificate it is, as of then, under the root that the judge knows. pem: lists in force then, or empty.
	 */
	smq_err (*judge)(void *self, smq_span realm, smq_span id_cred, smq_span pem, int64_t at_ms,
			 struct smq_credential *ret_credential);
	void (*facts)(void *self, smq_span pem, struct smq_evidence_list_facts *ret_facts);
};

/* Everything that is known of one message, for whoever unpacks it; spans point into the file, or live for the call. */
struct smq_evidence_detail {
	const struct smq_evidence_item *message;
	const struct smq_seal_key *key; /* base IV, raw key, context digest */
	const struct smq_proof_input *input;
	uint64_t checkpoint; /* number of the one that covers it; SMQ_EVIDENCE_NONE */
	smq_span context;
};

struct smq_evidence_reading {
	smq_span bytes;
	const struct smq_crypto *crypto;
	const struct smq_evidence_judge *judge; /* NULL: nothing is judged, every verdict that needs it is left open */
	const char *realm;                      /* NULL: any */
	void *self;
	/* Each may be NULL. */
	void (*on_item)(void *self, uint64_t number, const struct smq_evidence_item *item);
	void (*on_message)(void *self, const struct smq_evidence_finding *finding,
			   const struct smq_evidence_detail *detail);
};
/* As smq_evidence_verify. */
SMQ_MUST_USE smq_err smq_evidence_read(const struct smq_evidence_reading *reading, struct smq_evidence_sum *ret_sum);

#endif
