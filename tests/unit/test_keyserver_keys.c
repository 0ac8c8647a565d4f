/* app/keyserver: members without certificates (PROTOCOL.md 7.8): registered, admitted, measured, refused, let go. */
#include <stdio.h>
#include <stdlib.h>

#include "cmocka_all.h"

#include <sealmq/client.h>

#include "base/table.h"
#include "keyserver_rig.h"
#include "wire/ks_answer.h"

enum { A = RIG_FIRST, B, C, D, E, PEERS };

static struct rig *r;

/* Two secrets whose keys' thumbprints begin with the same four bytes, 3fbfd612. */
static const uint8_t raw_b[32] = { [30] = 0x20, [31] = 0x0b };
static const uint8_t clashes_with_b[32] = { [29] = 1, [30] = 0x23, [31] = 0xa7 };
static const uint8_t raw_c[32] = { [30] = 0x55, [31] = 0x01 };

static int start(void **state)
{
	(void)state;
	r = rig_new(PEERS);
	assert_true(rig_start(r, 0));
	struct smq_policy p = rig_policy("g", SMQ_MODE_UPDATE);
	assert_int_equal(rig_set_policy(r, &p), SMQ_OK);
	assert_int_equal(rig_join(r, A, "g"), SMQ_OK);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	rig_free(r);
	return 0;
}

static void said(const char *text) { assert_non_null(strstr(r->peers[RIG_ADMIN].text, text)); }

static void registered(int peer, const uint8_t secret[32])
{
	rig_make_raw(r, peer, secret);
	assert_int_equal(rig_register(r, peer), SMQ_OK);
}

/* ---- what it is for ---- */

static void a_registered_key_joins_like_any_other(void **state)
{
	(void)state;
	registered(B, raw_b);
	assert_string_equal(r->stores[0].last_line, "register admin  m04 ok");
	assert_int_equal(rig_join(r, B, "g"), SMQ_OK);
	assert_true(rig_same_keys(r, A, B, "g"));
	/* a restart of the key server forgets nothing of it */
	rig_restart(r, 0);
	r->peers[B].boot_id[3]++;
	assert_int_equal(rig_join(r, B, "g"), SMQ_OK);
	assert_true(rig_same_keys(r, A, B, "g"));
	/* its card names it, its line says what it is */
	struct smq_ks_topic card = { SMQ_KS_TOPIC_SENDER, smq_span_str("g"), 0, r->peers[B].grant.sender_id };
	assert_non_null(rig_retained(r, &card));
	struct smq_ks_request q = rig_request(SMQ_KS_MEMBERS, "g");
	struct smq_ks_member_line lines[SMQ_KS_PAGE];
	size_t count = 0;
	uint64_t next = 0;
	assert_int_equal(rig_asked(r, RIG_ADMIN, &q), SMQ_OK);
	smq_span body = smq_span_of(r->peers[RIG_ADMIN].body, r->peers[RIG_ADMIN].body_len);
	assert_int_equal(smq_ks_members_decode(body, lines, &count, &next), SMQ_OK);
	assert_int_equal(count, 2);
	assert_int_equal(lines[0].roles, SMQ_JOIN_PUBLISH | SMQ_JOIN_SUBSCRIBE);
	assert_int_equal(lines[1].roles, SMQ_JOIN_PUBLISH | SMQ_JOIN_SUBSCRIBE | SMQ_KS_BY_KEY);
	assert_int_equal(rig_leave(r, B, "g"), SMQ_OK);
}

