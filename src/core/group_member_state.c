/* What a group's member keeps over a restart, as bytes (FORMATS.md 2.4). */
#include "base/wipe.h"
#include "core/group_member_state.h"
#include "wire/cbor.h"
#include "wire/fields.h"

enum { VERSION = 1, FIELDS = 22, EPOCH_FIELDS = 6, NODE_FIELDS = 3, TREE_FIELDS = 2, CHAIN_NONE = 0 };

/* ---- writing ---- */

static void put_chain(struct smq_writer *w, const struct smq_manifest_chain *chain)
{
	uint8_t bytes[SMQ_MANIFEST_CHAIN_MAX];
	size_t len = CHAIN_NONE;
	if (chain->epoch != 0 && smq_manifest_chain_encode(chain, smq_mspan_of(bytes, sizeof(bytes)), &len) != SMQ_OK)
		smq_writer_fail(w, SMQ_ERR_BUG);
	smq_cbor_put_bytes(w, smq_span_of(bytes, len));
}

static void put_path(struct smq_writer *w, const struct smq_keypath *p, bool granted)
{
	size_t count = granted ? p->height + 1 : 0;
	smq_cbor_put_uint(w, p->leaf);
	smq_cbor_put_uint(w, p->epoch);
	smq_cbor_put_array(w, count);
	for (size_t i = 0; i < count; i++) {
		smq_cbor_put_array(w, NODE_FIELDS);
		smq_cbor_put_uint(w, p->nodes[i].version);
		smq_cbor_put_uint(w, p->nodes[i].refreshed);
		smq_cbor_put_bytes(w, smq_span_of(p->nodes[i].key.b, SMQ_TREE_KEY_LEN));
	}
}

static void put_epochs(struct smq_writer *w, const struct member_kept *k)
{
	size_t count = 0;
	for (size_t i = 0; i < SMQ_GM_EPOCHS_MAX; i++)
		count += k->epochs[i].number != 0;
	smq_cbor_put_array(w, count);
	for (size_t i = 0; i < SMQ_GM_EPOCHS_MAX; i++) {
		const struct member_epoch *e = &k->epochs[i];
		if (e->number == 0)
			continue;
		smq_cbor_put_array(w, EPOCH_FIELDS);
		smq_cbor_put_uint(w, e->number);
		smq_cbor_put_bytes(w, smq_span_of(e->secret.b, SMQ_EPOCH_SECRET_LEN));
		smq_cbor_put_bytes(w, smq_span_of(e->manifest, SMQ_HASH_LEN));
		smq_put_time(w, e->activate_at_ms);
		smq_put_end(w, e->until_ms);
		smq_cbor_put_uint(w, (uint64_t)e->alg);
	}
}

static void put_slots(struct smq_writer *w, const struct member_kept *k)
{
	smq_cbor_put_uint(w, (uint64_t)k->mode);
	smq_put_time(w, k->times.start_ms);
	smq_cbor_put_uint(w, k->times.slot_ms);
	smq_cbor_put_uint(w, k->times.levels);
	smq_cbor_put_uint(w, k->slot_floor);
	smq_cbor_put_array(w, k->holder_count);
	for (size_t i = 0; i < k->holder_count; i++) {
		uint8_t seeds[SMQ_SLOT_SEEDS_BYTES_MAX];
		size_t len = 0;
		if (smq_slot_seeds_encode(&k->holders[i].seeds, smq_mspan_of(seeds, sizeof(seeds)), &len) != SMQ_OK)
			smq_writer_fail(w, SMQ_ERR_BUG);
		smq_cbor_put_array(w, TREE_FIELDS);
		smq_cbor_put_uint(w, k->holders[i].tree);
		smq_cbor_put_bytes(w, smq_span_of(seeds, len));
		smq_wipe(seeds, sizeof(seeds));
	}
}

smq_err smq_gm_kept_encode(const struct member_kept *k, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	smq_cbor_put_array(&w, FIELDS);
	smq_cbor_put_uint(&w, VERSION);
	put_chain(&w, &k->chain);
	smq_cbor_put_uint(&w, k->mark.number);
	smq_cbor_put_bytes(&w, smq_span_of(k->mark.digest, SMQ_HASH_LEN));
	smq_cbor_put_bytes(&w, smq_span_of(k->policy, k->policy_len));
	smq_cbor_put_uint(&w, k->sender_id);
	smq_cbor_put_bytes(&w, smq_span_of(k->boot_id, SMQ_BOOT_ID_LEN));
	smq_cbor_put_uint(&w, k->roles);
	smq_put_time(&w, k->from_ms);
	smq_put_end(&w, k->until_ms);
	smq_cbor_put_uint(&w, k->joined);
	smq_cbor_put_uint(&w, k->in_use);
	put_path(&w, &k->path, k->granted);
	put_epochs(&w, k);
	put_slots(&w, k);
	return smq_writer_end(&w, ret_len);
}

/* ---- reading ---- */

