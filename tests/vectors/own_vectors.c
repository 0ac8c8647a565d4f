/*
 * Our own vectors for other implementers: doc/vectors/sealed.json, made by this program and held against it.
 *
 *     own_vectors FILE            says whether FILE is what this build makes, and opens what is in it
 *     own_vectors --write FILE    writes it anew
 *
 * Everything is derived from fixed inputs; signatures are Ed25519's, which are the same each time.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <sealmq/client.h>
#include <sealmq/json.h>

#include "adapters/crypto_openssl/signer.h"
#include "base/table.h"
#include "base/text.h"
#include "core/keyschedule.h"
#include "core/seal.h"

enum { FILE_MAX = 1 << 18, MESSAGE_MAX = 2048, TOPIC_LONG = 600 };

static const char topic_short[] = "plant/fridge-07/temperature";
static char topic_long[TOPIC_LONG + 1]; /* enters the external_aad as its hash */

static const struct message {
	const char *name;
	int alg;
	enum smq_sealed_kind kind;
	uint64_t epoch, slot, sender_id, counter;
	int64_t stamp_ms; /* -1: none */
	bool covered, signed_, manifest, long_topic;
	const char *plain;
} messages[] = {
	{ "group, short sender id", SMQ_A128GCM, SMQ_SEALED_GROUP, 3, 0, 7, 1000, -1, false, false, true, false,
	  "{\"fridge_temperature\":13.1}" },
	{ "group, boot id in full", SMQ_A128GCM, SMQ_SEALED_GROUP_BOOT, 1, 0, 0, 0, -1, false, false, false, false,
	  "13.1" },
	{ "group, empty plaintext", SMQ_A128GCM, SMQ_SEALED_GROUP, 1, 0, 0, 127, -1, false, false, true, false, "" },
	{ "session", SMQ_A128GCM, SMQ_SEALED_SESSION, 0, 0, 0, 128, -1, false, false, false, false, "13.1" },
	{ "session, stamped", SMQ_A256GCM, SMQ_SEALED_SESSION, 0, 0, 0, 16383, INT64_C(1790000012345), false, false,
	  false, false, "13.1" },
	{ "slot", SMQ_A128GCM, SMQ_SEALED_SLOT, 300, 70000, 129, 16384, -1, false, false, true, false, "13.1" },
	{ "slot, boot id in full", SMQ_CHACHA20_POLY1305, SMQ_SEALED_SLOT_BOOT, 300, 70000, 129, 1, -1, false, false,
	  true, false, "13.1" },
	{ "group, 256 bits", SMQ_A256GCM, SMQ_SEALED_GROUP, 3, 0, 7, 2097152, -1, false, false, true, false, "13.1" },
	{ "group, ChaCha20-Poly1305", SMQ_CHACHA20_POLY1305, SMQ_SEALED_GROUP, 3, 0, 7, UINT64_C(4294967296), -1, false,
	  false, true, false, "13.1" },
	{ "group, a checkpoint will cover it", SMQ_A128GCM, SMQ_SEALED_GROUP, 3, 0, 7, 5, INT64_C(1790000012345), true,
	  false, true, false, "13.1" },
	{ "group, signed", SMQ_A128GCM, SMQ_SEALED_GROUP, 3, 0, 7, 6, -1, false, true, true, false, "open the valve" },
	{ "group, a topic that is hashed", SMQ_A128GCM, SMQ_SEALED_GROUP, 3, 0, 7, 8, -1, false, false, true, true,
	  "13.1" },
};

static void die(const char *what)
{
	fprintf(stderr, "own_vectors: %s\n", what);
	exit(2);
}

static void must(smq_err err, const char *what)
{
	if (err != SMQ_OK)
		die(what);
}

static void fill(uint8_t *p, size_t len, uint8_t first)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(first + i);
}

static void put_hex(struct smq_json *j, const char *key, smq_span bytes)
{
	static char hex[2 * MESSAGE_MAX + 1];
	must(smq_hex_encode(bytes, hex, sizeof(hex)), "too long for hex");
	smq_json_key(j, key);
	smq_json_str(j, hex);
}

static void put_str(struct smq_json *j, const char *key, const char *text)
{
	smq_json_key(j, key);
	smq_json_str(j, text);
}

static void put_uint(struct smq_json *j, const char *key, uint64_t value)
{
	smq_json_key(j, key);
	smq_json_uint(j, value);
}

