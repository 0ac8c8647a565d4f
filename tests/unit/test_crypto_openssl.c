/* crypto_openssl: published values, refusals, and that the message path allocates nothing. */
#include "cmocka_all.h"

#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/err.h>

#include <sealmq/client.h>

#include "adapters/crypto_ipsecmb/crypto_ipsecmb.h"
#include "adapters/crypto_openssl/openssl_internal.h"
#include "adapters/crypto_openssl/signer.h"
#include "base/table.h"
#include "base/text.h"
#include "crypto/hkdf.h"

static size_t allocations;

static void *counting_malloc(size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	allocations++;
	return malloc(n);
}

static void *counting_realloc(void *p, size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	allocations++;
	return realloc(p, n);
}

static void plain_free(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	free(p);
}

static size_t unhex(const char *text, uint8_t *room, size_t room_len)
{
	size_t len = 0;
	assert_int_equal(smq_hex_decode(text, smq_mspan_of(room, room_len), &len), SMQ_OK);
	return len;
}

static void assert_hex(const uint8_t *bytes, size_t len, const char *want)
{
	char text[600];
	assert_int_equal(smq_hex_encode(smq_span_of(bytes, len), text, sizeof(text)), SMQ_OK);
	assert_string_equal(text, want);
}

static void hkdf_of_rfc5869(void **state)
{
	(void)state;
	static const struct {
		const char *ikm, *salt, *info, *okm;
	} rows[] = {
		/* A.1 */
		{ "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9",
		  "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865" },
		/* A.3: no salt, no info */
		{ "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
		  "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8" },
	};
	const struct smq_crypto *c = smq_crypto_openssl();
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		uint8_t ikm[64], salt[64], info[64], prk[32], okm[42];
		smq_span info_span = smq_span_of(info, unhex(rows[i].info, info, sizeof(info)));
		assert_int_equal(smq_hkdf_extract(c, smq_span_of(salt, unhex(rows[i].salt, salt, sizeof(salt))),
						  smq_span_of(ikm, unhex(rows[i].ikm, ikm, sizeof(ikm))), prk),
				 SMQ_OK);
		assert_int_equal(smq_hkdf_expand(c, prk, &info_span, 1, smq_mspan_of(okm, sizeof(okm))), SMQ_OK);
		assert_hex(okm, sizeof(okm), rows[i].okm);
	}
}

