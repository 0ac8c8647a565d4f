/* Messages against their senders' signatures, as a receiver holds them (PROTOCOL.md 3.9). */
#include "core/proof_checker.h"

/* ---- the tables ---- */

static void table_init(struct smq_proof_table *t, struct smq_proof_entry *entries, uint32_t *buckets, uint32_t count)
{
	*t = (struct smq_proof_table){ .entries = entries, .buckets = buckets, .count = count };
	memset(entries, 0, count * sizeof(*entries));
	memset(buckets, 0, count * sizeof(*buckets));
}

static uint32_t *bucket_of(const struct smq_proof_table *t, const uint8_t stream[SMQ_HASH_LEN], uint64_t counter)
{
	uint64_t h = 0;
	for (int i = 0; i < 8; i++)
		h = h << 8 | stream[i];
	/* the upper half's share of the count, for a division takes as long as the rest */
	return &t->buckets[((h ^ counter * UINT64_C(0x9e3779b97f4a7c15)) >> 32) * t->count >> 32];
}

/* Of a table that runs empty now and then, most places are below its count. */
static struct smq_proof_entry *entry_at(const struct smq_proof_table *t, uint64_t place)
{
	return &t->entries[place < t->count ? place : place % t->count];
}

static struct smq_proof_entry *find(const struct smq_proof_table *t, const char *sender,
				    const uint8_t stream[SMQ_HASH_LEN], uint64_t counter)
{
	if (t->first == t->next)
		return NULL; /* as what a checkpoint named usually is, when a message asks */
	for (uint32_t i = *bucket_of(t, stream, counter); i != 0; i = t->entries[i - 1].next) {
		struct smq_proof_entry *e = &t->entries[i - 1];
		if (e->counter == counter && memcmp(e->stream, stream, SMQ_HASH_LEN) == 0 &&
		    strcmp(e->sender, sender) == 0)
			return e;
	}
	return NULL;
}

static void unlink_entry(const struct smq_proof_table *t, struct smq_proof_entry *e)
{
	uint32_t number = (uint32_t)(e - t->entries) + 1;
	uint32_t *at = bucket_of(t, e->stream, e->counter);
	while (*at != number)
		at = &t->entries[*at - 1].next;
	*at = e->next;
	e->next = 0;
}

static void advance(struct smq_proof_table *t)
{
	while (t->first < t->next && entry_at(t, t->first)->state == SMQ_ENTRY_FREE)
		t->first++;
	if (t->first == t->next)
		t->first = t->next = 0; /* the same few entries again: they are in the cache */
}

static void free_entry(struct smq_proof_table *t, struct smq_proof_entry *e)
{
	e->state = SMQ_ENTRY_FREE;
	advance(t);
}

/* NULL where the place of the oldest one is not free. */
static struct smq_proof_entry *insert(struct smq_proof_table *t, const char *sender, const uint8_t stream[SMQ_HASH_LEN],
				      uint64_t counter, const uint8_t digest[SMQ_HASH_LEN], int64_t mono_ms)
{
	struct smq_proof_entry *e = entry_at(t, t->next);
	if (t->next - t->first >= t->count)
		return NULL;
	e->state = SMQ_ENTRY_WAITING;
	e->verdict = SMQ_VERDICT_OPEN;
	e->counter = counter;
	e->since_ms = mono_ms;
	e->tag = 0;
	memcpy(e->sender, sender, strlen(sender) + 1);
	memcpy(e->stream, stream, SMQ_HASH_LEN);
	memcpy(e->digest, digest, SMQ_HASH_LEN);
	uint32_t *bucket = bucket_of(t, stream, counter);
	e->next = *bucket;
	*bucket = (uint32_t)(e - t->entries) + 1;
	t->next++;
	return e;
}

/* The oldest entry that still waits, from ring place *at on. */
static struct smq_proof_entry *oldest(const struct smq_proof_table *t, uint64_t *at)
{
	for (; *at < t->next; ++*at) {
		struct smq_proof_entry *e = entry_at(t, *at);
		if (e->state == SMQ_ENTRY_WAITING)
			return e;
	}
	return NULL;
}

