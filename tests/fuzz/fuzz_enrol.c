/*
 * Enrolment over MQTT (PROTOCOL.md 7.9), both ends: an authority in a directory of its own that is asked anything, and
 * a device that is answered anything. Nobody gets a certificate but by the request that a token has signed, and no
 * device takes an answer that is not its token's. The input's first byte says which; the rest are edits of what is
 * good, or bytes.
 */
#include "fuzz.h"

#include <ftw.h>
#include <string.h>
#include <unistd.h>

#include <sealmq/ca.h>
#include <sealmq/client.h>

#include "adapters/crypto_openssl/signer.h"
#include "lib/ca_desk.h"
#include "lib/ca_identity.h"
#include "lib/ca_token.h"
#include "wire/cbor.h"
#include "wire/sign1.h"

static struct {
	bool ready;
	char dir[64];
	struct smq_token_keys keys;
	struct smq_signer signer;
	uint8_t payload[SMQ_ENROL_REQUEST_MAX], request[SMQ_ENROL_REQUEST_MAX];
	size_t payload_len, request_len;
	uint8_t hash[SMQ_HASH_LEN];
	uint8_t answer[SMQ_ENROL_ANSWER_MAX];
	size_t answer_len;
} good;

static uint8_t room[SMQ_ENROL_ANSWER_MAX];

/* ---- an authority, a token, and the request that it is for ---- */

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
	(void)st, (void)what, (void)ftw;
	return remove(path);
}

