/*
 * What joins and expulsions cost a key server: its processor time alone, over real handshakes (EDHOC with P-256
 * signatures on both sides), its SQLite store with synchronous commits, and a broker that is a list. Members' work is
 * not counted.
 *
 * usage: bench_keyserver [MEMBERS [AT_A_TIME]]      prints JSON
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <sealmq/client.h>

#include "adapters/crypto_openssl/signer.h"
#include "adapters/keyserver_sqlite/keyserver_sqlite.h"
#include "app/keyserver.h"
#include "core/ks_asker.h"
#include "core/policy.h"
#include "wire/cbor.h"
#include "wire/ks_topics.h"
#include "wire/registered_key.h"

enum { PEER_KEYSERVER, PEER_ADMIN, PEER_FIRST, MEMBERS_MAX = 1000000, EXPELLED = 100, SLICE_MS = 100 };

static const char prefix[] = "sealmq/bench", realm[] = "bench";
static const int suites[] = { 2 };

struct peer {
	char name[24];
	struct smq_own_credential own;
	uint8_t id_cred[16], cred[SMQ_REGISTERED_CRED_MAX], public_key[SMQ_PUBLIC_KEY_MAX];
	size_t public_key_len;
};

struct message {
	char topic[160];
	uint8_t *bytes;
	size_t len;
	uint64_t id; /* of the key server; 0: an asker's */
	struct message *next;
};

struct run {
	struct smq_ks_asker asker;
	struct smq_ks_asker_config config;
	uint8_t request[1024];
	size_t request_len;
	size_t peer; /* 0: free */
};

static struct peer *peers;
static size_t peer_count, run_count;
static struct run *runs;
static struct smq_credentials credentials, by_kid;
static struct smq_keyserver *ks;
static struct message *first, **last = &first;
static uint64_t published, bytes_published, answered, epochs;
static double ks_ns;

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "bench_keyserver: %s failed\n", what);
	exit(1);
}