static void hash_rows(const struct smq_crypto *c)
{
	const smq_span parts[] = { smq_span_str("a"), smq_span_str(""), smq_span_str("bc"), smq_span_of(NULL, 0) };
	uint8_t hash[32];
	assert_int_equal(c->sha256(parts, 4, hash), SMQ_OK);
	assert_hex(hash, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_int_equal(c->sha256(NULL, 0, hash), SMQ_OK);
	assert_hex(hash, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	/* RFC 4231, case 2 */
	const smq_span text[] = { smq_span_str("what do ya want "), smq_span_str("for nothing?") };
	assert_int_equal(c->hmac_sha256(smq_span_str("Jefe"), text, 2, hash), SMQ_OK);
	assert_hex(hash, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	/* case 6: a key longer than a block */
	uint8_t key[131];
	memset(key, 0xaa, sizeof(key));
	const smq_span large = smq_span_str("Test Using Larger Than Block-Size Key - Hash Key First");
	assert_int_equal(c->hmac_sha256(smq_span_of(key, sizeof(key)), &large, 1, hash), SMQ_OK);
	assert_hex(hash, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
	/* output, key and part in one place */
	uint8_t apart[32], one[32];
	const smq_span self = smq_span_of(one, sizeof(one));
	memcpy(one, hash, sizeof(one));
	assert_int_equal(c->hmac_sha256(smq_span_of(hash, 32), &self, 1, apart), SMQ_OK);
	assert_int_equal(c->hmac_sha256(self, &self, 1, one), SMQ_OK);
	assert_memory_equal(one, apart, 32);
}

static void hashes_are_of_the_concatenation(void **state)
{
	(void)state;
	hash_rows(smq_crypto_openssl());
	hash_rows(smq_crypto_openssl_evp());
}

static const int all_aeads[] = { SMQ_A128GCM, SMQ_A256GCM, SMQ_CHACHA20_POLY1305, SMQ_AES_CCM_16_64_128,
				 SMQ_AES_CCM_16_128_128 };

static const struct {
	int alg;
	const char *key, *nonce, *aad, *plain, *cipher;
} aead_rows[] = {
	/* McGrew and Viega's GCM specification, cases 1, 4 and 16 */
	{ SMQ_A128GCM, "00000000000000000000000000000000", "000000000000000000000000", "", "",
	  "58e2fccefa7e3061367f1d57a4e7455a" },
	{ SMQ_A128GCM, "feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
	  "feedfacedeadbeeffeedfacedeadbeefabaddad2",
	  "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0d"
	  "e6"
	  "57ba637b39",
	  "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0a"
	  "ac"
	  "973d58e0915bc94fbc3221a5db94fae95ae7121a47" },
	{ SMQ_A256GCM, "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
	  "feedfacedeadbeeffeedfacedeadbeefabaddad2",
	  "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0d"
	  "e6"
	  "57ba637b39",
	  "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba"
	  "7a"
	  "0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b" },
	/* RFC 8439, 2.8.2 */
	{ SMQ_CHACHA20_POLY1305, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
	  "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
	  "4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f66202739393a204966204920636f756c64206f"
	  "66"
	  "66657220796f75206f6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73637265656e20776f756c642062"
	  "65"
	  "2069742e",
	  "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e06"
	  "0b"
	  "2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586"
	  "ce"
	  "c64b61161ae10b594f09e26a7e902ecbd0600691" },
	/* RFC 3610, packet vector 1 */
	{ SMQ_AES_CCM_16_64_128, "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf", "00000003020100a0a1a2a3a4a5", "0001020304050607",
	  "08090a0b0c0d0e0f101112131415161718191a1b1c1d1e",
	  "588c979a61c663d2f066d0c2c0f989806d5f6b61dac38417e8d12cfdf926e0" },
};

static void aeads_give_published_values(void **state)
{
	const struct smq_crypto *c = *state;
	for (size_t i = 0; i < SMQ_COUNT(aead_rows); i++) {
		uint8_t key[32], nonce[13], aad[64], text[200];
		const struct smq_aead_alg *alg = smq_aead_alg_by_id(aead_rows[i].alg);
		smq_aead *a = NULL;
		smq_span k = smq_span_of(key, unhex(aead_rows[i].key, key, sizeof(key)));
		assert_int_equal(unhex(aead_rows[i].nonce, nonce, sizeof(nonce)), alg->nonce_len);
		smq_span ad = smq_span_of(aad, unhex(aead_rows[i].aad, aad, sizeof(aad)));
		size_t len = unhex(aead_rows[i].plain, text, sizeof(text));
		assert_int_equal(c->aead_new(alg, k, &a), SMQ_OK);
		assert_int_equal(c->aead_seal(a, nonce, ad, smq_span_of(text, len), text), SMQ_OK);
		assert_hex(text, len + alg->tag_len, aead_rows[i].cipher);
		assert_int_equal(c->aead_open(a, nonce, ad, smq_span_of(text, len + alg->tag_len), text), SMQ_OK);
		assert_hex(text, len, aead_rows[i].plain);
		c->aead_free(a);
	}
}

/* One context, both directions in turn, lengths 0 to 70, every bit of the message and of the AAD. */
static void altered_messages_do_not_open_and_leave_nothing(void **state)
{
	const struct smq_crypto *c = *state;
	const uint8_t key[32] = { 1, 2, 3 };
	for (size_t i = 0; i < SMQ_COUNT(all_aeads); i++) {
		const struct smq_aead_alg *alg = smq_aead_alg_by_id(all_aeads[i]);
		smq_aead *a = NULL;
		assert_int_equal(c->aead_new(alg, smq_span_of(key, alg->key_len), &a), SMQ_OK);
		for (size_t len = 0; len <= 70; len += 7) {
			uint8_t nonce[13] = { 9, (uint8_t)len }, aad[3] = { 4, 5, 6 }, plain[70], sealed[86], out[70];
			const uint8_t zero[70] = { 0 };
			smq_span ad = smq_span_of(aad, sizeof(aad));
			smq_span whole = smq_span_of(sealed, len + alg->tag_len);
			memset(plain, 0x5a, sizeof(plain));
			assert_int_equal(c->aead_seal(a, nonce, ad, smq_span_of(plain, len), sealed), SMQ_OK);
			for (size_t bit = 0; bit < 8 * whole.len; bit++) {
				sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
				memset(out, 0xee, sizeof(out));
				assert_int_equal(c->aead_open(a, nonce, ad, whole, out), SMQ_ERR_OPEN);
				assert_memory_equal(out, zero, len);
				sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
			}
			for (size_t n = 0; n < whole.len; n++)
				assert_int_equal(c->aead_open(a, nonce, ad, smq_span_of(sealed, n), out), SMQ_ERR_OPEN);
			aad[1] ^= 1;
			assert_int_equal(c->aead_open(a, nonce, ad, whole, out), SMQ_ERR_OPEN);
			aad[1] ^= 1;
			assert_int_equal(c->aead_open(a, nonce, smq_span_of(aad, 2), whole, out), SMQ_ERR_OPEN);
			nonce[11] ^= 1;
			assert_int_equal(c->aead_open(a, nonce, ad, whole, out), SMQ_ERR_OPEN);
			nonce[11] ^= 1;
			assert_int_equal(c->aead_open(a, nonce, ad, whole, out), SMQ_OK);
			assert_memory_equal(out, plain, len);
		}
		c->aead_free(a);
	}
}

static void sealing_in_place_is_the_same(void **state)
{
	const struct smq_crypto *c = *state;
	const uint8_t key[32] = { 7 }, nonce[13] = { 1 };
	for (size_t i = 0; i < SMQ_COUNT(all_aeads); i++) {
		const struct smq_aead_alg *alg = smq_aead_alg_by_id(all_aeads[i]);
		uint8_t apart[1040], place[1040];
		smq_aead *a = NULL;
		assert_int_equal(c->aead_new(alg, smq_span_of(key, alg->key_len), &a), SMQ_OK);
		memset(place, 0x33, 1024);
		assert_int_equal(c->aead_seal(a, nonce, smq_span_str("x"), smq_span_of(place, 1024), apart), SMQ_OK);
		assert_int_equal(c->aead_seal(a, nonce, smq_span_str("x"), smq_span_of(place, 1024), place), SMQ_OK);
		assert_memory_equal(apart, place, 1024 + alg->tag_len);
		c->aead_free(a);
	}
}

static void wrong_keys_and_algorithms_are_refused(void **state)
{
	const struct smq_crypto *c = *state;
	static const struct smq_aead_alg none = { 99, "none", 16, 12, 16, 1 };
	const uint8_t key[33] = { 0 };
	smq_aead *a = (smq_aead *)&none;
	assert_int_equal(c->aead_new(NULL, smq_span_of(key, 16), &a), SMQ_ERR_ALGORITHM);
	assert_int_equal(c->aead_new(&none, smq_span_of(key, 16), &a), SMQ_ERR_ALGORITHM);
	assert_int_equal(c->aead_new(smq_aead_alg_by_id(SMQ_A128GCM), smq_span_of(key, 17), &a), SMQ_ERR_USAGE);
	assert_int_equal(c->aead_new(smq_aead_alg_by_id(SMQ_A256GCM), smq_span_of(key, 16), &a), SMQ_ERR_USAGE);
	assert_ptr_equal(a, &none);
	c->aead_free(NULL);
}

static void the_message_path_allocates_nothing(void **state)
{
	const struct smq_crypto *c = *state;
	const uint8_t key[32] = { 3 };
	static const int ids[] = { SMQ_A128GCM, SMQ_A256GCM, SMQ_CHACHA20_POLY1305 };
	size_t before = allocations;
	for (size_t i = 0; i < SMQ_COUNT(ids); i++) {
		const struct smq_aead_alg *alg = smq_aead_alg_by_id(ids[i]);
		smq_aead *a = NULL;
		uint8_t nonce[12] = { 0 }, text[144];
		smq_span part = smq_span_of(text, 128);
		assert_int_equal(c->aead_new(alg, smq_span_of(key, alg->key_len), &a), SMQ_OK);
		assert_true(allocations > before); /* the counter counts */
		before = allocations;
		for (int n = 0; n < 100; n++) {
			memset(text, n, sizeof(text));
			nonce[0] = (uint8_t)n;
			assert_int_equal(c->aead_seal(a, nonce, smq_span_str("aad"), part, text), SMQ_OK);
			assert_int_equal(c->aead_open(a, nonce, smq_span_str("aad"), smq_span_of(text, 144), text),
					 SMQ_OK);
		}
		assert_int_equal(allocations, before);
		c->aead_free(a);
	}
}

static void agreement_gives_published_values(void **state)
{
	(void)state;
	static const struct {
		enum smq_curve curve;
		const char *secret, *own_public, *peer, *shared;
	} rows[] = {
		/* RFC 5903, 8.1 */
		{ SMQ_P256, "c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433",
		  "dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180",
		  "d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63",
		  "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de" },
		{ SMQ_P256, "c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53",
		  "d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63",
		  "dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180",
		  "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de" },
		/* RFC 7748, 5.2 */
		{ SMQ_X25519, "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
		  "1c9fd88f45606d932a80c71824ae151d15d73e77de38e8e000852e614fae7019",
		  "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
		  "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552" },
	};
	const struct smq_crypto *c = smq_crypto_openssl();
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		uint8_t secret[32], peer[32], out[32];
		unhex(rows[i].secret, secret, 32);
		unhex(rows[i].peer, peer, 32);
		assert_int_equal(c->kex_public(rows[i].curve, secret, out), SMQ_OK);
		assert_hex(out, 32, rows[i].own_public);
		assert_int_equal(c->kex_agree(rows[i].curve, secret, peer, out), SMQ_OK);
		assert_hex(out, 32, rows[i].shared);
	}
}

static void bad_peers_and_secrets_are_refused(void **state)
{
	(void)state;
	static const char one[] = "0000000000000000000000000000000000000000000000000000000000000001";
	static const struct {
		enum smq_curve curve;
		const char *secret, *peer;
		bool secret_bad;
	} rows[] = {
		/* P-256: 0, n, n+1, all ones as secrets */
		{ SMQ_P256, "0000000000000000000000000000000000000000000000000000000000000000", NULL, true },
		{ SMQ_P256, "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", NULL, true },
		{ SMQ_P256, "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632552", NULL, true },
		{ SMQ_P256, "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", NULL, true },
		/* x with no point, zero, p, p + the base point's x cut to 256 bits, all ones */
		{ SMQ_P256, one, "0000000000000000000000000000000000000000000000000000000000000001", false },
		{ SMQ_P256, one, "0000000000000000000000000000000000000000000000000000000000000000", false },
		{ SMQ_P256, one, "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff", false },
		{ SMQ_P256, one, "ffffffff00000001000000000000000000000001000000000000000000000005", false },
		{ SMQ_P256, one, "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", false },
		/* X25519: values of low order */
		{ SMQ_X25519, one, "0000000000000000000000000000000000000000000000000000000000000000", false },
		{ SMQ_X25519, one, "0100000000000000000000000000000000000000000000000000000000000000", false },
		{ SMQ_X25519, one, "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800", false },
		{ SMQ_X25519, one, "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", false },
		{ SMQ_X25519, one, "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", false },
	};
	/* the base point: surely on the curve */
	static const char base[] = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";
	const struct smq_crypto *c = smq_crypto_openssl();
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		uint8_t secret[32], peer[32], out[32], untouched[32];
		memset(out, 0x77, sizeof(out));
		memset(untouched, 0x77, sizeof(untouched));
		unhex(rows[i].secret, secret, 32);
		unhex(rows[i].peer ? rows[i].peer : base, peer, 32);
		assert_int_equal(c->kex_agree(rows[i].curve, secret, peer, out), SMQ_ERR_MALFORMED);
		/* What is left there would end the thread's next TLS read. */
		assert_int_equal(ERR_peek_error(), 0);
		if (rows[i].secret_bad)
			assert_int_equal(c->kex_public(rows[i].curve, secret, out), SMQ_ERR_MALFORMED);
		assert_memory_equal(out, untouched, 32);
	}
	uint8_t any[32] = { 1 }, out[32];
	assert_int_equal(c->kex_public(SMQ_ED25519, any, out), SMQ_ERR_ALGORITHM);
	assert_int_equal(c->kex_agree(SMQ_ED25519, any, any, out), SMQ_ERR_ALGORITHM);
}

static void signatures_of_rfc6979_and_rfc8032(void **state)
{
	(void)state;
	static const struct {
		enum smq_sig_id alg;
		const char *key, *message, *signature;
	} rows[] = {
		/* RFC 6979, A.2.5, SHA-256, "sample" */
		{ SMQ_ES256,
		  "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41ae9e95628bc64f2"
		  "f1b20c2d7e9f"
		  "5177a3c294d4462299",
		  "73616d706c65",
		  "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716f7cb1c942d657c41d436c7a1b6e29f65f3e9"
		  "00dbb9aff406"
		  "4dc4ab2f843acda8" },
		/* RFC 8032, 7.1, tests 1 and 2 */
		{ SMQ_EDDSA, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
		  "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25b"
		  "f5f0595bbe24"
		  "655141438e7a100b" },
		{ SMQ_EDDSA, "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
		  "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b"
		  "2eaeb4302aee"
		  "b00d291612bb0c00" },
	};
	const struct smq_crypto *c = smq_crypto_openssl();
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		uint8_t key[65], message[16], sig[64];
		smq_span k = smq_span_of(key, unhex(rows[i].key, key, sizeof(key)));
		size_t len = unhex(rows[i].message, message, sizeof(message));
		const smq_span parts[] = { smq_span_of(message, len / 2),
					   smq_span_of(message + len / 2, len - len / 2) };
		unhex(rows[i].signature, sig, 64);
		assert_int_equal(c->verify(rows[i].alg, k, parts, 2, sig), SMQ_OK);
		for (size_t bit = 0; bit < 8 * sizeof(sig); bit += 5) {
			sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_equal(c->verify(rows[i].alg, k, parts, 2, sig), SMQ_ERR_SIGNATURE);
			sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		const smq_span longer[] = { parts[0], parts[1], smq_span_str("x") };
		assert_int_equal(c->verify(rows[i].alg, k, longer, 3, sig), SMQ_ERR_SIGNATURE);
		key[k.len - 1] ^= 1; /* another key, or no point at all */
		assert_int_equal(c->verify(rows[i].alg, k, parts, 2, sig), SMQ_ERR_SIGNATURE);
		assert_int_equal(c->verify(rows[i].alg, smq_span_of(key, k.len - 1), parts, 2, sig), SMQ_ERR_SIGNATURE);
		assert_int_equal(c->verify((enum smq_sig_id)0, k, parts, 2, sig), SMQ_ERR_ALGORITHM);
		memset(sig, 0, sizeof(sig));
		assert_int_equal(c->verify(rows[i].alg, k, parts, 2, sig), SMQ_ERR_SIGNATURE);
	}
}

static void signers_sign_and_agree_as_their_curve_allows(void **state)
{
	(void)state;
	static const struct {
		enum smq_curve curve;
		size_t public_len;
		bool signs, agrees;
	} rows[] = { { SMQ_P256, 65, true, true }, { SMQ_ED25519, 32, true, false }, { SMQ_X25519, 32, false, true } };
	const struct smq_crypto *c = smq_crypto_openssl();
	const smq_span parts[] = { smq_span_str("to be "), smq_span_str("signed") };
	const uint8_t secret[32] = { 0x42, 1, 2, 3 }, eph[32] = { 0x40, 9 };
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct smq_signer s = { 0 };
		uint8_t key[65], sig[64], eph_public[32], here[32], there[32];
		size_t len = 0;
		assert_int_equal(smq_openssl_signer_from_raw(rows[i].curve, secret, &s), SMQ_OK);
		assert_int_equal(smq_openssl_signer_curve(&s), rows[i].curve);
		assert_int_equal(smq_openssl_signer_public(&s, key, &len), SMQ_OK);
		assert_int_equal(len, rows[i].public_len);
		assert_int_equal(s.sign(s.self, parts, 2, sig), rows[i].signs ? SMQ_OK : SMQ_ERR_UNSUPPORTED);
		if (rows[i].signs)
			assert_int_equal(c->verify(s.alg, smq_span_of(key, len), parts, 2, sig), SMQ_OK);
		assert_int_equal(s.agree != NULL, rows[i].agrees);
		if (rows[i].agrees) {
			const uint8_t *own = len == 65 ? key + 1 : key;
			assert_int_equal(c->kex_public(rows[i].curve, eph, eph_public), SMQ_OK);
			assert_int_equal(s.agree(s.self, rows[i].curve, eph_public, here), SMQ_OK);
			assert_int_equal(c->kex_agree(rows[i].curve, eph, own, there), SMQ_OK);
			assert_memory_equal(here, there, 32);
			assert_int_equal(s.agree(s.self, SMQ_ED25519, eph_public, here), SMQ_ERR_ALGORITHM);
		}
		smq_openssl_signer_free(&s);
		assert_null(s.self);
	}
	struct smq_signer none = { 0 };
	const uint8_t zero[32] = { 0 };
	assert_int_equal(smq_openssl_signer_from_raw(SMQ_P256, zero, &none), SMQ_ERR_MALFORMED);
	assert_int_equal(smq_openssl_signer_from_pem(smq_span_str("junk"), true, &none), SMQ_ERR_MALFORMED);
	assert_int_equal(smq_openssl_signer_from_pem(smq_span_of(NULL, 0), true, &none), SMQ_ERR_MALFORMED);
	assert_null(none.self);
	smq_openssl_signer_free(&none);
}

static void system_randomness_fills_the_room(void **state)
{
	(void)state;
	const struct smq_random *r = smq_random_system();
	uint8_t a[600] = { 0 }, b[600] = { 0 };
	assert_int_equal(r->fill(r->self, smq_mspan_of(a, 599)), SMQ_OK);
	assert_int_equal(r->fill(r->self, smq_mspan_of(b, 599)), SMQ_OK);
	assert_memory_not_equal(a, b, 64);
	assert_memory_not_equal(a + 500, b + 500, 64);
	assert_int_equal(a[599], 0);
	assert_int_equal(r->fill(r->self, smq_mspan_of(NULL, 0)), SMQ_OK);
}

/* Had this OpenSSL no provider functions, or wrong ones, everything would still work, at twice the price. */
static void the_direct_lane_is_taken(void **state)
{
	(void)state;
	const struct smq_crypto *lanes[] = { smq_crypto_openssl(), smq_crypto_openssl_evp() };
	static const int ids[] = { SMQ_A128GCM, SMQ_A256GCM, SMQ_CHACHA20_POLY1305 };
	for (size_t i = 0; i < 2 * SMQ_COUNT(ids); i++) {
		static const uint8_t key[32] = { 1 };
		const struct smq_aead_alg *alg = smq_aead_alg_by_id(ids[i / 2]);
		smq_aead *a = NULL;
		assert_int_equal(lanes[i % 2]->aead_new(alg, smq_span_of(key, alg->key_len), &a), SMQ_OK);
		assert_int_equal(a->direct != NULL, i % 2 == 0);
		lanes[i % 2]->aead_free(a);
	}
}

static int use_openssl(void **state)
{
	*state = (void *)smq_crypto_openssl();
	return 0;
}

static int use_openssl_evp(void **state)
{
	*state = (void *)smq_crypto_openssl_evp();
	return 0;
}

/* Where the library is not there the provider's lane runs twice. */
static int use_ipsecmb(void **state)
{
	static struct smq_crypto port;
	*state = (void *)(smq_crypto_ipsecmb_over(smq_crypto_openssl(), &port) ? &port : smq_crypto_openssl());
	return 0;
}

/* On this lane a key that is busy is held in another form, as long as there is room for it. */
static void busy_keys_and_many_of_them_are_the_same(void **state)
{
	enum { KEYS = 70, MESSAGES = 40, LEN = 200 };
	const struct smq_crypto *fast = *state, *plain = smq_crypto_openssl_evp();
	static const int ids[] = { SMQ_A128GCM, SMQ_A256GCM };
	for (int round = 0; round < 2; round++) { /* what the first round gave back is taken again */
		smq_aead *ours[KEYS], *theirs[KEYS];
		uint8_t key[SMQ_AEAD_KEY_MAX] = { 7 }, text[LEN] = { 1 }, nonce[SMQ_AEAD_NONCE_MAX] = { 2 };
		uint8_t got[LEN + 16], want[LEN + 16], back[LEN];
		for (int i = 0; i < KEYS; i++) {
			const struct smq_aead_alg *alg = smq_aead_alg_by_id(ids[i % 2]);
			key[1] = (uint8_t)i;
			assert_int_equal(fast->aead_new(alg, smq_span_of(key, alg->key_len), &ours[i]), SMQ_OK);
			assert_int_equal(plain->aead_new(alg, smq_span_of(key, alg->key_len), &theirs[i]), SMQ_OK);
		}
		for (int m = 0; m < MESSAGES; m++) {
			for (int i = 0; i < KEYS; i++) {
				smq_span aad = smq_span_of(text, (size_t)(m % 33)),
					 in = smq_span_of(text, (size_t)m * 5);
				nonce[0] = (uint8_t)m;
				assert_int_equal(fast->aead_seal(ours[i], nonce, aad, in, got), SMQ_OK);
				assert_int_equal(plain->aead_seal(theirs[i], nonce, aad, in, want), SMQ_OK);
				assert_memory_equal(got, want, in.len + 16);
				assert_int_equal(
				    fast->aead_open(ours[i], nonce, aad, smq_span_of(got, in.len + 16), back), SMQ_OK);
				got[in.len] ^= 1;
				assert_int_equal(
				    fast->aead_open(ours[i], nonce, aad, smq_span_of(got, in.len + 16), back),
				    SMQ_ERR_OPEN);
			}
		}
		for (int i = 0; i < KEYS; i++) {
			fast->aead_free(ours[i]);
			plain->aead_free(theirs[i]);
		}
	}
}

#define lane_test(f, lane)                                                                                             \
	{                                                                                                              \
#f " (" #lane ")", f, use_##lane, NULL, NULL                                                           \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hkdf_of_rfc5869),
		cmocka_unit_test(hashes_are_of_the_concatenation),
		lane_test(aeads_give_published_values, openssl),
		lane_test(aeads_give_published_values, openssl_evp),
		lane_test(aeads_give_published_values, ipsecmb),
		lane_test(altered_messages_do_not_open_and_leave_nothing, openssl),
		lane_test(altered_messages_do_not_open_and_leave_nothing, openssl_evp),
		lane_test(altered_messages_do_not_open_and_leave_nothing, ipsecmb),
		lane_test(sealing_in_place_is_the_same, openssl),
		lane_test(sealing_in_place_is_the_same, openssl_evp),
		lane_test(sealing_in_place_is_the_same, ipsecmb),
		lane_test(wrong_keys_and_algorithms_are_refused, openssl),
		lane_test(wrong_keys_and_algorithms_are_refused, openssl_evp),
		lane_test(wrong_keys_and_algorithms_are_refused, ipsecmb),
		lane_test(busy_keys_and_many_of_them_are_the_same, ipsecmb),
		lane_test(the_message_path_allocates_nothing, openssl),
		lane_test(the_message_path_allocates_nothing, openssl_evp),
		cmocka_unit_test(the_direct_lane_is_taken),
		cmocka_unit_test(agreement_gives_published_values),
		cmocka_unit_test(bad_peers_and_secrets_are_refused),
		cmocka_unit_test(signatures_of_rfc6979_and_rfc8032),
		cmocka_unit_test(signers_sign_and_agree_as_their_curve_allows),
		cmocka_unit_test(system_randomness_fills_the_room),
	};
	if (CRYPTO_set_mem_functions(counting_malloc, counting_realloc, plain_free) != 1)
		return 99;
	return cmocka_run_group_tests_name("crypto_openssl", tests, NULL, NULL);
}
