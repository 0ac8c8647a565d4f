/*
 * Evidence: stored messages in one file that a third party verifies without the realm, the broker or the database
 * (FORMATS.md 9): message, signature or checkpoint, certificate chain, and the revocation lists as they were when the
 * recorder judged the signature.
 *
 *     smq_evidence_export(&what, "march.evidence", &sum, &why);           at the recorder's store
 *     smq_evidence_verify("march.evidence", &how, &sum, &why);            anywhere, with nothing but the root
 *     smq_evidence_unpack("march.evidence", "march", &why);               for the openssl tool
 *
 * Such a file holds the keys that open its messages, and with them every message of the same senders' lives and epochs:
 * whoever gets it can read those. It proves who sealed what, and in which order; that a message was received at a
 * certain time is what the recorder says.
 */
#ifndef SEALMQ_EVIDENCE_H
#define SEALMQ_EVIDENCE_H

#include <stdbool.h>

#include <sealmq/crypto.h>
#include <sealmq/err.h>
#include <sealmq/span.h>

#ifdef __cplusplus
extern "C" {
#endif

struct smq_evidence_sum {
	uint64_t messages;                         /* in the file */
	uint64_t checkpoints, certificates, lists; /* in the file */
	uint64_t left_out;                         /* export: selected, but neither signed nor covered */
	uint64_t proven;                           /* verify: the rest is not */
	uint64_t unlisted;                         /* verify: proven, but no revocation list was in use */
};

/* ---- export ---- */

struct smq_evidence_selection {
	const char *store;          /* as smq_record_options.store */
	const char *sender, *topic; /* NULL: any */
	int64_t from_ms, to_ms; /* measured time, Unix ms, from inclusive, to exclusive; INT64_MIN and INT64_MAX: any */
	uint64_t limit;         /* messages at most; 0: all */
};
/* Writes the file, mode 0600, whole or not at all. SMQ_ERR_NOT_FOUND: no such store, or nothing in it that is selected
 * can be proven. SMQ_ERR_TOO_LARGE: more than a GiB; select less. *ret_why: valid until the next call in this thread.
 */
SMQ_MUST_USE smq_err smq_evidence_export(const struct smq_evidence_selection *what, const char *file,
					 struct smq_evidence_sum *ret_sum, const char **ret_why);

/* ---- verify ---- */

/* One message of the file, in order. Texts and spans are valid during the call; all of them are untrusted bytes. */
struct smq_evidence_finding {
	uint64_t number; /* from 1 */
	/* SMQ_OK: proven. SMQ_ERR_OPEN: altered; SMQ_ERR_SIGNATURE; SMQ_ERR_CERT_NAME: somebody else's certificate, or
	 * not the one that the signature names; SMQ_ERR_CERT_REVOKED, _EXPIRED, _NOT_YET, _CHAIN (another authority),
	 * _CRL (no list that was current then) and their kin; SMQ_ERR_NOT_PROVEN: no checkpoint covers it. */
	smq_err verdict;
	const char
	    *reason; /* the same as a word: "proven", "altered", "signature", "swapped-certificate", "revoked" ... */
	const char *realm, *group, *sender; /* as the sender's key is bound to them */
	smq_span topic, payload;            /* the payload is empty where it does not open */
	uint64_t epoch, counter;
	uint8_t boot_id[16];
	int64_t received_ms;        /* as the recorder says */
	bool is_signed;             /* on its own; else by a checkpoint */
	const uint8_t *certificate; /* SHA-256 of its DER; NULL: none is named */
	const uint8_t *lists;       /* SHA-256 of the revocation lists that were in force; NULL: none were in use */
	const char *list_number;    /* CRL number, in hex; NULL: none */
	int64_t list_from_ms;       /* thisUpdate of the latest of them */
};

struct smq_evidence_check {
	const char *root_file; /* the realm's root, PEM */
	const char *crl_file; /* later revocation lists, PEM: what was revoked before it was received counts as revoked.
			       * NULL: only the lists in the file */
	const char *realm;    /* which it must be; NULL: the one that the file names */
	void *self;
	void (*on_message)(void *self, const struct smq_evidence_finding *finding); /* may be NULL */
};
/*
 * SMQ_OK: every message is proven, and the file is as it was written. Otherwise the first verdict that is not; or,
 * where all messages are proven, SMQ_ERR_CORRUPT: something else in the file was changed. SMQ_ERR_TRUNCATED,
 * SMQ_ERR_MALFORMED: not read to its end; what came before was told.
 */
SMQ_MUST_USE smq_err smq_evidence_verify(const char *file, const struct smq_evidence_check *how,
					 struct smq_evidence_sum *ret_sum, const char **ret_why);

/* ---- unpack ---- */

/* A directory of plain files for verification by other tools (FORMATS.md 9.2); it must not be there yet. */
SMQ_MUST_USE smq_err smq_evidence_unpack(const char *file, const char *dir, struct smq_evidence_sum *ret_sum,
					 const char **ret_why);

#ifdef __cplusplus
}
#endif
#endif
