/*
 * Holds opened messages against their senders' signatures (PROTOCOL.md 3.9).
 *
 * A covered message is provisional: its digest waits here until a checkpoint of its sender names it (proven), names
 * another digest for its counter (forged), or none has come in time (unproven). Digests of a checkpoint that came
 * before its messages wait likewise. Both tables are the caller's and bounded: where one is full the oldest entry
 * goes, a message's as unproven. Nothing here allocates; certificates are behind the credentials port.
 */
#ifndef SMQ_CORE_PROOF_CHECKER_H
#define SMQ_CORE_PROOF_CHECKER_H

#include <sealmq/credential.h>
#include <sealmq/member.h>

#include "core/seal.h"
#include "wire/checkpoint.h"

enum {
	SMQ_PROOF_WAIT_MS = 15000,     /* how long a message waits for its checkpoint, by default */
	SMQ_PROOF_SIGNERS_MAX = 64,    /* certificates by name, for messages signed one by one */
	SMQ_PROOF_RECHECK_MS = 10000,  /* validity and revocation of these are judged again so often */
	SMQ_PROOF_SEEN = 64,           /* checkpoints remembered to know them again */
	SMQ_PROOF_FAILURES_PER_S = 200 /* signatures that may fail before the rest of the second is left unchecked */
};

enum smq_proof_verdict {
	SMQ_VERDICT_OPEN, /* provisional */
	SMQ_VERDICT_PROVEN,
	SMQ_VERDICT_FORGED,  /* its sender signed another message under this counter */
	SMQ_VERDICT_UNPROVEN /* given up */
};

/* One digest that waits: a message's, or one that a checkpoint named. */
struct smq_proof_entry {
	enum { SMQ_ENTRY_FREE, SMQ_ENTRY_WAITING, SMQ_ENTRY_SETTLED } state;
	enum smq_proof_verdict verdict;
	uint32_t next; /* in its bucket, or among the settled; index + 1 */
	uint64_t counter;
	int64_t since_ms;
	uint64_t tag; /* the caller's */
	uint8_t stream[SMQ_HASH_LEN];
	uint8_t digest[SMQ_HASH_LEN];
	char sender[SMQ_MEMBER_NAME_MAX + 1]; /* last: most are short, and then fewer lines of the cache are touched */
};

/* A ring in order of arrival, and buckets over it. */
struct smq_proof_table {
	struct smq_proof_entry *entries;
	uint32_t *buckets; /* index + 1; 0: empty */
	uint32_t count;
	uint64_t first, next; /* of the ring; entry i lies at i % count */
};

/* A sender whose messages are signed one by one: its certificate, and the one before a renewal. */
struct smq_proof_key {
	char name[SMQ_MEMBER_NAME_MAX + 1];
	uint64_t used;
	int64_t checked_ms; /* unix */
	uint8_t id[SMQ_HASH_LEN];
	unsigned roles;
	size_t id_cred_len;
	uint8_t id_cred[SMQ_ID_CRED_MAX];
	enum smq_sig_id alg;
	uint8_t key[SMQ_PUBLIC_KEY_MAX];
	size_t key_len;
	int64_t expires_ms;
};

struct smq_proof_checker_config {
	const struct smq_crypto *crypto;
	const struct smq_credentials *credentials;
	uint32_t wait_ms; /* 0: SMQ_PROOF_WAIT_MS */
	/* Memory, `count` of each (at least 1); it outlives the checker. */
	struct smq_proof_entry *waiting, *expected;
	uint32_t *waiting_buckets, *expected_buckets;
	uint32_t count;
	struct smq_proof_key *keys;
	size_t key_count;
};

struct smq_proof_checker {
	struct smq_proof_checker_config config;
	struct smq_proof_table waiting, expected;
	uint32_t settled_first, settled_last; /* index + 1 */
	uint64_t uses;
	uint8_t seen[SMQ_PROOF_SEEN][SMQ_HASH_LEN];
	size_t seen_next;
	uint8_t signer[SMQ_HASH_LEN]; /* struct smq_credential's id of whoever signed what verified last */
	unsigned signer_roles;        /* and what that certificate makes of them */
	int64_t second_ms;            /* of the failures counted */
	unsigned failures;
	struct smq_credential credential; /* scratch; too large for a small stack */
};

