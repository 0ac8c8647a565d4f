/*
 * Sealing and opening under one sender's key (PROTOCOL.md 3.3 to 3.6).
 *
 * A context says what the key is bound to; from it and a traffic secret come the AEAD key, the base IV and the
 * context digest that every message authenticates. The nonce is the counter xor the base IV. Nothing here
 * allocates after init, reads a clock or draws randomness.
 */
#ifndef SMQ_CORE_SEAL_H
#define SMQ_CORE_SEAL_H

#include "core/replay.h"
#include "wire/sealed.h"

enum {
	SMQ_TRAFFIC_SECRET_LEN = 32,
	SMQ_TOPIC_AAD_MAX = 65535,
	SMQ_EXTERNAL_HEAD_LEN = 3 + SMQ_HASH_LEN,
	SMQ_AAD_HEAD_MAX = 16 + 2 + SMQ_EXTERNAL_HEAD_LEN
};

struct smq_traffic_secret {
	uint8_t b[SMQ_TRAFFIC_SECRET_LEN];
};

/* Everything a sender's key is bound to; each field is authenticated (PROTOCOL.md 3.4). */
struct smq_seal_context {
	enum smq_sealed_kind kind;
	const struct smq_aead_alg *alg;
	smq_span realm;
	smq_span group;                 /* empty for a session */
	smq_span sender;                /* certified name */
	smq_span recipient;             /* certified name; empty for a group */
	uint8_t key_id[SMQ_KEY_ID_LEN]; /* session only */
	uint64_t epoch;
	uint64_t slot;
	uint64_t sender_id;
	uint8_t manifest[SMQ_HASH_LEN]; /* zero where there is none */
	uint8_t boot_id[SMQ_BOOT_ID_LEN];
};

/* Common to both directions; embed, do not look inside. */
struct smq_seal_key {
	const struct smq_crypto *crypto;
	smq_aead *aead;
	uint8_t base_iv[SMQ_AEAD_NONCE_MAX];
	/* How every message's Enc_structure begins, and behind it how its external_aad does; between them lies the
	 * head of a byte string, whose second byte is the one that differs. */
	uint8_t aad_head_len;
	uint8_t aad_head[SMQ_AAD_HEAD_MAX];
	struct smq_sealed header; /* kind, alg and key reference; counter and stamp are set per message */
	/* Up to here a message needs it, and of the header its first half: few lines of the cache. */
	uint8_t context_digest[SMQ_HASH_LEN];
	/* What a third party needs to open what it was sealed (PROTOCOL.md 3.10); the AEAD holds the same. */
	uint8_t raw[SMQ_AEAD_KEY_MAX];
	uint8_t manifest[SMQ_HASH_LEN];
};

struct smq_sealer {
	struct smq_seal_key key;
	uint64_t next_counter;
	uint64_t first_counter; /* where this key began; the AEAD's limit counts from here. Set before the first seal */
	uint64_t counter_limit; /* first counter that may not be used: the end of a reservation, or of all counters */
	bool cose;
	/* The compact header of an unsigned message without a stamp, up to its counter. */
	uint8_t usual_head[SMQ_SEALED_HEADER_MAX];
	size_t usual_head_len;
};

/* What a seal does for the proof of its sender, and what it leaves for a checkpoint (core/proof_signer.h). */
struct smq_seal_proof {
	const struct smq_signer *signer; /* signs this very message (64 bytes more); NULL: not */
	bool covered;                    /* the message says that a checkpoint will cover it; not with a signer */
	bool wants_digest;               /* the two below are filled */
	uint8_t stream[SMQ_HASH_LEN];    /* out: the context digest of the key */
	uint64_t counter;                /* out */
	uint8_t digest[SMQ_HASH_LEN];    /* out: of the whole protected message (PROTOCOL.md 3.9) */
};

/* The Countersign_structure of a message (PROTOCOL.md 3.9), which is what is signed, and hashed for a checkpoint:
 * head, then the ciphertext with its tag. */
enum { SMQ_PROOF_HEAD_MAX = 640 };
struct smq_proof_input {
	uint8_t head[SMQ_PROOF_HEAD_MAX];
	size_t head_len;
	smq_span ciphertext; /* as in the message it was made from */
};

struct smq_opener {
	struct smq_seal_key key;
	struct smq_replay replay;
};

/* A key by itself, for smq_open_in_window. */
SMQ_MUST_USE smq_err smq_seal_key_init(struct smq_seal_key *ret_key, const struct smq_crypto *crypto,
				       const struct smq_traffic_secret *secret, const struct smq_seal_context *context);
/* The same from what smq_seal_key holds of it: for opening alone, with smq_seal_key_open. */
SMQ_MUST_USE smq_err smq_seal_key_restore(struct smq_seal_key *ret_key, const struct smq_crypto *crypto,
					  const struct smq_aead_alg *alg, const uint8_t context_digest[SMQ_HASH_LEN],
					  smq_span raw, smq_span base_iv);
