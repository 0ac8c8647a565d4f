/*
 * What a run of EDHOC is made of (core/edhoc.h): for whoever embeds it, only edhoc.c looks inside.
 *
 * About 10 kB, nothing behind a pointer but the config. The two large parts are the plaintext being worked on and the
 * peer's credential with its EAD items; they are here and not on the stack, so that a run takes about 2 kB of stack.
 */
#ifndef SMQ_CORE_EDHOC_MACHINE_H
#define SMQ_CORE_EDHOC_MACHINE_H

#include "core/edhoc.h"
#include "core/edhoc_keys.h"

struct smq_edhoc_cid {
	uint8_t b[SMQ_EDHOC_CID_MAX];
	size_t len;
};

struct smq_edhoc_kept_ead {
	uint8_t b[SMQ_EDHOC_EAD_MAX];
	size_t len;
};

/* What a verified message changes: worked out aside, then taken over in one assignment. */
struct smq_edhoc_keys {
	struct smq_edhoc_hash th; /* the latest transcript hash: TH_3 in WAIT_3, TH_4 from WAIT_4 on */
	struct smq_edhoc_prk prk_3e2m;
	struct smq_edhoc_prk prk_4e3m;
	struct smq_edhoc_prk prk_out;
};

struct smq_edhoc {
	const struct smq_edhoc_config *config;
	const struct smq_edhoc_suite *suite;
	enum smq_edhoc_state state;
	bool initiator;
	bool has_peer;
	int method;
	struct smq_edhoc_cid own_cid;
	struct smq_edhoc_cid peer_cid;
	uint8_t secret[SMQ_KEX_LEN]; /* X or Y, wiped once the last agreement is made */
	struct smq_edhoc_hash message_1_hash;
	struct smq_edhoc_keys keys;
	int peer_error;
	struct smq_edhoc_suites peer_suites;
	struct smq_credential peer;
	struct smq_edhoc_kept_ead ead[2]; /* of messages 1 and 3, or 2 and 4 */
	struct smq_edhoc_plaintext plain; /* decoded from work */
	uint8_t work[SMQ_EDHOC_PLAINTEXT_MAX];
};

#endif
