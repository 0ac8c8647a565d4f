/* Enrolment over MQTT: requests and answers on the wire. */
#include "wire/enrol.h"

#include "base/wipe.h"
#include "wire/fields.h"

enum { VERSION = 1, REQUEST_FIELDS = 3, ANSWER_FIELDS = 5 };

smq_err smq_enrol_request_encode(const struct smq_enrol_request *r, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	smq_cbor_put_array(&w, REQUEST_FIELDS);
	smq_cbor_put_uint(&w, VERSION);
	smq_cbor_put_bytes(&w, r->csr);
	smq_cbor_put_bytes(&w, r->chain);
	return smq_writer_end(&w, ret_len);
}

smq_err smq_enrol_request_decode(smq_span bytes, struct smq_enrol_request *ret_request)
{
	struct smq_reader r = smq_reader_on(bytes);
	struct smq_enrol_request got;
	smq_get_head(&r, REQUEST_FIELDS, VERSION);
	got.csr = smq_cbor_get_bytes(&r);
	got.chain = smq_cbor_get_bytes(&r);
	smq_err err = smq_reader_end(&r);
	if (err == SMQ_OK && got.csr.len == 0)
		err = SMQ_ERR_MALFORMED;
	if (err == SMQ_OK)
		*ret_request = got;
	return err;
}

/* ---- answers ---- */

/* Over everything before it; what comes first is of fixed length, so no two answers give the same bytes. */
static smq_err mac_of(const struct smq_crypto *crypto, const uint8_t *key, const uint8_t *request_hash, smq_span before,
		      uint8_t ret_mac[SMQ_HASH_LEN])
{
	const smq_span parts[] = { smq_span_str("sealmq1 enrol answer"), smq_span_of(request_hash, SMQ_HASH_LEN),
				   before };
	return crypto->hmac_sha256(smq_span_of(key, SMQ_HASH_LEN), parts, 3, ret_mac);
}

smq_err smq_enrol_answer_encode(const struct smq_enrol_answer *a, const struct smq_crypto *crypto, const uint8_t *key,
				const uint8_t request_hash[SMQ_HASH_LEN], smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	uint8_t mac[SMQ_HASH_LEN] = { 0 };
	smq_err err = SMQ_OK;
	smq_cbor_put_array(&w, ANSWER_FIELDS);
	smq_cbor_put_uint(&w, VERSION);
	smq_cbor_put_uint(&w, a->outcome);
	smq_cbor_put_bytes(&w, a->certificates);
	smq_cbor_put_bytes(&w, a->settings);
	if (key)
		err = mac_of(crypto, key, request_hash, smq_writer_span(&w), mac);
	smq_cbor_put_bytes(&w, smq_span_of(mac, key ? sizeof(mac) : 0));
	return err == SMQ_OK ? smq_writer_end(&w, ret_len) : err;
}

smq_err smq_enrol_answer_decode(smq_span bytes, const struct smq_crypto *crypto, const uint8_t *key,
				const uint8_t request_hash[SMQ_HASH_LEN], struct smq_enrol_answer *ret_answer)
{
	struct smq_reader r = smq_reader_on(bytes);
	struct smq_enrol_answer a;
	uint8_t want[SMQ_HASH_LEN];
	smq_get_head(&r, ANSWER_FIELDS, VERSION);
	a.outcome = (enum smq_enrol_outcome)smq_get_between(&r, SMQ_ENROL_GIVEN, SMQ_ENROL_FAILED);
	a.certificates = smq_cbor_get_bytes(&r);
	a.settings = smq_cbor_get_bytes(&r);
	smq_span before = smq_span_of(bytes.p, bytes.len - r.left);
	smq_span mac = smq_cbor_get_bytes(&r);
	smq_err err = smq_reader_end(&r);
	if (err == SMQ_OK && key && a.outcome == SMQ_ENROL_GIVEN) {
		err = mac_of(crypto, key, request_hash, before, want);
		if (err == SMQ_OK && (mac.len != sizeof(want) || !smq_equal_ct(mac.p, want, sizeof(want))))
			err = SMQ_ERR_OPEN;
	}
	if (err == SMQ_OK)
		*ret_answer = a;
	return err;
}
