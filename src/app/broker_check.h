/*
 * What would hurt in a broker's configuration: rules over texts, without touching a file (doc/BROKER.md 3).
 *
 * Texts are added line by line to one list, in the order in which the programs read them; then each judge walks it.
 */
#ifndef SMQ_APP_BROKER_CHECK_H
#define SMQ_APP_BROKER_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include <sealmq/broker.h>
#include <sealmq/err.h>

/* One line that says something: its first word, and the rest without blanks around it (NGINX: without the semicolon).
 * All text belongs to the list. */
struct smq_conf_line {
	const char *file;
	int line;
	const char *key, *value;
};

struct smq_conf_lines {
	struct smq_conf_line *rows;
	size_t count, room;
	char **texts; /* copies that rows point into */
	size_t text_count;
};

/* What the ACL's builder writes before the section of a key server; the one comment that is kept. */
#define SMQ_ACL_KEY_SERVER "# a key server"

/* Adds the lines of a text: "KEY VALUE" by line, '#' begins a comment at a line's start. SMQ_ERR_NO_MEMORY. */
SMQ_MUST_USE smq_err smq_conf_add(struct smq_conf_lines *lines, const char *file, const char *text);
/* The same for NGINX: statements end with ; { or }, "{" and "}" become rows of their own with that key. */
SMQ_MUST_USE smq_err smq_conf_add_nginx(struct smq_conf_lines *lines, const char *file, const char *text);
void smq_conf_free(struct smq_conf_lines *lines);
/* The last row with that key; NULL: none. */
const struct smq_conf_line *smq_conf_find(const struct smq_conf_lines *lines, const char *key);
/* Its value, or the default. */
const char *smq_conf_value(const struct smq_conf_lines *lines, const char *key, const char *otherwise);

/* Where findings go. */
struct smq_judge {
	void *self;
	void (*found)(void *self, const struct smq_finding *finding);
};
/* reason is formatted; at may be NULL: about `file` as a whole. */
__attribute__((format(printf, 7, 8))) void smq_judge_find(const struct smq_judge *j, enum smq_severity severity,
							  const char *rule, const struct smq_conf_line *at,
							  const char *file, const char *write, const char *reason, ...);

void smq_judge_mosquitto(const struct smq_judge *j, const struct smq_conf_lines *conf);
/* control_prefix: the realm's; NULL: unknown, and its rules are left out. link_user: whom brokers are to each other, and
 * who may therefore do everything; NULL: nobody. */
void smq_judge_acl(const struct smq_judge *j, const struct smq_conf_lines *acl, const char *control_prefix,
		   const char *link_user);
/* keepalive_max_s: the longest that the broker behind takes. */
void smq_judge_nginx(const struct smq_judge *j, const struct smq_conf_lines *conf, int keepalive_max_s);
/* A Debian package's version. */
void smq_judge_version(const struct smq_judge *j, const char *package, const char *version);

/* Whether there is a topic that both filters take. */
bool smq_filters_meet(const char *a, const char *b);

#endif
