/* Two parties for EDHOC's tests: identities made from a seed, a book of who is known, and a run driven step by step. */
#ifndef SMQ_TESTS_EDHOC_RIG_H
#define SMQ_TESTS_EDHOC_RIG_H

#include "cmocka_all.h"

#include <stdio.h>

#include <sealmq/client.h>

#include "adapters/crypto_openssl/signer.h"
#include "base/table.h"
#include "core/edhoc_machine.h"
#include "wire/cbor.h"

enum { RIG_CERT_LEN = 320, RIG_SECRETS_MAX = 4 };

enum rig_id { RIG_X5CHAIN, RIG_X5T, RIG_KID };

struct rig_identity {
	struct smq_own_credential own;
	struct smq_credential credential; /* as the other side resolves it */
	uint8_t x5chain[RIG_CERT_LEN + 8];
	uint8_t x5t[16];
	uint8_t kid[5];
	size_t x5chain_len, x5t_len, kid_len;
};

/* Who is known, and what comes of asking. */
struct rig_book {
	const struct rig_identity *known[2];
	bool hashes; /* whether x5t resolves */
	smq_err verdict;
	unsigned asked;
};

/* Randomness: scripted secrets first, then a counter. */
struct rig_random {
	const uint8_t *secrets[RIG_SECRETS_MAX];
	unsigned next;
	uint8_t count;
	smq_err err;
};

struct rig_party {
	struct smq_edhoc e;
	struct smq_edhoc_config config;
	struct rig_identity id;
	struct rig_book book;
	struct rig_random random;
	struct smq_random random_port;
	struct smq_credentials credentials_port;
	int suites[7];
};

struct rig_message {
	uint8_t b[SMQ_EDHOC_MESSAGE_MAX];
	size_t len;
};

struct rig_pair {
	struct rig_party i, r;
	struct rig_message m[5]; /* 1..4 */
};

static const int64_t rig_now_ms = 1800000000000;

static inline smq_err rig_fill(void *self, smq_mspan room)
{
	struct rig_random *r = self;
	if (r->err != SMQ_OK)
		return r->err;
	if (r->next < RIG_SECRETS_MAX && r->secrets[r->next]) {
		memcpy(room.p, r->secrets[r->next++], room.len);
		return SMQ_OK;
	}
	memset(room.p, 0x11, room.len);
	room.p[1] = ++r->count;
	room.p[2] = (uint8_t)r->next;
	return SMQ_OK;
}

static inline smq_err rig_resolve(void *self, smq_span id_cred, int64_t now_ms, struct smq_credential *ret_credential)
{
	struct rig_book *book = self;
	book->asked++;
	assert_true(now_ms == rig_now_ms);
	for (size_t i = 0; i < SMQ_COUNT(book->known); i++) {
		const struct rig_identity *id = book->known[i];
		if (!id)
			continue;
		if (!smq_span_equal(id_cred, smq_span_of(id->x5chain, id->x5chain_len)) &&
		    !(book->hashes && smq_span_equal(id_cred, smq_span_of(id->x5t, id->x5t_len))) &&
		    !smq_span_equal(id_cred, smq_span_of(id->kid, id->kid_len)))
			continue;
		if (book->verdict == SMQ_OK)
			*ret_credential = id->credential;
		return book->verdict;
	}
	return SMQ_ERR_CREDENTIAL;
}

static inline void rig_make_ids(struct rig_identity *id, uint8_t seed)
{
	struct smq_writer chain = smq_writer_on(smq_mspan_of(id->x5chain, sizeof(id->x5chain)));
	struct smq_writer hash = smq_writer_on(smq_mspan_of(id->x5t, sizeof(id->x5t)));
	struct smq_writer kid = smq_writer_on(smq_mspan_of(id->kid, sizeof(id->kid)));
	smq_cbor_put_map(&chain, 1);
	smq_cbor_put_int(&chain, 33);
	smq_write(&chain, smq_span_of(id->credential.cred, id->credential.cred_len));
	smq_cbor_put_map(&hash, 1);
	smq_cbor_put_int(&hash, 34);
	smq_cbor_put_array(&hash, 2);
	smq_cbor_put_int(&hash, -15);
	smq_cbor_put_bytes(&hash, smq_span_of(id->credential.public_key + 1, 8));
	smq_cbor_put_map(&kid, 1);
	smq_cbor_put_int(&kid, 4);
	smq_cbor_put_bytes(&kid, smq_span_of(&seed, 1));
	assert_int_equal(smq_writer_end(&chain, &id->x5chain_len), SMQ_OK);
	assert_int_equal(smq_writer_end(&hash, &id->x5t_len), SMQ_OK);
	assert_int_equal(smq_writer_end(&kid, &id->kid_len), SMQ_OK);
}

static inline void rig_choose_id(struct rig_identity *id, enum rig_id how)
{
	smq_span kid = smq_span_of(id->kid, id->kid_len);
	id->own.id_cred_full = how == RIG_KID ? kid : smq_span_of(id->x5chain, id->x5chain_len);
	id->own.id_cred_short = how == RIG_KID ? kid : smq_span_of(id->x5t, id->x5t_len);
}