static void set_context(const struct message *m, struct smq_seal_context *c)
{
	bool session = m->kind == SMQ_SEALED_SESSION;
	*c = (struct smq_seal_context){ .kind = m->kind,
					.alg = smq_aead_alg_by_id(m->alg),
					.realm = smq_span_str("plant"),
					.group = smq_span_str(session ? "" : "telemetry"),
					.sender = smq_span_str("fridge-07"),
					.recipient = smq_span_str(session ? "store" : ""),
					.epoch = m->epoch,
					.slot = m->slot,
					.sender_id = m->sender_id };
	if (session)
		fill(c->key_id, sizeof(c->key_id), 0x1d);
	if (m->manifest)
		fill(c->manifest, sizeof(c->manifest), 0x60);
	fill(c->boot_id, sizeof(c->boot_id), 0xb0);
}

static void put_context(struct smq_json *j, const struct smq_seal_context *c)
{
	smq_json_key(j, "context");
	smq_json_object(j);
	smq_json_key(j, "algorithm");
	smq_json_int(j, c->alg->id);
	put_uint(j, "kind", c->kind);
	smq_json_key(j, "realm");
	smq_json_string(j, c->realm);
	smq_json_key(j, "group");
	smq_json_string(j, c->group);
	smq_json_key(j, "sender");
	smq_json_string(j, c->sender);
	smq_json_key(j, "recipient");
	smq_json_string(j, c->recipient);
	if (c->kind == SMQ_SEALED_SESSION) {
		put_hex(j, "key_id", smq_span_of(c->key_id, sizeof(c->key_id)));
	} else {
		put_uint(j, "epoch", c->epoch);
		put_uint(j, "sender_id", c->sender_id);
	}
	if (smq_sealed_has_slot(c->kind))
		put_uint(j, "slot", c->slot);
	put_hex(j, "manifest", smq_span_of(c->manifest, sizeof(c->manifest)));
	put_hex(j, "boot_id", smq_span_of(c->boot_id, sizeof(c->boot_id)));
	smq_json_end(j);
}

static void put_keys(struct smq_json *j, const struct smq_traffic_secret *secret, const struct smq_seal_key *key)
{
	uint8_t k[SMQ_AEAD_KEY_MAX], iv[SMQ_AEAD_NONCE_MAX];
	const struct smq_aead_alg *alg = key->header.alg;
	must(smq_derive_key_iv(key->crypto, secret, key->context_digest, smq_mspan_of(k, alg->key_len),
			       smq_mspan_of(iv, alg->nonce_len)),
	     "no keys");
	put_hex(j, "context_digest", smq_span_of(key->context_digest, SMQ_HASH_LEN));
	put_hex(j, "key", smq_span_of(k, alg->key_len));
	put_hex(j, "base_iv", smq_span_of(iv, alg->nonce_len));
}

/* The three forms of what was sealed, and what is authenticated with it. */
static void put_forms(struct smq_json *j, const struct smq_seal_key *key, smq_span compact, smq_span topic)
{
	static uint8_t room[MESSAGE_MAX];
	uint8_t nonce[SMQ_AEAD_NONCE_MAX];
	struct smq_proof_input proof;
	struct smq_sealed s;
	size_t len = 0;
	must(smq_sealed_decode(compact, &s), "does not decode");
	must(smq_seal_nonce(key, s.counter, nonce), "no nonce");
	const smq_span full_iv = smq_span_of(nonce, s.alg->nonce_len);
	put_hex(j, "nonce", full_iv);
	must(smq_seal_external_aad(key, &s, topic, smq_mspan_of(room, sizeof(room)), &len), "no external_aad");
	put_hex(j, "external_aad", smq_span_of(room, len));
	must(smq_seal_enc_structure(key, &s, topic, smq_mspan_of(room, sizeof(room)), &len), "no Enc_structure");
	put_hex(j, "enc_structure", smq_span_of(room, len));
	put_hex(j, "compact", compact);
	must(smq_sealed_encode_cose(&s, smq_mspan_of(room, sizeof(room)), &len), "no expanded form");
	put_hex(j, "expanded", smq_span_of(room, len));
	must(smq_sealed_encode_cose_iv(&s, full_iv, smq_mspan_of(room, sizeof(room)), &len), "no form with IV");
	put_hex(j, "expanded_full_iv", smq_span_of(room, len));
	if (!s.covered && s.signature.len == 0)
		return;
	must(smq_proof_input_make(key, &s, topic, &proof), "no proof input");
	put_hex(j, "countersign_head", smq_span_of(proof.head, proof.head_len));
	must(smq_proof_input_digest(key->crypto, &proof, room), "no digest");
	put_hex(j, "message_digest", smq_span_of(room, SMQ_HASH_LEN));
}