/* Three messages of 120 bytes in all, and 9 more that confirm; what carries them is told beside it. */
static void the_handshake_takes_about_a_hundred_bytes(void **state)
{
	(void)state;
	static const size_t bodies[] = { 0, 44, 53, 23, 9 };
	size_t three = 0, envelopes = 0, topics = 0;
	registered(B, raw_b);
	memset(r->wire, 0, sizeof(r->wire));
	assert_int_equal(rig_join(r, B, "g"), SMQ_OK);
	for (int i = SMQ_KEYEX_MESSAGE_1; i <= SMQ_KEYEX_MESSAGE_4; i++) {
		assert_int_equal(r->wire[i].body, bodies[i]);
		three += i < SMQ_KEYEX_MESSAGE_4 ? r->wire[i].body : 0;
		envelopes += r->wire[i].envelope;
		topics += r->wire[i].topic;
	}
	assert_int_equal(three, 120);
	print_message("# registered key: EDHOC %zu + %zu + %zu + %zu bytes; in envelopes %zu; topics %zu; request %zu, "
		      "grant %zu\n",
		      r->wire[1].body, r->wire[2].body, r->wire[3].body, r->wire[4].body, envelopes, topics,
		      r->wire[SMQ_KEYEX_REQUEST].envelope, r->wire[SMQ_KEYEX_ANSWER].envelope);
}

/* Whoever does not know the key server's kid asks for its certificate by value, in the same breath. */
static void an_unknown_key_server_is_asked_for_its_certificate(void **state)
{
	(void)state;
	registered(B, raw_b);
	r->peers[B].knows_server = false;
	assert_int_equal(rig_join(r, B, "g"), SMQ_OK);
	assert_true(r->wire[SMQ_KEYEX_MESSAGE_2].body > 53 + SMQ_SIG_LEN - 16); /* signed, not agreed */
	r->peers[B].knows_server = true;
	assert_int_equal(rig_join(r, B, "g"), SMQ_OK);
	assert_int_equal(r->wire[SMQ_KEYEX_MESSAGE_2].body, 53);
}

static void the_policy_decides_by_name(void **state)
{
	(void)state;
	struct smq_policy p = rig_policy("h", SMQ_MODE_STATIC);
	p.publishers[0].pattern = smq_span_str("m05");
	p.subscribers[0].pattern = smq_span_str("m0?");
	p.subscribers[0].roles = SMQ_ROLE_MEMBER; /* which a registered key has */
	assert_int_equal(rig_set_policy(r, &p), SMQ_OK);
	registered(B, raw_b);
	registered(C, raw_c);
	assert_int_equal(rig_join(r, B, "h"), SMQ_OK);
	assert_int_equal(r->peers[B].grant.roles, SMQ_JOIN_SUBSCRIBE);
	assert_int_equal(rig_join(r, C, "h"), SMQ_OK);
	assert_int_equal(r->peers[C].grant.roles, SMQ_JOIN_PUBLISH | SMQ_JOIN_SUBSCRIBE);
	struct smq_ks_request q = rig_request(SMQ_KS_ROTATE, "h");
	assert_int_equal(rig_asked(r, C, &q), SMQ_ERR_NOT_AUTHORIZED); /* no admin */
}

static void where_senders_are_proven_it_may_only_read(void **state)
{
	(void)state;
	struct smq_policy p = rig_policy("h", SMQ_MODE_STATIC);
	p.proof = SMQ_PROOF_EVERY;
	assert_int_equal(rig_set_policy(r, &p), SMQ_OK);
	p = rig_policy("i", SMQ_MODE_STATIC);
	p.proof = SMQ_PROOF_CHECKPOINT;
	p.proof_messages = 32;
	p.proof_s = 2;
	assert_int_equal(rig_set_policy(r, &p), SMQ_OK);
	registered(B, raw_b);
	for (const char *group = "h"; *group == 'h' || *group == 'i'; group = *group == 'h' ? "i" : "") {
		struct smq_ks_request q = rig_join_request(r, B, group);
		q.roles = SMQ_JOIN_PUBLISH;
		assert_int_equal(rig_asked(r, B, &q), SMQ_ERR_NOT_PROVEN);
		assert_non_null(strstr(r->peers[B].text, "signatures"));
		assert_int_equal(rig_join(r, B, group), SMQ_OK);
		assert_int_equal(r->peers[B].grant.roles, SMQ_JOIN_SUBSCRIBE);
		assert_int_equal(rig_join(r, A, group), SMQ_OK);
		assert_int_equal(r->peers[A].grant.roles, SMQ_JOIN_PUBLISH | SMQ_JOIN_SUBSCRIBE);
	}
}