static inline void rig_make_identity(struct rig_identity *id, const char *name, enum smq_curve curve, uint8_t seed)
{
	uint8_t secret[SMQ_KEX_LEN], cert[RIG_CERT_LEN];
	struct smq_credential *c = &id->credential;
	memset(id, 0, sizeof(*id));
	memset(secret, seed, sizeof(secret));
	assert_int_equal(smq_openssl_signer_from_raw(curve, secret, &id->own.signer), SMQ_OK);
	assert_int_equal(smq_openssl_signer_public(&id->own.signer, c->public_key, &c->public_key_len), SMQ_OK);
	snprintf(c->name, sizeof(c->name), "%s", name);
	c->sig_alg = id->own.signer.alg;
	c->dh_curve = curve == SMQ_ED25519 ? (enum smq_curve)0 : curve;
	memset(cert, seed, sizeof(cert));
	memcpy(cert, c->public_key, c->public_key_len);
	struct smq_writer w = smq_writer_on(smq_mspan_of(c->cred, sizeof(c->cred)));
	smq_cbor_put_bytes(&w, smq_span_of(cert, sizeof(cert)));
	assert_int_equal(smq_writer_end(&w, &c->cred_len), SMQ_OK);
	id->own.cred = smq_span_of(c->cred, c->cred_len);
	rig_make_ids(id, seed);
	rig_choose_id(id, RIG_X5CHAIN);
}

/* The kind of key that a party needs for a suite. */
static inline enum smq_curve rig_curve(int suite, bool by_dh)
{
	const struct smq_edhoc_suite *s = smq_edhoc_suite_by_id(suite);
	if (by_dh)
		return s->curve;
	return s->sig == SMQ_ES256 ? SMQ_P256 : SMQ_ED25519;
}

static inline void rig_party_init(struct rig_party *p, const char *name, enum smq_curve curve, uint8_t seed, int method,
				  int suite)
{
	memset(p, 0, sizeof(*p));
	rig_make_identity(&p->id, name, curve, seed);
	p->book.hashes = true;
	p->random.next = seed;
	p->random_port = (struct smq_random){ &p->random, rig_fill };
	p->credentials_port = (struct smq_credentials){ .self = &p->book, .resolve = rig_resolve };
	p->suites[0] = suite;
	p->config = (struct smq_edhoc_config){ .crypto = smq_crypto_openssl(),
					       .random = &p->random_port,
					       .credentials = &p->credentials_port,
					       .own = &p->id.own,
					       .method = method,
					       .methods_allowed = 1u << method,
					       .suites = p->suites,
					       .suite_count = 1 };
}

static inline void rig_pair_init(struct rig_pair *p, int method, int suite)
{
	memset(p->m, 0, sizeof(p->m));
	rig_party_init(&p->i, "ina", rig_curve(suite, (method & 2) != 0), 0x2a, method, suite);
	rig_party_init(&p->r, "rob", rig_curve(suite, (method & 1) != 0), 0x33, method, suite);
	p->i.book.known[0] = &p->r.id;
	p->r.book.known[0] = &p->i.id;
}

static inline void rig_pair_done(struct rig_pair *p)
{
	smq_edhoc_done(&p->i.e);
	smq_edhoc_done(&p->r.e);
	smq_openssl_signer_free(&p->i.id.own.signer);
	smq_openssl_signer_free(&p->r.id.own.signer);
}

static inline smq_span rig_span(const struct rig_message *m) { return smq_span_of(m->b, m->len); }

static inline smq_mspan rig_room(struct rig_message *m) { return smq_mspan_of(m->b, sizeof(m->b)); }

/* Message n, made from message n - 1 by whose turn it is. */
static inline smq_err rig_step(struct rig_pair *p, int n)
{
	static const uint8_t c_i[] = { 0x37 }, c_r[] = { 0x18, 0x99 };
	switch (n) {
	case 1:
		return smq_edhoc_start(&p->i.e, &p->i.config, smq_span_of(c_i, sizeof(c_i)), rig_room(&p->m[1]),
				       &p->m[1].len);
	case 2:
		return smq_edhoc_accept(&p->r.e, &p->r.config, smq_span_of(c_r, sizeof(c_r)), rig_span(&p->m[1]),
					rig_now_ms, rig_room(&p->m[2]), &p->m[2].len);
	case 3:
		return smq_edhoc_input(&p->i.e, rig_span(&p->m[2]), rig_now_ms, rig_room(&p->m[3]), &p->m[3].len);
	default:
		return smq_edhoc_input(&p->r.e, rig_span(&p->m[3]), rig_now_ms, rig_room(&p->m[4]), &p->m[4].len);
	}
}

/* The run up to and with message n; 5: message_4 taken as well. */
static inline void rig_run(struct rig_pair *p, int n)
{
	struct rig_message none = { .len = 0 };
	for (int i = 1; i <= n && i <= 4; i++) {
		smq_err err = rig_step(p, i);
		if (err != SMQ_OK)
			fail_msg("message_%d: %s", i, smq_err_name(err));
		assert_true(p->m[i].len > 0);
	}
	if (n == 5) {
		assert_int_equal(smq_edhoc_input(&p->i.e, rig_span(&p->m[4]), rig_now_ms, rig_room(&none), &none.len),
				 SMQ_OK);
		assert_int_equal(none.len, 0);
	}
}

/* Both are done and have the same keys. */
static inline void rig_assert_agreed(const struct rig_pair *p)
{
	uint8_t a[32], b[32];
	assert_int_equal(smq_edhoc_state(&p->i.e), SMQ_EDHOC_DONE);
	assert_int_equal(smq_edhoc_state(&p->r.e), SMQ_EDHOC_DONE);
	assert_int_equal(smq_edhoc_export(&p->i.e, 7, smq_span_str("x"), smq_mspan_of(a, sizeof(a))), SMQ_OK);
	assert_int_equal(smq_edhoc_export(&p->r.e, 7, smq_span_str("x"), smq_mspan_of(b, sizeof(b))), SMQ_OK);
	assert_memory_equal(a, b, sizeof(a));
	assert_string_equal(smq_edhoc_peer(&p->i.e)->name, "rob");
	assert_string_equal(smq_edhoc_peer(&p->r.e)->name, "ina");
}

#endif