/* Zeroes the memory handed in. */
void smq_proof_checker_init(struct smq_proof_checker *c, const struct smq_proof_checker_config *config);

/*
 * A covered message was opened; sender is who the key says it is. *ret_verdict: PROVEN or FORGED at once where its
 * checkpoint came first; OPEN: smq_proof_checker_next answers for this tag later, once and for certain.
 */
void smq_proof_checker_message(struct smq_proof_checker *c, const char *sender, const uint8_t stream[SMQ_HASH_LEN],
			       uint64_t counter, const uint8_t digest[SMQ_HASH_LEN], uint64_t tag, struct smq_now now,
			       enum smq_proof_verdict *ret_verdict);

/*
 * A checkpoint that came in the name of `sender`. SMQ_ERR_CREDENTIAL: its certificate is not known here yet: bring it
 * (smq_proof_checker_certificate), then the checkpoint again. SMQ_ERR_REPLAY: the very same one again. SMQ_ERR_NAME:
 * somebody else's certificate. SMQ_ERR_SIGNATURE, SMQ_ERR_MALFORMED and its kin, SMQ_ERR_CERT_*: refused.
 * SMQ_ERR_RATE: too many bad ones this second. ret_checkpoint (may be NULL): what it covers, a view of bytes.
 */
SMQ_MUST_USE smq_err smq_proof_checker_checkpoint(struct smq_proof_checker *c, const char *sender, smq_span bytes,
						  struct smq_now now, struct smq_checkpoint *ret_checkpoint);

/* Takes the certificate of `name` (ID_CRED_x by value). SMQ_ERR_NAME: it is another's; else the port's refusal. */
SMQ_MUST_USE smq_err smq_proof_checker_certificate(struct smq_proof_checker *c, const char *name, smq_span id_cred,
						   struct smq_now now);
/*
 * A message that carries a signature was opened. SMQ_ERR_CREDENTIAL: no certificate of this sender is here (any
 * more); SMQ_ERR_SIGNATURE; SMQ_ERR_CERT_EXPIRED.
 */
SMQ_MUST_USE smq_err smq_proof_checker_signature(struct smq_proof_checker *c, const char *sender,
						 const struct smq_proof_input *input,
						 const uint8_t signature[SMQ_SIG_LEN], struct smq_now now);

/* The keys under which a sender's messages may be signed: a copy, so that verifying can be left to others. */
struct smq_proof_verifier {
	size_t count;
	struct {
		enum smq_sig_id alg;
		uint8_t key[SMQ_PUBLIC_KEY_MAX];
		size_t key_len;
		uint8_t id[SMQ_HASH_LEN]; /* struct smq_credential's */
		unsigned roles;           /* likewise */
	} keys[2];
};
/* As smq_proof_checker_signature, but for the signature itself. */
SMQ_MUST_USE smq_err smq_proof_checker_verifier(struct smq_proof_checker *c, const char *sender, struct smq_now now,
						struct smq_proof_verifier *ret_verifier);
/* Needs nothing of a checker: for any thread. SMQ_ERR_SIGNATURE: none of them made it. */
SMQ_MUST_USE smq_err smq_proof_verify(const struct smq_crypto *crypto, const struct smq_proof_verifier *verifier,
				      const struct smq_proof_input *input, const uint8_t signature[SMQ_SIG_LEN],
				      size_t *ret_which);

/* Trust has changed, a new revocation list say: certificates are judged again before they are believed. */
void smq_proof_checker_review(struct smq_proof_checker *c);

/* The next verdict on a message that was OPEN; false: none now. */
bool smq_proof_checker_next(struct smq_proof_checker *c, struct smq_now now, uint64_t *ret_tag,
			    enum smq_proof_verdict *ret_verdict);
/* Gives up all that waits. */
void smq_proof_checker_give_up(struct smq_proof_checker *c);
/* Mono ms; INT64_MAX: never, INT64_MIN: at once. */
int64_t smq_proof_checker_wake_at(const struct smq_proof_checker *c);

#endif
