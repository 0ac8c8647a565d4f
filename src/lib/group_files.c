/* The key files of a realm's static groups. */
#include "lib/group_files.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/wipe.h"
#include "lib/files.h"

static const char suffix[] = ".key";

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static smq_err check_place(const char *path, const char *realm, const struct smq_group_file *f, char *why,
			   size_t why_len)
{
	char want[SMQ_NAME_MAX + sizeof(suffix)];
	snprintf(want, sizeof(want), "%s%s", f->group, suffix);
	if (strcmp(base_name(path), want) != 0) {
		snprintf(why, why_len, "%s holds the key of group %s: its name must be %s", path, f->group, want);
		return SMQ_ERR_NAME;
	}
	if (realm && strcmp(realm, f->realm) != 0) {
		snprintf(why, why_len, "%s belongs to realm %s, and this is %s", path, f->realm, realm);
		return SMQ_ERR_REALM;
	}
	return SMQ_OK;
}

smq_err smq_group_files_load(const char *path, const char *realm, struct smq_group_file *ret_file, char *why,
			     size_t why_len)
{
	struct smq_file_bytes text;
	size_t line = 0;
	smq_err err = smq_file_read(path, true, &text, why, why_len);
	if (err != SMQ_OK)
		return err;
	err = smq_group_file_decode(smq_span_of(text.p, text.len), ret_file, &line);
	if (err != SMQ_OK)
		(void)smq_because(err, why, why_len, "%s:%zu: %s", path, line, smq_err_text(err));
	else if ((err = check_place(path, realm, ret_file, why, why_len)) != SMQ_OK)
		smq_wipe(ret_file, sizeof(*ret_file));
	smq_file_bytes_free(&text);
	return err;
}

/* NAME.key with a valid name; temporary files of a killed writer end differently. */
static int is_key_file(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name), tail = sizeof(suffix) - 1;
	return len > tail && strcmp(entry->d_name + len - tail, suffix) == 0 &&
	       smq_name_valid(smq_span_of(entry->d_name, len - tail));
}

smq_err smq_group_files_each(const char *realm_dir, smq_err (*take)(void *self, const char *path), void *self,
			     char *why, size_t why_len)
{
	char path[PATH_MAX];
	struct dirent **entries;
	smq_err err = SMQ_OK;
	snprintf(path, sizeof(path), "%s/groups", realm_dir);
	int count = scandir(path, &entries, is_key_file, alphasort);
	if (count < 0 && errno == ENOENT)
		return SMQ_OK;
	if (count < 0) {
		snprintf(why, why_len, "%s: cannot be read", path);
		return errno == EACCES ? SMQ_ERR_PERMISSION : SMQ_ERR_IO;
	}
	for (int i = 0; i < count; i++) {
		int n = snprintf(path, sizeof(path), "%s/groups/%s", realm_dir, entries[i]->d_name);
		if (err == SMQ_OK)
			err = n > 0 && (size_t)n < sizeof(path) ? take(self, path) : SMQ_ERR_TOO_LARGE;
		free(entries[i]);
	}
	free(entries);
	return err;
}
