/*
 * A YAML file as a stream of named values, each with its place.
 *
 * Walks one document of nested mappings and hands every value to a sink under
 * its dotted key ("broker.tls.ca_file"). Keys that the sink does not know, that
 * come twice, that have no value or have one of the wrong shape are refused with
 * file, line and column (FORMATS.md 4). Nothing of the YAML library shows here.
 */
#ifndef SMQ_ADAPTERS_CONFIG_YAML_YAML_WALK_H
#define SMQ_ADAPTERS_CONFIG_YAML_YAML_WALK_H

#include <stdbool.h>
#include <stddef.h>

#include <sealmq/err.h>

enum {
	SMQ_YAML_KEY_MAX = 96,       /* of a dotted key, bytes; the longest known is under 40 */
	SMQ_YAML_FILE_MAX = 1 << 18, /* a settings file of 256 KiB is a mistake */
	SMQ_YAML_LIST_MAX = 256,     /* items in one list */
	SMQ_YAML_DEPTH_MAX = 4
};

enum smq_yaml_kind { SMQ_YAML_UNKNOWN, SMQ_YAML_SCALAR, SMQ_YAML_LIST, SMQ_YAML_MAP };

/* One value and where it stands. Lists have any number of items, scalars one. Lines and columns count from 1. */
struct smq_yaml_value {
	const char *key;
	const char *const *items;
	size_t count;
	size_t line, column;
};

struct smq_yaml_sink {
	void *self;
	enum smq_yaml_kind (*kind)(void *self, const char *key);
	/* What would be right instead of an unknown key, e.g. "did you mean 'host'?"; may leave it empty. */
	void (*suggest)(void *self, const char *key, char *ret_hint, size_t room);
	/* Takes the value, or says in ret_problem (room bytes, never raw untrusted bytes) what is wrong with it and
	 * what would be right. */
	smq_err (*take)(void *self, const struct smq_yaml_value *value, char *ret_problem, size_t room);
};

/* SMQ_ERR_CONFIG with ret_why "FILE:LINE:COLUMN: key 'a.b': ...", or SMQ_ERR_NOT_FOUND, _PERMISSION, _IO. */
SMQ_MUST_USE smq_err smq_yaml_walk(const char *path, const struct smq_yaml_sink *sink, char *ret_why, size_t why_len);

/* ret_text becomes the path, escaped for a terminal and cut. */
void smq_yaml_path_text(const char *path, char *ret_text, size_t room);

/* Plain YAML has no control characters, and neither a terminal nor MQTT wants them. */
bool smq_yaml_printable(const char *text);

#endif
