/* Reading and writing realm.yaml. */
#include "adapters/config_yaml/realm_yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/config_yaml/yaml_walk.h"
#include "base/table.h"
#include "base/text.h"

static const char *check_realm(const char *value)
{
	return smq_name_valid(smq_span_str(value)) ? NULL
						   : "not a realm name; use 1 to 64 of A-Z a-z 0-9 - _, e.g. plant";
}

/* Some brokers and bridges treat dots and spaces in topics in ways of their own; '$' topics are the broker's. */
static const char *check_topic(const char *value)
{
	if (!smq_topic_valid(smq_span_str(value)))
		return "not a topic that can be published to; no '+' or '#', e.g. sealmq/plant";
	if (value[0] == '$')
		return "topics that begin with '$' belong to the broker; use e.g. sealmq/plant";
	if (strpbrk(value, ". "))
		return "holds a dot or a space, which some brokers mangle; use e.g. sealmq/plant";
	if (value[0] == '/' || value[strlen(value) - 1] == '/')
		return "begins or ends with '/'; write it without, e.g. sealmq/plant";
	return NULL;
}

static const char *check_prefix(const char *value)
{
	if (strpbrk(value, "{}"))
		return "holds a brace; {to} may stand in keyex_topic only";
	return check_topic(value);
}

static const char *check_keyex(const char *value)
{
	const char *to = strstr(value, "{to}");
	const char *rest = to ? to + 4 : value;
	if ((to && memchr(value, '}', (size_t)(to - value))) || (to && memchr(value, '{', (size_t)(to - value))) ||
	    strpbrk(rest, "{}"))
		return "braces may only stand as {to}, once, e.g. sealmq/plant/keyex/{to}";
	return check_topic(value);
}

static const char *check_flag(const char *value)
{
	return strcmp(value, "true") == 0 || strcmp(value, "false") == 0 ? NULL : "takes true or false";
}

static const char *check_member(const char *value)
{
	return !*value || smq_name_valid(smq_span_str(value)) ? NULL : "takes the name of a member";
}

struct field {
	const char *key;
	size_t offset, room;
	const char *(*check)(const char *value); /* what is wrong, or NULL */
};

#define FIELD(name, check)                                                                                             \
	{                                                                                                              \
#name, offsetof(struct smq_realm_settings, name), sizeof(((struct smq_realm_settings *)0)->name),      \
		    check                                                                                              \
	}
static const struct field fields[] = {
	FIELD(realm, check_realm),      FIELD(control_prefix, check_prefix), FIELD(keyex_topic, check_keyex),
	FIELD(keyserver, check_member), FIELD(member, check_member),         FIELD(insecure_stale_crl, check_flag),
};

static const struct field *find(const char *key)
{
	for (size_t i = 0; i < SMQ_COUNT(fields); i++) {
		if (strcmp(fields[i].key, key) == 0)
			return &fields[i];
	}
	return NULL;
}

static char *place(struct smq_realm_settings *s, const struct field *f) { return (char *)s + f->offset; }

static enum smq_yaml_kind kind(void *self, const char *key)
{
	(void)self;
	return find(key) ? SMQ_YAML_SCALAR : SMQ_YAML_UNKNOWN;
}

static void suggest(void *self, const char *key, char *ret_hint, size_t room)
{
	(void)self;
	(void)key;
	(void)snprintf(ret_hint, room,
		       "realm.yaml knows realm, control_prefix, keyex_topic, keyserver, "
		       "member and insecure_stale_crl");
}

static smq_err take(void *self, const struct smq_yaml_value *value, char *ret_problem, size_t room)
{
	const struct field *f = find(value->key);
	const char *text = value->items[0];
	const char *problem = f->check(text);
	if (!problem && strlen(text) < f->room) {
		memcpy(place(self, f), text, strlen(text) + 1);
		return SMQ_OK;
	}
	if (problem)
		(void)snprintf(ret_problem, room, "%s", problem);
	else
		(void)snprintf(ret_problem, room, "longer than %zu bytes", f->room - 1);
	return SMQ_ERR_CONFIG;
}

smq_err smq_realm_settings_complete(struct smq_realm_settings *settings, char *ret_why, size_t why_len)
{
	struct smq_realm_settings s = *settings;
	if (!*s.control_prefix)
		(void)snprintf(s.control_prefix, sizeof(s.control_prefix), "sealmq/%s", s.realm);
	if (!*s.keyex_topic)
		(void)snprintf(s.keyex_topic, sizeof(s.keyex_topic), "%s/keyex/{to}", s.control_prefix);
	if (!*s.insecure_stale_crl)
		(void)snprintf(s.insecure_stale_crl, sizeof(s.insecure_stale_crl), "false");
	for (size_t i = 0; i < SMQ_COUNT(fields); i++) {
		const char *problem = fields[i].check(place(&s, &fields[i]));
		if (problem) {
			if (ret_why)
				(void)snprintf(ret_why, why_len, "key '%s': %s", fields[i].key, problem);
			return SMQ_ERR_CONFIG;
		}
	}
	*settings = s;
	return SMQ_OK;
}

