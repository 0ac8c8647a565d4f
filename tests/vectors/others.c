/* NIST's GCM files, RFC 5869, and the COSE working group's Encrypt0 examples. */
#include "tally.h"

#include <sealmq/client.h>

#include "crypto/hkdf.h"
#include "wire/cbor.h"

/* ---- "Name = value" files ---- */

enum { LINE_MAX_LEN = 4096 };

struct record {
	struct vector_bytes key, iv, ct, aad, tag, pt, ikm, salt, info, prk, okm;
	bool has_pt, fail, sha256;
	unsigned iv_bits, tag_bits, pt_bits;
	int count;
};

/* Leaves text and value without blanks around; false where the line is no assignment. */
static bool split(char *line, char **ret_name, char **ret_value)
{
	char *equals = strchr(line, '=');
	if (!equals)
		return false;
	*equals = '\0';
	line += *line == '[';
	line[strcspn(line, " ")] = '\0';
	char *value = equals + 1 + strspn(equals + 1, " ");
	value[strcspn(value, " ]\r\n")] = '\0';
	*ret_name = line;
	*ret_value = value;
	return true;
}

static void take(struct record *r, const char *name, const char *value)
{
	const struct {
		const char *name;
		struct vector_bytes *to;
	} fields[] = { { "Key", &r->key }, { "IV", &r->iv },   { "CT", &r->ct },    { "AAD", &r->aad },
		       { "Tag", &r->tag }, { "PT", &r->pt },   { "IKM", &r->ikm },  { "salt", &r->salt },
		       { "PRK", &r->prk }, { "OKM", &r->okm }, { "info", &r->info } };
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (strcmp(name, fields[i].name) == 0)
			*fields[i].to = vector_unhex(value);
	}
	r->has_pt |= strcmp(name, "PT") == 0;
	if (strcmp(name, "IVlen") == 0)
		r->iv_bits = (unsigned)atoi(value);
	if (strcmp(name, "Taglen") == 0)
		r->tag_bits = (unsigned)atoi(value);
	if (strcmp(name, "Hash") == 0)
		r->sha256 = strcmp(value, "SHA-256") == 0;
}

/* Calls done for each record; "Count" or "COUNT" begins one. */
static void each_record(const char *path, void (*done)(const char *path, const struct record *r, struct tally *t),
			struct tally *t)
{
	static struct record r;
	char line[LINE_MAX_LEN], *name, *value;
	FILE *f = vectors_open(path);
	assert_non_null(f);
	r = (struct record){ .count = -1 };
	while (fgets(line, sizeof(line), f)) {
		assert_non_null(strchr(line, '\n'));
		r.fail |= strncmp(line, "FAIL", 4) == 0;
		if (line[0] == '#' || !split(line, &name, &value))
			continue;
		bool begins = strcasecmp(name, "Count") == 0;
		if ((begins || strcmp(name, "Keylen") == 0) && r.count >= 0) {
			done(path, &r, t);
			r.count = -1;
		}
		if (begins) {
			r = (struct record){ .iv_bits = r.iv_bits, .tag_bits = r.tag_bits, .count = atoi(value) };
			continue;
		}
		take(&r, name, value);
	}
	if (r.count >= 0)
		done(path, &r, t);
	fclose(f);
}

/* ---- NIST CAVP, GCM ---- */

static void gcm_record(const char *path, const struct record *r, struct tally *t)
{
	const struct smq_crypto *crypto = smq_crypto_openssl();
	const struct smq_aead_alg *alg = smq_aead_alg_by_id(r->key.len == 16 ? SMQ_A128GCM : SMQ_A256GCM);
	struct vector_bytes sealed = r->ct;
	uint8_t out[sizeof(sealed.b)];
	smq_aead *aead = NULL;
	if (r->iv_bits != 96 || r->tag_bits != 128) {
		t->skipped++;
		return;
	}
	memcpy(sealed.b + sealed.len, r->tag.b, r->tag.len);
	sealed.len += r->tag.len;
	assert_int_equal(crypto->aead_new(alg, vector_span(&r->key), &aead), SMQ_OK);
	bool taken = crypto->aead_open(aead, r->iv.b, vector_span(&r->aad), vector_span(&sealed), out) == SMQ_OK;
	bool same = taken && memcmp(out, r->pt.b, r->pt.len) == 0;
	if (same && r->has_pt) /* and the other way round */
		same = crypto->aead_seal(aead, r->iv.b, vector_span(&r->aad), vector_span(&r->pt), out) == SMQ_OK &&
		       memcmp(out, sealed.b, sealed.len) == 0;
	crypto->aead_free(aead);
	tally_add(t, path, r->count, r->fail ? "invalid" : "valid", taken, same);
}

void run_nist_gcm(const char *path, struct tally *t) { each_record(path, gcm_record, t); }

/* ---- RFC 5869 ---- */

static void hkdf_record(const char *path, const struct record *r, struct tally *t)
{
	const struct smq_crypto *crypto = smq_crypto_openssl();
	const smq_span info = vector_span(&r->info);
	uint8_t prk[SMQ_HASH_LEN], okm[sizeof(r->okm.b)];
	assert_true(r->sha256 && r->okm.len > 0);
	bool same = smq_hkdf_extract(crypto, vector_span(&r->salt), vector_span(&r->ikm), prk) == SMQ_OK &&
		    memcmp(prk, r->prk.b, sizeof(prk)) == 0;
	same = same && smq_hkdf_expand(crypto, prk, &info, 1, smq_mspan_of(okm, r->okm.len)) == SMQ_OK &&
	       memcmp(okm, r->okm.b, r->okm.len) == 0;
	tally_add(t, path, r->count, "valid", true, same);
}