/* ---- verdicts ---- */

/* The entry keeps its place until the caller has taken the verdict. */
static void settle(struct smq_proof_checker *c, struct smq_proof_entry *e, enum smq_proof_verdict verdict)
{
	uint32_t number = (uint32_t)(e - c->waiting.entries) + 1;
	unlink_entry(&c->waiting, e);
	e->state = SMQ_ENTRY_SETTLED;
	e->verdict = verdict;
	if (c->settled_last)
		c->waiting.entries[c->settled_last - 1].next = number;
	else
		c->settled_first = number;
	c->settled_last = number;
}

static bool is_late(const struct smq_proof_checker *c, const struct smq_proof_entry *e, int64_t mono_ms)
{
	return mono_ms - e->since_ms >= c->config.wait_ms;
}

static void forget_expected(struct smq_proof_checker *c, struct smq_proof_entry *e)
{
	unlink_entry(&c->expected, e);
	free_entry(&c->expected, e);
}

static void expire(struct smq_proof_checker *c, int64_t mono_ms)
{
	uint64_t at = c->waiting.first;
	struct smq_proof_entry *e;
	while ((e = oldest(&c->waiting, &at)) && is_late(c, e, mono_ms))
		settle(c, e, SMQ_VERDICT_UNPROVEN);
	at = c->expected.first;
	while ((e = oldest(&c->expected, &at)) && is_late(c, e, mono_ms))
		forget_expected(c, e);
}

void smq_proof_checker_init(struct smq_proof_checker *c, const struct smq_proof_checker_config *config)
{
	memset(c, 0, sizeof(*c));
	c->config = *config;
	c->config.wait_ms = config->wait_ms ? config->wait_ms : SMQ_PROOF_WAIT_MS;
	c->second_ms = INT64_MIN / 2;
	table_init(&c->waiting, config->waiting, config->waiting_buckets, config->count);
	table_init(&c->expected, config->expected, config->expected_buckets, config->count);
	memset(config->keys, 0, config->key_count * sizeof(*config->keys));
}

bool smq_proof_checker_next(struct smq_proof_checker *c, struct smq_now now, uint64_t *ret_tag,
			    enum smq_proof_verdict *ret_verdict)
{
	if (c->settled_first == 0)
		expire(c, now.mono_ms); /* looks through the ring: once, not for each verdict */
	if (c->settled_first == 0)
		return false;
	struct smq_proof_entry *e = &c->waiting.entries[c->settled_first - 1];
	c->settled_first = e->next;
	if (e->next == 0)
		c->settled_last = 0;
	*ret_tag = e->tag;
	*ret_verdict = e->verdict;
	free_entry(&c->waiting, e);
	return true;
}

void smq_proof_checker_give_up(struct smq_proof_checker *c)
{
	uint64_t at = c->waiting.first;
	struct smq_proof_entry *e;
	while ((e = oldest(&c->waiting, &at)))
		settle(c, e, SMQ_VERDICT_UNPROVEN);
}

int64_t smq_proof_checker_wake_at(const struct smq_proof_checker *c)
{
	uint64_t at = c->waiting.first;
	if (c->settled_first != 0)
		return INT64_MIN;
	const struct smq_proof_entry *e = oldest(&c->waiting, &at);
	return e ? e->since_ms + c->config.wait_ms : INT64_MAX;
}

/* ---- messages and checkpoints meet ---- */

