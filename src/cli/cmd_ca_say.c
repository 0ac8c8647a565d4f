/* How `sealmq ca` says what was made and what there is: in words, and as JSON. */
#include "cli/cmd_ca_say.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <sealmq/text.h>

#include "cli/cmd_ca_args.h"

void ca_time_text(int64_t ms, char text[CA_TIME_LEN])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;
	if (!gmtime_r(&seconds, &tm) || strftime(text, CA_TIME_LEN, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		text[0] = 0;
}

void ca_json_time(struct smq_json *j, const char *key, int64_t ms)
{
	char text[CA_TIME_LEN];
	ca_time_text(ms, text);
	smq_json_key(j, key);
	smq_json_str(j, text);
}

static void json_text(struct smq_json *j, const char *key, const char *text)
{
	smq_json_key(j, key);
	smq_json_str(j, text);
}

void ca_json_issued(struct smq_json *j, const struct smq_ca_issued *i)
{
	char roles[SMQ_ROLES_TEXT_MAX];
	smq_roles_print(i->roles, roles);
	smq_json_object(j);
	json_text(j, "name", i->name);
	smq_json_key(j, "roles");
	smq_json_array(j);
	for (char *save = NULL, *role = strtok_r(roles, ",", &save); role; role = strtok_r(NULL, ",", &save))
		smq_json_str(j, role);
	smq_json_end(j);
	if (i->dir[0])
		json_text(j, "dir", i->dir);
	json_text(j, "serial", i->serial);
	json_text(j, "issuer", i->issuer[0] ? i->issuer : "root");
	json_text(j, "fingerprint", i->fingerprint);
	ca_json_time(j, "issued", i->issued_ms);
	ca_json_time(j, "not_before", i->not_before_ms);
	ca_json_time(j, "not_after", i->not_after_ms);
	json_text(j, "status", smq_ca_status_name(i->status));
	if (i->status == SMQ_CA_REVOKED) {
		json_text(j, "reason", smq_ca_reason_name(i->reason));
		ca_json_time(j, "revoked", i->revoked_ms);
	}
	smq_json_end(j);
}

void ca_json_crl(struct smq_json *j, const struct smq_ca_crl *c)
{
	smq_json_object(j);
	json_text(j, "path", c->path);
	smq_json_key(j, "number");
	smq_json_int(j, c->number);
	ca_json_time(j, "this_update", c->this_update_ms);
	ca_json_time(j, "next_update", c->next_update_ms);
	smq_json_key(j, "entries");
	smq_json_int(j, (int64_t)c->entries);
	smq_json_key(j, "lists");
	smq_json_int(j, (int64_t)c->lists);
	smq_json_key(j, "copies");
	smq_json_int(j, (int64_t)c->copies);
	smq_json_end(j);
}

const char *ca_roles_text(const struct smq_ca_issued *i, char room[SMQ_ROLES_TEXT_MAX])
{
	if (i->roles == 0)
		return "authority";
	smq_roles_print(i->roles, room);
	return room;
}

void ca_print_crl(const struct smq_ca_crl *c)
{
	char shown[CA_PATH_LEN];
	char until[CA_TIME_LEN];
	smq_escape(smq_span_str(c->path), shown, sizeof(shown));
	ca_time_text(c->next_update_ms, until);
	printf("made %s: number %lld, %zu revoked, next due %s, copied to %zu director%s\n", shown,
	       (long long)c->number, c->entries, until, c->copies, c->copies == 1 ? "y" : "ies");
}

int ca_print_json(const struct smq_json *j, const char *text)
{
	size_t len = 0;
	smq_err err = smq_json_finish(j, &len);
	if (err != SMQ_OK)
		return ca_fail(err, NULL);
	puts(text);
	return ca_flushed();
}
