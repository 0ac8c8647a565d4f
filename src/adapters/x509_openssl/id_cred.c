/* ID_CRED_x for X.509 (RFC 9528, 3.5.3; RFC 9360): { 33: x5chain } and { 34: x5t }. */
#include "adapters/x509_openssl/x509_internal.h"
#include "wire/cbor.h"

enum { LABEL_X5CHAIN = 33, LABEL_X5T = 34, HASH_SHA256_64 = -15, HASH_SHA256 = -16, SHORT_LEN = 8 };

/* One certificate is a byte string, several are an array of them; an array of one is not the canonical form. */
static void decode_chain(struct smq_reader *r, struct smq_id_cred *id)
{
	size_t count = 1;
	if (smq_cbor_peek(r) == SMQ_CBOR_ARRAY) {
		count = smq_cbor_get_array(r);
		if (count < 2)
			smq_reader_fail(r, SMQ_ERR_MALFORMED);
		if (count > CHAIN_MAX)
			smq_reader_fail(r, SMQ_ERR_TOO_LARGE);
	}
	if (r->err != SMQ_OK)
		return;
	for (size_t i = 0; i < count; i++) {
		id->certs[i] = smq_cbor_get_bytes(r);
		if (id->certs[i].len > CERT_DER_MAX)
			smq_reader_fail(r, SMQ_ERR_TOO_LARGE);
	}
	id->cert_count = count;
}

static void decode_hash(struct smq_reader *r, struct smq_id_cred *id)
{
	if (smq_cbor_get_array(r) != 2)
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
	int64_t alg = smq_cbor_get_int(r);
	id->hash = smq_cbor_get_bytes(r);
	if (r->err == SMQ_OK && alg != HASH_SHA256_64 && alg != HASH_SHA256)
		smq_reader_fail(r, SMQ_ERR_CREDENTIAL);
	else if (id->hash.len != (alg == HASH_SHA256 ? SMQ_HASH_LEN : SHORT_LEN))
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
}

smq_err smq_id_cred_decode(smq_span id_cred, struct smq_id_cred *ret_id)
{
	struct smq_id_cred id = { .cert_count = 0 };
	struct smq_reader r = smq_reader_on(id_cred);
	smq_err err;

	if (id_cred.len > SMQ_ID_CRED_MAX)
		return SMQ_ERR_TOO_LARGE;
	if (smq_cbor_get_map(&r) != 1)
		smq_reader_fail(&r, SMQ_ERR_MALFORMED);
	int64_t label = smq_cbor_get_int(&r);
	if (r.err == SMQ_OK && label == LABEL_X5CHAIN)
		decode_chain(&r, &id);
	else if (r.err == SMQ_OK && label == LABEL_X5T)
		decode_hash(&r, &id);
	else
		smq_reader_fail(&r, SMQ_ERR_CREDENTIAL); /* a kid, or something we have never heard of */
	err = smq_reader_end(&r);
	if (err == SMQ_OK)
		*ret_id = id;
	return err;
}

smq_err smq_id_cred_encode_chain(const smq_span *certs, size_t count, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	smq_cbor_put_map(&w, 1);
	smq_cbor_put_int(&w, LABEL_X5CHAIN);
	if (count > 1)
		smq_cbor_put_array(&w, count);
	for (size_t i = 0; i < count; i++)
		smq_cbor_put_bytes(&w, certs[i]);
	return smq_writer_end(&w, ret_len);
}

smq_err smq_id_cred_encode_hash(const uint8_t hash[SMQ_HASH_LEN], smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	smq_cbor_put_map(&w, 1);
	smq_cbor_put_int(&w, LABEL_X5T);
	smq_cbor_put_array(&w, 2);
	smq_cbor_put_int(&w, HASH_SHA256_64);
	smq_cbor_put_bytes(&w, smq_span_of(hash, SHORT_LEN));
	return smq_writer_end(&w, ret_len);
}
