/*
 * The server's side of TLS 1.3: what comes in on a socket goes out in the clear on another descriptor, and back.
 * Clients may show a certificate of the realm; one that does not verify ends the handshake.
 */
#ifndef SMQ_ADAPTERS_TLS_OPENSSL_TLS_LINK_H
#define SMQ_ADAPTERS_TLS_OPENSSL_TLS_LINK_H

#include <stdbool.h>

#include <sealmq/err.h>
#include <sealmq/span.h>

struct smq_tls_server;
struct smq_tls_link;

/* Everything in PEM. SMQ_ERR_MALFORMED: one of them is not. */
SMQ_MUST_USE smq_err smq_tls_server_new(smq_span chain, smq_span key, smq_span root,
					struct smq_tls_server **ret_server);
void smq_tls_server_free(struct smq_tls_server *server);

/* Takes both descriptors, non-blocking ones, also after a failure. */
SMQ_MUST_USE smq_err smq_tls_link_new(struct smq_tls_server *server, int outer, int inner,
				      struct smq_tls_link **ret_link);
void smq_tls_link_free(struct smq_tls_link *link);

/* What to poll the two for. */
void smq_tls_link_wants(const struct smq_tls_link *link, short *ret_outer, short *ret_inner);
/* Moves what can be moved. false: it is over. */
bool smq_tls_link_move(struct smq_tls_link *link);

/* The client's certificate in PEM, verified; returns its length, 0: it has shown none. */
size_t smq_tls_link_peer(const struct smq_tls_link *link, uint8_t *ret_pem, size_t room);

#endif