/* ---- letting go ---- */

static void unregistering_expels(void **state)
{
	(void)state;
	struct smq_policy p = rig_policy("h", SMQ_MODE_STATIC);
	assert_int_equal(rig_set_policy(r, &p), SMQ_OK);
	registered(B, raw_b);
	assert_int_equal(rig_join(r, A, "h"), SMQ_OK);
	assert_int_equal(rig_join(r, B, "h"), SMQ_OK);
	assert_int_equal(rig_join(r, B, "g"), SMQ_OK);
	struct rig_peer in_g = r->peers[B];
	uint64_t g = rig_epoch(r, "g"), h = rig_epoch(r, "h");
	assert_int_equal(rig_unregister(r, B), SMQ_OK);
	assert_string_equal(r->stores[0].last_line, "unregister admin  m04 ok");
	assert_int_equal(rig_epoch(r, "g"), g + 1);
	assert_int_equal(rig_epoch(r, "h"), h + 1);
	r->peers[B].chain = in_g.chain;
	assert_int_not_equal(rig_follow(r, B, "g"), SMQ_OK);
	/* it is told so, by whatever key server; one that nobody ever knew is not */
	for (int i = 0; i < 2; i++) {
		struct smq_ks_request fetch = rig_request(SMQ_KS_FETCH, "g");
		assert_int_equal(rig_asked(r, B, &fetch), SMQ_ERR_CREDENTIAL);
		assert_non_null(strstr(r->peers[B].text, "not registered any more"));
		rig_restart(r, 0);
	}
	assert_int_equal(rig_unregister(r, B), SMQ_ERR_NOT_FOUND);
	/* an admin may take it in again, by the same key */
	assert_int_equal(rig_register(r, B), SMQ_OK);
	rig_restart(r, 0);
	assert_int_equal(rig_join(r, B, "g"), SMQ_OK);
	/* expelled by the admin it stays out, and so does the key under any name */
	assert_int_equal(rig_expel(r, B, ""), SMQ_OK);
	assert_int_equal(rig_join(r, B, "g"), SMQ_ERR_NOT_AUTHORIZED);
	assert_non_null(strstr(r->peers[B].text, "expelled"));
	assert_int_equal(rig_unregister(r, B), SMQ_OK);
	assert_int_equal(rig_register(r, B), SMQ_ERR_NOT_AUTHORIZED);
	rig_make_raw(r, C, raw_b);
	assert_int_equal(rig_register(r, C), SMQ_ERR_NOT_AUTHORIZED);
	said("expelled");
}

/* A key exchange that was over before the key went does not open the door after it. */
static void a_request_after_the_key_has_gone_is_refused(void **state)
{
	(void)state;
	registered(B, raw_b);
	struct smq_ks_request join = rig_join_request(r, B, "g");
	r->hold = SMQ_KEYEX_REQUEST;
	rig_ask(r, B, &join);
	rig_pass(r, 100, 50);
	assert_int_equal(rig_unregister(r, B), SMQ_OK);
	rig_release(r);
	rig_pass(r, 2000, 50);
	assert_true(r->peers[B].answered);
	assert_int_equal(r->peers[B].status, SMQ_ERR_CREDENTIAL);
	assert_non_null(strstr(r->peers[B].text, "not registered any more"));
	struct smq_ks_request q = rig_request(SMQ_KS_EXPEL, "g");
	q.name = smq_span_str(r->peers[B].name);
	assert_int_equal(rig_asked(r, RIG_ADMIN, &q), SMQ_ERR_NOT_FOUND);
}

/* ---- refusals, each with its own reason ---- */

