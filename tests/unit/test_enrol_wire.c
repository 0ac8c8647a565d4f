/* enrol_wire: enrolment over MQTT on the wire: what is taken, and what is not. */
#include "cmocka_all.h"

#include <sealmq/client.h>

#include "base/table.h"
#include "wire/enrol.h"

static const uint8_t key[SMQ_HASH_LEN] = { 1, 2, 3 };
static const uint8_t other_key[SMQ_HASH_LEN] = { 1, 2, 4 };
static const uint8_t hash[SMQ_HASH_LEN] = { 9 };
static const uint8_t other_hash[SMQ_HASH_LEN] = { 8 };

static uint8_t room[4096];

static smq_span answer(enum smq_enrol_outcome outcome, const uint8_t *with)
{
	const struct smq_enrol_answer a = { outcome, smq_span_str("certificates"), smq_span_str("settings") };
	size_t len = 0;
	assert_int_equal(
	    smq_enrol_answer_encode(&a, smq_crypto_openssl(), with, hash, smq_mspan_of(room, sizeof(room)), &len),
	    SMQ_OK);
	return smq_span_of(room, len);
}

static smq_err open_with(smq_span bytes, const uint8_t *with, const uint8_t *of)
{
	struct smq_enrol_answer got;
	return smq_enrol_answer_decode(bytes, smq_crypto_openssl(), with, of, &got);
}

static void an_answer_is_bound_to_its_request(void **state)
{
	(void)state;
	static const struct {
		enum smq_enrol_outcome outcome;
		const uint8_t *made_with, *opened_with, *of;
		smq_err err;
	} rows[] = {
		{ SMQ_ENROL_GIVEN, key, key, hash, SMQ_OK },
		{ SMQ_ENROL_GIVEN, key, other_key, hash, SMQ_ERR_OPEN },
		{ SMQ_ENROL_GIVEN, key, key, other_hash, SMQ_ERR_OPEN },
		{ SMQ_ENROL_GIVEN, NULL, key, hash, SMQ_ERR_OPEN },
		{ SMQ_ENROL_GIVEN, NULL, NULL, hash, SMQ_OK },
		{ SMQ_ENROL_GIVEN, key, NULL, hash, SMQ_OK },
		{ SMQ_ENROL_REFUSED, NULL, key, hash, SMQ_OK }, /* proves nothing, and says so by its outcome */
		{ SMQ_ENROL_FAILED, NULL, key, hash, SMQ_OK },
	};
	for (size_t i = 0; i < SMQ_COUNT(rows); i++)
		assert_int_equal(open_with(answer(rows[i].outcome, rows[i].made_with), rows[i].opened_with, rows[i].of),
				 rows[i].err);
}

static void no_bit_of_an_answer_can_be_changed(void **state)
{
	(void)state;
	smq_span bytes = answer(SMQ_ENROL_GIVEN, key);
	struct smq_enrol_answer got;
	for (size_t i = 0; i < bytes.len * 8; i++) {
		room[i / 8] ^= (uint8_t)(1 << i % 8);
		smq_err err = smq_enrol_answer_decode(bytes, smq_crypto_openssl(), key, hash, &got);
		/* a refusal can be made of it, which anybody can do */
		assert_true(err != SMQ_OK || got.outcome != SMQ_ENROL_GIVEN);
		room[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	for (size_t len = 0; len < bytes.len; len++)
		assert_int_not_equal(open_with(smq_span_of(room, len), key, hash), SMQ_OK);
	room[bytes.len] = 0;
	assert_int_not_equal(open_with(smq_span_of(room, bytes.len + 1), key, hash), SMQ_OK);
}

static smq_err no_hmac(smq_span with, const smq_span *parts, size_t count, uint8_t ret_tag[SMQ_HASH_LEN])
{
	(void)with, (void)parts, (void)count, (void)ret_tag;
	return SMQ_ERR_CRYPTO;
}

static void an_answer_that_cannot_be_checked(void **state)
{
	(void)state;
	struct smq_crypto broken = *smq_crypto_openssl();
	const struct smq_enrol_answer a = { SMQ_ENROL_GIVEN, smq_span_str("c"), smq_span_str("s") };
	struct smq_enrol_answer got = { .outcome = SMQ_ENROL_FAILED };
	size_t len = 77;
	broken.hmac_sha256 = no_hmac;
	smq_span good = answer(SMQ_ENROL_GIVEN, key);
	assert_int_equal(smq_enrol_answer_decode(good, &broken, key, hash, &got), SMQ_ERR_CRYPTO);
	assert_int_equal(got.outcome, SMQ_ENROL_FAILED);
	assert_int_equal(smq_enrol_answer_encode(&a, &broken, key, hash, smq_mspan_of(room, sizeof(room)), &len),
			 SMQ_ERR_CRYPTO);
	assert_int_equal(len, 77);
}

static void requests(void **state)
{
	(void)state;
	static const struct {
		const char *csr, *chain;
		smq_err err;
	} rows[] = { { "csr", "", SMQ_OK }, { "csr", "chain", SMQ_OK }, { "", "", SMQ_ERR_MALFORMED } };
	struct smq_enrol_request got;
	size_t len = 0;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		const struct smq_enrol_request r = { smq_span_str(rows[i].csr), smq_span_str(rows[i].chain) };
		assert_int_equal(smq_enrol_request_encode(&r, smq_mspan_of(room, sizeof(room)), &len), SMQ_OK);
		assert_int_equal(smq_enrol_request_decode(smq_span_of(room, len), &got), rows[i].err);
		if (rows[i].err == SMQ_OK)
			assert_true(smq_span_equal(got.csr, r.csr) && smq_span_equal(got.chain, r.chain));
		for (size_t cut = 0; cut < len; cut++)
			assert_int_not_equal(smq_enrol_request_decode(smq_span_of(room, cut), &got), SMQ_OK);
	}
	assert_int_equal(smq_enrol_request_decode(smq_span_str("\x83\x02\x41x\x40"), &got), SMQ_ERR_VERSION);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(an_answer_is_bound_to_its_request),
					    cmocka_unit_test(no_bit_of_an_answer_can_be_changed),
					    cmocka_unit_test(an_answer_that_cannot_be_checked),
					    cmocka_unit_test(requests) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
