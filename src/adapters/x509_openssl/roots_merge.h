/*
 * A new root that came over a way that nobody vouches for: taken if a root that is trusted already has given it a
 * certificate of its own, with path length 1, which no issuing authority has and none can give (PROTOCOL.md 7.9).
 */
#ifndef SMQ_X509_OPENSSL_ROOTS_MERGE_H
#define SMQ_X509_OPENSSL_ROOTS_MERGE_H

#include <sealmq/err.h>
#include <sealmq/span.h>

struct smq_roots_merged {
	size_t added;
	uint8_t *pem; /* those to trust from now on, where any was added: first those before; free() */
	size_t len;
};

/* offered: certificates in PEM, others among them. SMQ_ERR_MALFORMED: the roots do not read. */
SMQ_MUST_USE smq_err smq_roots_merge(smq_span roots_pem, smq_span offered_pem, int64_t now_ms,
				     struct smq_roots_merged *ret_merged);

#endif