static size_t seal(const struct message *m, const struct smq_signer *signer, const struct smq_traffic_secret *secret,
		   uint8_t room[MESSAGE_MAX], struct smq_sealer *ret_sealer)
{
	struct smq_seal_context context;
	struct smq_seal_proof proof = { .signer = m->signed_ ? signer : NULL, .covered = m->covered };
	const char *topic = m->long_topic ? topic_long : topic_short;
	size_t len = 0;
	set_context(m, &context);
	must(smq_sealer_init(ret_sealer, smq_crypto_openssl(), secret, &context), "no sealer");
	ret_sealer->next_counter = ret_sealer->first_counter = m->counter;
	must(smq_seal_proven(ret_sealer, smq_span_str(topic), m->stamp_ms, smq_span_str(m->plain), &proof,
			     smq_mspan_of(room, MESSAGE_MAX), &len),
	     "does not seal");
	return len;
}

static void put_message(struct smq_json *j, const struct message *m, const struct smq_signer *signer)
{
	static uint8_t room[MESSAGE_MAX];
	struct smq_seal_context context;
	struct smq_traffic_secret secret;
	struct smq_sealer sealer;
	const char *topic = m->long_topic ? topic_long : topic_short;
	fill(secret.b, sizeof(secret.b), 0);
	set_context(m, &context);
	size_t len = seal(m, signer, &secret, room, &sealer);
	smq_json_object(j);
	put_str(j, "name", m->name);
	put_hex(j, "traffic_secret", smq_span_of(secret.b, sizeof(secret.b)));
	put_context(j, &context);
	put_keys(j, &secret, &sealer.key);
	put_str(j, "topic", topic);
	put_hex(j, "plaintext", smq_span_str(m->plain));
	put_uint(j, "counter", m->counter);
	if (m->stamp_ms >= 0)
		put_uint(j, "stamp", (uint64_t)m->stamp_ms & ((1U << SMQ_STAMP_BITS) - 1));
	smq_json_key(j, "covered");
	smq_json_bool(j, m->covered);
	put_forms(j, &sealer.key, smq_span_of(room, len), smq_span_str(topic));
	smq_json_end(j);
	smq_sealer_done(&sealer);
}

/* ---- what must be refused ---- */

/* Variations of the first message, and what an opener that has its key says to them. */
static smq_err opens(smq_span bytes, const char *topic)
{
	struct smq_traffic_secret secret;
	struct smq_seal_context context;
	struct smq_opener opener;
	struct smq_sealed s;
	uint8_t room[MESSAGE_MAX];
	size_t len = 0;
	smq_err err = smq_sealed_decode(bytes, &s);
	if (err != SMQ_OK)
		return err;
	fill(secret.b, sizeof(secret.b), 0);
	set_context(&messages[0], &context);
	must(smq_opener_init(&opener, smq_crypto_openssl(), &secret, &context), "no opener");
	err = smq_open(&opener, &s, smq_span_str(topic), smq_mspan_of(room, sizeof(room)), &len, NULL);
	smq_opener_done(&opener);
	return err;
}

static void put_refusal(struct smq_json *j, const char *name, smq_span bytes, const char *topic)
{
	smq_err err = opens(bytes, topic);
	if (err == SMQ_OK)
		die(name);
	smq_json_object(j);
	put_str(j, "name", name);
	put_str(j, "topic", topic);
	put_hex(j, "message", bytes);
	put_str(j, "error", smq_err_name(err));
	smq_json_end(j);
}

