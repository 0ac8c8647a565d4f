/* What the files of the key server's service share (keyserver*.c of src/lib). */
#ifndef SMQ_LIB_KEYSERVER_INTERNAL_H
#define SMQ_LIB_KEYSERVER_INTERNAL_H

#include <sealmq/keyserver.h>

#include "adapters/http_microhttpd/http.h"
#include "app/keyserver.h"
#include "lib/crl_line.h"
#include "lib/crl_watch.h"
#include "lib/files.h"

enum { SMQ_KEYSERVER_INFLIGHT = 64 }; /* messages on their way to the broker, answers and retained ones together */

/* Its thread's text that says what is wrong. */
extern _Thread_local char smq_keyserver_why[SMQ_WHY_MAX];

/* own signs the end of the audit log. */
SMQ_MUST_USE smq_err smq_keyserver_open_database(const struct smq_keyserver_options *o,
						 const struct smq_own_credential *own, struct smq_ks_store *ret_store);
SMQ_MUST_USE smq_err smq_keyserver_check_role(const struct smq_keyserver_options *o);

/* Makes the use case over a store, which it owns from then on, and something that publishes. */
SMQ_MUST_USE smq_err smq_keyserver_make(
    const struct smq_keyserver_options *o, const struct smq_ks_store *store, void *self,
    smq_err (*publish)(void *self, const char *topic, smq_span payload, bool retain, uint64_t *ret_id),
    void (*on_event)(void *self, const struct smq_keyserver_event *event), struct smq_keyserver **ret_server);
struct smq_keyserver_happening smq_keyserver_told(const struct smq_keyserver_event *event);
void smq_keyserver_tell(const struct smq_keyserver_options *o, int kind, smq_err err);

/* The page of a process that has the use case, and of any that has heard of it (app/status_page.h). port 0: none. */
SMQ_MUST_USE smq_err smq_keyserver_status(const struct smq_keyserver_options *o, const struct smq_keyserver *server,
					  smq_mspan room, size_t *ret_len);
SMQ_MUST_USE smq_err smq_keyserver_serve_page(int port, const struct smq_status_source *source,
					      struct smq_http **ret_page);

/* The realm's revocation lists: crl.pem looked at every two seconds, and what comes over MQTT (PROTOCOL.md 7.9). What
 * happens to them is told as SMQ_HAPPENED_CRL. */
struct smq_keyserver_lists {
	const struct smq_keyserver_options *options; /* the owner's */
	struct smq_crl_watch watch;
	struct smq_crl_line line;
};
void smq_keyserver_lists_init(struct smq_keyserver_lists *l, const struct smq_keyserver_options *options);
void smq_keyserver_lists_look(struct smq_keyserver_lists *l);
/* Whether a message was for this; then nobody else needs to see it. */
bool smq_keyserver_lists_take(struct smq_keyserver_lists *l, const char *topic, smq_span payload);

/* Subscriptions that were refused are asked for again, after a pause that grows: a cluster that has just lost a node
 * refuses what it takes otherwise, and an ACL may be mended. All zero to begin with, and on each new connection. */
struct smq_keyserver_again {
	int64_t at_ms, pause_ms; /* mono; 0: nothing waits */
};
void smq_keyserver_again_later(struct smq_keyserver_again *a);
/* True once when it is time. */
bool smq_keyserver_again_now(struct smq_keyserver_again *a);
/* The earlier one of that time and due_ms. */
int64_t smq_keyserver_again_at(const struct smq_keyserver_again *a, int64_t due_ms);

#endif
