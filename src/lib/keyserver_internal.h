/* What the files of the key server's service share (keyserver*.c of src/lib). */
#ifndef SMQ_LIB_KEYSERVER_INTERNAL_H
#define SMQ_LIB_KEYSERVER_INTERNAL_H

#include <sealmq/keyserver.h>

#include "app/keyserver.h"
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

/* A new crl.pem in the realm is put in force; looked for every two seconds. *look_at: mono ms, 0 at first. */
void smq_keyserver_look_at_crl(smq_realm *realm, int64_t *look_at);

#endif
