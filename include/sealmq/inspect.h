/*
 * Looking into one sealed message: its header for anybody, its content for whoever holds the key of its group.
 *
 * Nothing here keeps state: no replay window is asked or moved.
 */
#ifndef SEALMQ_INSPECT_H
#define SEALMQ_INSPECT_H

#include <stdbool.h>

#include <sealmq/err.h>
#include <sealmq/span.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What everybody can read, the broker included. None of it is proven. */
struct smq_inspection {
	const char *form;      /* "compact" or "cose" */
	const char *kind;      /* "session", "group", "group-boot", "slot", "slot-boot" */
	const char *algorithm; /* "A128GCM" */
	bool is_session;       /* key_id; otherwise epoch and sender_id */
	uint8_t key_id[4];
	uint64_t epoch;
	uint64_t sender_id;
	bool has_slot;
	uint64_t slot;
	bool has_boot_id;
	uint8_t boot_id[16];
	uint64_t counter;
	bool has_stamp;
	uint32_t stamp; /* low 24 bits of the Unix time in ms */
	bool is_signed;
	size_t len, plain_len, overhead; /* bytes: the whole, the plaintext, what is between */
};
/* SMQ_ERR_NOT_SEALED, _MALFORMED, _TRUNCATED, _TRAILING, _ALGORITHM. */
SMQ_MUST_USE smq_err smq_inspect(smq_span payload, struct smq_inspection *ret_inspection);

/* The message as a tagged COSE_Encrypt0 (RFC 9052, 5.2), whichever form it came in. *ret_cose is released with free. */
SMQ_MUST_USE smq_err smq_inspect_cose(smq_span payload, uint8_t **ret_cose, size_t *ret_len);

/* What a holder of the key can compute. The spans are valid until smq_inspect_done. */
struct smq_inspect_opened {
	const char *group;
	const char *sender;
	smq_span plain;
	smq_span external_aad;  /* PROTOCOL.md 3.5 */
	smq_span enc_structure; /* the AEAD's AAD (RFC 9052, 5.3) */
	smq_span nonce;
	smq_span cose_full_iv; /* the COSE_Encrypt0 with header 5 instead of 6 */
	/* secrets: whoever has them reads and forges all messages of this sender under this key */
	smq_span key;
	smq_span base_iv; /* the Context IV to which the Partial IV belongs */
	void *memory;
};

/*
 * Opens it with the static groups of a realm directory: the first whose key fits. *ret_why (may be NULL, set on
 * failure) is valid until the next call in this thread. SMQ_ERR_NO_KEY, _OPEN (altered, or another topic), and those
 * of reading the key files. The session keys of members are in no file, so a session's message is SMQ_ERR_NO_KEY.
 */
SMQ_MUST_USE smq_err smq_inspect_open(smq_span payload, const char *realm_dir, const char *topic,
				      struct smq_inspect_opened *ret_opened, const char **ret_why);
/* Wipes and releases. */
void smq_inspect_done(struct smq_inspect_opened *opened);

#ifdef __cplusplus
}
#endif
#endif