/* Opens without looking at windows or the key reference: for what was taken once already. room: ciphertext.len. */
SMQ_MUST_USE smq_err smq_seal_key_open(const struct smq_seal_key *key, const struct smq_sealed *sealed, smq_span topic,
				       smq_mspan room, size_t *ret_len);
/* The ciphertext that this plaintext had: sealing is deterministic. sealed: counter, stamp and proof; its spans are
 * not read but for signature.len. room: plain.len and the tag. */
SMQ_MUST_USE smq_err smq_seal_key_again(const struct smq_seal_key *key, const struct smq_sealed *sealed, smq_span topic,
					smq_span plain, smq_mspan room, size_t *ret_len);
void smq_seal_key_done(struct smq_seal_key *key);

SMQ_MUST_USE smq_err smq_sealer_init(struct smq_sealer *s, const struct smq_crypto *crypto,
				     const struct smq_traffic_secret *secret, const struct smq_seal_context *context);
/* stamp_ms: Unix time to carry, or a negative value for none. Room needed: smq_sealed_room(). plain may lie in room
 * at the place where the ciphertext goes only if it is the same bytes. SMQ_ERR_KEY_SPENT at the limit. */
SMQ_MUST_USE smq_err smq_seal(struct smq_sealer *s, smq_span topic, int64_t stamp_ms, smq_span plain, smq_mspan room,
			      size_t *ret_len);
/* The same, with proof; proof->signer's failure is returned and spends the counter. */
SMQ_MUST_USE smq_err smq_seal_proven(struct smq_sealer *s, smq_span topic, int64_t stamp_ms, smq_span plain,
				     struct smq_seal_proof *proof, smq_mspan room, size_t *ret_len);
size_t smq_sealed_room(size_t plain_len); /* enough for either form */
void smq_sealer_done(struct smq_sealer *s);

SMQ_MUST_USE smq_err smq_opener_init(struct smq_opener *o, const struct smq_crypto *crypto,
				     const struct smq_traffic_secret *secret, const struct smq_seal_context *context);
/*
 * Opens a decoded message into room (at least ciphertext.len - tag). The window is looked at first, and moved only
 * after the tag has verified. *ret_missing: counters newly skipped by this message (may be NULL).
 * SMQ_ERR_OPEN, SMQ_ERR_REPLAY, SMQ_ERR_ALGORITHM (not the context's), SMQ_ERR_NO_KEY (its key reference names
 * another key), SMQ_ERR_NO_ROOM.
 */
SMQ_MUST_USE smq_err smq_open(struct smq_opener *o, const struct smq_sealed *sealed, smq_span topic, smq_mspan room,
			      size_t *ret_len, uint64_t *ret_missing);
/* The same for those whose window outlives the key: the counters of a group's member go on over epochs and slots. */
SMQ_MUST_USE smq_err smq_open_in_window(const struct smq_seal_key *key, struct smq_replay *window,
					const struct smq_sealed *sealed, smq_span topic, smq_mspan room,
					size_t *ret_len, uint64_t *ret_missing);
/* Whether the tag verifies for this topic: diagnosis of a moved message; changes nothing, room is wiped. */
bool smq_opens_under(const struct smq_opener *o, const struct smq_sealed *sealed, smq_span topic, smq_mspan room);
void smq_opener_done(struct smq_opener *o);

/* External AAD (PROTOCOL.md 3.5) as the COSE Enc_structure takes it; for inspect. */
SMQ_MUST_USE smq_err smq_seal_external_aad(const struct smq_seal_key *key, const struct smq_sealed *sealed,
					   smq_span topic, smq_mspan room, size_t *ret_len);

/* The whole Enc_structure (RFC 9052, 5.3), which is the AEAD's AAD, and the full nonce; for inspect and tests. */
SMQ_MUST_USE smq_err smq_seal_enc_structure(const struct smq_seal_key *key, const struct smq_sealed *sealed,
					    smq_span topic, smq_mspan room, size_t *ret_len);
SMQ_MUST_USE smq_err smq_seal_nonce(const struct smq_seal_key *key, uint64_t counter,
				    uint8_t ret_nonce[SMQ_AEAD_NONCE_MAX]);

SMQ_MUST_USE smq_err smq_proof_input_make(const struct smq_seal_key *key, const struct smq_sealed *sealed,
					  smq_span topic, struct smq_proof_input *ret_input);
SMQ_MUST_USE smq_err smq_proof_input_digest(const struct smq_crypto *crypto, const struct smq_proof_input *input,
					    uint8_t ret_digest[SMQ_HASH_LEN]);

/* The age of a stamped message in ms by our clock: the time nearest to now_ms whose low 24 bits are the stamp. */
int64_t smq_stamp_age(uint32_t stamp, int64_t now_ms);

#endif
