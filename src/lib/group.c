/* Making static groups. */
#include <sealmq/group.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include <sealmq/client.h>

#include "adapters/config_yaml/realm_yaml.h"
#include "base/wipe.h"
#include "lib/files.h"
#include "lib/group_files.h"
#include "wire/sealed.h"

static _Thread_local char path_text[PATH_MAX];
static _Thread_local char why_text[PATH_MAX + 256];

#define because(err, ...) (snprintf(why_text, sizeof(why_text), __VA_ARGS__), (err))

/* ---- what the options say ---- */

static smq_err set_members(const struct smq_group_create_options *o, struct smq_group_file *f)
{
	if (o->member_count < 1 || o->member_count > SMQ_GROUP_MEMBERS_MAX)
		return because(SMQ_ERR_USAGE, "a group has 1 to %d members", SMQ_GROUP_MEMBERS_MAX);
	for (size_t i = 0; i < o->member_count; i++) {
		if (!smq_name_valid(smq_span_str(o->members[i])))
			return because(SMQ_ERR_NAME, "member %zu: a name is 1 to 64 of A-Z a-z 0-9 - _", i + 1);
		for (size_t j = 0; j < i; j++) {
			if (strcmp(f->members[j], o->members[i]) == 0)
				return because(SMQ_ERR_NAME, "member %s is in the list twice", o->members[i]);
		}
		snprintf(f->members[i], sizeof(f->members[i]), "%s", o->members[i]);
	}
	f->member_count = o->member_count;
	return SMQ_OK;
}

static smq_err set_filters(const struct smq_group_create_options *o, struct smq_group_file *f)
{
	if (o->filter_count > SMQ_GROUP_FILTERS_MAX)
		return because(SMQ_ERR_USAGE, "a group has at most %d topic filters", SMQ_GROUP_FILTERS_MAX);
	for (size_t i = 0; i < o->filter_count; i++) {
		smq_span filter = smq_span_str(o->filters[i]);
		if (!smq_topic_filter_valid(filter) || filter.len > SMQ_GROUP_FILTER_MAX || strchr(o->filters[i], '\n'))
			return because(SMQ_ERR_TOPIC, "filter %zu: not an MQTT topic filter of at most %d bytes", i + 1,
				       SMQ_GROUP_FILTER_MAX);
		snprintf(f->filters[i], sizeof(f->filters[i]), "%s", o->filters[i]);
	}
	f->filter_count = o->filter_count;
	return SMQ_OK;
}

static smq_err set_header(const struct smq_group_create_options *o, struct smq_group_file *f)
{
	const char *name = o->algorithm ? o->algorithm : "A128GCM";
	const struct smq_aead_alg *alg = smq_aead_alg_by_name(name);
	if (!o->name || !smq_name_valid(smq_span_str(o->name)))
		return because(SMQ_ERR_NAME, "a group's name is 1 to 64 of A-Z a-z 0-9 - _");
	f->alg = alg ? smq_sealed_alg(alg->id) : NULL;
	if (!f->alg)
		return because(SMQ_ERR_ALGORITHM, "the algorithm is one of A128GCM, A256GCM, ChaCha20-Poly1305");
	snprintf(f->group, sizeof(f->group), "%s", o->name);
	f->epoch = 1;
	f->created_s = (uint64_t)time(NULL);
	return SMQ_OK;
}

/* ---- what the directory says ---- */

static smq_err set_realm(const char *dir, struct smq_group_file *f)
{
	struct smq_realm_settings settings;
	char yaml[PATH_MAX];
	if (!dir || (size_t)snprintf(yaml, sizeof(yaml), "%s/realm.yaml", dir) >= sizeof(yaml))
		return because(SMQ_ERR_REALM, "a realm directory is needed");
	smq_err err = smq_realm_yaml_load(yaml, &settings, why_text, sizeof(why_text));
	if (err == SMQ_OK)
		snprintf(f->realm, sizeof(f->realm), "%s", settings.realm);
	return err;
}

static smq_err set_next_epoch(struct smq_group_file *f)
{
	struct smq_group_file *before = malloc(sizeof(*before));
	if (!before)
		return because(SMQ_ERR_NO_MEMORY, "out of memory");
	smq_err err = smq_group_files_load(path_text, f->realm, before, why_text, sizeof(why_text));
	if (err == SMQ_OK) {
		f->epoch = before->epoch + 1;
		smq_wipe(before, sizeof(*before));
	}
	free(before);
	return err;
}

static smq_err write_file(const struct smq_group_create_options *o, const struct smq_group_file *f)
{
	char dir[PATH_MAX];
	size_t len = 0;
	uint8_t *text = malloc(SMQ_GROUP_FILE_MAX);
	if (!text)
		return because(SMQ_ERR_NO_MEMORY, "out of memory");
	snprintf(dir, sizeof(dir), "%s/groups", o->realm_dir);
	if (mkdir(dir, S_IRWXU) != 0 && errno != EEXIST) {
		free(text);
		return because(SMQ_ERR_IO, "%s: cannot be made", dir);
	}
	smq_err err = smq_group_file_encode(f, smq_mspan_of(text, SMQ_GROUP_FILE_MAX), &len);
	if (err == SMQ_OK)
		err = smq_file_put(path_text, smq_span_of(text, len), S_IRUSR | S_IWUSR, o->next_epoch, NULL, 0);
	smq_wipe(text, SMQ_GROUP_FILE_MAX);
	free(text);
	return err == SMQ_OK ? err : because(err, "%s: %s", path_text, smq_err_text(err));
}

static smq_err create(const struct smq_group_create_options *o, struct smq_group_file *f)
{
	const struct smq_random *random = smq_random_system();
	smq_err err = set_header(o, f);
	if (err == SMQ_OK)
		err = set_members(o, f);
	if (err == SMQ_OK)
		err = set_filters(o, f);
	if (err == SMQ_OK)
		err = set_realm(o->realm_dir, f);
	if (err != SMQ_OK)
		return err;
	if ((size_t)snprintf(path_text, sizeof(path_text), "%s/groups/%s.key", o->realm_dir, o->name) >=
	    sizeof(path_text))
		return because(SMQ_ERR_TOO_LARGE, "the path is too long");
	if (o->next_epoch && (err = set_next_epoch(f)) != SMQ_OK)
		return err;
	if ((err = random->fill(random->self, smq_mspan_of(f->secret.b, sizeof(f->secret.b)))) != SMQ_OK)
		return because(err, "no randomness");
	return write_file(o, f);
}

smq_err smq_group_create(const struct smq_group_create_options *options, const char **ret_path, const char **ret_why)
{
	struct smq_group_file *f = calloc(1, sizeof(*f));
	smq_err err = f ? create(options, f) : because(SMQ_ERR_NO_MEMORY, "out of memory");
	if (f)
		smq_wipe(f, sizeof(*f));
	free(f);
	if (err == SMQ_OK && ret_path)
		*ret_path = path_text;
	if (err != SMQ_OK && ret_why)
		*ret_why = why_text;
	return err;
}