static void asks_in_vain(int peer, smq_err why)
{
	struct smq_ks_request q = rig_join_request(r, peer, "g");
	r->servers[0].drop = SMQ_OK;
	assert_int_equal(rig_asked(r, peer, &q), SMQ_ERR_TIMEOUT);
	assert_int_equal(r->servers[0].drop, why);
	assert_string_equal(r->servers[0].drop_who, r->peers[peer].name);
}

static void keys_that_are_not_let_in(void **state)
{
	(void)state;
	rig_make_raw(r, B, raw_b);
	asks_in_vain(B, SMQ_ERR_CREDENTIAL); /* an unknown kid */
	assert_int_equal(rig_register(r, B), SMQ_OK);
	assert_int_equal(rig_join(r, B, "g"), SMQ_OK);
	/* the kid of B, by somebody who has not its key */
	struct rig_peer *b = &r->peers[B];
	struct smq_own_credential own = b->own;
	b->own.signer = r->peers[D].own.signer;
	asks_in_vain(B, SMQ_ERR_SIGNATURE);
	b->own = own;
	/* another key with the kid of B */
	rig_make_raw(r, C, clashes_with_b);
	snprintf(r->peers[C].name, sizeof(r->peers[C].name), "%s", b->name);
	asks_in_vain(C, SMQ_ERR_SIGNATURE);
	/* B's key in the name of another, whose topic it uses */
	snprintf(b->name, sizeof(b->name), "m99");
	b->config.name = b->name;
	asks_in_vain(B, SMQ_ERR_CERT_NAME);
}

static void registrations_that_are_refused(void **state)
{
	(void)state;
	rig_make_raw(r, B, raw_b);
	assert_int_equal(rig_register(r, B), SMQ_OK);
	assert_int_equal(rig_register(r, B), SMQ_OK); /* once more changes nothing */
	/* the same name with another key */
	rig_make_raw(r, B, raw_c);
	assert_int_equal(rig_register(r, B), SMQ_ERR_EXISTS);
	said("with another key");
	/* the same key with another name */
	rig_make_raw(r, C, raw_b);
	assert_int_equal(rig_register(r, C), SMQ_ERR_EXISTS);
	said("under another name");
	/* a kid that is taken */
	rig_make_raw(r, C, clashes_with_b);
	assert_int_equal(rig_register(r, C), SMQ_ERR_EXISTS);
	said("short id");
	/* a certificate has the name */
	struct smq_ks_request q = rig_request(SMQ_KS_REGISTER, "");
	q.name = smq_span_str(r->peers[A].name);
	rig_make_raw(r, C, raw_c);
	memcpy(q.key, r->peers[C].credential.public_key, sizeof(q.key));
	assert_int_equal(rig_asked(r, RIG_ADMIN, &q), SMQ_ERR_EXISTS);
	said("with a certificate");
	q.name = smq_span_str("ks0");
	assert_int_equal(rig_asked(r, RIG_ADMIN, &q), SMQ_ERR_EXISTS);
	said("own name");
	/* whoever is no admin */
	q.name = smq_span_str("m77");
	assert_int_equal(rig_asked(r, A, &q), SMQ_ERR_NOT_AUTHORIZED);
	r->peers[B].raw = false;
	/* a key that only signs answers nobody by kid */
	r->peers[RIG_KEYSERVER].own.signer.agree = NULL;
	rig_restart(r, 0);
	assert_int_equal(rig_asked(r, RIG_ADMIN, &q), SMQ_ERR_UNSUPPORTED);
	said("--static-dh");
}

static void the_kid_of_the_key_server_is_taken(void **state)
{
	(void)state;
	rig_make_raw(r, B, raw_b);
	memcpy(r->peers[RIG_KEYSERVER].credential.id, r->peers[B].credential.id, SMQ_KID_LEN);
	rig_restart(r, 0);
	assert_int_equal(rig_register(r, B), SMQ_ERR_EXISTS);
	said("short id");
}

