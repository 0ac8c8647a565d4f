/*
 * Replay floors of a group's senders, kept in the store (FORMATS.md 2.2).
 *
 * One value per sender and first byte of the boot id, so that a write stays small however often a sender was
 * restarted. A full one (1,024 lives, about 262,144 of one sender in one epoch) refuses new lives with SMQ_ERR_FULL
 * rather than forget an old one: forgetting would let the broker replay it. A new epoch begins with none.
 */
#ifndef SMQ_APP_GROUP_WINDOWS_H
#define SMQ_APP_GROUP_WINDOWS_H

#include "app/store.h"
#include "core/group.h"

enum {
	SMQ_GROUP_SHARD_LIVES_MAX = 1024,
	SMQ_GROUP_SHARD_HEAD_LEN = 8,
	SMQ_GROUP_SHARD_ENTRY_LEN = SMQ_BOOT_ID_LEN + 8,
	SMQ_GROUP_SHARD_MAX = SMQ_GROUP_SHARD_HEAD_LEN + SMQ_GROUP_SHARD_LIVES_MAX * SMQ_GROUP_SHARD_ENTRY_LEN
};

/* What marks the values of one epoch of a group in a store, as text: of realm, group and epoch. */
enum { SMQ_GROUP_STATE_DIGEST_ROOM = 2 * 12 + 1 };
SMQ_MUST_USE smq_err smq_group_state_digest(const struct smq_crypto *crypto, const struct smq_group_file *file,
					    char ret_hex[SMQ_GROUP_STATE_DIGEST_ROOM]);

/* Two values of one name, of two processes that read beside each other: the higher floor of each life. mine may be
 * empty. SMQ_ERR_FULL: they do not fit into one; SMQ_ERR_CORRUPT. */
SMQ_MUST_USE smq_err smq_group_floors_merge(smq_span mine, smq_span theirs, smq_mspan room, size_t *ret_len);

struct smq_group_windows_store {
	const struct smq_store *store;
	char prefix[40]; /* of the keys: "floor-" and a digest of realm, group and epoch */
	uint8_t room[SMQ_GROUP_SHARD_MAX];
};

/* The store outlives it. ret_windows points into w. */
SMQ_MUST_USE smq_err smq_group_windows_init(struct smq_group_windows_store *w, const struct smq_store *store,
					    const struct smq_crypto *crypto, const struct smq_group_file *file,
					    struct smq_group_windows *ret_windows);

#endif
