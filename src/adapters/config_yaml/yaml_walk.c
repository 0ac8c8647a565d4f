/* Walking a YAML document: shape, duplicates and places; what the keys mean is the sink's business. */
#include "adapters/config_yaml/yaml_walk.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <yaml.h>

#include "base/text.h"

struct walk {
	char path[256]; /* escaped */
	const struct smq_yaml_sink *sink;
	yaml_document_t *doc;
	char *why;
	size_t why_len;
};

void smq_yaml_path_text(const char *path, char *ret_text, size_t room)
{
	(void)smq_escape(smq_span_str(path), ret_text, room);
}

bool smq_yaml_printable(const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p < 0x20 || *p == 0x7f)
			return false;
	}
	return smq_utf8_valid(smq_span_str(text));
}

static void say(char *why, size_t why_len, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void say(char *why, size_t why_len, const char *format, ...)
{
	va_list args;
	if (!why || why_len == 0)
		return;
	va_start(args, format);
	(void)vsnprintf(why, why_len, format, args);
	va_end(args);
}

static smq_err refuse(const struct walk *w, const yaml_mark_t *at, const char *key, const char *problem)
{
	char shown[SMQ_YAML_KEY_MAX + 64];
	(void)smq_escape(smq_span_str(key), shown, sizeof(shown));
	if (*key)
		say(w->why, w->why_len, "%s:%zu:%zu: key '%s': %s", w->path, at->line + 1, at->column + 1, shown,
		    problem);
	else
		say(w->why, w->why_len, "%s:%zu:%zu: %s", w->path, at->line + 1, at->column + 1, problem);
	return SMQ_ERR_CONFIG;
}

/* The node's text if it is a scalar that can be shown and compared, else NULL. */
static const char *scalar_text(const yaml_node_t *node)
{
	if (node->type != YAML_SCALAR_NODE)
		return NULL;
	const char *text = (const char *)node->data.scalar.value;
	return strlen(text) == node->data.scalar.length && smq_yaml_printable(text) ? text : NULL;
}

static bool is_null(const yaml_node_t *node)
{
	if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	const char *text = (const char *)node->data.scalar.value;
	return !*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0;
}

static smq_err unknown_key(const struct walk *w, const yaml_mark_t *at, const char *key)
{
	char hint[256] = "";
	char problem[320];
	if (w->sink->suggest)
		w->sink->suggest(w->sink->self, key, hint, sizeof(hint));
	(void)snprintf(problem, sizeof(problem), "unknown key%s%s", *hint ? "; " : "", hint);
	return refuse(w, at, key, problem);
}

static smq_err take(const struct walk *w, const yaml_node_t *node, const char *key, const char *const *items,
		    size_t count)
{
	char problem[512] = "not a usable value";
	struct smq_yaml_value value = { key, items, count, node->start_mark.line + 1, node->start_mark.column + 1 };
	smq_err err = w->sink->take(w->sink->self, &value, problem, sizeof(problem));
	if (err != SMQ_OK)
		(void)refuse(w, &node->start_mark, key, problem);
	return err;
}

static smq_err take_scalar(const struct walk *w, const yaml_node_t *node, const char *key)
{
	if (is_null(node))
		return refuse(w, &node->start_mark, key, "has no value; give one, or remove the line");
	if (node->type != YAML_SCALAR_NODE)
		return refuse(w, &node->start_mark, key, "takes a single value, not a list or a section");
	const char *text = scalar_text(node);
	if (!text)
		return refuse(w, &node->start_mark, key, "holds a control character; write printable text");
	return take(w, node, key, &text, 1);
}

static smq_err take_list(const struct walk *w, yaml_node_t *node, const char *key)
{
	const char *items[SMQ_YAML_LIST_MAX];
	size_t count = 0;
	if (node->type == YAML_SCALAR_NODE)
		return take_scalar(w, node, key); /* a list of one may be written without brackets */
	if (node->type != YAML_SEQUENCE_NODE)
		return refuse(w, &node->start_mark, key, "takes a list such as [a, b], not a section");
	for (yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top; i++) {
		const yaml_node_t *item = yaml_document_get_node(w->doc, *i);
		if (count == SMQ_YAML_LIST_MAX)
			return refuse(w, &item->start_mark, key, "has more than 256 items");
		items[count] = scalar_text(item);
		if (!items[count] || is_null(item))
			return refuse(w, &item->start_mark, key, "holds an item that is not a single printable value");
		count++;
	}
	return take(w, node, key, items, count);
}

static smq_err walk_map(const struct walk *w, yaml_node_t *map, const char *parent, int depth);

static smq_err walk_value(const struct walk *w, const yaml_node_t *name, yaml_node_t *node, const char *key, int depth)
{
	switch (w->sink->kind(w->sink->self, key)) {
	case SMQ_YAML_SCALAR:
		return take_scalar(w, node, key);
	case SMQ_YAML_LIST:
		return take_list(w, node, key);
	case SMQ_YAML_MAP:
		if (is_null(node))
			return SMQ_OK; /* a section whose lines are all commented out */
		if (node->type != YAML_MAPPING_NODE)
			return refuse(w, &node->start_mark, key,
				      "is a section; its keys go on indented lines below it");
		return walk_map(w, node, key, depth + 1);
	case SMQ_YAML_UNKNOWN:
		break;
	}
	return unknown_key(w, &name->start_mark, key);
}

static bool seen_before(const struct walk *w, const yaml_node_t *map, const yaml_node_pair_t *pair, const char *name,
			size_t *ret_line)
{
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < pair; p++) {
		const yaml_node_t *other = yaml_document_get_node(w->doc, p->key);
		const char *text = scalar_text(other);
		if (text && strcmp(text, name) == 0) {
			*ret_line = other->start_mark.line + 1;
			return true;
		}
	}
	return false;
}

