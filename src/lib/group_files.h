/* The key files of a realm's static groups: groups/NAME.key (FORMATS.md 3). */
#ifndef SMQ_LIB_GROUP_FILES_H
#define SMQ_LIB_GROUP_FILES_H

#include "wire/group_file.h"

/* Loads one by its path; ret_file holds a secret. why: what is wrong, where. SMQ_ERR_REALM: of another realm than
 * `realm` (NULL: any); SMQ_ERR_NAME: not the name of its file. */
SMQ_MUST_USE smq_err smq_group_files_load(const char *path, const char *realm, struct smq_group_file *ret_file,
					  char *ret_why, size_t why_len);

/* Calls take for each group's path, in order of names. A directory that is not there has none. */
SMQ_MUST_USE smq_err smq_group_files_each(const char *realm_dir, smq_err (*take)(void *self, const char *path),
					  void *self, char *ret_why, size_t why_len);

#endif
