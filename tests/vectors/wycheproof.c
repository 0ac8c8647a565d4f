/* Wycheproof's files through our crypto port. */
#include "tally.h"

#include <sealmq/client.h>

#include "adapters/crypto_ipsecmb/crypto_ipsecmb.h"
#include "crypto/hkdf.h"

enum { LONG_MAX = 9000 };

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text ? text : "";
}

static struct vector_bytes bytes_of(const json_t *object, const char *key)
{
	return vector_unhex(text_of(object, key));
}

static int id_of(const json_t *vector) { return (int)json_integer_value(json_object_get(vector, "tcId")); }

typedef void vector_run(const char *path, const json_t *group, const json_t *vector, struct tally *t);

static void each(const char *path, vector_run *run, struct tally *t)
{
	json_t *file = vectors_load(path), *group, *vector;
	size_t i, j;
	json_array_foreach(json_object_get(file, "testGroups"), i, group)
	{
		json_array_foreach(json_object_get(group, "tests"), j, vector) run(path, group, vector, t);
	}
	json_decref(file);
}

/* ---- AEADs ---- */

static const struct smq_aead_alg *aead_of(const char *path, const json_t *group)
{
	json_int_t key = json_integer_value(json_object_get(group, "keySize"));
	bool nonce = json_integer_value(json_object_get(group, "ivSize")) == 96;
	if (!nonce || json_integer_value(json_object_get(group, "tagSize")) != 128)
		return NULL;
	if (strstr(path, "chacha"))
		return smq_aead_alg_by_id(SMQ_CHACHA20_POLY1305);
	return key == 128 ? smq_aead_alg_by_id(SMQ_A128GCM) : key == 256 ? smq_aead_alg_by_id(SMQ_A256GCM) : NULL;
}

static const struct smq_crypto *lane; /* of the AEADs that are under test */

static bool seals_as(smq_aead *aead, smq_span iv, smq_span aad, smq_span plain, smq_span sealed)
{
	uint8_t room[LONG_MAX];
	assert_true(plain.len + SMQ_AEAD_TAG_MAX <= sizeof(room));
	return lane->aead_seal(aead, iv.p, aad, plain, room) == SMQ_OK && memcmp(room, sealed.p, sealed.len) == 0;
}

static void aead_vector(const char *path, const json_t *group, const json_t *v, struct tally *t)
{
	const struct smq_aead_alg *alg = aead_of(path, group);
	const struct smq_crypto *crypto = lane;
	struct vector_bytes key = bytes_of(v, "key"), iv = bytes_of(v, "iv"), aad = bytes_of(v, "aad");
	struct vector_bytes plain = bytes_of(v, "msg"), sealed = bytes_of(v, "ct"), tag = bytes_of(v, "tag");
	uint8_t opened[sizeof(sealed.b)];
	smq_aead *aead = NULL;
	if (!alg) {
		t->skipped++;
		return;
	}
	assert_int_equal(iv.len, alg->nonce_len);
	memcpy(sealed.b + sealed.len, tag.b, tag.len);
	sealed.len += tag.len;
	assert_int_equal(crypto->aead_new(alg, vector_span(&key), &aead), SMQ_OK);
	bool taken = crypto->aead_open(aead, iv.b, vector_span(&aad), vector_span(&sealed), opened) == SMQ_OK;
	bool same = taken && memcmp(opened, plain.b, plain.len) == 0 && sealed.len == plain.len + alg->tag_len &&
		    seals_as(aead, vector_span(&iv), vector_span(&aad), vector_span(&plain), vector_span(&sealed));
	crypto->aead_free(aead);
	tally_add(t, path, id_of(v), text_of(v, "result"), taken, same);
}

void run_wycheproof_aead(const char *path, struct tally *t)
{
	static struct smq_crypto multibuffer;
	const struct smq_crypto *lanes[] = { smq_crypto_openssl_evp(), smq_crypto_openssl(), &multibuffer };
	bool has = smq_crypto_ipsecmb_over(smq_crypto_openssl(), &multibuffer);
	for (size_t i = 0; i < (has ? 3 : 2); i++) {
		unsigned wrong = t->wrong;
		*t = (struct tally){ 0 }; /* the counts are those of one lane, and pinned */
		lane = lanes[i];
		each(path, aead_vector, t);
		t->wrong += wrong;
	}
}

/* ---- Diffie-Hellman ---- */

/* A private key is an integer, with leading zeroes or without. */
static bool to_32(const struct vector_bytes *in, uint8_t ret[32])
{
	size_t skip = 0;
	while (in->len - skip > 32 && in->b[skip] == 0)
		skip++;
	if (in->len - skip > 32)
		return false;
	memset(ret, 0, 32);
	memcpy(ret + 32 - (in->len - skip), in->b + skip, in->len - skip);
	return true;
}

