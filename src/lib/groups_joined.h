/* The groups of a client that a key server keeps: members of them, and what of them is in the realm's state. */
#ifndef SMQ_LIB_GROUPS_JOINED_H
#define SMQ_LIB_GROUPS_JOINED_H

#include "app/groups.h"
#include "wire/sealed.h"

struct smq_joined;

/* Of the options are kept: what sealing and asking need. The realm outlives it. */
SMQ_MUST_USE smq_err smq_joined_new(const struct smq_client_options *options, struct smq_joined **ret_joined);
void smq_joined_free(struct smq_joined *j);

/* Becomes a member of the group. SMQ_ERR_LOCKED: another process has this realm's state, and a reader needs it. */
SMQ_MUST_USE smq_err smq_joined_add(struct smq_joined *j, const char *group, struct smq_now now);
bool smq_joined_has(const struct smq_joined *j, const char *group);

SMQ_MUST_USE smq_err smq_joined_seal(struct smq_joined *j, const char *group, const char *topic, smq_span plain,
				     struct smq_now now, struct smq_seal_proof *proof, smq_mspan room, size_t *ret_len);
/* One message, all groups. SMQ_ERR_NO_KEY: none has to do with it. *ret_key: that it was sealed under. */
SMQ_MUST_USE smq_err smq_joined_open(struct smq_joined *j, const struct smq_sealed *sealed, const char *topic,
				     struct smq_now now, smq_mspan room, struct smq_message *ret_message,
				     const struct smq_seal_key **ret_key);
smq_err smq_joined_may_command(const struct smq_joined *j, const char *group, const char *name, unsigned roles,
			       const char *whom);
bool smq_joined_ready(const struct smq_joined *j, const char *group, struct smq_now now);

/* Of all groups whose policy we know, or have heard of, that for this topic; joins it. *width: to be beaten, and what
 * it was beaten by. Untouched where there is none. */
void smq_joined_choose(struct smq_joined *j, const char *topic, struct smq_now now, uint64_t *width,
		       const char **ret_group);
/* Something is subscribed to: where options->find_groups is set, groups for it are joined as their policies come. */
void smq_joined_reads(struct smq_joined *j, const char *filter, struct smq_now now);
/* Whether policies may still be on their way. */
bool smq_joined_is_looking(struct smq_joined *j, struct smq_now now);

void smq_joined_online(struct smq_joined *j, struct smq_now now);
void smq_joined_offline(struct smq_joined *j);
bool smq_joined_takes(const struct smq_joined *j, const char *topic);
void smq_joined_input(struct smq_joined *j, const char *topic, smq_span payload, bool retained, struct smq_now now);
bool smq_joined_next(struct smq_joined *j, struct smq_now now, struct smq_group_action *ret_action,
		     const char **ret_group);
int64_t smq_joined_wake_at(const struct smq_joined *j);
void smq_joined_leave(struct smq_joined *j, struct smq_now now);
bool smq_joined_belongs(const struct smq_joined *j); /* to any */

/* Of several groups' answers to one message, the heaviest says most; best of all that it may open later. */
int smq_group_answer_weight(smq_err err);

#endif