smq_err smq_realm_yaml_load(const char *path, struct smq_realm_settings *ret_settings, char *ret_why, size_t why_len)
{
	struct smq_realm_settings s = { 0 };
	const struct smq_yaml_sink sink = { &s, kind, suggest, take };
	smq_err err = smq_yaml_walk(path, &sink, ret_why, why_len);
	if (err != SMQ_OK)
		return err;
	if (!*s.realm) {
		char shown[256];
		smq_yaml_path_text(path, shown, sizeof(shown));
		if (ret_why)
			(void)snprintf(ret_why, why_len,
				       "%s:1:1: key 'realm' is missing; add a line such as 'realm: plant'", shown);
		return SMQ_ERR_CONFIG;
	}
	err = smq_realm_settings_complete(&s, ret_why, why_len);
	if (err == SMQ_OK)
		*ret_settings = s;
	return err;
}

/* Double-quoted YAML; the checks left nothing but these two to be escaped. */
static void put_quoted(FILE *f, const char *key, const char *value)
{
	(void)fprintf(f, "%s: \"", key);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			(void)fputc('\\', f);
		(void)fputc(*value, f);
	}
	(void)fputs("\"\n", f);
}

static void put_settings(FILE *f, const struct smq_realm_settings *s)
{
	(void)fputs("# The settings that all members of this realm share.\n", f);
	put_quoted(f, "realm", s->realm);
	(void)fputs("# Topics of SealMQ itself are below this one; the broker must let members use them.\n", f);
	put_quoted(f, "control_prefix", s->control_prefix);
	(void)fputs("# Key exchange; {to} becomes the name of the member that is addressed.\n", f);
	put_quoted(f, "keyex_topic", s->keyex_topic);
	if (*s->keyserver) {
		(void)fputs("# Who hands out the keys of groups; any other key server is not asked.\n", f);
		put_quoted(f, "keyserver", s->keyserver);
	}
	if (*s->member) {
		(void)fputs(
		    "# Whose directory this is: there is no certificate in it, but a key that an admin registers.\n",
		    f);
		put_quoted(f, "member", s->member);
	}
	if (strcmp(s->insecure_stale_crl, "true") == 0) {
		(void)fputs("# A revocation list past its end is believed on: who was revoked since then stays in.\n",
			    f);
		(void)fputs("insecure_stale_crl: true\n", f);
	}
}

static int sync_directory_of(const char *path)
{
	char *copy = strdup(path);
	if (!copy)
		return -1;
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd < 0 ? -1 : fsync(fd);
	if (fd >= 0)
		(void)close(fd);
	free(copy);
	return rc;
}

static int write_and_rename(const char *tmp, const char *path, const struct smq_realm_settings *s)
{
	int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
	if (!f) {
		if (fd >= 0)
			(void)close(fd);
		return -1;
	}
	put_settings(f, s);
	bool failed = fflush(f) != 0 || ferror(f) || fsync(fd) != 0;
	int number = errno;
	if (fclose(f) != 0 && !failed) {
		failed = true;
		number = errno;
	}
	if (!failed && rename(tmp, path) != 0) {
		failed = true;
		number = errno;
	}
	if (failed) {
		(void)unlink(tmp);
		errno = number;
		return -1;
	}
	return sync_directory_of(path);
}

smq_err smq_realm_yaml_write(const char *path, const struct smq_realm_settings *settings, char *ret_why, size_t why_len)
{
	struct smq_realm_settings s = *settings;
	char shown[256];
	char *tmp;
	smq_err err = smq_realm_settings_complete(&s, ret_why, why_len);
	if (err != SMQ_OK)
		return err;
	if (asprintf(&tmp, "%s.%ld.tmp", path, (long)getpid()) < 0)
		return SMQ_ERR_NO_MEMORY;
	if (write_and_rename(tmp, path, &s) != 0) {
		int number = errno;
		smq_yaml_path_text(path, shown, sizeof(shown));
		if (ret_why)
			(void)snprintf(ret_why, why_len, "%s: %s", shown, strerror(number));
		err = number == ENOSPC || number == EDQUOT ? SMQ_ERR_DISK_FULL
		      : number == EACCES                   ? SMQ_ERR_PERMISSION
		      : number == ENOENT                   ? SMQ_ERR_NOT_FOUND
							   : SMQ_ERR_IO;
	}
	free(tmp);
	return err;
}