void smq_proof_checker_message(struct smq_proof_checker *c, const char *sender, const uint8_t stream[SMQ_HASH_LEN],
			       uint64_t counter, const uint8_t digest[SMQ_HASH_LEN], uint64_t tag, struct smq_now now,
			       enum smq_proof_verdict *ret_verdict)
{
	struct smq_proof_entry *e = find(&c->expected, sender, stream, counter);
	if (e) {
		bool same = memcmp(e->digest, digest, SMQ_HASH_LEN) == 0;
		forget_expected(c, e);
		*ret_verdict = same ? SMQ_VERDICT_PROVEN : SMQ_VERDICT_FORGED;
		return;
	}
	/* One place is kept free, so that the oldest can give its own up and still be told of. */
	uint64_t at = c->waiting.first;
	if (c->waiting.next - c->waiting.first + 1 >= c->waiting.count && (e = oldest(&c->waiting, &at)))
		settle(c, e, SMQ_VERDICT_UNPROVEN);
	e = insert(&c->waiting, sender, stream, counter, digest, now.mono_ms);
	if (e)
		e->tag = tag;
	*ret_verdict = e ? SMQ_VERDICT_OPEN : SMQ_VERDICT_UNPROVEN;
}

static void expect(struct smq_proof_checker *c, const char *sender, const struct smq_checkpoint *cp, uint64_t counter,
		   const uint8_t *digest, int64_t mono_ms)
{
	uint64_t at = c->expected.first;
	if (find(&c->expected, sender, cp->stream, counter))
		return; /* the first word holds */
	if (c->expected.next - c->expected.first >= c->expected.count)
		forget_expected(c, oldest(&c->expected, &at));
	(void)insert(&c->expected, sender, cp->stream, counter, digest, mono_ms);
}

static void apply(struct smq_proof_checker *c, const char *sender, const struct smq_checkpoint *cp, int64_t mono_ms)
{
	for (size_t i = 0; i < cp->digests.len / SMQ_HASH_LEN; i++) {
		const uint8_t *digest = cp->digests.p + i * SMQ_HASH_LEN;
		struct smq_proof_entry *e = find(&c->waiting, sender, cp->stream, cp->first + i);
		if (!e)
			expect(c, sender, cp, cp->first + i, digest, mono_ms);
		else if (memcmp(e->digest, digest, SMQ_HASH_LEN) == 0)
			settle(c, e, SMQ_VERDICT_PROVEN);
		else
			settle(c, e, SMQ_VERDICT_FORGED);
	}
}

/* ---- signatures ---- */

static bool may_fail(struct smq_proof_checker *c, int64_t mono_ms)
{
	if (mono_ms - c->second_ms >= 1000) {
		c->second_ms = mono_ms;
		c->failures = 0;
	}
	return c->failures < SMQ_PROOF_FAILURES_PER_S;
}

static bool was_seen(const struct smq_proof_checker *c, const uint8_t hash[SMQ_HASH_LEN])
{
	for (size_t i = 0; i < SMQ_PROOF_SEEN; i++) {
		if (memcmp(c->seen[i], hash, SMQ_HASH_LEN) == 0)
			return true;
	}
	return false;
}

static smq_err check_holder(const struct smq_credential *holder, const char *name)
{
	if (strcmp(holder->name, name) != 0)
		return SMQ_ERR_NAME;
	if (!(holder->roles & SMQ_ROLE_MEMBER) || (holder->sig_alg != SMQ_ES256 && holder->sig_alg != SMQ_EDDSA))
		return SMQ_ERR_CERT_USAGE;
	return SMQ_OK;
}

static smq_err verify_checkpoint(struct smq_proof_checker *c, const char *sender, const struct smq_sign1 *s,
				 struct smq_now now)
{
	const struct smq_credentials *port = c->config.credentials;
	smq_err err = port->resolve(port->self, smq_span_of(s->id_cred, s->id_cred_len), now.unix_ms, &c->credential);
	if (err == SMQ_OK)
		err = check_holder(&c->credential, sender);
	if (err != SMQ_OK)
		return err;
	return smq_sign1_verify_document(s, c->config.crypto, &c->credential, SMQ_ROLE_MEMBER, SMQ_CHECKPOINT_KIND);
}