static void clean(void)
{
	nftw(good.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	smq_openssl_signer_free(&good.signer);
}

static size_t sign(smq_span payload, const char *name, smq_mspan to)
{
	uint8_t kid_room[64];
	struct smq_writer kid = smq_writer_on(smq_mspan_of(kid_room, sizeof(kid_room)));
	size_t len = 0;
	smq_cbor_put_map(&kid, 1);
	smq_cbor_put_uint(&kid, 4);
	smq_cbor_put_bytes(&kid, smq_span_str(name));
	smq_err err = smq_sign1_encode(&good.signer, smq_writer_span(&kid), smq_span_str(SMQ_ENROL_FIRST), payload,
				       false, to, &len);
	return err == SMQ_OK ? len : 0;
}

static size_t ask(smq_span request, uint8_t ret_hash[SMQ_HASH_LEN])
{
	const struct smq_ca_desk desk = { .dir = good.dir };
	size_t len = 0;
	FUZZ_CHECK(smq_crypto_openssl()->sha256(&request, 1, ret_hash) == SMQ_OK);
	smq_ca_desk_answer(&desk, request, ret_hash, smq_mspan_of(room, sizeof(room)), &len);
	FUZZ_CHECK(len <= sizeof(room));
	return len;
}

/* What the answer is to whoever has the token; SMQ_ENROL_FAILED where there is none. */
static enum smq_enrol_outcome outcome_of(size_t len, const uint8_t hash[SMQ_HASH_LEN])
{
	struct smq_enrol_answer a;
	if (len == 0)
		return SMQ_ENROL_FAILED;
	FUZZ_CHECK(smq_enrol_answer_decode(smq_span_of(room, len), smq_crypto_openssl(), good.keys.answering, hash,
					   &a) == SMQ_OK);
	return a.outcome;
}

static void make_request(void)
{
	struct smq_pem key, csr, der;
	FUZZ_CHECK(smq_ca_make_key(SMQ_P256, &key) == SMQ_OK);
	FUZZ_CHECK(smq_ca_make_request(smq_pem_span(&key), "dev", &csr) == SMQ_OK);
	FUZZ_CHECK(smq_ca_request_to_der(smq_pem_span(&csr), &der) == SMQ_OK);
	const struct smq_enrol_request r = { .csr = smq_pem_span(&der) };
	FUZZ_CHECK(smq_enrol_request_encode(&r, smq_mspan_of(good.payload, sizeof(good.payload)), &good.payload_len) ==
		   SMQ_OK);
	smq_pem_free(&key);
	smq_pem_free(&csr);
	smq_pem_free(&der);
	good.request_len =
	    sign(smq_span_of(good.payload, good.payload_len), "dev", smq_mspan_of(good.request, sizeof(good.request)));
	FUZZ_CHECK(good.request_len > 0);
}

static void make_authority(void)
{
	char top[] = "/tmp/sealmq-fuzz-XXXXXX", token[SMQ_CA_TOKEN_LEN + 1];
	const char *why = "";
	good.ready = true;
	FUZZ_CHECK(mkdtemp(top) != NULL);
	snprintf(good.dir, sizeof(good.dir), "%s", top);
	atexit(clean);
	FUZZ_CHECK(smq_ca_init(good.dir, &(struct smq_ca_init_options){ .realm = "plant" }, &why) == SMQ_OK);
	FUZZ_CHECK(smq_ca_token(good.dir, &(struct smq_ca_token_options){ .name = "dev" }, token, &why) == SMQ_OK);
	FUZZ_CHECK(smq_token_keys_of(token, &good.keys) == SMQ_OK);
	FUZZ_CHECK(smq_openssl_signer_from_raw(SMQ_ED25519, good.keys.signing, &good.signer) == SMQ_OK);
	make_request();
	good.answer_len = ask(smq_span_of(good.request, good.request_len), good.hash);
	FUZZ_CHECK(outcome_of(good.answer_len, good.hash) == SMQ_ENROL_GIVEN);
	memcpy(good.answer, room, good.answer_len);
	/* another, so that it is not the missing token that refuses what follows */
	FUZZ_CHECK(smq_ca_token(good.dir, &(struct smq_ca_token_options){ .name = "dev", .reissue = true }, token,
				&why) == SMQ_OK);
}

/* ---- edits ---- */

/* Each four bytes: where (two), how, and a byte. */
static size_t edited(smq_span from, const uint8_t *edits, size_t size, smq_mspan to)
{
	size_t len = from.len;
	memcpy(to.p, from.p, len);
	for (; size >= 4 && len > 0; edits += 4, size -= 4) {
		size_t at = (size_t)(edits[0] << 8 | edits[1]) % len;
		if (edits[2] % 3 == 0) {
			to.p[at] = edits[3];
		} else if (edits[2] % 3 == 1) {
			memmove(to.p + at, to.p + at + 1, --len - at);
		} else if (len < to.len) {
			memmove(to.p + at + 1, to.p + at, len++ - at);
			to.p[at] = edits[3];
		}
	}
	return len;
}

static void ask_anything(smq_span request)
{
	uint8_t hash[SMQ_HASH_LEN];
	bool same = smq_span_equal(request, smq_span_of(good.request, good.request_len));
	size_t len = ask(request, hash);
	FUZZ_CHECK(outcome_of(len, hash) != SMQ_ENROL_GIVEN || same);
	FUZZ_CHECK(!same || (len == good.answer_len && memcmp(room, good.answer, len) == 0));
}

static void answer_anything(smq_span answer)
{
	struct smq_enrol_answer a;
	static uint8_t again[SMQ_ENROL_ANSWER_MAX];
	size_t len = 0;
	smq_err err = smq_enrol_answer_decode(answer, smq_crypto_openssl(), good.keys.answering, good.hash, &a);
	bool same = smq_span_equal(answer, smq_span_of(good.answer, good.answer_len));
	FUZZ_CHECK(err == SMQ_OK || !same);
	if (err != SMQ_OK || a.outcome != SMQ_ENROL_GIVEN)
		return;
	FUZZ_CHECK(same);
	FUZZ_CHECK(smq_enrol_answer_encode(&a, smq_crypto_openssl(), good.keys.answering, good.hash,
					   smq_mspan_of(again, sizeof(again)), &len) == SMQ_OK);
	FUZZ_CHECK(smq_span_equal(smq_span_of(again, len), answer));
}

static void decode(smq_span bytes)
{
	struct smq_enrol_request r;
	size_t len = 0;
	if (smq_enrol_request_decode(bytes, &r) != SMQ_OK)
		return;
	FUZZ_CHECK(smq_enrol_request_encode(&r, smq_mspan_of(room, sizeof(room)), &len) == SMQ_OK);
	FUZZ_CHECK(smq_span_equal(smq_span_of(room, len), bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t bytes[SMQ_ENROL_ANSWER_MAX], payload[SMQ_ENROL_REQUEST_MAX];
	const smq_mspan all = smq_mspan_of(bytes, sizeof(bytes));
	size_t len;
	if (size < 1)
		return 0;
	if (!good.ready)
		make_authority();
	smq_span rest = smq_span_of(data + 1, size - 1);
	switch (data[0] % 6) {
	case 0:
		ask_anything(rest);
		decode(rest);
		break;
	case 1:
		len = edited(smq_span_of(good.request, good.request_len), rest.p, rest.len, all);
		ask_anything(smq_span_of(bytes, len));
		break;
	case 2: /* signed by a token that was used up, or never was for this name */
		len = edited(smq_span_of(good.payload, good.payload_len), rest.p, rest.len,
			     smq_mspan_of(payload, sizeof(payload)));
		decode(smq_span_of(payload, len));
		len = sign(smq_span_of(payload, len), size % 2 ? "dev" : "other", all);
		ask_anything(smq_span_of(bytes, len));
		break;
	case 3:
		answer_anything(rest);
		break;
	case 4:
		len = edited(smq_span_of(good.answer, good.answer_len), rest.p, rest.len, all);
		answer_anything(smq_span_of(bytes, len));
		break;
	default:
		decode(rest);
	}
	return 0;
}
