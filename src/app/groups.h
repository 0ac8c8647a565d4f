/*
 * The groups port: what the messenger asks of the groups that a realm holds (PROTOCOL.md 6).
 * sealing and opening follow smq_member_seal and smq_member_open; a message of a session is SMQ_ERR_NO_KEY here.
 */
#ifndef SMQ_APP_GROUPS_H
#define SMQ_APP_GROUPS_H

#include <sealmq/client.h>
#include <sealmq/member.h>

struct smq_groups {
	void *self;
	smq_err (*seal)(void *self, const char *group, const char *topic, smq_span plain, struct smq_now now,
			smq_mspan room, size_t *ret_len);
	/* Fills sender, group, epoch, slot, counter, boot_id, algorithm, age, missing and proof; mqtt.payload is the
	 * plaintext in room. On failure sender is the claimed one, as far as it is known. */
	smq_err (*open)(void *self, const char *topic, smq_span payload, struct smq_now now, smq_mspan room,
			struct smq_message *ret_message);
	/* Room that sealing plain_len bytes needs at most. */
	size_t (*room)(size_t plain_len);
	void (*free)(void *self);
};

#endif