static void get_chain(struct smq_reader *r, struct smq_manifest_chain *chain)
{
	smq_span bytes = smq_cbor_get_bytes(r);
	if (bytes.len > 0 && smq_manifest_chain_decode(bytes, chain) != SMQ_OK)
		smq_reader_fail(r, SMQ_ERR_CORRUPT);
}

static void get_path(struct smq_reader *r, struct member_kept *k)
{
	k->path.leaf = smq_cbor_get_uint(r);
	k->path.epoch = smq_cbor_get_uint(r);
	size_t count = smq_get_count(r, SMQ_TREE_HEIGHT_MAX + 1);
	k->granted = count > 0;
	k->path.height = count > 0 ? (unsigned)count - 1 : 0;
	for (size_t i = 0; i < count; i++) {
		struct smq_tree_node *n = &k->path.nodes[i];
		if (smq_cbor_get_array(r) != NODE_FIELDS)
			smq_reader_fail(r, SMQ_ERR_CORRUPT);
		n->version = smq_cbor_get_uint(r);
		n->refreshed = smq_cbor_get_uint(r);
		smq_get_fixed(r, smq_mspan_of(n->key.b, SMQ_TREE_KEY_LEN));
	}
}

static void get_epochs(struct smq_reader *r, struct member_kept *k)
{
	size_t count = smq_get_count(r, SMQ_GM_EPOCHS_MAX);
	for (size_t i = 0; i < count; i++) {
		struct member_epoch *e = &k->epochs[i];
		if (smq_cbor_get_array(r) != EPOCH_FIELDS)
			smq_reader_fail(r, SMQ_ERR_CORRUPT);
		e->number = smq_get_between(r, 1, UINT64_MAX);
		smq_get_fixed(r, smq_mspan_of(e->secret.b, SMQ_EPOCH_SECRET_LEN));
		smq_get_fixed(r, smq_mspan_of(e->manifest, SMQ_HASH_LEN));
		e->activate_at_ms = smq_get_time(r);
		e->until_ms = smq_get_end(r);
		e->alg = (int)smq_get_between(r, 0, INT16_MAX);
	}
}

static void get_holder(struct smq_reader *r, struct member_kept *k, const struct smq_crypto *crypto,
		       struct smq_slot_holder *h)
{
	struct smq_slot_seeds seeds;
	if (smq_cbor_get_array(r) != TREE_FIELDS)
		smq_reader_fail(r, SMQ_ERR_CORRUPT);
	uint64_t tree = smq_cbor_get_uint(r);
	smq_span bytes = smq_cbor_get_bytes(r);
	if (r->err == SMQ_OK &&
	    (smq_slot_seeds_decode(bytes, k->times.levels, &seeds) != SMQ_OK ||
	     smq_slot_holder_init(h, crypto, tree, k->times.levels, k->slot_floor, &seeds) != SMQ_OK))
		smq_reader_fail(r, SMQ_ERR_CORRUPT);
	smq_wipe(&seeds, sizeof(seeds));
}

static void get_slots(struct smq_reader *r, struct member_kept *k, const struct smq_crypto *crypto)
{
	k->mode = (enum smq_policy_mode)smq_get_between(r, SMQ_MODE_STATIC, SMQ_MODE_SLOTTED);
	k->times.start_ms = smq_get_time(r);
	k->times.slot_ms = smq_cbor_get_uint(r);
	k->times.levels = (unsigned)smq_get_between(r, 0, SMQ_SLOT_LEVELS_MAX);
	k->times.skew_ms = SMQ_GM_SKEW_MS;
	k->slot_floor = smq_cbor_get_uint(r);
	if (k->mode == SMQ_MODE_SLOTTED && k->times.slot_ms == 0)
		smq_reader_fail(r, SMQ_ERR_CORRUPT);
	k->holder_count = smq_get_count(r, SMQ_KS_TREES_MAX);
	for (size_t i = 0; i < k->holder_count; i++)
		get_holder(r, k, crypto, &k->holders[i]);
}

smq_err smq_gm_kept_decode(smq_span bytes, const struct smq_tree_scope *scope, struct member_kept *k)
{
	struct smq_reader r = smq_reader_on(bytes);
	struct smq_policy policy;
	smq_wipe(k, sizeof(*k));
	k->path.scope = scope;
	smq_get_head(&r, FIELDS, VERSION);
	get_chain(&r, &k->chain);
	k->mark.number = smq_cbor_get_uint(&r);
	smq_get_fixed(&r, smq_mspan_of(k->mark.digest, SMQ_HASH_LEN));
	smq_span document = smq_cbor_get_bytes(&r);
	k->sender_id = smq_cbor_get_uint(&r);
	smq_get_fixed(&r, smq_mspan_of(k->boot_id, SMQ_BOOT_ID_LEN));
	k->roles = (unsigned)smq_get_between(&r, 0, SMQ_JOIN_PUBLISH | SMQ_JOIN_SUBSCRIBE);
	k->from_ms = smq_get_time(&r);
	k->until_ms = smq_get_end(&r);
	k->joined = smq_cbor_get_uint(&r);
	k->in_use = smq_cbor_get_uint(&r);
	get_path(&r, k);
	get_epochs(&r, k);
	get_slots(&r, k, scope->crypto);
	bool good = smq_reader_end(&r) == SMQ_OK && document.len <= sizeof(k->policy) &&
		    (document.len == 0 || smq_policy_decode(document, &policy) == SMQ_OK) &&
		    (!k->granted || (document.len > 0 && k->chain.epoch != 0 && k->path.height >= 1));
	if (!good) {
		smq_wipe(k, sizeof(*k));
		return SMQ_ERR_CORRUPT;
	}
	if (document.len > 0)
		memcpy(k->policy, document.p, document.len);
	k->policy_len = document.len;
	return SMQ_OK;
}