static void a_certificate_does_not_speak_for_a_registered_name(void **state)
{
	(void)state;
	/* D has a certificate; the admin registers a key under D's name before D has ever come */
	struct smq_ks_request q = rig_request(SMQ_KS_REGISTER, "");
	q.name = smq_span_str(r->peers[D].name);
	rig_make_raw(r, B, raw_b);
	memcpy(q.key, r->peers[B].credential.public_key, sizeof(q.key));
	assert_int_equal(rig_asked(r, RIG_ADMIN, &q), SMQ_OK);
	assert_int_equal(rig_join(r, D, "g"), SMQ_ERR_CERT_NAME);
	assert_non_null(strstr(r->peers[D].text, "registered key"));
	assert_string_equal(r->stores[0].last_line, "join m06 g  cert-name");
	/* and the key under D's name gets in */
	snprintf(r->peers[B].name, sizeof(r->peers[B].name), "%s", r->peers[D].name);
	r->peers[B].config.name = r->peers[B].name;
	memcpy(r->peers[B].credential.name, r->peers[B].name, sizeof(r->peers[B].name));
	assert_int_equal(smq_registered_key_credential(r->peers[B].credential.public_key, &r->peers[B].credential),
			 SMQ_OK);
	r->peers[B].own.cred = smq_span_of(r->peers[B].credential.cred, r->peers[B].credential.cred_len);
	snprintf(r->peers[D].name, sizeof(r->peers[D].name), "away");
	assert_int_equal(rig_join(r, B, "g"), SMQ_OK);
}

/* ---- many at a time ---- */

static void take_key(struct smq_ks_key *k, const char *name, uint8_t number)
{
	const uint8_t secret[32] = { [30] = 9, [31] = number };
	rig_make_raw(r, E, secret);
	k->name = smq_span_str(name);
	memcpy(k->key, r->peers[E].credential.public_key, sizeof(k->key));
}

static smq_err ask_many(const struct smq_ks_key *keys, size_t count, bool commit)
{
	static uint8_t room[SMQ_KS_REQUEST_MAX];
	size_t len = 0;
	struct smq_ks_request q = rig_request(SMQ_KS_REGISTER_MANY, "");
	assert_int_equal(smq_ks_keys_encode(keys, count, smq_mspan_of(room, sizeof(room)), &len), SMQ_OK);
	q.keys = smq_span_of(room, len);
	q.commit = commit;
	return rig_asked(r, RIG_ADMIN, &q);
}

/* How many the answer calls bad; the first of them and why. */
static size_t bad_in_answer(size_t *ret_first, char ret_why[SMQ_KS_TEXT_MAX])
{
	struct smq_ks_bad_key bad[SMQ_KS_KEYS_MAX];
	size_t count = 0;
	smq_span body = smq_span_of(r->peers[RIG_ADMIN].body, r->peers[RIG_ADMIN].body_len);
	if (body.len == 1 && *body.p == 0xf6)
		return 0;
	assert_int_equal(smq_ks_bad_keys_decode(body, bad, &count), SMQ_OK);
	if (count > 0) {
		*ret_first = (size_t)bad[0].index;
		snprintf(ret_why, SMQ_KS_TEXT_MAX, "%.*s", (int)bad[0].text.len, (const char *)bad[0].text.p);
	}
	return count;
}

static size_t listed(void)
{
	struct smq_ks_request q = rig_request(SMQ_KS_REGISTERED, "");
	struct smq_ks_key_line lines[SMQ_KS_PAGE];
	size_t count = 0;
	assert_int_equal(rig_asked(r, RIG_ADMIN, &q), SMQ_OK);
	smq_span body = smq_span_of(r->peers[RIG_ADMIN].body, r->peers[RIG_ADMIN].body_len);
	assert_int_equal(smq_ks_registered_decode(body, lines, &count, &q.offset), SMQ_OK);
	return count;
}

