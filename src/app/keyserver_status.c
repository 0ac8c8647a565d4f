/* How the key server is, for whoever operates it: numbers in Prometheus' text format, and whether it is well. */
#include "app/keyserver_inner.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum { GROUPS_SHOWN = 200 }; /* each takes some 250 bytes; the sums hold all of them */

struct text {
	char *at;
	size_t left;
	bool full;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *t, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int len = vsnprintf(t->at, t->left, format, args);
	va_end(args);
	if (len < 0 || (size_t)len >= t->left) {
		t->full = true;
		return;
	}
	t->at += len;
	t->left -= (size_t)len;
}

static void put_head(struct text *t, const char *name, const char *kind, const char *help)
{
	put(t, "# HELP sealmq_keyserver_%s %s\n# TYPE sealmq_keyserver_%s %s\n", name, help, name, kind);
}

static void put_one(struct text *t, const char *name, const char *kind, const char *help, int64_t value)
{
	put_head(t, name, kind, help);
	put(t, "sealmq_keyserver_%s %" PRId64 "\n", name, value);
}

void ks_count(struct smq_keyserver *ks, const struct smq_keyserver_event *e)
{
	struct ks_counts *c = &ks->counts;
	switch (e->kind) {
	case SMQ_KEYSERVER_ASKED:
		for (size_t i = 0; i < KS_WHATS; i++) {
			if (strcmp(e->what, ks_what_at(i)) == 0)
				c->asked[i][e->err != SMQ_OK]++;
		}
		break;
	case SMQ_KEYSERVER_EPOCH:
		c->epochs++;
		c->messages += e->messages;
		c->bytes += e->bytes;
		break;
	case SMQ_KEYSERVER_DROPPED:
		c->dropped++;
		break;
	default:
		break;
	}
}

static size_t in_flight(const struct smq_keyserver *ks)
{
	size_t count = 0;
	for (size_t i = 0; i < ks->config.out_max; i++)
		count += ks->flights[i].used;
	return count;
}

static void put_sums(struct text *t, const struct smq_keyserver *ks)
{
	uint64_t members = 0;
	int64_t expires = 0;
	size_t broken = 0;
	for (size_t i = 0; i < ks->group_count; i++) {
		const struct ks_group *g = ks->groups[i];
		int64_t at = g->chain.expires_ms / 1000;
		members += smq_keygroup_member_count(g->group);
		expires = at > 0 && (expires == 0 || at < expires) ? at : expires;
		broken += g->broken;
	}
	put_one(t, "online", "gauge", "Whether the broker has accepted us.", ks->online && !ks->stopped);
	put_one(t, "groups", "gauge", "Groups.", (int64_t)ks->group_count);
	put_one(t, "members", "gauge", "Members of all groups together.", (int64_t)members);
	put_one(t, "broken_groups", "gauge", "Groups whose state could not be read again after a failure.",
		(int64_t)broken);
	put_one(t, "soonest_expiry_seconds", "gauge",
		"When the first of the groups' manifests expires unless it is renewed, Unix time; 0: there is none.",
		expires);
	put_one(t, "queue", "gauge", "Retained messages that the broker does not have yet.",
		(int64_t)(ks->outs.count + in_flight(ks)));
	put_one(t, "answers_waiting", "gauge", "Answers that wait for a transaction or for the broker.",
		(int64_t)(ks->wait_count + ks->reply_count));
}

static void put_counts(struct text *t, const struct smq_keyserver *ks)
{
	const struct ks_counts *c = &ks->counts;
	put_head(t, "requests_total", "counter", "Requests of proven members and admins.");
	for (size_t i = 0; i < KS_WHATS; i++)
		put(t,
		    "sealmq_keyserver_requests_total{what=\"%s\",outcome=\"done\"} %" PRIu64
		    "\nsealmq_keyserver_requests_total{what=\"%s\",outcome=\"refused\"} %" PRIu64 "\n",
		    ks_what_at(i), c->asked[i][0], ks_what_at(i), c->asked[i][1]);
	put_one(t, "dropped_total", "counter", "Seconds in which something came that was no request of a member.",
		(int64_t)c->dropped);
	put_one(t, "epochs_total", "counter", "Epochs made.", (int64_t)c->epochs);
	put_one(t, "epoch_messages_total", "counter", "Messages published for epochs.", (int64_t)c->messages);
	put_one(t, "epoch_bytes_total", "counter", "Bytes published for epochs.", (int64_t)c->bytes);
	put_one(t, "commits_total", "counter", "Transactions that became durable.", (int64_t)c->commits);
	put_one(t, "failed_commits_total", "counter", "Transactions that did not.", (int64_t)c->failed_commits);
	put_one(t, "durable_seconds", "gauge",
		"When the last transaction became durable, Unix time; 0: none since the start.", c->durable_ms / 1000);
}

static void put_groups(struct text *t, const struct smq_keyserver *ks, const char *name, const char *help,
		       int64_t (*value)(const struct ks_group *g))
{
	put_head(t, name, "gauge", help);
	for (size_t i = 0; i < ks->group_count && i < GROUPS_SHOWN; i++)
		put(t, "sealmq_keyserver_%s{group=\"%s\"} %" PRId64 "\n", name, ks->groups[i]->name,
		    value(ks->groups[i]));
}

static int64_t epoch_of(const struct ks_group *g) { return (int64_t)smq_keygroup_epoch(g->group); }
static int64_t members_of(const struct ks_group *g) { return (int64_t)smq_keygroup_member_count(g->group); }
static int64_t expiry_of(const struct ks_group *g) { return g->chain.expires_ms / 1000; }

smq_err smq_keyserver_metrics(const struct smq_keyserver *ks, smq_mspan room, size_t *ret_len)
{
	struct text t = { (char *)room.p, room.len, false };
	put_sums(&t, ks);
	put_counts(&t, ks);
	put_groups(&t, ks, "group_epoch", "A group's epoch; of the first 200 groups by name.", epoch_of);
	put_groups(&t, ks, "group_members", "A group's members, likewise.", members_of);
	put_groups(&t, ks, "group_expiry_seconds", "When a group's manifest expires, likewise.", expiry_of);
	if (t.full)
		return SMQ_ERR_NO_ROOM;
	*ret_len = room.len - t.left;
	return SMQ_OK;
}

bool smq_keyserver_healthy(const struct smq_keyserver *ks, char *ret_why, size_t room)
{
	const char *why = ks->stopped                                 ? "another key server serves this realm"
			  : !ks->online                               ? "no connection to the broker"
			  : ks->flush_not_before > ks_now(ks).mono_ms ? "transactions do not become durable"
								      : NULL;
	for (size_t i = 0; i < ks->group_count && !why; i++)
		why = ks->groups[i]->broken ? "a group's state cannot be read" : NULL;
	if (why)
		(void)snprintf(ret_why, room, "%s", why);
	return !why;
}