static smq_err walk_pair(const struct walk *w, const yaml_node_t *map, const yaml_node_pair_t *pair, const char *parent,
			 int depth)
{
	char key[SMQ_YAML_KEY_MAX];
	char problem[128];
	size_t first;
	const yaml_node_t *name_node = yaml_document_get_node(w->doc, pair->key);
	const char *name = scalar_text(name_node);
	if (!name || !*name || strchr(name, '.'))
		return refuse(w, &name_node->start_mark, parent, "holds a key that is not a plain word");
	int n = snprintf(key, sizeof(key), "%s%s%s", parent, *parent ? "." : "", name);
	if (n < 0 || (size_t)n >= sizeof(key))
		return refuse(w, &name_node->start_mark, parent, "holds a key that is too long to be one of ours");
	if (seen_before(w, map, pair, name, &first)) {
		(void)snprintf(problem, sizeof(problem), "given twice, first on line %zu; keep one", first);
		return refuse(w, &name_node->start_mark, key, problem);
	}
	return walk_value(w, name_node, yaml_document_get_node(w->doc, pair->value), key, depth);
}

static smq_err walk_map(const struct walk *w, yaml_node_t *map, const char *parent, int depth)
{
	if (depth > SMQ_YAML_DEPTH_MAX)
		return refuse(w, &map->start_mark, parent, "is nested too deeply");
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
		smq_err err = walk_pair(w, map, p, parent, depth);
		if (err != SMQ_OK)
			return err;
	}
	return SMQ_OK;
}

static smq_err walk_document(struct walk *w)
{
	yaml_node_t *root = yaml_document_get_root_node(w->doc);
	if (!root || is_null(root))
		return SMQ_OK; /* nothing but comments: nothing is set */
	if (root->type != YAML_MAPPING_NODE)
		return refuse(w, &root->start_mark, "", "not a settings file; it holds lines of the form 'key: value'");
	return walk_map(w, root, "", 0);
}

static smq_err syntax_error(const struct walk *w, const yaml_parser_t *p)
{
	if (p->error == YAML_MEMORY_ERROR)
		return SMQ_ERR_NO_MEMORY;
	/* The reader's errors know an offset only, and come before any line was counted. */
	const char *problem = p->problem ? p->problem : "not YAML";
	size_t line = p->error == YAML_READER_ERROR ? p->mark.line : p->problem_mark.line;
	size_t column = p->error == YAML_READER_ERROR ? p->mark.column : p->problem_mark.column;
	say(w->why, w->why_len, "%s:%zu:%zu: %s%s%s (indent with spaces, put a space after ':', quote odd text)",
	    w->path, line + 1, column + 1, p->context ? p->context : "", p->context ? ", " : "", problem);
	return SMQ_ERR_CONFIG;
}

static smq_err only_document(struct walk *w, yaml_parser_t *parser)
{
	yaml_document_t next;
	if (!yaml_parser_load(parser, &next))
		return syntax_error(w, parser);
	const yaml_node_t *root = yaml_document_get_root_node(&next);
	smq_err err = root ? refuse(w, &root->start_mark, "", "a second document ('---'); put all in one") : SMQ_OK;
	yaml_document_delete(&next);
	return err;
}

static smq_err parse(struct walk *w, FILE *file)
{
	yaml_parser_t parser;
	yaml_document_t doc;
	if (!yaml_parser_initialize(&parser))
		return SMQ_ERR_NO_MEMORY;
	yaml_parser_set_input_file(&parser, file);
	smq_err err;
	if (!yaml_parser_load(&parser, &doc)) {
		err = syntax_error(w, &parser);
	} else {
		w->doc = &doc;
		bool empty = yaml_document_get_root_node(&doc) == NULL;
		err = walk_document(w);
		if (err == SMQ_OK && !empty)
			err = only_document(w, &parser);
		yaml_document_delete(&doc);
		w->doc = NULL;
	}
	yaml_parser_delete(&parser);
	return err;
}

static smq_err file_error(const struct walk *w, int number)
{
	say(w->why, w->why_len, "%s: %s", w->path, strerror(number));
	return number == ENOENT || number == ENOTDIR ? SMQ_ERR_NOT_FOUND
	       : number == EACCES                    ? SMQ_ERR_PERMISSION
						     : SMQ_ERR_IO;
}

smq_err smq_yaml_walk(const char *path, const struct smq_yaml_sink *sink, char *ret_why, size_t why_len)
{
	struct walk w = { .sink = sink, .why = ret_why, .why_len = why_len };
	struct stat st;
	smq_yaml_path_text(path, w.path, sizeof(w.path));
	FILE *file = fopen(path, "re");
	if (!file)
		return file_error(&w, errno);
	smq_err err = SMQ_OK;
	if (fstat(fileno(file), &st) != 0) {
		err = file_error(&w, errno);
	} else if (S_ISDIR(st.st_mode)) {
		err = file_error(&w, EISDIR);
	} else if (st.st_size > SMQ_YAML_FILE_MAX) {
		say(ret_why, why_len, "%s: larger than 256 KiB; not a settings file", w.path);
		err = SMQ_ERR_CONFIG;
	} else {
		err = parse(&w, file);
	}
	(void)fclose(file);
	return err;
}
