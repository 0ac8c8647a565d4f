/* What a file of revocation lists says as a whole, without judging whose they are. */
#include "adapters/ca_openssl/crl_read.h"

#include <limits.h>
#include <stdbool.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

static int64_t end_of(const X509_CRL *crl)
{
	struct tm tm;
	const ASN1_TIME *end = X509_CRL_get0_nextUpdate(crl);
	return end && ASN1_TIME_to_tm(end, &tm) == 1 ? (int64_t)timegm(&tm) * 1000 : INT64_MAX;
}

smq_err smq_crl_summarize(smq_span pem, struct smq_crl_summary *ret_summary)
{
	struct smq_crl_summary sum = { .next_update_ms = INT64_MAX };
	BIO *bio = pem.len <= INT_MAX ? BIO_new_mem_buf(pem.p, (int)pem.len) : NULL;
	X509_CRL *crl;

	if (!bio)
		return SMQ_ERR_NO_MEMORY;
	while ((crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)) != NULL) {
		const STACK_OF(X509_REVOKED) *revoked = X509_CRL_get_REVOKED(crl);
		int64_t end = end_of(crl);
		sum.lists++;
		sum.revoked += revoked ? (size_t)sk_X509_REVOKED_num(revoked) : 0;
		sum.next_update_ms = end < sum.next_update_ms ? end : sum.next_update_ms;
		X509_CRL_free(crl);
	}
	unsigned long said = ERR_peek_last_error();
	bool whole = said == 0 || ERR_GET_REASON(said) == PEM_R_NO_START_LINE;
	ERR_clear_error();
	BIO_free(bio);
	if (!whole || sum.lists == 0)
		return SMQ_ERR_MALFORMED;
	*ret_summary = sum;
	return SMQ_OK;
}