static void put_refusals(struct smq_json *j)
{
	static uint8_t good[MESSAGE_MAX], bad[MESSAGE_MAX];
	static const struct {
		const char *name;
		size_t at; /* from the end where it is negative as an int */
		uint8_t flip;
	} flips[] = { { "another version", 0, 0xc0 },
		      { "another algorithm", 0, 0x10 },
		      { "a key reference kind that is not defined", 0, 0x0c },
		      { "another epoch", 1, 0x01 },
		      { "another sender", 2, 0x01 },
		      { "another counter", 4, 0x01 },
		      { "ciphertext altered", 5, 0x01 },
		      { "tag altered", SIZE_MAX, 0x80 } };
	struct smq_traffic_secret secret;
	struct smq_sealer sealer;
	fill(secret.b, sizeof(secret.b), 0);
	size_t len = seal(&messages[0], NULL, &secret, good, &sealer);
	smq_sealer_done(&sealer);
	must(opens(smq_span_of(good, len), topic_short), "the good one does not open");
	for (size_t i = 0; i < SMQ_COUNT(flips); i++) {
		memcpy(bad, good, len);
		bad[flips[i].at == SIZE_MAX ? len - 1 : flips[i].at] ^= flips[i].flip;
		put_refusal(j, flips[i].name, smq_span_of(bad, len), topic_short);
	}
	put_refusal(j, "moved to another topic", smq_span_of(good, len), "plant/fridge-08/temperature");
	put_refusal(j, "without its last byte", smq_span_of(good, len - 1), topic_short);
	put_refusal(j, "nothing but the header", smq_span_of(good, 5), topic_short);
	put_refusal(j, "empty", smq_span_of(good, 0), topic_short);
	/* 83 e8 becomes c0 03 e8: the same counter, spelt longer */
	memcpy(bad, good, 3);
	memcpy(bad + 3, "\xc0\x03\xe8", 3);
	memcpy(bad + 6, good + 5, len - 5);
	put_refusal(j, "a counter that is not in its shortest form", smq_span_of(bad, len + 1), topic_short);
}

/* ---- the file ---- */

static size_t make(char *room, size_t size)
{
	struct smq_json j = smq_json_on(smq_mspan_of(room, size));
	struct smq_signer signer;
	uint8_t secret[SMQ_KEX_LEN], public_key[SMQ_PUBLIC_KEY_MAX];
	size_t len = 0;
	fill(secret, sizeof(secret), 0x21);
	must(smq_openssl_signer_from_raw(SMQ_ED25519, secret, &signer), "no signer");
	must(smq_openssl_signer_public(&signer, public_key, &len), "no public key");
	memset(topic_long, 'a', TOPIC_LONG);
	smq_json_object(&j);
	put_str(&j, "about", "SealMQ sealed messages, version 1: doc/PROTOCOL.md 3. Bytes are hexadecimal.");
	put_hex(&j, "ed25519_public_key", smq_span_of(public_key, len));
	smq_json_key(&j, "messages");
	smq_json_array(&j);
	for (size_t i = 0; i < SMQ_COUNT(messages); i++)
		put_message(&j, &messages[i], &signer);
	smq_json_end(&j);
	smq_json_key(&j, "refused_with_the_key_of_the_first");
	smq_json_array(&j);
	put_refusals(&j);
	smq_json_end(&j);
	smq_json_end(&j);
	must(smq_json_finish(&j, &len), "the file does not fit");
	smq_openssl_signer_free(&signer);
	return len;
}

/* A line break after each object and each member of one, so that a difference is found. */
static size_t lay_out(const char *json, size_t len, char *room)
{
	size_t n = 0;
	bool in_text = false;
	for (size_t i = 0; i < len; i++) {
		room[n++] = json[i];
		in_text ^= json[i] == '"' && (i == 0 || json[i - 1] != '\\');
		if (!in_text && (json[i] == ',' || json[i] == '[' || json[i] == '{'))
			room[n++] = '\n';
	}
	room[n++] = '\n';
	return n;
}

int main(int argc, char **argv)
{
	static char raw[FILE_MAX], made[2 * FILE_MAX], have[2 * FILE_MAX + 1];
	size_t made_len = lay_out(raw, make(raw, sizeof(raw)), made);
	bool write = argc == 3 && strcmp(argv[1], "--write") == 0;
	if (argc != 2 && !write)
		die("usage: own_vectors [--write] FILE");
	FILE *f = fopen(argv[argc - 1], write ? "w" : "r");
	if (!f)
		die("cannot open the file");
	if (write)
		return fwrite(made, 1, made_len, f) == made_len && fclose(f) == 0 ? 0 : 2;
	size_t have_len = fread(have, 1, sizeof(have), f);
	fclose(f);
	bool same = have_len == made_len && memcmp(have, made, made_len) == 0;
	printf("1..1\n%s 1 - %zu messages and what must be refused are what this build makes\n", same ? "ok" : "not ok",
	       SMQ_COUNT(messages));
	return same ? 0 : 1;
}
