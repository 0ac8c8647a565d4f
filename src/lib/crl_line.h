/*
 * The realm's revocation lists over MQTT (PROTOCOL.md 7.9): CONTROL_PREFIX/crl, retained. The broker is not believed:
 * each list is signed, and none goes back to an older one. What is taken becomes crl.pem of the realm directory.
 */
#ifndef SMQ_LIB_CRL_LINE_H
#define SMQ_LIB_CRL_LINE_H

#include <sealmq/client.h>

#include "app/transport.h"

enum { SMQ_CRL_TOPIC_MAX = 320 };

SMQ_MUST_USE smq_err smq_crl_topic(const char *control_prefix, char ret_topic[SMQ_CRL_TOPIC_MAX]);

/* Takes new roots that those of dir/root.crt vouch for; nobody is told of others. *ret_new: root.crt is another now. */
SMQ_MUST_USE smq_err smq_roots_take(const char *dir, smq_span offered, bool *ret_new, char *ret_why, size_t why_len);

/*
 * Takes what is newer in `offered` (PEM: lists, and certificates of issuing authorities) into dir/crl.pem, judged by
 * dir/root.crt. *ret_new: something was. SMQ_ERR_REPLAY, SMQ_ERR_SIGNATURE, SMQ_ERR_MALFORMED, SMQ_ERR_CERT_NOT_YET:
 * nothing was, for that reason; those of writing a file.
 */
SMQ_MUST_USE smq_err smq_crl_take(const char *dir, smq_span offered, bool *ret_new, char *ret_why, size_t why_len);

struct smq_crl_line {
	smq_realm *realm; /* NULL: not one that listens for lists */
	char topic[SMQ_CRL_TOPIC_MAX];
	int id; /* of the subscription */
};

/* realm may be NULL. */
struct smq_crl_line smq_crl_line_on(smq_realm *realm);
/* To be called when a connection is there. A broker that refuses it is one without lists. */
void smq_crl_line_subscribe(struct smq_crl_line *l, struct smq_transport *transport);
/* Whether it was for us; then nobody else needs to hear of it. */
bool smq_crl_line_subscribed(const struct smq_crl_line *l, int id);
bool smq_crl_line_topic(const struct smq_crl_line *l, const char *topic);
/* What came on the topic. SMQ_OK and *ret_new: crl.pem is another now, or another list is in force without it. */
SMQ_MUST_USE smq_err smq_crl_line_take(const struct smq_crl_line *l, smq_span payload, bool *ret_new);

#endif
