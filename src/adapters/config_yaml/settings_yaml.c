/* Handing the values of sealmq.yaml to the configuration. */
#include "adapters/config_yaml/settings_yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/config_yaml/yaml_walk.h"
#include "app/settings.h"
#include "app/settings_table.h"

struct load {
	smq_config *config;
	const char *path;
};

static enum smq_yaml_kind kind(void *self, const char *key)
{
	const struct smq_config_key *k = smq_config_key_find(key);
	(void)self;
	if (k)
		return smq_settings_is_list(k->type) ? SMQ_YAML_LIST : SMQ_YAML_SCALAR;
	return smq_settings_is_section(key) ? SMQ_YAML_MAP : SMQ_YAML_UNKNOWN;
}

static void suggest(void *self, const char *key, char *ret_hint, size_t room)
{
	(void)self;
	smq_settings_suggest(key, ret_hint, room);
}

/* A relative path in a file is meant from that file's directory. NULL: out of memory. */
static char *beside(const char *file, const char *prefix, const char *path)
{
	char *text;
	const char *slash = strrchr(file, '/');
	int dir_len = slash && path[0] != '/' && strcmp(path, "-") != 0 ? (int)(slash - file) + 1 : 0;
	return asprintf(&text, "%s%.*s%s", prefix, dir_len, file, path) < 0 ? NULL : text;
}

static smq_err take(void *self, const struct smq_yaml_value *value, char *ret_problem, size_t room)
{
	const struct load *l = self;
	size_t row = smq_settings_find(value->key);
	const struct smq_config_key *key = smq_config_key(row);
	const char *const *items = value->items;
	const char *moved = NULL;
	char *path = NULL, *from;
	if (key->type == SMQ_CONFIG_PATH && *items[0])
		path = beside(l->path, "", items[0]);
	else if (key->type == SMQ_CONFIG_SPEC && strncmp(items[0], "csv:", 4) == 0 && items[0][4])
		path = beside(l->path, "csv:", items[0] + 4);
	moved = path;
	if (path)
		items = &moved;
	if (asprintf(&from, "%s:%zu", l->path, value->line) < 0)
		from = NULL;
	smq_err err = smq_config_take(l->config, row, items, value->count, SMQ_ORIGIN_FILE, from, ret_problem, room);
	free(path);
	free(from);
	return err;
}

smq_err smq_settings_yaml_load(const char *path, smq_config *config, char *ret_why, size_t why_len)
{
	struct load l = { config, path };
	const struct smq_yaml_sink sink = { &l, kind, suggest, take };
	return smq_yaml_walk(path, &sink, ret_why, why_len);
}
