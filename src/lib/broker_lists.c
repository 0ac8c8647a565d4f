/* Revocation where the broker does not read certs/crl.pem by itself: NATS and RabbitMQ. */
#include "lib/broker_lists.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "adapters/ca_openssl/crl_read.h"
#include "lib/ca_list.h"
#include "lib/files.h"

enum { LISTS_MAX = 16, USER_LINES = 3 /* of a user in conf/nats-users.conf (app/broker_acl_engines.c) */ };

/* ---- RabbitMQ ---- */

struct splitting {
	const char *dir;
	uint32_t hashes[LISTS_MAX];
	size_t count;
	char *why;
	size_t room;
};

static smq_err put_list(void *self, uint32_t hash, smq_span pem)
{
	struct splitting *s = self;
	char path[SMQ_PATH_MAX];
	char name[32];
	unsigned number = 0;
	if (s->count == LISTS_MAX)
		return SMQ_ERR_TOO_LARGE;
	for (size_t i = 0; i < s->count; i++)
		number += s->hashes[i] == hash;
	s->hashes[s->count++] = hash;
	(void)snprintf(name, sizeof(name), "%08lx.r%u", (unsigned long)hash, number);
	smq_err err = smq_path_join(s->dir, name, path);
	return err == SMQ_OK ? smq_file_put(path, pem, 0644, true, s->why, s->room) : err;
}

smq_err smq_broker_lists_split(const char *certs, smq_span pem, char *ret_why, size_t room)
{
	char dir[SMQ_PATH_MAX];
	struct splitting s = { .dir = dir, .why = ret_why, .room = room };
	smq_err err = smq_path_join(certs, "crl", dir);
	if (err == SMQ_OK && mkdir(dir, 0755) != 0 && errno != EEXIST)
		err = smq_because(smq_err_of_errno(errno), ret_why, room, "%s: %s", dir, strerror(errno));
	return err == SMQ_OK ? smq_crl_each(pem, &s, put_list) : err;
}

/* ---- NATS ---- */

/* Whether the authority has given that name certificates, and none of them holds. */
static bool is_out(const struct smq_ca_record *record, const char *name, size_t len)
{
	bool any = false;
	for (size_t i = 0; i < record->count; i++) {
		const struct smq_ca_issued *c = &record->issued[i];
		if (c->roles == 0 || strlen(c->name) != len || memcmp(c->name, name, len) != 0)
			continue;
		if (c->status == SMQ_CA_VALID || c->status == SMQ_CA_EXPIRING)
			return false;
		any = true;
	}
	return any;
}

static const char *after_lines(const char *at, unsigned lines)
{
	while (lines-- > 0 && *at) {
		const char *end = strchr(at, '\n');
		at = end ? end + 1 : at + strlen(at);
	}
	return at;
}

smq_err smq_broker_lists_users(const char *ca, const char *users, char **ret_text)
{
	static const char begins[] = "{ user: \"CN=";
	struct smq_ca_record record;
	smq_err err = smq_ca_record_read(ca, NULL, (int64_t)time(NULL) * 1000, &record);
	if (err != SMQ_OK)
		return err;
	char *text = malloc(strlen(users) + 1);
	char *to = text;
	while (text && *users) {
		const char *next = after_lines(users, 1);
		const char *name = strstr(users, begins);
		const char *end = name && name < next ? strchr(name + sizeof(begins) - 1, '"') : NULL;
		if (end && is_out(&record, name + sizeof(begins) - 1, (size_t)(end - name) - (sizeof(begins) - 1))) {
			users = after_lines(users, USER_LINES);
			continue;
		}
		memcpy(to, users, (size_t)(next - users));
		to += next - users;
		users = next;
	}
	smq_ca_record_free(&record);
	if (!text)
		return SMQ_ERR_NO_MEMORY;
	*to = 0;
	*ret_text = text;
	return SMQ_OK;
}
