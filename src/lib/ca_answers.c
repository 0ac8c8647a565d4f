/* Answers that an authority has given over MQTT. */
#include "lib/ca_answers.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/ca_dir.h"

enum { HASH_HEX = 64 };

/* Until when it is kept, s; 0: not one of ours. */
static long long until_of(const char *name)
{
	char *end = NULL;
	if (strspn(name, "0123456789abcdef") != HASH_HEX || name[HASH_HEX] != '-')
		return 0;
	long long until = strtoll(name + HASH_HEX + 1, &end, 10);
	return *end ? 0 : until;
}

smq_err smq_ca_answer_find(const char *dir, const char *hash, struct smq_file_bytes *ret_answer)
{
	char room[SMQ_PATH_MAX];
	char path[SMQ_PATH_MAX];
	struct dirent *entry;
	smq_err err = smq_path_join(dir, "enrolled", room);
	DIR *open = err == SMQ_OK ? opendir(room) : NULL;
	err = SMQ_ERR_NOT_FOUND;
	while (open && err == SMQ_ERR_NOT_FOUND && (entry = readdir(open)) != NULL) {
		if (until_of(entry->d_name) > 0 && strncmp(entry->d_name, hash, HASH_HEX) == 0 &&
		    smq_path_join(room, entry->d_name, path) == SMQ_OK)
			err = smq_file_read(path, false, ret_answer, smq_ca_why(), SMQ_WHY_MAX);
	}
	if (open)
		closedir(open);
	return err;
}

static void sweep(const char *room, long long now_s)
{
	char path[SMQ_PATH_MAX];
	struct dirent *entry;
	DIR *open = opendir(room);
	while (open && (entry = readdir(open)) != NULL) {
		long long until = until_of(entry->d_name);
		if (until > 0 && until < now_s && smq_path_join(room, entry->d_name, path) == SMQ_OK)
			(void)unlink(path);
	}
	if (open)
		closedir(open);
}

smq_err smq_ca_answer_keep(const char *dir, const char *hash, int64_t until_ms, smq_span answer)
{
	char room[SMQ_PATH_MAX];
	char path[SMQ_PATH_MAX];
	char name[HASH_HEX + 24];
	smq_err err = smq_path_join(dir, "enrolled", room);
	if (err == SMQ_OK && mkdir(room, 0700) != 0 && errno != EEXIST)
		err = smq_ca_because(smq_err_of_errno(errno), "%s: %s", room, strerror(errno));
	if (err != SMQ_OK)
		return err;
	sweep(room, smq_ca_now_ms() / SMQ_CA_SECOND);
	(void)snprintf(name, sizeof(name), "%.64s-%lld", hash, (long long)(until_ms / SMQ_CA_SECOND));
	err = smq_path_join(room, name, path);
	return err == SMQ_OK ? smq_file_put(path, answer, 0600, true, smq_ca_why(), SMQ_WHY_MAX) : err;
}
