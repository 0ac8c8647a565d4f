/* What a file of revocation lists says as a whole, without judging whose they are. */
#ifndef SMQ_CA_OPENSSL_CRL_READ_H
#define SMQ_CA_OPENSSL_CRL_READ_H

#include <sealmq/err.h>
#include <sealmq/span.h>

struct smq_crl_summary {
	size_t lists, revoked;  /* lists in the file, and certificates in all of them */
	int64_t next_update_ms; /* of the list that ends first; INT64_MAX: none has an end */
	int64_t this_update_ms; /* of the latest list; INT64_MIN: none says */
	char number[64];        /* of that one, in hex; "": it has none, or a longer one */
};

/* SMQ_ERR_MALFORMED: not one list in PEM, or one that does not parse. */
SMQ_MUST_USE smq_err smq_crl_summarize(smq_span pem, struct smq_crl_summary *ret_summary);

/* Each list of the file by itself, in PEM, with what OpenSSL and Erlang call its issuer in a directory of lists. The
 * first error of `each` ends it. SMQ_ERR_MALFORMED as above. */
SMQ_MUST_USE smq_err smq_crl_each(smq_span pem, void *self, smq_err (*each)(void *self, uint32_t hash, smq_span list));

#endif
