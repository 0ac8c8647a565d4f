/* What would hurt in an ACL. */
#include "app/broker_check.h"

#include <stdio.h>
#include <string.h>

enum { FILTER_LEN = 512 };

enum { MAY_READ = 1, MAY_WRITE = 2 };

/* A rule as it stands: what it lets whom do where. */
struct rule {
	const struct smq_conf_line *at;
	const char *user; /* "" before the first user: clients without a name */
	bool pattern, key_server;
	unsigned may;
	const char *filter;
};

static unsigned access_of(const char **value)
{
	static const struct {
		const char *word;
		unsigned may;
	} rows[] = {
		{ "readwrite ", MAY_READ | MAY_WRITE }, { "read ", MAY_READ }, { "write ", MAY_WRITE }, { "deny ", 0 }
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len = strlen(rows[i].word);
		if (strncmp(*value, rows[i].word, len) == 0) {
			*value += len;
			*value += strspn(*value, " \t");
			return rows[i].may;
		}
	}
	return MAY_READ | MAY_WRITE;
}

static const char *whose(const struct rule *r)
{
	return r->pattern ? "everybody" : *r->user ? r->user : "clients without a name";
}

static bool all_of_it(const char *filter)
{
	return strcmp(filter, "#") == 0 || strcmp(filter, "+/#") == 0 || strcmp(filter, "/#") == 0;
}

static void judge_wildcard(const struct smq_judge *j, const struct rule *r)
{
	bool many = r->pattern || !*r->user;
	if (!all_of_it(r->filter))
		return;
	if (r->may & MAY_WRITE)
		smq_judge_find(j, many ? SMQ_SEVERITY_CRITICAL : SMQ_SEVERITY_HIGH, "acl-wildcard", r->at, NULL,
			       "topic write REALM/NAME/#", "%s may publish everywhere", whose(r));
	else
		smq_judge_find(j, many ? SMQ_SEVERITY_HIGH : SMQ_SEVERITY_MEDIUM, "acl-wildcard", r->at, NULL,
			       "topic read REALM/#", "%s may read everything, all key exchanges with it", whose(r));
}

static void judge_pattern(const struct smq_judge *j, const struct rule *r)
{
	if (!r->pattern)
		return;
	if (strstr(r->filter, "%c"))
		smq_judge_find(j, SMQ_SEVERITY_HIGH, "acl-client-id", r->at, NULL, "pattern readwrite REALM/%u/#",
			       "client ids are freely chosen: whoever takes another's has its rights");
	else if (!strstr(r->filter, "%u") && (r->may & MAY_WRITE) && !all_of_it(r->filter))
		smq_judge_find(j, SMQ_SEVERITY_MEDIUM, "acl-pattern", r->at, NULL, "pattern write REALM/%u/#",
			       "a pattern without %%u is for everybody");
}

/* Topics where only the key server speaks. */
static void judge_control(const struct smq_judge *j, const struct rule *r, const char *prefix)
{
	static const struct {
		const char *below, *what;
	} rows[] = { { "g/#", "groups" },
		     { "ks/a/#", "answers of the key server" },
		     { "ks/claim", "claims of the key server" } };
	char topic[FILTER_LEN];
	if (!(r->may & MAY_WRITE) || r->key_server)
		return;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		(void)snprintf(topic, sizeof(topic), "%s/%s", prefix, rows[i].below);
		if (!smq_filters_meet(r->filter, topic))
			continue;
		smq_judge_find(j, SMQ_SEVERITY_CRITICAL, "acl-control", r->at, NULL, "topic write PREFIX/ks/q/NAME",
			       "%s may write %s, which are the key server's alone", whose(r), rows[i].what);
		return;
	}
}

static void judge_listening(const struct smq_judge *j, const struct rule *r, const char *prefix)
{
	char keyex[FILTER_LEN];
	(void)snprintf(keyex, sizeof(keyex), "%s/keyex/", prefix);
	if (all_of_it(r->filter) || !(r->may & MAY_READ) || strncmp(r->filter, keyex, strlen(keyex)) != 0)
		return;
	if (strpbrk(r->filter + strlen(keyex), "+#"))
		smq_judge_find(j, SMQ_SEVERITY_MEDIUM, "acl-keyex", r->at, NULL, "pattern read PREFIX/keyex/%u",
			       "%s may listen to the key exchanges of others", whose(r));
}

static void judge_rule(const struct smq_judge *j, const struct rule *r, const char *prefix)
{
	if (r->may == 0)
		return;
	judge_wildcard(j, r);
	judge_pattern(j, r);
	if (!prefix)
		return;
	if (!all_of_it(r->filter))
		judge_control(j, r, prefix);
	judge_listening(j, r, prefix);
}

/* `broker init` writes this line before a key server's section. */
static bool announces_key_server(const struct smq_conf_line *row)
{
	return strcmp(row->key, "#") == 0 && strcmp(row->value, "a key server") == 0;
}

void smq_judge_acl(const struct smq_judge *j, const struct smq_conf_lines *acl, const char *control_prefix,
		   const char *link_user)
{
	const char *user = "";
	bool announced = false;
	bool key_server = false;
	for (size_t i = 0; i < acl->count; i++) {
		const struct smq_conf_line *row = &acl->rows[i];
		const char *value = row->value;
		bool pattern = strcmp(row->key, "pattern") == 0;
		if (announces_key_server(row)) {
			announced = true;
		} else if (strcmp(row->key, "user") == 0) {
			user = row->value;
			key_server = announced;
			announced = false;
		} else if (pattern || strcmp(row->key, "topic") == 0) {
			unsigned may = access_of(&value);
			struct rule r = { .at = row,
					  .user = user,
					  .pattern = pattern,
					  .key_server = key_server && !pattern,
					  .may = may,
					  .filter = value };
			if (!link_user || pattern || strcmp(user, link_user) != 0)
				judge_rule(j, &r, control_prefix);
		}
	}
}