uint64_t smq_group_kept_epoch(smq_span state)
{
	struct smq_reader r = smq_reader_on(state);
	struct smq_manifest_chain chain = { .epoch = 0 };
	smq_get_head(&r, FIELDS, VERSION);
	get_chain(&r, &chain);
	return r.err == SMQ_OK ? chain.epoch : 0;
}

bool smq_group_kept_life(smq_span state, uint64_t *ret_sender_id, uint8_t ret_boot_id[SMQ_BOOT_ID_LEN])
{
	struct smq_reader r = smq_reader_on(state);
	struct smq_manifest_chain chain = { .epoch = 0 };
	uint8_t bytes[SMQ_HASH_LEN], boot_id[SMQ_BOOT_ID_LEN];
	smq_get_head(&r, FIELDS, VERSION);
	get_chain(&r, &chain);
	(void)smq_cbor_get_uint(&r);
	smq_get_fixed(&r, smq_mspan_of(bytes, sizeof(bytes)));
	(void)smq_cbor_get_bytes(&r);
	uint64_t sender_id = smq_cbor_get_uint(&r);
	smq_get_fixed(&r, smq_mspan_of(boot_id, sizeof(boot_id)));
	if (r.err != SMQ_OK || chain.epoch == 0)
		return false;
	*ret_sender_id = sender_id;
	memcpy(ret_boot_id, boot_id, sizeof(boot_id));
	return true;
}

smq_span smq_group_kept_policy(smq_span state)
{
	struct smq_reader r = smq_reader_on(state);
	struct smq_manifest_chain chain;
	uint8_t bytes[SMQ_HASH_LEN];
	smq_get_head(&r, FIELDS, VERSION);
	get_chain(&r, &chain);
	(void)smq_cbor_get_uint(&r);
	smq_get_fixed(&r, smq_mspan_of(bytes, sizeof(bytes)));
	smq_span policy = smq_cbor_get_bytes(&r);
	(void)smq_cbor_get_uint(&r);
	smq_get_fixed(&r, smq_mspan_of(bytes, SMQ_BOOT_ID_LEN));
	for (int i = 0; i < 2; i++) /* roles, from */
		(void)smq_cbor_get_int(&r);
	(void)smq_get_end(&r);
	for (int i = 0; i < 4; i++) /* first epoch, epoch in use, leaf, the path's epoch */
		(void)smq_cbor_get_uint(&r);
	bool granted = smq_cbor_get_array(&r) > 0;
	return r.err == SMQ_OK && granted ? policy : smq_span_of(NULL, 0);
}

/* ---- changing it ---- */

void smq_gm_begin(smq_group_member *m) { m->next = m->k; }

/* A template is for many groups: its filters are taken as they are for ours. */
void smq_gm_read_policy(smq_group_member *m)
{
	smq_span group = smq_span_str(m->c.group);
	m->has_policy =
	    m->k.policy_len > 0 && smq_policy_decode(smq_span_of(m->k.policy, m->k.policy_len), &m->policy) == SMQ_OK;
	if (m->has_policy && m->policy.is_template)
		m->has_policy =
		    smq_policy_instantiate(&m->policy, group, smq_mspan_of(m->policy_names, sizeof(m->policy_names)),
					   &m->policy) == SMQ_OK;
}

static smq_err commit(smq_group_member *m, smq_err (*save)(void *self, smq_span state))
{
	size_t len = 0;
	smq_err err = SMQ_OK;
	if (m->c.keep) {
		err = smq_gm_kept_encode(&m->next, smq_mspan_of(m->state, sizeof(m->state)), &len);
		if (err == SMQ_OK)
			err = save(m->c.keep->self, smq_span_of(m->state, len));
		smq_wipe(m->state, sizeof(m->state));
	}
	if (err == SMQ_OK) {
		m->k = m->next;
		smq_gm_read_policy(m);
		smq_gm_find_time_due(m);
	}
	smq_wipe(&m->next, sizeof(m->next));
	return err;
}

smq_err smq_gm_commit(smq_group_member *m) { return commit(m, m->c.keep ? m->c.keep->save : NULL); }

smq_err smq_gm_commit_behind(smq_group_member *m)
{
	smq_err (*save)(void *self, smq_span state) = m->c.keep ? m->c.keep->save_behind : NULL;
	return save ? commit(m, save) : smq_gm_commit(m);
}