static void many_at_a_time_or_none(void **state)
{
	struct smq_ks_key keys[5];
	size_t first = 99;
	char why[SMQ_KS_TEXT_MAX];
	(void)state;
	take_key(&keys[0], "k0", 1);
	take_key(&keys[1], "k1", 2);
	take_key(&keys[2], "k2", 3);
	take_key(&keys[3], "k1", 4); /* a name twice */
	take_key(&keys[4], "k4", 1); /* a key twice */
	assert_int_equal(ask_many(keys, 5, true), SMQ_OK);
	assert_int_equal(bad_in_answer(&first, why), 2);
	assert_int_equal(first, 3);
	assert_non_null(strstr(why, "name is there twice"));
	assert_int_equal(listed(), 0);
	/* only looked at */
	assert_int_equal(ask_many(keys, 3, false), SMQ_OK);
	assert_int_equal(bad_in_answer(&first, why), 0);
	assert_int_equal(listed(), 0);
	assert_int_equal(ask_many(keys, 3, true), SMQ_OK);
	assert_int_equal(bad_in_answer(&first, why), 0);
	assert_int_equal(listed(), 3);
	/* again, as after a loss of the answer; and with one that is taken by another key */
	assert_int_equal(ask_many(keys, 3, true), SMQ_OK);
	assert_int_equal(listed(), 3);
	take_key(&keys[0], "k9", 9);
	assert_int_equal(ask_many(keys + 3, 1, true), SMQ_OK);
	assert_int_equal(bad_in_answer(&first, why), 1);
	assert_non_null(strstr(why, "with another key"));
	take_key(&keys[1], r->peers[A].name, 10); /* has a certificate, and is a member */
	assert_int_equal(ask_many(keys, 2, true), SMQ_OK);
	assert_int_equal(bad_in_answer(&first, why), 1);
	assert_int_equal(first, 1);
	assert_int_equal(listed(), 3);
	assert_int_equal(ask_many(keys, 1, true), SMQ_OK);
	/* durable */
	rig_restart(r, 0);
	assert_int_equal(listed(), 4);
}

static void many_are_for_admins(void **state)
{
	static uint8_t room[SMQ_KS_REQUEST_MAX];
	struct smq_ks_key key;
	size_t len = 0;
	struct smq_ks_request q = rig_request(SMQ_KS_REGISTER_MANY, "");
	(void)state;
	take_key(&key, "k0", 1);
	assert_int_equal(smq_ks_keys_encode(&key, 1, smq_mspan_of(room, sizeof(room)), &len), SMQ_OK);
	q.keys = smq_span_of(room, len);
	q.commit = true;
	assert_int_equal(rig_asked(r, A, &q), SMQ_ERR_NOT_AUTHORIZED);
	q.keys = smq_span_str("junk");
	assert_int_not_equal(rig_asked(r, RIG_ADMIN, &q), SMQ_OK);
	assert_int_equal(listed(), 0);
}

/* ---- the list, and the disk ---- */

static void the_list_comes_in_pages(void **state)
{
	(void)state;
	enum { KEYS = SMQ_KS_PAGE + 10 };
	for (int i = 0; i < KEYS; i++) {
		const uint8_t secret[32] = { [30] = 7, [31] = (uint8_t)(i + 1) };
		char name[16];
		snprintf(name, sizeof(name), "n%03d", i);
		rig_make_raw(r, E, secret);
		struct smq_ks_request q = rig_request(SMQ_KS_REGISTER, "");
		q.name = smq_span_str(name);
		memcpy(q.key, r->peers[E].credential.public_key, sizeof(q.key));
		assert_int_equal(rig_asked(r, RIG_ADMIN, &q), SMQ_OK);
	}
	rig_restart(r, 0);
	struct smq_ks_request q = rig_request(SMQ_KS_REGISTERED, "");
	struct smq_ks_key_line lines[SMQ_KS_PAGE];
	size_t count = 0, seen = 0;
	while (q.offset != SMQ_KS_NO_MORE) {
		assert_int_equal(rig_asked(r, RIG_ADMIN, &q), SMQ_OK);
		smq_span body = smq_span_of(r->peers[RIG_ADMIN].body, r->peers[RIG_ADMIN].body_len);
		assert_int_equal(smq_ks_registered_decode(body, lines, &count, &q.offset), SMQ_OK);
		for (size_t i = 0; i < count; i++, seen++) {
			char name[16];
			snprintf(name, sizeof(name), "n%03zu", seen);
			assert_true(smq_span_equal(lines[i].name, smq_span_str(name)));
			assert_true(lines[i].since_ms > 0);
		}
	}
	assert_int_equal(seen, KEYS);
}

