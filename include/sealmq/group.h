/*
 * Static groups: members that share one key for some topics, by a file that each of them holds
 * (PROTOCOL.md 6.1, FORMATS.md 3).
 *
 *     const char *members[] = { "fridge-07", "archive" };
 *     struct smq_group_create_options o = { .realm_dir = "realms/fridge-07", .name = "telemetry",
 *                                           .members = members, .member_count = 2 };
 *     smq_group_create(&o, &path, &why);      then copy the file to the other members' groups/ directories
 *
 * Whoever holds the file can read the group's messages and can seal as any of its members: a group proves
 * membership, not the sender. Expelling a member means a new epoch and a new file for the others.
 */
#ifndef SEALMQ_GROUP_H
#define SEALMQ_GROUP_H

#include <stdbool.h>

#include <sealmq/crypto.h>
#include <sealmq/err.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SMQ_GROUP_MEMBERS_LIMIT = 256, SMQ_GROUP_FILTERS_LIMIT = 16 };

struct smq_group_create_options {
	const char *realm_dir; /* the file goes to groups/NAME.key in it; the realm's name is in its realm.yaml */
	const char *name;
	const char *algorithm;      /* NULL: A128GCM */
	const char *const *members; /* certified names; the place in the list becomes the sender id */
	size_t member_count;        /* 1 to 256 */
	const char *const *filters; /* topics that the group is for; none: all */
	size_t filter_count;        /* at most 16, each at most 255 bytes */
	bool next_epoch;            /* replace the file that is there by one of the next epoch, with a new secret */
};

/*
 * Draws a secret and writes the file (mode 0600, directory 0700). *ret_path (may be NULL) and *ret_why (may be NULL,
 * set on failure: what is wrong and what would be right) are valid until the next call in this thread.
 * SMQ_ERR_EXISTS: there is one already and next_epoch is not set.
 */
SMQ_MUST_USE smq_err smq_group_create(const struct smq_group_create_options *options, const char **ret_path,
				      const char **ret_why);

#ifdef __cplusplus
}
#endif
#endif
