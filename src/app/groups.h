/*
 * The groups port: what the messenger asks of the groups that a realm holds (PROTOCOL.md 6), and of those that it
 * joins at a key server (PROTOCOL.md 7).
 * sealing and opening follow smq_member_seal and smq_member_open; a message of a session is SMQ_ERR_NO_KEY here.
 */
#ifndef SMQ_APP_GROUPS_H
#define SMQ_APP_GROUPS_H

#include <sealmq/client.h>
#include <sealmq/member.h>

#include "core/group_member.h"
#include "core/seal.h"

/* What an opened message carries for the proof of its sender. */
struct smq_opened_proof {
	bool is_signed, covered;
	struct smq_sealed sealed;
	const struct smq_seal_key *group_key; /* NULL for a session */
	uint8_t stream[SMQ_HASH_LEN];
	uint8_t signature[SMQ_SIG_LEN];
	struct smq_proof_input input; /* its ciphertext lies in the message */
};

struct smq_groups {
	void *self;
	smq_err (*seal)(void *self, const char *group, const char *topic, smq_span plain, struct smq_now now,
			smq_mspan room, size_t *ret_len);
	/* Fills sender, group, epoch, slot, counter, boot_id, algorithm, age, missing and proof; mqtt.payload is the
	 * plaintext in room. On failure sender is the claimed one, as far as it is known. SMQ_ERR_NO_SESSION: it may
	 * open later, after a note. */
	smq_err (*open)(void *self, const char *topic, smq_span payload, struct smq_now now, smq_mspan room,
			struct smq_message *ret_message);
	/* seal, with proof; NULL where there is none. */
	smq_err (*seal_proven)(void *self, const char *group, const char *topic, smq_span plain, struct smq_now now,
			       struct smq_seal_proof *proof, smq_mspan room, size_t *ret_len);
	/* The key that the message opened last was sealed under. */
	const struct smq_seal_key *(*last_key)(void *self);
	/* Room that sealing plain_len bytes needs at most. */
	size_t (*room)(size_t plain_len);
	void (*free)(void *self);

	/* Whether to seal now, or to wait; true also where sealing will say why it cannot. */
	bool (*ready)(void *self, const char *group, struct smq_now now);
	/* The group whose filters match a topic most narrowly. SMQ_ERR_NO_SESSION: not known yet; SMQ_ERR_NOT_FOUND:
	 * there is none, as far as we have heard. */
	smq_err (*choose)(void *self, const char *topic, struct smq_now now, const char **ret_group);

	/* Something is subscribed to; NULL: it does not matter. */
	void (*reads)(void *self, const char *filter, struct smq_now now);
	/* Whether a group's policy lets this name with these certificate roles command whom. SMQ_ERR_NOT_AUTHORIZED;
	 * SMQ_ERR_NOT_FOUND: the group has no policy. */
	smq_err (*may_command)(void *self, const char *group, const char *name, unsigned roles, const char *whom);

	/* The control plane: as core/group_member.h has it, for all groups together. */
	void (*online)(void *self, struct smq_now now);
	void (*offline)(void *self);
	bool (*takes)(void *self, const char *topic);
	void (*input)(void *self, const char *topic, smq_span payload, bool retained, struct smq_now now);
	bool (*next)(void *self, struct smq_now now, struct smq_group_action *ret_action, const char **ret_group);
	int64_t (*wake_at)(void *self);
	/* Asks the key server to let us go; notes follow. */
	void (*leave)(void *self, struct smq_now now);
	/* Whether there is a group that was joined and not left. */
	bool (*belongs)(void *self);
};

#endif
