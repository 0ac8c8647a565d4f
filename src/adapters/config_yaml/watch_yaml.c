/* Handing the values of watch.yaml to the rules. */
#include "adapters/config_yaml/watch_yaml.h"

#include <stdio.h>
#include <string.h>

#include "adapters/config_yaml/yaml_walk.h"

static enum smq_yaml_kind kind(void *self, const char *key)
{
	static const enum smq_yaml_kind kinds[] = { SMQ_YAML_UNKNOWN, SMQ_YAML_SCALAR, SMQ_YAML_MAP };
	(void)self;
	return kinds[smq_watch_key(key)];
}

static void suggest(void *self, const char *key, char *ret_hint, size_t room)
{
	(void)self;
	(void)snprintf(ret_hint, room, "%s",
		       strncmp(key, "rules.", 6) == 0
			   ? "`sealmq watch --rules-list` names the rules; each has count, within, severity, off"
			   : "there are suppress and rules");
}

static smq_err take(void *self, const struct smq_yaml_value *value, char *ret_problem, size_t room)
{
	return smq_watch_set(self, value->key, value->items[0], ret_problem, room);
}

smq_err smq_watch_yaml_load(const char *path, struct smq_watch_settings *settings, char *ret_why, size_t why_len)
{
	struct smq_watch_settings made = *settings;
	const struct smq_yaml_sink sink = { &made, kind, suggest, take };
	smq_err err = smq_yaml_walk(path, &sink, ret_why, why_len);
	if (err == SMQ_OK)
		*settings = made;
	return err;
}
