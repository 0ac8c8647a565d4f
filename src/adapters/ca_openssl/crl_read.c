/* What a file of revocation lists says as a whole, without judging whose they are. */
#include "adapters/ca_openssl/crl_read.h"

#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

static int64_t end_of(const X509_CRL *crl)
{
	struct tm tm;
	const ASN1_TIME *end = X509_CRL_get0_nextUpdate(crl);
	return end && ASN1_TIME_to_tm(end, &tm) == 1 ? (int64_t)timegm(&tm) * 1000 : INT64_MAX;
}

static int64_t start_of(const X509_CRL *crl)
{
	struct tm tm;
	const ASN1_TIME *start = X509_CRL_get0_lastUpdate(crl);
	return start && ASN1_TIME_to_tm(start, &tm) == 1 ? (int64_t)timegm(&tm) * 1000 : INT64_MIN;
}

static void read_number(const X509_CRL *crl, char *ret_number, size_t room)
{
	ASN1_INTEGER *number = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
	BIGNUM *n = number ? ASN1_INTEGER_to_BN(number, NULL) : NULL;
	char *hex = n ? BN_bn2hex(n) : NULL;
	*ret_number = 0;
	if (hex && strlen(hex) < room)
		memcpy(ret_number, hex, strlen(hex) + 1);
	OPENSSL_free(hex);
	BN_free(n);
	ASN1_INTEGER_free(number);
}

smq_err smq_crl_summarize(smq_span pem, struct smq_crl_summary *ret_summary)
{
	struct smq_crl_summary sum = { .next_update_ms = INT64_MAX, .this_update_ms = INT64_MIN };
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
		if (start_of(crl) > sum.this_update_ms || sum.lists == 1) {
			sum.this_update_ms = start_of(crl);
			read_number(crl, sum.number, sizeof(sum.number));
		}
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

static smq_err hand_over(X509_CRL *crl, void *self, smq_err (*each)(void *self, uint32_t hash, smq_span list))
{
	int ok = 0;
	uint32_t hash = (uint32_t)X509_NAME_hash_ex(X509_CRL_get_issuer(crl), NULL, NULL, &ok);
	BIO *out = BIO_new(BIO_s_mem());
	char *bytes = NULL;
	long len = out && PEM_write_bio_X509_CRL(out, crl) == 1 ? BIO_get_mem_data(out, &bytes) : 0;
	smq_err err =
	    ok == 1 && len > 0 ? each(self, hash, smq_span_of((const uint8_t *)bytes, (size_t)len)) : SMQ_ERR_NO_MEMORY;
	BIO_free(out);
	return err;
}

smq_err smq_crl_each(smq_span pem, void *self, smq_err (*each)(void *self, uint32_t hash, smq_span list))
{
	struct smq_crl_summary sum;
	smq_err err = smq_crl_summarize(pem, &sum); /* whole, or nothing of it */
	BIO *bio = err == SMQ_OK ? BIO_new_mem_buf(pem.p, (int)pem.len) : NULL;
	X509_CRL *crl = NULL;

	if (err == SMQ_OK && !bio)
		return SMQ_ERR_NO_MEMORY;
	while (err == SMQ_OK && (crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)) != NULL) {
		err = hand_over(crl, self, each);
		X509_CRL_free(crl);
	}
	ERR_clear_error();
	BIO_free(bio);
	return err;
}
