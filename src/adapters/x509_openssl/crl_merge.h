/*
 * Revocation lists that came over a way that nobody vouches for: taken list by list, each only if an authority of the
 * realm has signed it and its number is higher than that of the one held. What is held never goes back.
 */
#ifndef SMQ_X509_OPENSSL_CRL_MERGE_H
#define SMQ_X509_OPENSSL_CRL_MERGE_H

#include <stdbool.h>

#include <sealmq/err.h>
#include <sealmq/span.h>

struct smq_crl_merged {
	size_t newer, same, older; /* offered lists, by what they are to those held */
	uint8_t *pem;              /* the lists to hold from now on, where any is newer; free() */
	size_t len;
};

/*
 * offered: lists in PEM, and among them the certificates of issuing authorities, so that their lists can be verified;
 * held: lists alone, may be empty. A list held that is at its end and has no successor in `offered` is let go.
 * SMQ_ERR_MALFORMED: there is no list in it, or something that does not parse; SMQ_ERR_SIGNATURE: a list that no
 * authority below a root has signed; SMQ_ERR_CERT_NOT_YET: one that is of the future; SMQ_ERR_REPLAY: all are
 * older than what is held, or one is older and none newer. Then nothing is to change.
 */
SMQ_MUST_USE smq_err smq_crl_merge(smq_span roots_pem, smq_span held_pem, smq_span offered_pem, int64_t now_ms,
				   struct smq_crl_merged *ret_merged);

#endif