static void a_disk_that_says_no_changes_nothing(void **state)
{
	(void)state;
	rig_make_raw(r, B, raw_b);
	r->stores[0].fail_commit = SMQ_ERR_DISK_FULL;
	assert_int_equal(rig_register(r, B), SMQ_ERR_DISK_FULL);
	r->stores[0].fail_commit = SMQ_OK;
	rig_pass(r, 1000, 100);
	asks_in_vain(B, SMQ_ERR_CREDENTIAL);
	assert_int_equal(rig_register(r, B), SMQ_OK);
	assert_int_equal(rig_join(r, B, "g"), SMQ_OK);
	uint64_t epoch = rig_epoch(r, "g");
	r->stores[0].fail_commit = SMQ_ERR_DISK_FULL;
	assert_int_equal(rig_unregister(r, B), SMQ_ERR_DISK_FULL);
	r->stores[0].fail_commit = SMQ_OK;
	rig_pass(r, 1000, 100);
	assert_int_equal(rig_epoch(r, "g"), epoch);
	assert_int_equal(rig_join(r, B, "g"), SMQ_OK);
	assert_true(rig_same_keys(r, A, B, "g"));
	assert_int_equal(rig_unregister(r, B), SMQ_OK);
	assert_int_equal(rig_epoch(r, "g"), epoch + 1);
}

/* Between the admin's word and the disk's a key opens nothing: should the disk say no, nobody has come in by it. */
static void a_key_opens_nothing_before_it_is_durable(void **state)
{
	(void)state;
	struct smq_ks_request q = rig_request(SMQ_KS_REGISTER, ""), join;
	rig_make_raw(r, B, raw_b);
	q.name = smq_span_str(r->peers[B].name);
	memcpy(q.key, r->peers[B].credential.public_key, sizeof(q.key));
	r->servers[0].drop = SMQ_OK;
	rig_ask(r, RIG_ADMIN, &q);
	rig_settle(r);
	assert_false(r->peers[RIG_ADMIN].answered); /* it waits for the disk */
	join = rig_join_request(r, B, "g");
	rig_ask(r, B, &join);
	rig_settle(r);
	assert_int_equal(r->servers[0].drop, SMQ_ERR_CREDENTIAL);
	rig_pass(r, 500, 50);
	assert_int_equal(r->peers[RIG_ADMIN].status, SMQ_OK);
	assert_int_equal(rig_join(r, B, "g"), SMQ_OK);
}

#define row(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		row(a_registered_key_joins_like_any_other),
		row(the_handshake_takes_about_a_hundred_bytes),
		row(an_unknown_key_server_is_asked_for_its_certificate),
		row(the_policy_decides_by_name),
		row(where_senders_are_proven_it_may_only_read),
		row(unregistering_expels),
		row(a_request_after_the_key_has_gone_is_refused),
		row(keys_that_are_not_let_in),
		row(registrations_that_are_refused),
		row(the_kid_of_the_key_server_is_taken),
		row(a_certificate_does_not_speak_for_a_registered_name),
		row(many_at_a_time_or_none),
		row(many_are_for_admins),
		row(the_list_comes_in_pages),
		row(a_disk_that_says_no_changes_nothing),
		row(a_key_opens_nothing_before_it_is_durable),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