void run_rfc5869(const char *path, struct tally *t) { each_record(path, hkdf_record, t); }

/* ---- COSE_Encrypt0 ---- */

struct encrypt0 {
	smq_span header; /* the protected header's bytes */
	smq_span iv, ciphertext;
	int64_t alg;
};

/* { 1: alg, 5: iv } of either header; anything else in it is left alone. */
static void read_header(struct smq_reader *r, struct encrypt0 *m)
{
	smq_span prev = { 0 };
	for (size_t pairs = smq_cbor_get_map(r); pairs > 0 && r->err == SMQ_OK; pairs--) {
		int64_t key = smq_cbor_map_key(r, &prev);
		if (key == 1)
			m->alg = smq_cbor_get_int(r);
		else if (key == 5)
			m->iv = smq_cbor_get_bytes(r);
		else
			smq_cbor_get_item(r);
	}
}

static bool decode_encrypt0(smq_span bytes, struct encrypt0 *ret)
{
	struct smq_reader r = smq_reader_on(bytes);
	struct encrypt0 m = { .alg = 0 };
	if (smq_cbor_peek(&r) == SMQ_CBOR_TAG && smq_cbor_get_tag(&r) != 16)
		return false;
	if (smq_cbor_get_array(&r) != 3)
		return false;
	m.header = smq_cbor_get_bytes(&r);
	if (m.header.len > 0) {
		struct smq_reader h = smq_reader_on(m.header);
		read_header(&h, &m);
		if (smq_reader_end(&h) != SMQ_OK)
			return false;
	}
	read_header(&r, &m);
	m.ciphertext = smq_cbor_get_bytes(&r);
	*ret = m;
	return smq_reader_end(&r) == SMQ_OK;
}

/* An empty map as protected header is authenticated as an empty byte string (RFC 9052, 5.3). */
static size_t enc_structure(const struct encrypt0 *m, smq_span external, uint8_t *room, size_t size)
{
	struct smq_writer w = smq_writer_on(smq_mspan_of(room, size));
	bool empty = m->header.len == 1 && m->header.p[0] == 0xa0;
	size_t len = 0;
	smq_cbor_put_array(&w, 3);
	smq_cbor_put_text(&w, smq_span_str("Encrypt0"));
	smq_cbor_put_bytes(&w, empty ? smq_span_of(room, 0) : m->header);
	smq_cbor_put_bytes(&w, external);
	assert_int_equal(smq_writer_end(&w, &len), SMQ_OK);
	return len;
}

static bool open_encrypt0(smq_span bytes, smq_span key, smq_span external, smq_span want_aad, const char *plain)
{
	const struct smq_crypto *crypto = smq_crypto_openssl();
	struct encrypt0 m;
	uint8_t aad[256], out[512];
	smq_aead *aead = NULL;
	if (!decode_encrypt0(bytes, &m))
		return false;
	const struct smq_aead_alg *alg = smq_aead_alg_by_id((int)m.alg);
	if (!alg || alg->key_len != key.len || alg->nonce_len != m.iv.len || m.ciphertext.len > sizeof(out))
		return false;
	size_t aad_len = enc_structure(&m, external, aad, sizeof(aad));
	assert_int_equal(crypto->aead_new(alg, key, &aead), SMQ_OK);
	bool good = crypto->aead_open(aead, m.iv.p, smq_span_of(aad, aad_len), m.ciphertext, out) == SMQ_OK;
	crypto->aead_free(aead);
	return good && smq_span_equal(want_aad, smq_span_of(aad, aad_len)) &&
	       m.ciphertext.len == strlen(plain) + alg->tag_len && memcmp(out, plain, strlen(plain)) == 0;
}

void run_cose_encrypt0(const char *path, struct tally *t)
{
	json_t *file = vectors_load(path);
	const json_t *in = json_object_get(file, "input"), *e = json_object_get(in, "encrypted");
	const json_t *steps = json_object_get(file, "intermediates");
	const char *external = json_string_value(json_object_get(e, "external"));
	struct vector_bytes bytes =
	    vector_unhex(json_string_value(json_object_get(json_object_get(file, "output"), "cbor")));
	struct vector_bytes key = vector_unhex(json_string_value(json_object_get(steps, "CEK_hex")));
	struct vector_bytes aad = vector_unhex(json_string_value(json_object_get(steps, "AAD_hex")));
	struct vector_bytes ext = vector_unhex(external ? external : "");
	bool fail = json_is_true(json_object_get(file, "fail"));
	const struct smq_aead_alg *alg = key.len == 24 ? NULL : smq_aead_alg_by_id(SMQ_A128GCM);
	if (!alg)
		t->skipped++;
	else {
		bool taken = open_encrypt0(vector_span(&bytes), vector_span(&key), vector_span(&ext), vector_span(&aad),
					   json_string_value(json_object_get(in, "plaintext")));
		tally_add(t, path, 0, fail ? "invalid" : "valid", taken, taken);
	}
	json_decref(file);
}
