/* The ACL of a realm's broker: who may publish and read where. */
#include "app/broker_files.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sealmq/ca.h>

#include "app/broker_check.h"
#include "base/table.h"

/* Counts first, writes then. */
struct text {
	char *p;
	size_t room, len;
};

static void add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct text *t, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(t->p ? t->p + t->len : NULL, t->p ? t->room - t->len : 0, format, args);
	va_end(args);
	t->len += n > 0 ? (size_t)n : 0;
}

/* Below the control prefix, beside the key exchange: who may do what there (PROTOCOL.md 3.9, 7.2). %u is the member's
 * own name. A key server has its rows besides those for everybody. */
static const struct {
	unsigned role; /* 0: everybody */
	const char *access, *below;
} control_rules[] = {
	{ 0, "read", "g/#" },           /* groups: node messages, manifests, cards */
	{ 0, "read", "ks/claim" },      /* which key server is there */
	{ 0, "read", "ks/a/%u" },       /* what it answers */
	{ 0, "write", "ks/q/%u" },      /* what it is asked */
	{ 0, "read", "proof/group/#" }, /* checkpoints of senders: each writes its own */
	{ 0, "read", "proof/to/%u/+" },
	{ 0, "write", "proof/group/+/%u" },
	{ 0, "write", "proof/to/+/%u" },
	{ 0, "read", "cert/+" },
	{ 0, "write", "cert/%u" },
	{ 0, "read", "crl" },      /* revocation lists (7.9) */
	{ 0, "write", "enrol/q" }, /* certificates asked for, and given */
	{ 0, "read", "enrol/a/+" },
	{ SMQ_ROLE_ADMIN, "write", "crl" }, /* `sealmq ca serve --mqtt` goes by an admin's identity */
	{ SMQ_ROLE_ADMIN, "read", "enrol/q" },
	{ SMQ_ROLE_ADMIN, "write", "enrol/a/+" },
	{ SMQ_ROLE_KEYSERVER, "readwrite", "g/#" },
	{ SMQ_ROLE_KEYSERVER, "readwrite", "ks/claim" },
	{ SMQ_ROLE_KEYSERVER, "write", "ks/a/+" },
	{ SMQ_ROLE_KEYSERVER, "read", "ks/q/+" },
};

/* The key-exchange topic with something in the place of {to}. */
static void add_keyex(struct text *t, const char *rule, const char *topic, const char *to)
{
	const char *at = strstr(topic, "{to}");
	if (at)
		add(t, "%s %.*s%s%s\n", rule, (int)(at - topic), topic, to, at + 4);
	else
		add(t, "%s %s\n", rule, topic);
}

static void add_head(struct text *t, const struct smq_broker_plan *p)
{
	add(t,
	    "# Who may do what at the broker of the realm %s. Written by `sealmq broker init`; the next run replaces "
	    "it.\n"
	    "# Lines of your own belong into ../acl.local/*.acl; they are appended here. What is not allowed is "
	    "refused.\n\n"
	    "# Sessions are called for on anybody's key-exchange topic, and heard on one's own and on the one for "
	    "all.\n"
	    "# Groups are the key server's to write; everybody may ask it, and proves what it sent. Nothing else below "
	    "%s/\n# may be written or read.\n",
	    p->realm, p->control_prefix);
	if (strstr(p->keyex_topic, "{to}"))
		add_keyex(t, "pattern read", p->keyex_topic, "%u");
}

static void add_control(struct text *t, const struct smq_broker_plan *p, const struct smq_broker_member *m)
{
	for (size_t i = 0; i < SMQ_COUNT(control_rules); i++) {
		const char *below = control_rules[i].below;
		const char *own = strstr(below, "%u");
		int before = (int)(own ? (size_t)(own - below) : strlen(below));
		if (control_rules[i].role == 0 || (control_rules[i].role & m->roles))
			add(t, "topic %s %s/%.*s%s%s\n", control_rules[i].access, p->control_prefix, before, below,
			    own ? m->name : "", own ? own + 2 : "");
	}
}

static void add_member(struct text *t, const struct smq_broker_plan *p, const struct smq_broker_member *m)
{
	bool shared = !strstr(p->keyex_topic, "{to}");
	add(t, "\n%suser %s\n", m->roles & SMQ_ROLE_KEYSERVER ? SMQ_ACL_KEY_SERVER "\n" : "", m->name);
	add_keyex(t, shared ? "topic readwrite" : "topic write", p->keyex_topic, "+");
	if (!shared)
		add_keyex(t, "topic read", p->keyex_topic, "all");
	add_control(t, p, m);
	add(t, "topic write %s/%s/#\ntopic read %s/#\n", p->topics, m->name, p->topics);
}

static void add_all(struct text *t, const struct smq_broker_plan *p)
{
	add_head(t, p);
	for (size_t i = 0; i < p->member_count; i++)
		add_member(t, p, &p->members[i]);
	if (p->acl_local && *p->acl_local)
		add(t, "\n# ---- from acl.local ----\n%s", p->acl_local);
}

smq_err smq_broker_acl_text(const struct smq_broker_plan *plan, char **ret_text)
{
	struct text t = { NULL, 0, 0 };
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
