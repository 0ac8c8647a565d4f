/* The ACL of a realm's broker: who may publish and read where. */
#include "app/broker_acl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sealmq/ca.h>

#include "app/broker_check.h"
#include "base/table.h"

enum { FILTER_ROOM = 1024 };

void smq_acl_add(struct smq_acl_text *t, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(t->p ? t->p + t->len : NULL, t->p ? t->room - t->len : 0, format, args);
	va_end(args);
	t->len += n > 0 ? (size_t)n : 0;
}

smq_err smq_acl_build(void (*add_all)(struct smq_acl_text *, const struct smq_broker_plan *),
		      const struct smq_broker_plan *plan, char **ret_text)
{
	struct smq_acl_text t = { NULL, 0, 0 };
	add_all(&t, plan);
	t.room = t.len + 1;
	t.p = malloc(t.room);
	if (!t.p)
		return SMQ_ERR_NO_MEMORY;
	t.len = 0;
	add_all(&t, plan);
	*ret_text = t.p;
	return SMQ_OK;
}

/* Below the control prefix, beside the key exchange: who may do what there (PROTOCOL.md 3.9, 7.2). %u is the member's
 * own name. A key server has its rows besides those for everybody. */
static const struct {
	unsigned role; /* 0: everybody */
	unsigned access;
	const char *below;
} control_rules[] = {
	{ 0, SMQ_ACL_READ, "g/#" },           /* groups: node messages, manifests, cards */
	{ 0, SMQ_ACL_READ, "ks/claim" },      /* which key server is there */
	{ 0, SMQ_ACL_READ, "ks/a/%u" },       /* what it answers */
	{ 0, SMQ_ACL_WRITE, "ks/q/%u" },      /* what it is asked */
	{ 0, SMQ_ACL_READ, "proof/group/#" }, /* checkpoints of senders: each writes its own */
	{ 0, SMQ_ACL_READ, "proof/to/%u/+" },
	{ 0, SMQ_ACL_WRITE, "proof/group/+/%u" },
	{ 0, SMQ_ACL_WRITE, "proof/to/+/%u" },
	{ 0, SMQ_ACL_READ, "cert/+" },
	{ 0, SMQ_ACL_WRITE, "cert/%u" },
	{ 0, SMQ_ACL_READ, "command/+/to/%u" }, /* whoever may not command is refused by the addressed */
	{ 0, SMQ_ACL_READ, "command/+/all" },
	{ 0, SMQ_ACL_READ, "command/+/ack/%u" },
	{ 0, SMQ_ACL_WRITE, "command/#" },
	{ 0, SMQ_ACL_READ, "crl" },      /* revocation lists (7.9) */
	{ 0, SMQ_ACL_WRITE, "enrol/q" }, /* certificates asked for, and given */
	{ 0, SMQ_ACL_READ, "enrol/a/+" },
	{ SMQ_ROLE_ADMIN, SMQ_ACL_WRITE, "crl" }, /* `sealmq ca serve --mqtt` goes by an admin's identity */
	{ SMQ_ROLE_ADMIN, SMQ_ACL_READ, "enrol/q" },
	{ SMQ_ROLE_ADMIN, SMQ_ACL_WRITE, "enrol/a/+" },
	{ SMQ_ROLE_KEYSERVER, SMQ_ACL_READ | SMQ_ACL_WRITE, "g/#" },
	{ SMQ_ROLE_KEYSERVER, SMQ_ACL_READ | SMQ_ACL_WRITE, "ks/claim" },
	{ SMQ_ROLE_KEYSERVER, SMQ_ACL_WRITE, "ks/a/+" },
	{ SMQ_ROLE_KEYSERVER, SMQ_ACL_READ, "ks/q/+" },
};

