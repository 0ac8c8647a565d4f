/*
 * The key server: admits members by the signed policy, moves the epochs, and publishes what members need
 * (PROTOCOL.md 7). It has no loop and no descriptor: its owner hands in what arrives and calls
 * smq_keyserver_tick when smq_keyserver_wake_at says so.
 *
 * Nothing is published that is not committed: what goes out is an item of the store (SMQ_KS_ITEM_OUT) first, and leaves
 * it when the broker has acknowledged it. Answers to what changes something follow the transaction, too.
 *
 * For a moment after it is online, until the broker has shown the manifests that it retains, it holds requests back:
 * only then does it know whether its database is the latest.
 */
#ifndef SMQ_APP_KEYSERVER_H
#define SMQ_APP_KEYSERVER_H

#include <sealmq/credential.h>
#include <sealmq/member.h>

#include "app/clock.h"
#include "app/keyserver_store.h"

struct smq_keyserver;

enum smq_keyserver_event_kind {
	SMQ_KEYSERVER_ASKED,   /* who, what, group, outcome */
	SMQ_KEYSERVER_EPOCH,   /* group, epoch, members, messages and bytes published for it */
	SMQ_KEYSERVER_DROPPED, /* a request that was not taken: in whose name (unproven), reason; at most one a second */
	SMQ_KEYSERVER_RIVAL,   /* another key server on this realm, which was here first: stop */
	SMQ_KEYSERVER_JUMPED   /* after a restore: group and its epoch now */
};

struct smq_keyserver_event {
	enum smq_keyserver_event_kind kind;
	const char *who, *what, *group, *whom;
	uint64_t epoch, members, messages, bytes;
	smq_err err;
};

struct smq_keyserver_config {
	const struct smq_crypto *crypto;
	const struct smq_random *random;
	const struct smq_credentials *credentials;
	const struct smq_own_credential *own;
	const char *realm, *name, *prefix;
	struct smq_clock clock;
	struct smq_ks_store store; /* owned from here on */
	void *self;
	/* Publishes at QoS 1; *ret_id comes back in smq_keyserver_published. SMQ_ERR_NO_CONNECTION: later. */
	smq_err (*publish)(void *self, const char *topic, smq_span payload, bool retain, uint64_t *ret_id);
	void (*on_event)(void *self, const struct smq_keyserver_event *event);
	bool announce_again;       /* each manifest a few times more: the broker retains on one of its nodes only */
	uint32_t requests_per_min; /* of one identity; 120 by default */
	uint32_t starts_per_s;     /* key exchanges per second; 2,000 by default */
	size_t runs_max;           /* key exchanges at a time, about 11 kB each; 1,024 by default */
	size_t out_max;            /* messages on their way to the broker; 64 by default */
};

SMQ_MUST_USE smq_err smq_keyserver_new(const struct smq_keyserver_config *config, struct smq_keyserver **ret_server,
				       const char **ret_why);
void smq_keyserver_free(struct smq_keyserver *ks);

/* Filters to subscribe to, QoS 1; NULL at the end. */
const char *smq_keyserver_filter(const struct smq_keyserver *ks, size_t i);
void smq_keyserver_online(struct smq_keyserver *ks);
void smq_keyserver_offline(struct smq_keyserver *ks);
void smq_keyserver_input(struct smq_keyserver *ks, const char *topic, smq_span payload, bool retained);
/* Not from inside publish. */
void smq_keyserver_published(struct smq_keyserver *ks, uint64_t id, smq_err err);
void smq_keyserver_tick(struct smq_keyserver *ks);
int64_t smq_keyserver_wake_at(const struct smq_keyserver *ks); /* mono ms */

/* app/status_page.h. SMQ_ERR_NO_ROOM: SMQ_STATUS_PAGE_MAX bytes suffice. */
SMQ_MUST_USE smq_err smq_keyserver_metrics(const struct smq_keyserver *ks, smq_mspan room, size_t *ret_len);
bool smq_keyserver_healthy(const struct smq_keyserver *ks, char *ret_why, size_t room);

#endif