/* Everything that costs no signature check. */
static smq_err read_checkpoint(struct smq_proof_checker *c, const char *sender, smq_span bytes, struct smq_now now,
			       struct smq_sign1 *s, struct smq_checkpoint *cp, uint8_t ret_hash[SMQ_HASH_LEN])
{
	smq_span parts[2] = { smq_span_str(sender) }; /* another's copy of a payload is not the same word */
	if (bytes.len > SMQ_CHECKPOINT_MAX)
		return SMQ_ERR_TOO_LARGE;
	if (strlen(sender) > SMQ_MEMBER_NAME_MAX)
		return SMQ_ERR_NAME;
	smq_err err = smq_sign1_decode(bytes, s);
	if (err == SMQ_OK && (s->detached || s->id_cred_len == 0))
		err = SMQ_ERR_MALFORMED;
	if (err == SMQ_OK)
		err = smq_checkpoint_decode(s->payload, cp);
	parts[1] = s->payload;
	if (err == SMQ_OK)
		err = c->config.crypto->sha256(parts, 2, ret_hash);
	if (err == SMQ_OK && was_seen(c, ret_hash))
		err = SMQ_ERR_REPLAY;
	if (err == SMQ_OK && !may_fail(c, now.mono_ms))
		err = SMQ_ERR_RATE;
	return err;
}

smq_err smq_proof_checker_checkpoint(struct smq_proof_checker *c, const char *sender, smq_span bytes,
				     struct smq_now now, struct smq_checkpoint *ret_checkpoint)
{
	struct smq_sign1 s;
	struct smq_checkpoint cp;
	uint8_t hash[SMQ_HASH_LEN];
	smq_err err = read_checkpoint(c, sender, bytes, now, &s, &cp, hash);
	if (err == SMQ_OK)
		err = verify_checkpoint(c, sender, &s, now);
	c->failures += err == SMQ_ERR_SIGNATURE;
	if (err != SMQ_OK)
		return err;
	memcpy(c->seen[c->seen_next++ % SMQ_PROOF_SEEN], hash, SMQ_HASH_LEN);
	memcpy(c->signer, c->credential.id, sizeof(c->signer));
	apply(c, sender, &cp, now.mono_ms);
	if (ret_checkpoint)
		*ret_checkpoint = cp;
	return SMQ_OK;
}

/* ---- certificates of those who sign one by one ---- */

/* The place for another certificate of this name: at most two of it, then a free one, then the one used least lately.
 */
static struct smq_proof_key *place_for(struct smq_proof_checker *c, const char *name, smq_span id_cred)
{
	struct smq_proof_key *best = NULL, *own = NULL;
	size_t of_name = 0;
	for (size_t i = 0; i < c->config.key_count; i++) {
		struct smq_proof_key *k = &c->config.keys[i];
		if (strcmp(k->name, name) == 0) {
			if (smq_span_equal(smq_span_of(k->id_cred, k->id_cred_len), id_cred))
				return k;
			of_name++;
			own = !own || k->used < own->used ? k : own;
		}
		best = !best || k->used < best->used ? k : best; /* a free one was never used */
	}
	return of_name >= 2 ? own : best;
}

smq_err smq_proof_checker_certificate(struct smq_proof_checker *c, const char *name, smq_span id_cred,
				      struct smq_now now)
{
	const struct smq_credentials *port = c->config.credentials;
	const struct smq_credential *found = &c->credential;
	if (id_cred.len > SMQ_ID_CRED_MAX)
		return SMQ_ERR_TOO_LARGE;
	smq_err err = port->resolve(port->self, id_cred, now.unix_ms, &c->credential);
	if (err == SMQ_OK)
		err = check_holder(found, name);
	if (err != SMQ_OK)
		return err;
	struct smq_proof_key *k = place_for(c, name, id_cred);
	*k = (struct smq_proof_key){ .used = ++c->uses,
				     .checked_ms = now.unix_ms,
				     .id_cred_len = id_cred.len,
				     .alg = found->sig_alg,
				     .key_len = found->public_key_len,
				     .expires_ms = found->expires_ms };
	memcpy(k->name, found->name, sizeof(k->name));
	memcpy(k->id, found->id, sizeof(k->id));
	k->roles = found->roles;
	memcpy(c->signer, found->id, sizeof(c->signer));
	memcpy(k->id_cred, id_cred.p, id_cred.len);
	memcpy(k->key, found->public_key, found->public_key_len);
	return SMQ_OK;
}