/* Ours are x-coordinates: the y of a point that is not on the curve is nothing that could be sent to us. */
static void ecdh_vector(const char *path, const json_t *group, const json_t *v, struct tally *t)
{
	struct vector_bytes public = bytes_of(v, "public"), private = bytes_of(v, "private");
	struct vector_bytes shared = bytes_of(v, "shared");
	uint8_t secret[32], out[32];
	(void)group;
	if (public.len < 33 || !to_32(&private, secret)) {
		t->skipped++;
		return;
	}
	bool taken = smq_crypto_openssl()->kex_agree(SMQ_P256, secret, public.b + 1, out) == SMQ_OK;
	static const uint8_t zero[32];
	bool invalid = strcmp(text_of(v, "result"), "invalid") == 0;
	if (invalid && taken)
		t->lenient++; /* the x alone is one of our curve's: the answer is that of an honest point */
	else if (!invalid && !taken && memcmp(public.b + 1, zero, 32) == 0)
		t->lenient++; /* x = 0 is a point, but nobody honest will ever send it: the port refuses all zeroes */
	else
		tally_add(t, path, id_of(v), text_of(v, "result"), taken, taken && memcmp(out, shared.b, 32) == 0);
}

void run_wycheproof_ecdh(const char *path, struct tally *t) { each(path, ecdh_vector, t); }

/* An all-zero result must be refused (RFC 7748, 6.1); everything else that is "acceptable" is a fine key. */
static void x25519_vector(const char *path, const json_t *group, const json_t *v, struct tally *t)
{
	struct vector_bytes public = bytes_of(v, "public"), private = bytes_of(v, "private");
	struct vector_bytes shared = bytes_of(v, "shared");
	static const uint8_t zero[32];
	uint8_t out[32];
	(void)group;
	bool low = memcmp(shared.b, zero, 32) == 0;
	bool taken = smq_crypto_openssl()->kex_agree(SMQ_X25519, private.b, public.b, out) == SMQ_OK;
	bool same = taken && memcmp(out, shared.b, 32) == 0;
	tally_add(t, path, id_of(v), low ? "invalid" : text_of(v, "result"), taken, same);
}

void run_wycheproof_x25519(const char *path, struct tally *t) { each(path, x25519_vector, t); }

/* ---- signatures ---- */

static void verify_vector(const char *path, enum smq_sig_id alg, const struct vector_bytes *key, const json_t *v,
			  struct tally *t)
{
	struct vector_bytes message = bytes_of(v, "msg"), signature = bytes_of(v, "sig");
	const smq_span part = vector_span(&message);
	if (signature.len != SMQ_SIG_LEN) {
		t->skipped++; /* our formats have 64 bytes of room, no more and no less */
		return;
	}
	bool taken = smq_crypto_openssl()->verify(alg, vector_span(key), &part, 1, signature.b) == SMQ_OK;
	tally_add(t, path, id_of(v), text_of(v, "result"), taken, taken);
}

static void ecdsa_vector(const char *path, const json_t *group, const json_t *v, struct tally *t)
{
	struct vector_bytes key = bytes_of(json_object_get(group, "publicKey"), "uncompressed");
	verify_vector(path, SMQ_ES256, &key, v, t);
}

void run_wycheproof_ecdsa(const char *path, struct tally *t) { each(path, ecdsa_vector, t); }

static void ed25519_vector(const char *path, const json_t *group, const json_t *v, struct tally *t)
{
	struct vector_bytes key = bytes_of(json_object_get(group, "publicKey"), "pk");
	verify_vector(path, SMQ_EDDSA, &key, v, t);
}

void run_wycheproof_ed25519(const char *path, struct tally *t) { each(path, ed25519_vector, t); }

/* ---- HKDF and HMAC ---- */

static void hkdf_vector(const char *path, const json_t *group, const json_t *v, struct tally *t)
{
	const struct smq_crypto *crypto = smq_crypto_openssl();
	struct vector_bytes ikm = bytes_of(v, "ikm"), salt = bytes_of(v, "salt"), info = bytes_of(v, "info");
	size_t size = (size_t)json_integer_value(json_object_get(v, "size")), okm_len = 0;
	const smq_span part = vector_span(&info);
	uint8_t prk[SMQ_HASH_LEN], out[LONG_MAX], okm[LONG_MAX];
	(void)group;
	assert_true(size <= sizeof(out));
	assert_int_equal(smq_hex_decode(text_of(v, "okm"), smq_mspan_of(okm, sizeof(okm)), &okm_len), SMQ_OK);
	assert_int_equal(smq_hkdf_extract(crypto, vector_span(&salt), vector_span(&ikm), prk), SMQ_OK);
	bool taken = smq_hkdf_expand(crypto, prk, &part, 1, smq_mspan_of(out, size)) == SMQ_OK;
	tally_add(t, path, id_of(v), text_of(v, "result"), taken,
		  taken && okm_len == size && memcmp(out, okm, size) == 0);
}

void run_wycheproof_hkdf(const char *path, struct tally *t) { each(path, hkdf_vector, t); }

/* Truncated tags are compared as far as they go. */
static void hmac_vector(const char *path, const json_t *group, const json_t *v, struct tally *t)
{
	struct vector_bytes key = bytes_of(v, "key"), message = bytes_of(v, "msg"), tag = bytes_of(v, "tag");
	const smq_span part = vector_span(&message);
	uint8_t mac[SMQ_HASH_LEN];
	(void)group;
	assert_int_equal(smq_crypto_openssl()->hmac_sha256(vector_span(&key), &part, 1, mac), SMQ_OK);
	bool taken = tag.len <= sizeof(mac) && memcmp(mac, tag.b, tag.len) == 0;
	tally_add(t, path, id_of(v), text_of(v, "result"), taken, taken);
}

void run_wycheproof_hmac(const char *path, struct tally *t) { each(path, hmac_vector, t); }