static void tell(const struct smq_acl_sink *sink, unsigned access, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void tell(const struct smq_acl_sink *sink, unsigned access, const char *format, ...)
{
	char filter[FILTER_ROOM];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(filter, sizeof(filter), format, args);
	va_end(args);
	if (n > 0 && n < (int)sizeof(filter))
		sink->rule(sink->self, access, filter);
}

/* The key-exchange topic with something in the place of {to}. */
static void tell_keyex(const struct smq_acl_sink *sink, unsigned access, const char *topic, const char *to)
{
	const char *at = strstr(topic, "{to}");
	if (at)
		tell(sink, access, "%.*s%s%s", (int)(at - topic), topic, to, at + 4);
	else
		tell(sink, access, "%s", topic);
}

static void walk_control(const struct smq_broker_plan *p, const struct smq_broker_member *m,
			 const struct smq_acl_sink *sink)
{
	for (size_t i = 0; i < SMQ_COUNT(control_rules); i++) {
		const char *below = control_rules[i].below;
		const char *own = strstr(below, "%u");
		int before = (int)(own ? (size_t)(own - below) : strlen(below));
		if (control_rules[i].role == 0 || (control_rules[i].role & m->roles))
			tell(sink, control_rules[i].access, "%s/%.*s%s%s", p->control_prefix, before, below,
			     own ? m->name : "", own ? own + 2 : "");
	}
}

static unsigned access_of(const char *word)
{
	return strcmp(word, "read") == 0    ? SMQ_ACL_READ
	       : strcmp(word, "write") == 0 ? SMQ_ACL_WRITE
					    : SMQ_ACL_READ | SMQ_ACL_WRITE;
}

/* Lines of the user's own: "user NAME", and below it "topic [read|write|readwrite] FILTER". */
static void walk_local(const struct smq_broker_plan *p, const struct smq_broker_member *m,
		       const struct smq_acl_sink *sink)
{
	const char *at = p->acl_local ? p->acl_local : "";
	bool ours = false;
	while (*at) {
		size_t len = strcspn(at, "\n");
		char line[FILTER_ROOM];
		char *save = NULL;
		(void)snprintf(line, sizeof(line), "%.*s", (int)len, at);
		const char *first = strtok_r(line, " \t\r", &save);
		const char *second = first ? strtok_r(NULL, " \t\r", &save) : NULL;
		const char *third = second ? strtok_r(NULL, " \t\r", &save) : NULL;
		if (second && strcmp(first, "user") == 0)
			ours = strcmp(second, m->name) == 0;
		else if (second && ours && strcmp(first, "topic") == 0)
			tell(sink, third ? access_of(second) : SMQ_ACL_READ | SMQ_ACL_WRITE, "%s",
			     third ? third : second);
		at += len + (at[len] == '\n');
	}
}

void smq_broker_acl_walk(const struct smq_broker_plan *p, const struct smq_broker_member *m, bool local,
			 const struct smq_acl_sink *sink)
{
	bool shared = !strstr(p->keyex_topic, "{to}");
	tell_keyex(sink, shared ? SMQ_ACL_READ | SMQ_ACL_WRITE : SMQ_ACL_WRITE, p->keyex_topic, "+");
	if (!shared)
		tell_keyex(sink, SMQ_ACL_READ, p->keyex_topic, "all");
	walk_control(p, m, sink);
	tell(sink, SMQ_ACL_WRITE, "%s/%s/#", p->topics, m->name);
	tell(sink, SMQ_ACL_READ, "%s/#", p->topics);
	if (!local)
		return;
	if (!shared)
		tell_keyex(sink, SMQ_ACL_READ, p->keyex_topic, m->name);
	walk_local(p, m, sink);
}

/* ---- as Mosquitto reads it ---- */

static void add_rule(void *self, unsigned access, const char *filter)
{
	static const char *const words[] = { "", "read", "write", "readwrite" };
	smq_acl_add(self, "topic %s %s\n", words[access], filter);
}

static void add_head(struct smq_acl_text *t, const struct smq_broker_plan *p)
{
	const char *to = strstr(p->keyex_topic, "{to}");
	smq_acl_add(
	    t,
	    "# Who may do what at the broker of the realm %s. Written by `sealmq broker init`; the next run replaces "
	    "it.\n"
	    "# Lines of your own belong into ../acl.local/*.acl; they are appended here. What is not allowed is "
	    "refused.\n\n"
	    "# Sessions are called for on anybody's key-exchange topic, and heard on one's own and on the one for "
	    "all.\n"
	    "# Groups are the key server's to write; everybody may ask it, and proves what it sent. Nothing else below "
	    "%s/\n# may be written or read.\n",
	    p->realm, p->control_prefix);
	if (to)
		smq_acl_add(t, "pattern read %.*s%%u%s\n", (int)(to - p->keyex_topic), p->keyex_topic, to + 4);
}

static void add_all(struct smq_acl_text *t, const struct smq_broker_plan *p)
{
	struct smq_acl_sink sink = { t, add_rule };
	add_head(t, p);
	if (p->link_name)
		smq_acl_add(t, "\n# The links between the brokers carry everything.\nuser %s\ntopic readwrite #\n",
			    p->link_name);
	for (size_t i = 0; i < p->member_count; i++) {
		const struct smq_broker_member *m = &p->members[i];
		smq_acl_add(t, "\n%suser %s\n", m->roles & SMQ_ROLE_KEYSERVER ? SMQ_ACL_KEY_SERVER "\n" : "", m->name);
		smq_broker_acl_walk(p, m, false, &sink);
	}
	if (p->acl_local && *p->acl_local)
		smq_acl_add(t, "\n# ---- from acl.local ----\n%s", p->acl_local);
}

smq_err smq_broker_acl_text(const struct smq_broker_plan *plan, char **ret_text)
{
	return smq_acl_build(add_all, plan, ret_text);
}