/* Whether the certificate still holds; one that does not is dropped. */
static smq_err still_good(struct smq_proof_checker *c, struct smq_proof_key *k, struct smq_now now)
{
	const struct smq_credentials *port = c->config.credentials;
	smq_err err = now.unix_ms < k->expires_ms ? SMQ_OK : SMQ_ERR_CERT_EXPIRED;
	int64_t since = now.unix_ms - k->checked_ms;
	if (err == SMQ_OK && since >= 0 && since < SMQ_PROOF_RECHECK_MS)
		return SMQ_OK;
	if (err == SMQ_OK)
		err = port->resolve(port->self, smq_span_of(k->id_cred, k->id_cred_len), now.unix_ms, &c->credential);
	if (err == SMQ_OK)
		k->checked_ms = now.unix_ms;
	else
		*k = (struct smq_proof_key){ 0 };
	return err;
}

void smq_proof_checker_review(struct smq_proof_checker *c)
{
	for (size_t i = 0; i < c->config.key_count; i++)
		c->config.keys[i].checked_ms = 0;
}

smq_err smq_proof_checker_verifier(struct smq_proof_checker *c, const char *sender, struct smq_now now,
				   struct smq_proof_verifier *ret_verifier)
{
	struct smq_proof_verifier v = { 0 };
	smq_err answer = SMQ_ERR_CREDENTIAL;
	for (size_t i = 0; i < c->config.key_count && v.count < 2; i++) {
		struct smq_proof_key *k = &c->config.keys[i];
		if (strcmp(k->name, sender) != 0)
			continue;
		smq_err err = still_good(c, k, now);
		if (err != SMQ_OK) {
			answer = err;
			continue;
		}
		k->used = ++c->uses;
		v.keys[v.count].alg = k->alg;
		v.keys[v.count].key_len = k->key_len;
		memcpy(v.keys[v.count].key, k->key, k->key_len);
		v.keys[v.count].roles = k->roles;
		memcpy(v.keys[v.count++].id, k->id, sizeof(k->id));
	}
	if (v.count == 0)
		return answer;
	*ret_verifier = v;
	return SMQ_OK;
}

smq_err smq_proof_verify(const struct smq_crypto *crypto, const struct smq_proof_verifier *v,
			 const struct smq_proof_input *input, const uint8_t signature[SMQ_SIG_LEN], size_t *ret_which)
{
	const smq_span parts[] = { smq_span_of(input->head, input->head_len), input->ciphertext };
	smq_err err = SMQ_ERR_CREDENTIAL;
	for (size_t i = 0; i < v->count; i++) {
		err = crypto->verify(v->keys[i].alg, smq_span_of(v->keys[i].key, v->keys[i].key_len), parts, 2,
				     signature);
		if (err == SMQ_OK) {
			*ret_which = i;
			return SMQ_OK;
		}
	}
	return err;
}

smq_err smq_proof_checker_signature(struct smq_proof_checker *c, const char *sender,
				    const struct smq_proof_input *input, const uint8_t signature[SMQ_SIG_LEN],
				    struct smq_now now)
{
	struct smq_proof_verifier v;
	size_t which = 0;
	smq_err err = smq_proof_checker_verifier(c, sender, now, &v);
	if (err == SMQ_OK)
		err = smq_proof_verify(c->config.crypto, &v, input, signature, &which);
	if (err == SMQ_OK)
		memcpy(c->signer, v.keys[which].id, sizeof(c->signer));
	if (err == SMQ_OK)
		c->signer_roles = v.keys[which].roles;
	return err;
}