static double clock_ns(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Rounds of askers and key server take turns without waiting, so its batches end when the bench says so. */
static int64_t skipped_ms;

static struct smq_now now(void)
{
	return (struct smq_now){ (int64_t)(clock_ns(CLOCK_MONOTONIC) / 1e6) + skipped_ms,
				 (int64_t)(clock_ns(CLOCK_REALTIME) / 1e6) + skipped_ms };
}

/* ---- identities: by key id, the number */

static void make_peer(size_t i)
{
	struct peer *p = &peers[i];
	uint8_t secret[32] = { 1 };
	uint8_t kid[4] = { (uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i };
	memcpy(secret + 20, kid, sizeof(kid));
	snprintf(p->name, sizeof(p->name), i == PEER_KEYSERVER ? "ks" : i == PEER_ADMIN ? "admin" : "m%zu", i);
	must(smq_openssl_signer_from_raw(SMQ_P256, secret, &p->own.signer) == SMQ_OK, "a key");
	must(smq_openssl_signer_public(&p->own.signer, p->public_key, &p->public_key_len) == SMQ_OK, "a key");
	p->own.dh_curve = SMQ_P256;
	struct smq_writer w = smq_writer_on(smq_mspan_of(p->id_cred, sizeof(p->id_cred)));
	smq_cbor_put_map(&w, 1);
	smq_cbor_put_uint(&w, 4);
	smq_cbor_put_bytes(&w, smq_span_of(kid, sizeof(kid)));
	p->own.id_cred_full = p->own.id_cred_short = smq_writer_span(&w);
	w = smq_writer_on(smq_mspan_of(p->cred, sizeof(p->cred)));
	smq_cbor_put_bytes(&w, smq_span_of(p->public_key, p->public_key_len));
	p->own.cred = smq_writer_span(&w);
}

/* From now on known by a registered key, and by nothing else. */
static void make_registered(size_t i)
{
	struct peer *p = &peers[i];
	struct smq_credential c = { .name = "" };
	memcpy(c.name, p->name, sizeof(p->name));
	must(smq_registered_key_thumbprint(smq_crypto_openssl(), p->public_key, c.id) == SMQ_OK &&
		 smq_registered_key_credential(p->public_key, &c) == SMQ_OK,
	     "a registered key");
	smq_registered_key_id_cred(c.id, p->id_cred);
	p->own.id_cred_full = p->own.id_cred_short = smq_span_of(p->id_cred, SMQ_REGISTERED_ID_CRED_LEN);
	memcpy(p->cred, c.cred, c.cred_len);
	p->own.cred = smq_span_of(p->cred, c.cred_len);
	p->own.registered = true;
}

static smq_err resolve(void *self, smq_span id_cred, int64_t now_ms, struct smq_credential *c)
{
	(void)self;
	(void)now_ms;
	if (id_cred.len < 4)
		return SMQ_ERR_CREDENTIAL;
	const uint8_t *kid = id_cred.p + id_cred.len - 4;
	size_t i = (size_t)kid[0] << 24 | (size_t)kid[1] << 16 | (size_t)kid[2] << 8 | kid[3];
	if (i >= peer_count)
		return SMQ_ERR_CREDENTIAL;
	memset(c, 0, sizeof(*c));
	memcpy(c->name, peers[i].name, sizeof(peers[i].name));
	c->roles = i == PEER_KEYSERVER ? SMQ_ROLE_KEYSERVER : i == PEER_ADMIN ? SMQ_ROLE_ADMIN : SMQ_ROLE_MEMBER;
	c->sig_alg = SMQ_ES256;
	c->dh_curve = SMQ_P256;
	memcpy(c->public_key, peers[i].public_key, peers[i].public_key_len);
	c->public_key_len = peers[i].public_key_len;
	memcpy(c->cred, peers[i].own.cred.p, peers[i].own.cred.len);
	c->cred_len = peers[i].own.cred.len;
	c->expires_ms = INT64_MAX;
	memcpy(c->id, kid, 4);
	return SMQ_OK;
}

/* ---- the broker ---- */

static void enqueue(const char *topic, smq_span payload, uint64_t id)
{
	struct message *m = calloc(1, sizeof(*m));
	must(m && strlen(topic) < sizeof(m->topic), "memory");
	snprintf(m->topic, sizeof(m->topic), "%s", topic);
	m->bytes = malloc(payload.len + 1);
	must(m->bytes, "memory");
	if (payload.len > 0)
		memcpy(m->bytes, payload.p, payload.len);
	m->len = payload.len;
	m->id = id;
	*last = m;
	last = &m->next;
}

static smq_err publish(void *self, const char *topic, smq_span payload, bool retain, uint64_t *ret_id)
{
	(void)self;
	(void)retain;
	*ret_id = ++published;
	bytes_published += payload.len;
	enqueue(topic, payload, published);
	return SMQ_OK;
}

static void on_event(void *self, const struct smq_keyserver_event *e)
{
	(void)self;
	epochs += e->kind == SMQ_KEYSERVER_EPOCH;
}

static void put_topic(enum smq_ks_topic_kind kind, const char *name, char ret_topic[160])
{
	struct smq_ks_topic t = { .kind = kind, .name = smq_span_str(name) };
	must(smq_ks_topic_write(prefix, &t, smq_mspan_of((uint8_t *)ret_topic, 160)) == SMQ_OK, "a topic");
}

static void run_input(struct run *r, smq_span payload)
{
	static uint8_t rooms[2][SMQ_KS_EDHOC_ROOM + 2048], answer_room[SMQ_KS_ANSWER_MAX];
	const smq_mspan room[2] = { smq_mspan_of(rooms[0], sizeof(rooms[0])),
				    smq_mspan_of(rooms[1], sizeof(rooms[1])) };
	size_t len[2] = { 0, 0 };
	char topic[160];
	smq_span answer;
	struct smq_ks_answer a;
	smq_err err = smq_ks_asker_input(&r->asker, payload, now().unix_ms, smq_span_of(r->request, r->request_len),
					 room, len, smq_mspan_of(answer_room, sizeof(answer_room)), &answer);
	put_topic(SMQ_KS_TOPIC_REQUEST, r->config.name, topic);
	for (int i = 0; i < 2; i++) {
		if (len[i] > 0)
			enqueue(topic, smq_span_of(rooms[i], len[i]), 0);
	}
	if (err != SMQ_OK || r->asker.state != SMQ_KS_ASKER_ANSWERED)
		return;
	must(smq_ks_answer_decode(answer, &a) == SMQ_OK && a.status == SMQ_OK, "a request");
	answered++;
	smq_ks_asker_done(&r->asker);
	r->peer = 0;
}

/* Everything of the key server goes through here, and is counted. */
static void key_server(void (*turn)(const struct message *m), const struct message *m)
{
	double start = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	turn(m);
	ks_ns += clock_ns(CLOCK_PROCESS_CPUTIME_ID) - start;
}

static void take(const struct message *m) { smq_keyserver_input(ks, m->topic, smq_span_of(m->bytes, m->len), false); }
static void acknowledged(const struct message *m) { smq_keyserver_published(ks, m->id, SMQ_OK); }
static void tick(const struct message *m)
{
	(void)m;
	smq_keyserver_tick(ks);
}

static void deliver(const struct message *m)
{
	struct smq_ks_topic t = smq_ks_topic_read(prefix, m->topic);
	if (m->id != 0)
		key_server(acknowledged, m);
	if (t.kind == SMQ_KS_TOPIC_REQUEST)
		key_server(take, m);
	for (size_t i = 0; t.kind == SMQ_KS_TOPIC_ANSWER && i < run_count; i++) {
		if (runs[i].peer && smq_span_equal(t.name, smq_span_str(runs[i].config.name)))
			run_input(&runs[i], smq_span_of(m->bytes, m->len));
	}
}

static void settle(void)
{
	do {
		while (first) {
			struct message *m = first;
			first = m->next;
			last = first ? last : &first;
			deliver(m);
			free(m->bytes);
			free(m);
		}
		if (smq_keyserver_wake_at(ks) <= now().mono_ms)
			key_server(tick, NULL);
	} while (first);
}

/* ---- asking ---- */

/* The key server by kid, as those know it who have a registered key. */
static smq_err resolve_server(void *self, smq_span id_cred, int64_t now_ms, struct smq_credential *c)
{
	smq_err err = resolve(self, peers[PEER_KEYSERVER].own.id_cred_full, now_ms, c);
	(void)id_cred;
	return err == SMQ_OK ? smq_registered_key_credential(peers[PEER_KEYSERVER].public_key, c) : err;
}

static void ask(struct run *r, size_t peer, const struct smq_ks_request *request)
{
	static uint8_t room[SMQ_KS_EDHOC_ROOM];
	size_t len = 0;
	char topic[160];
	r->peer = peer;
	r->config = (struct smq_ks_asker_config){ .crypto = smq_crypto_openssl(),
						  .random = smq_random_system(),
						  .credentials = peers[peer].own.registered ? &by_kid : &credentials,
						  .own = &peers[peer].own,
						  .name = peers[peer].name,
						  .suites = suites,
						  .suite_count = 1 };
	must(smq_ks_request_encode(request, smq_mspan_of(r->request, sizeof(r->request)), &r->request_len) == SMQ_OK,
	     "a request");
	must(smq_ks_asker_start(&r->asker, &r->config, smq_mspan_of(room, sizeof(room)), &len) == SMQ_OK, "EDHOC");
	put_topic(SMQ_KS_TOPIC_REQUEST, peers[peer].name, topic);
	enqueue(topic, smq_span_of(room, len), 0);
}

static void until_answered(uint64_t count)
{
	for (int i = 0; answered < count && i < 1000; i++) {
		settle();
		skipped_ms += answered < count ? SLICE_MS : 0;
	}
	must(answered == count, "waiting for the answers");
}

static void set_policy(const char *group, enum smq_policy_mode mode)
{
	uint8_t document[SMQ_POLICY_MAX], bytes[600];
	size_t len = 0;
	const struct smq_policy p = { .realm = smq_span_str(realm),
				      .group = smq_span_str(group),
				      .number = 1,
				      .filter_count = 1,
				      .filters = { smq_span_str("plant/#") },
				      .mode = mode,
				      .alg = smq_aead_alg_by_id(SMQ_A128GCM),
				      .publisher_count = 1,
				      .publishers = { { smq_span_str("*"), 0 } },
				      .subscriber_count = 1,
				      .subscribers = { { smq_span_str("*"), 0 } },
				      .batch_ms = 50,
				      .validity_s = 24 * 3600,
				      .members_max = MEMBERS_MAX };
	must(smq_policy_encode(&p, smq_mspan_of(document, sizeof(document)), &len) == SMQ_OK, "a policy");
	must(smq_policy_sign(smq_span_of(document, len), &peers[PEER_ADMIN].own, smq_mspan_of(bytes, sizeof(bytes)),
			     &len) == SMQ_OK,
	     "a policy");
	struct smq_ks_request q = { .what = SMQ_KS_POLICY, .group = smq_span_str(group) };
	q.policy = smq_span_of(bytes, len);
	q.admin = peers[PEER_ADMIN].own.id_cred_full;
	ask(&runs[0], PEER_ADMIN, &q);
	until_answered(answered + 1);
}

struct figures {
	double us, wall_us; /* of one */
	double messages, bytes, epochs;
};

static void begin(struct figures *f, double *start)
{
	ks_ns = 0;
	*f = (struct figures){ .messages = (double)published,
			       .bytes = (double)bytes_published,
			       .epochs = (double)epochs };
	*start = clock_ns(CLOCK_MONOTONIC);
}

static void end(struct figures *f, double start, size_t count)
{
	double n = (double)count;
	f->us = ks_ns / 1e3 / n;
	f->wall_us = (clock_ns(CLOCK_MONOTONIC) - start) / 1e3 / n;
	f->messages = ((double)published - f->messages) / n;
	f->bytes = ((double)bytes_published - f->bytes) / n;
	f->epochs = (double)epochs - f->epochs;
}

static struct figures joins(const char *group, size_t members, unsigned roles)
{
	struct figures f;
	double start;
	begin(&f, &start);
	for (size_t done = 0; done < members; done += run_count) {
		size_t some = members - done < run_count ? members - done : run_count;
		uint64_t goal = answered + some;
		for (size_t i = 0; i < some; i++) {
			struct smq_ks_request q = { .what = SMQ_KS_JOIN, .group = smq_span_str(group), .roles = roles };
			q.from_ms = now().unix_ms;
			q.until_ms = SMQ_NO_END;
			q.boot_id[0] = 1;
			ask(&runs[i], PEER_FIRST + done + i, &q);
		}
		until_answered(goal);
	}
	end(&f, start, members);
	return f;
}

/* One after the other, as an admin does it. */
static struct figures registrations(size_t members)
{
	struct figures f;
	double start;
	begin(&f, &start);
	for (size_t i = 0; i < members; i++) {
		struct smq_ks_request q = { .what = SMQ_KS_REGISTER, .group = smq_span_str("") };
		struct peer *p = &peers[PEER_FIRST + i];
		snprintf(p->name, sizeof(p->name), "r%zu", i); /* what it was called is a certificate's name */
		q.name = smq_span_str(p->name);
		memcpy(q.key, p->public_key, sizeof(q.key));
		make_registered(PEER_FIRST + i);
		ask(&runs[0], PEER_ADMIN, &q);
		until_answered(answered + 1);
	}
	end(&f, start, members);
	return f;
}

static struct figures expulsions(const char *group, size_t members, size_t count)
{
	struct figures f;
	double start;
	begin(&f, &start);
	for (size_t i = 0; i < count; i++) {
		struct smq_ks_request q = { .what = SMQ_KS_EXPEL, .group = smq_span_str(group) };
		q.name = smq_span_str(peers[PEER_FIRST + i * (members / count)].name);
		ask(&runs[0], PEER_ADMIN, &q);
		until_answered(answered + 1);
	}
	end(&f, start, count);
	return f;
}

/* ---- the whole ---- */

static smq_err derive(void *self, const uint8_t salt[SMQ_KS_SALT_LEN], uint8_t ret_key[SMQ_KS_MASTER_KEY_LEN])
{
	(void)self;
	(void)salt;
	memset(ret_key, 7, SMQ_KS_MASTER_KEY_LEN);
	return SMQ_OK;
}

static int64_t unix_ms(void) { return now().unix_ms; }

static void start_server(const char *path)
{
	const struct smq_keyserver_sqlite_config store = { .path = path,
							   .create = true,
							   .crypto = smq_crypto_openssl(),
							   .random = smq_random_system(),
							   .own = &peers[PEER_KEYSERVER].own,
							   .derive = derive,
							   .unix_ms = unix_ms };
	struct smq_keyserver_config config = { .crypto = smq_crypto_openssl(),
					       .random = smq_random_system(),
					       .credentials = &credentials,
					       .own = &peers[PEER_KEYSERVER].own,
					       .realm = realm,
					       .name = peers[PEER_KEYSERVER].name,
					       .prefix = prefix,
					       .clock = { now, NULL },
					       .publish = publish,
					       .on_event = on_event,
					       .requests_per_min = 1000000,
					       .starts_per_s = 1000000 };
	const char *why = "";
	must(smq_keyserver_sqlite_open(&store, &config.store) == SMQ_OK, "the store");
	must(smq_keyserver_new(&config, &ks, &why) == SMQ_OK, "the key server");
	smq_keyserver_online(ks);
}

static void print_row(const char *what, const struct figures *f, const char *end_of_row)
{
	printf("  { \"operation\": \"%s\", \"us\": %.1f, \"wall_us\": %.1f, \"per_s\": %.0f, \"messages\": %.2f, "
	       "\"bytes\": %.0f, \"epochs\": %.0f }%s\n",
	       what, f->us, f->wall_us, 1e6 / f->us, f->messages, f->bytes, f->epochs, end_of_row);
}

int main(int argc, char **argv)
{
	size_t members = argc > 1 ? strtoul(argv[1], NULL, 10) : 4000;
	char dir[] = "/tmp/bench_keyserver.XXXXXX", path[64], rest[80];
	run_count = argc > 2 ? strtoul(argv[2], NULL, 10) : 256;
	must(members >= 100 && members <= MEMBERS_MAX && run_count >= 1 && run_count <= 1000, "reading the arguments");
	peer_count = PEER_FIRST + members;
	peers = calloc(peer_count, sizeof(*peers));
	runs = calloc(run_count, sizeof(*runs));
	must(peers && runs && mkdtemp(dir), "memory");
	for (size_t i = 0; i < peer_count; i++)
		make_peer(i);
	credentials = (struct smq_credentials){ .resolve = resolve };
	by_kid = (struct smq_credentials){ .resolve = resolve_server };
	snprintf(path, sizeof(path), "%s/ks.db", dir);
	start_server(path);
	set_policy("static", SMQ_MODE_STATIC);
	set_policy("readers", SMQ_MODE_STATIC);
	set_policy("update", SMQ_MODE_UPDATE);
	struct figures publishers = joins("static", members, SMQ_JOIN_PUBLISH | SMQ_JOIN_SUBSCRIBE);
	struct figures readers = joins("readers", members, SMQ_JOIN_SUBSCRIBE);
	/* what the allocator has handed out before and after: the group's memory and nothing else has grown */
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
	struct figures update = joins("update", members, SMQ_JOIN_PUBLISH | SMQ_JOIN_SUBSCRIBE);
	size_t after = mallinfo2().uordblks + mallinfo2().hblkhd;
	struct figures expelled = expulsions("update", members, EXPELLED);
	struct figures registered = registrations(members);
	set_policy("keys", SMQ_MODE_STATIC);
	struct figures by_key = joins("keys", members, SMQ_JOIN_PUBLISH | SMQ_JOIN_SUBSCRIBE);
	printf("{ \"bench\": \"keyserver\", \"members\": %zu, \"at_a_time\": %zu, \"memory\": %.0f, \"rows\": [\n",
	       members, run_count, (double)(after - before) / (double)members);
	print_row("join, static, publishes", &publishers, ",");
	print_row("join, static, reads", &readers, ",");
	print_row("join, update", &update, ",");
	print_row("expulsion, update", &expelled, ",");
	print_row("registration of a key", &registered, ",");
	print_row("join by registered key, static, publishes", &by_key, "");
	printf("] }\n");
	smq_keyserver_free(ks);
	for (size_t i = 0; i < peer_count; i++)
		smq_openssl_signer_free(&peers[i].own.signer);
	free(peers);
	free(runs);
	static const char *const tails[] = { "", "-wal", "-shm", ".lock" };
	for (size_t i = 0; i < 4; i++) {
		snprintf(rest, sizeof(rest), "%s%s", path, tails[i]);
		unlink(rest);
	}
	return rmdir(dir) == 0 ? 0 : 1;
}
