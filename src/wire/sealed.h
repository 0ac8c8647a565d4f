/*
 * The sealed message on the wire (PROTOCOL.md 3): compact form and its lossless COSE_Encrypt0 expansion.
 *
 * Compact:
 *     b0                  10 AA KKK P      AA: 0 A128GCM, 1 A256GCM, 2 ChaCha20-Poly1305, 3: an extension byte follows
 *     [ext]               0000 T C AA      T: a time stamp follows; C: a checkpoint will cover this message, which
 *                                          excludes P; AA as above (3 refused); one of T and C must be set
 *     key reference       session: key id (4 bytes)
 *                         group:   epoch (varint) [slot (varint)] sender id (varint) [boot id (16 bytes)]
 *     counter             varint
 *     [stamp]             3 bytes, the low 24 bits of the Unix time in ms
 *     ciphertext and tag
 *     [signature]         64 bytes, where P is set
 *
 * KKK: 0 session, 1 group, 2 group with boot id, 3 group with slot, 4 group with slot and boot id.
 * The first byte is 0x80..0xbf, with which no UTF-8 text begins; the expanded form begins with 0xd0 (tag 16).
 */
#ifndef SMQ_WIRE_SEALED_H
#define SMQ_WIRE_SEALED_H

#include <stdbool.h>

#include <sealmq/crypto.h>

#include "base/writer.h"

enum smq_sealed_kind {
	SMQ_SEALED_SESSION = 0,
	SMQ_SEALED_GROUP = 1,
	SMQ_SEALED_GROUP_BOOT = 2,
	SMQ_SEALED_SLOT = 3,
	SMQ_SEALED_SLOT_BOOT = 4
};

enum { SMQ_KEY_ID_LEN = 4, SMQ_BOOT_ID_LEN = 16, SMQ_STAMP_BITS = 24, SMQ_SEALED_HEADER_MAX = 64 };

/* The header fields and where the rest lies. Fields that the kind does not have are zero. */
struct smq_sealed {
	enum smq_sealed_kind kind;
	const struct smq_aead_alg *alg;
	uint8_t key_id[SMQ_KEY_ID_LEN];
	uint64_t epoch;
	uint64_t slot;
	uint64_t sender_id;
	uint8_t boot_id[SMQ_BOOT_ID_LEN];
	uint64_t counter;
	bool has_stamp;
	uint32_t stamp;      /* low 24 bits of the Unix time in ms */
	bool covered;        /* the sender will prove it by a checkpoint (PROTOCOL.md 3.9) */
	smq_span ciphertext; /* with its tag; a view into the input */
	smq_span signature;  /* empty where there is none; a view into the input */
};

/* Either form; the spans point into payload. SMQ_ERR_NOT_SEALED where the first byte is neither form's. */
SMQ_MUST_USE smq_err smq_sealed_decode(smq_span payload, struct smq_sealed *ret_sealed);
/* What the first byte says, without decoding: that the message is not one of a session; that it may carry a signature,
 * or the word that a checkpoint will cover it. */
bool smq_sealed_names_group(smq_span payload);
bool smq_sealed_may_prove(smq_span payload);
/* Header of the compact form; ciphertext and signature follow it. */
SMQ_MUST_USE smq_err smq_sealed_encode_header(const struct smq_sealed *sealed, smq_mspan room, size_t *ret_len);
/* The whole message in the expanded form, from the fields and the two spans. */
SMQ_MUST_USE smq_err smq_sealed_encode_cose(const struct smq_sealed *sealed, smq_mspan room, size_t *ret_len);
/* Of the expanded form everything up to the ciphertext's bytes, which come last (and are not read here). */
SMQ_MUST_USE smq_err smq_sealed_encode_cose_header(const struct smq_sealed *sealed, size_t ciphertext_len,
						   smq_mspan room, size_t *ret_len);
/* The expanded form with the full nonce (label 5) in the place of the Partial IV, for COSE libraries that know no
 * Partial IV. Our own decoder refuses it: one message, one spelling. */
SMQ_MUST_USE smq_err smq_sealed_encode_cose_iv(const struct smq_sealed *sealed, smq_span full_iv, smq_mspan room,
					       size_t *ret_len);
/* The protected header {1: alg} as the byte string that stands in COSE_Encrypt0 and in its Enc_structure. */
void smq_sealed_put_protected(struct smq_writer *w, const struct smq_aead_alg *alg);
/* The algorithm, if it is one that seals messages; NULL for the rest (CCM belongs to EDHOC). */
const struct smq_aead_alg *smq_sealed_alg(int id);
/* Whether the kind's key reference names a slot. */
bool smq_sealed_has_slot(enum smq_sealed_kind kind);
/* The whole message in the compact form. */
SMQ_MUST_USE smq_err smq_sealed_encode(const struct smq_sealed *sealed, smq_mspan room, size_t *ret_len);

#endif
