/* The ACL of a realm's broker as NATS and RabbitMQ read it. Both turn topics into names with dots between the levels.
 */
#include "app/broker_acl.h"

#include <stdio.h>
#include <string.h>

#include "app/broker_check.h"

/* ---- NATS: subjects, in accounts ---- */

struct subjects {
	struct smq_acl_text *t;
	unsigned access;
	bool first;
};

/* '+' is '*' there, and '#', which takes the level above as well, is '>', which does not. */
static void add_subject(void *self, unsigned access, const char *filter)
{
	struct subjects *s = self;
	size_t len = strlen(filter);
	bool below = len > 2 && strcmp(filter + len - 2, "/#") == 0;
	if (!(access & s->access))
		return;
	for (int again = 0; again <= (int)below; again++) {
		smq_acl_add(s->t, "%s\"", s->first ? "" : ", ");
		for (size_t i = 0; i < (again ? len - 2 : len); i++)
			smq_acl_add(s->t, "%c",
				    filter[i] == '/'   ? '.'
				    : filter[i] == '+' ? '*'
				    : filter[i] == '#' ? '>'
						       : filter[i]);
		smq_acl_add(s->t, "\"");
		s->first = false;
	}
}

static void add_user(struct smq_acl_text *t, const struct smq_broker_plan *p, const struct smq_broker_member *m)
{
	struct subjects s = { t, SMQ_ACL_WRITE, true };
	struct smq_acl_sink sink = { &s, add_subject };
	smq_acl_add(t, "\t\t\t%s{ user: \"CN=%s\", allowed_connection_types: [\"MQTT\"], permissions: {\n",
		    m->roles & SMQ_ROLE_KEYSERVER ? SMQ_ACL_KEY_SERVER "\n\t\t\t" : "", m->name);
	smq_acl_add(t, "\t\t\t\tpublish: { allow: [");
	smq_broker_acl_walk(p, m, true, &sink);
	s.access = SMQ_ACL_READ;
	/* Where NATS hands messages of QoS 1 over; it refuses everybody who subscribes there by MQTT. */
	smq_acl_add(t, "] }\n\t\t\t\tsubscribe: { allow: [\"$MQTT.sub.>\"");
	s.first = false;
	smq_broker_acl_walk(p, m, true, &sink);
	smq_acl_add(t, "] } } }\n");
}

static void add_accounts(struct smq_acl_text *t, const struct smq_broker_plan *p)
{
	smq_acl_add(
	    t,
	    "# Who may do what, for the realm %s. Written by `sealmq broker init`; the next run replaces it, and "
	    "what is in\n# ../acl.local/*.acl is part of it. A user is the name in a certificate.\n"
	    "accounts {\n\t%s {\n\t\tjetstream: enabled\n\t\tusers: [\n",
	    p->realm, "REALM");
	for (size_t i = 0; i < p->member_count; i++)
		add_user(t, p, &p->members[i]);
	smq_acl_add(t, "\t\t]\n\t}\n\tSYS { users: [] }\n}\nsystem_account: SYS\n");
}

smq_err smq_broker_acl_nats(const struct smq_broker_plan *plan, char **ret_text)
{
	return smq_acl_build(add_accounts, plan, ret_text);
}

/* ---- RabbitMQ: regular expressions over routing keys ---- */

/* In JSON: a backslash is two. */
static void add_pattern(void *self, unsigned access, const char *filter)
{
	struct subjects *s = self;
	if (!(access & s->access))
		return;
	smq_acl_add(s->t, "%s", s->first ? "^(" : "|");
	s->first = false;
	for (const char *c = filter; *c; c++) {
		if (strcmp(c, "/#") == 0) {
			smq_acl_add(s->t, "(\\\\..*)?");
			break;
		}
		if (*c == '/')
			smq_acl_add(s->t, "\\\\.");
		else if (*c == '+')
			smq_acl_add(s->t, "[^.]*");
		else if (*c == '#')
			smq_acl_add(s->t, ".*");
		else
			smq_acl_add(s->t, "%c", *c);
	}
}

static void add_patterns(struct smq_acl_text *t, const struct smq_broker_plan *p, const struct smq_broker_member *m,
			 unsigned access, const char *key)
{
	struct subjects s = { t, access, true };
	struct smq_acl_sink sink = { &s, add_pattern };
	smq_acl_add(t, ", \"%s\": \"", key);
	smq_broker_acl_walk(p, m, true, &sink);
	smq_acl_add(t, ")$\"");
}

static void add_definitions(struct smq_acl_text *t, const struct smq_broker_plan *p)
{
	static const char queues[] = "mqtt-subscription-.*";
	smq_acl_add(t, "{\n  \"vhosts\": [ { \"name\": \"/\" } ],\n  \"users\": [");
	for (size_t i = 0; i < p->member_count; i++)
		smq_acl_add(t,
			    "%s\n    { \"name\": \"%s\", \"password_hash\": \"\", \"hashing_algorithm\": "
			    "\"rabbit_password_hashing_sha256\", \"tags\": [] }",
			    i ? "," : "", p->members[i].name);
	smq_acl_add(t, "\n  ],\n  \"permissions\": [");
	for (size_t i = 0; i < p->member_count; i++)
		smq_acl_add(t,
			    "%s\n    { \"user\": \"%s\", \"vhost\": \"/\", \"configure\": \"^%s$\", \"write\": "
			    "\"^(%s|amq\\\\.topic)$\", \"read\": \"^(%s|amq\\\\.topic)$\" }",
			    i ? "," : "", p->members[i].name, queues, queues, queues);
	smq_acl_add(t, "\n  ],\n  \"topic_permissions\": [");
	for (size_t i = 0; i < p->member_count; i++) {
		smq_acl_add(t, "%s\n    { \"user\": \"%s\", \"vhost\": \"/\", \"exchange\": \"amq.topic\"",
			    i ? "," : "", p->members[i].name);
		add_patterns(t, p, &p->members[i], SMQ_ACL_WRITE, "write");
		add_patterns(t, p, &p->members[i], SMQ_ACL_READ, "read");
		smq_acl_add(t, " }");
	}
	/* Queues of clients that keep no session are classic ones, whatever is preset, and lie on one node: with that
	 * node dead, their client could not come back under its id. */
	smq_acl_add(t, "\n  ],\n  \"policies\": [\n    { \"vhost\": \"/\", \"name\": \"mqtt\", \"pattern\": "
		       "\"^mqtt-subscription-\", \"apply-to\": \"queues\", \"priority\": 0, \"definition\": { "
		       "\"ha-mode\": \"all\", \"ha-sync-mode\": \"automatic\" } }\n  ]\n}\n");
}

smq_err smq_broker_acl_rabbitmq(const struct smq_broker_plan *plan, char **ret_text)
{
	return smq_acl_build(add_definitions, plan, ret_text);
}
