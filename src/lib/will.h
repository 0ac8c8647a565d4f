/*
 * A client's will, sealed. The broker takes it with CONNECT and publishes it when the client has vanished, so it is
 * sealed before there is a connection, and anew for each one, because what was published once is a replay. Where the
 * group is one of a key server the will is also sealed anew under each epoch, which takes a connection of its own
 * (PROTOCOL.md 7.6).
 */
#ifndef SMQ_LIB_WILL_H
#define SMQ_LIB_WILL_H

#include "app/groups.h"

struct smq_will {
	const struct smq_client_options *options; /* NULL: there is no will to be sealed */
	const struct smq_groups *groups;
	struct smq_mqtt_message plain, sealed; /* sealed: for the transport */
	uint8_t *room;
	size_t room_len;
	uint64_t epoch; /* that it is sealed under; 0: it is not sealed */
	bool told;      /* that the broker has it */
	int64_t due_ms; /* mono: to be sealed for another epoch */
	int64_t last_ms;
};

/*
 * Seals the options' will, if there is one, and points the options to what was sealed. A group that was not joined yet
 * has no key: then there is no will at first. *ret_why on failure. The options and the groups outlive it.
 */
SMQ_MUST_USE smq_err smq_will_begin(struct smq_will *w, struct smq_client_options *options,
				    const struct smq_groups *groups, struct smq_now now, const char **ret_why);
void smq_will_end(struct smq_will *w);

void smq_will_note(struct smq_will *w, const struct smq_group_note *note, const char *group, struct smq_now now);
/* Whether it is to be sealed now, while there is a connection, for a new one. */
bool smq_will_is_due(const struct smq_will *w, struct smq_now now);
/* Anew, as w->sealed. SMQ_ERR_NO_SESSION: not now; SMQ_ERR_UNSUPPORTED: never, for the group's slots pass. */
SMQ_MUST_USE smq_err smq_will_seal(struct smq_will *w, struct smq_now now);

#endif
