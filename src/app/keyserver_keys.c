/* Registered keys at the key server (PROTOCOL.md 7.8): members without certificates, by kid and by name; and its own
 * key in the form that they can check. */
#include "app/keyserver_inner.h"

#include <stdlib.h>

#include "base/text.h"
#include "wire/fields.h"

enum { VERSION = 1, KEY_FIELDS = 3, ITEM_MAX = 96 };

struct ks_key {
	char name[SMQ_MEMBER_NAME_MAX + 1];
	uint8_t point[SMQ_PUBLIC_KEY_MAX];
	uint8_t id[SMQ_HASH_LEN]; /* its thumbprint, which begins with the kid */
	int64_t since_ms;
	enum {
		KEY_IN_FORCE,
		KEY_COMES, /* in the next transaction; until then it opens nothing */
		KEY_GOES   /* likewise; it opens nothing any more */
	} state;
};

/* ---- the two orders ---- */

static int compare(const struct ks_key *k, bool by_name, smq_span what)
{
	smq_span have = by_name ? smq_span_str(k->name) : smq_span_of(k->id, sizeof(k->id));
	size_t len = have.len < what.len ? have.len : what.len;
	int order = memcmp(have.p, what.p, len);
	if (order != 0 || !by_name)
		return order; /* a kid is the beginning of an id */
	return (have.len > what.len) - (have.len < what.len);
}

/* Where it is, or would be. */
static size_t place_of(const struct ks_keys *keys, bool by_name, smq_span what)
{
	struct ks_key *const *list = by_name ? keys->by_name : keys->by_id;
	size_t low = 0, high = keys->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (compare(list[middle], by_name, what) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct ks_key *find(const struct ks_keys *keys, bool by_name, smq_span what)
{
	struct ks_key *const *list = by_name ? keys->by_name : keys->by_id;
	size_t at = place_of(keys, by_name, what);
	return at < keys->count && compare(list[at], by_name, what) == 0 ? list[at] : NULL;
}

static smq_err make_room(struct ks_keys *keys)
{
	size_t room = keys->room ? 2 * keys->room : 16;
	if (keys->count < keys->room)
		return SMQ_OK;
	struct ks_key **by_id = realloc(keys->by_id, room * sizeof(struct ks_key *));
	keys->by_id = by_id ? by_id : keys->by_id;
	struct ks_key **by_name = by_id ? realloc(keys->by_name, room * sizeof(struct ks_key *)) : NULL;
	keys->by_name = by_name ? by_name : keys->by_name;
	struct ks_key **pending = by_name ? realloc(keys->pending, room * sizeof(struct ks_key *)) : NULL;
	keys->pending = pending ? pending : keys->pending;
	if (!pending)
		return SMQ_ERR_NO_MEMORY;
	keys->room = room;
	return SMQ_OK;
}

static void insert_at(struct ks_key **list, size_t count, size_t at, struct ks_key *k)
{
	memmove(list + at + 1, list + at, (count - at) * sizeof(struct ks_key *));
	list[at] = k;
}

/* k is taken over, if it goes well. */
static smq_err insert(struct ks_keys *keys, struct ks_key *k)
{
	smq_span name = smq_span_str(k->name), id = smq_span_of(k->id, sizeof(k->id));
	smq_err err = make_room(keys);
	if (err != SMQ_OK)
		return err;
	insert_at(keys->by_name, keys->count, place_of(keys, true, name), k);
	insert_at(keys->by_id, keys->count, place_of(keys, false, id), k);
	keys->count++;
	return SMQ_OK;
}

static void remove_at(struct ks_key **list, size_t count, size_t at)
{
	memmove(list + at, list + at + 1, (count - at - 1) * sizeof(struct ks_key *));
}

static void take_out(struct ks_keys *keys, const struct ks_key *k)
{
	remove_at(keys->by_name, keys->count, place_of(keys, true, smq_span_str(k->name)));
	remove_at(keys->by_id, keys->count, place_of(keys, false, smq_span_of(k->id, sizeof(k->id))));
	keys->count--;
}

static void drop(struct ks_keys *keys, struct ks_key *k)
{
	take_out(keys, k);
	free(k);
}

/* ---- those that have gone: known still, so that they can be told ---- */

static void forget(struct ks_keys *gone, struct ks_key *k)
{
	if (k)
		drop(gone, k);
}

/* k is taken over. */
static void keep_as_gone(struct ks_keys *gone, struct ks_key *k)
{
	forget(gone, find(gone, true, smq_span_str(k->name)));
	forget(gone, find(gone, false, smq_span_of(k->id, SMQ_KID_LEN)));
	if (gone->count >= KS_KEYS_MAX || insert(gone, k) != SMQ_OK)
		free(k);
}

/* ---- the store ---- */

static smq_err remove_item(const struct smq_keyserver *ks, const char *name, bool gone)
{
	const struct smq_ks_store *s = &ks->config.store;
	smq_err err = s->remove(s->self, SMQ_KS_ITEM_KEY, name, gone, 0);
	return err == SMQ_ERR_NOT_FOUND ? SMQ_OK : err;
}

static smq_err put_item(const struct smq_keyserver *ks, const struct ks_key *k, bool gone)
{
	const struct smq_ks_store *s = &ks->config.store;
	uint8_t room[ITEM_MAX];
	size_t len = 0;
	struct smq_writer w = smq_writer_on(smq_mspan_of(room, sizeof(room)));
	smq_cbor_put_array(&w, KEY_FIELDS);
	smq_cbor_put_uint(&w, VERSION);
	smq_cbor_put_bytes(&w, smq_span_of(k->point, sizeof(k->point)));
	smq_put_time(&w, k->since_ms);
	smq_err err = smq_writer_end(&w, &len);
	return err == SMQ_OK ? s->put(s->self, SMQ_KS_ITEM_KEY, k->name, gone, 0, smq_span_of(room, len)) : err;
}

/* A key that comes takes the place of one that has gone: by name, or by being the same. */
static smq_err save(const struct smq_keyserver *ks, const struct ks_key *k)
{
	bool gone = k->state == KEY_GOES;
	const struct ks_key *same = find(&ks->gone, false, smq_span_of(k->id, SMQ_KID_LEN));
	smq_err err = remove_item(ks, k->name, !gone);
	if (err == SMQ_OK && same)
		err = remove_item(ks, same->name, true);
	return err == SMQ_OK ? put_item(ks, k, gone) : err;
}

smq_err ks_keys_save(struct smq_keyserver *ks)
{
	smq_err err = SMQ_OK;
	for (size_t i = 0; i < ks->keys.pending_count && err == SMQ_OK; i++)
		err = save(ks, ks->keys.pending[i]);
	return err;
}

static void settle(struct smq_keyserver *ks, struct ks_key *k, bool durable)
{
	bool comes = k->state == KEY_COMES;
	k->state = KEY_IN_FORCE;
	if (comes && durable) {
		forget(&ks->gone, find(&ks->gone, true, smq_span_str(k->name)));
		forget(&ks->gone, find(&ks->gone, false, smq_span_of(k->id, SMQ_KID_LEN)));
	} else if (comes) {
		drop(&ks->keys, k);
	} else if (durable) {
		take_out(&ks->keys, k);
		keep_as_gone(&ks->gone, k);
	}
}

void ks_keys_settle(struct smq_keyserver *ks, bool durable)
{
	for (size_t i = 0; i < ks->keys.pending_count; i++)
		settle(ks, ks->keys.pending[i], durable);
	ks->keys.pending_count = 0;
}

static smq_err take_key(void *context, const char *name, uint64_t a, uint64_t b, smq_span value)
{
	struct smq_keyserver *ks = context;
	struct ks_key *k = calloc(1, sizeof(*k));
	struct smq_reader r = smq_reader_on(value);
	smq_get_head(&r, KEY_FIELDS, VERSION);
	if (!k)
		return SMQ_ERR_NO_MEMORY;
	smq_get_fixed(&r, smq_mspan_of(k->point, sizeof(k->point)));
	k->since_ms = smq_get_time(&r);
	struct ks_keys *keys = a == 1 ? &ks->gone : &ks->keys;
	bool good = smq_reader_end(&r) == SMQ_OK && smq_name_valid(smq_span_str(name)) && a <= 1 && b == 0;
	smq_err err = good ? smq_registered_key_thumbprint(ks->config.crypto, k->point, k->id) : SMQ_ERR_CORRUPT;
	if (err == SMQ_OK)
		memcpy(k->name, name, strlen(name) + 1);
	if (err == SMQ_OK)
		err = make_room(keys);
	if (err != SMQ_OK) {
		free(k);
		return err;
	}
	keys->by_name[keys->count] = keys->by_id[keys->count] = k; /* in order when all of them are there */
	keys->count++;
	return SMQ_OK;
}

static int in_order_of_names(const void *a, const void *b)
{
	return strcmp((*(struct ks_key *const *)a)->name, (*(struct ks_key *const *)b)->name);
}

static int in_order_of_ids(const void *a, const void *b)
{
	return memcmp((*(struct ks_key *const *)a)->id, (*(struct ks_key *const *)b)->id, SMQ_HASH_LEN);
}

static void sort(struct ks_keys *keys)
{
	if (keys->count == 0)
		return;
	qsort(keys->by_name, keys->count, sizeof(struct ks_key *), in_order_of_names);
	qsort(keys->by_id, keys->count, sizeof(struct ks_key *), in_order_of_ids);
}

smq_err ks_keys_load(struct smq_keyserver *ks)
{
	const struct smq_ks_store *s = &ks->config.store;
	smq_err err = s->each(s->self, SMQ_KS_ITEM_KEY, NULL, ks, take_key);
	sort(&ks->keys);
	sort(&ks->gone);
	return err;
}

static void done(struct ks_keys *keys)
{
	for (size_t i = 0; i < keys->count; i++)
		free(keys->by_name[i]);
	free(keys->by_name);
	free(keys->by_id);
	free(keys->pending);
}

void ks_keys_done(struct smq_keyserver *ks)
{
	done(&ks->keys);
	done(&ks->gone);
}

/* ---- credentials ---- */

bool ks_key_is_registered(const struct smq_keyserver *ks, const uint8_t id[SMQ_HASH_LEN])
{
	const struct ks_key *k = find(&ks->keys, false, smq_span_of(id, SMQ_HASH_LEN));
	return k && k->state == KEY_IN_FORCE;
}

bool ks_key_has_name(const struct smq_keyserver *ks, smq_span name) { return find(&ks->keys, true, name) != NULL; }

/* By kid first: nothing else that we are shown is as short. One that has gone proves who it is, and is told so. */
static smq_err resolve(void *self, smq_span id_cred, int64_t now_ms, struct smq_credential *ret_credential)
{
	struct smq_keyserver *ks = self;
	const struct smq_credentials *others = ks->config.credentials;
	const uint8_t *kid = smq_registered_key_kid(id_cred);
	const struct ks_key *k = kid ? find(&ks->keys, false, smq_span_of(kid, SMQ_KID_LEN)) : NULL;
	k = k || !kid ? k : find(&ks->gone, false, smq_span_of(kid, SMQ_KID_LEN));
	if (!k || k->state == KEY_COMES)
		return others->resolve(others->self, id_cred, now_ms, ret_credential);
	memset(ret_credential, 0, sizeof(*ret_credential));
	memcpy(ret_credential->name, k->name, sizeof(k->name));
	memcpy(ret_credential->id, k->id, sizeof(k->id));
	ret_credential->roles = SMQ_ROLE_MEMBER;
	ret_credential->expires_ms = INT64_MAX;
	return smq_registered_key_credential(k->point, ret_credential);
}

/* Our certificate's key, as those know it who have no use for certificates. A key that only signs is of no use here. */
static smq_err make_own(struct smq_keyserver *ks)
{
	const struct smq_own_credential *own = ks->config.own;
	const struct smq_credentials *c = ks->config.credentials;
	struct smq_credential *as_key = &ks->own_key.credential;
	if (!own->signer.agree || c->resolve(c->self, own->id_cred_full, ks_now(ks).unix_ms, as_key) != SMQ_OK ||
	    as_key->dh_curve != SMQ_P256)
		return SMQ_OK;
	smq_err err = smq_registered_key_credential(as_key->public_key, as_key);
	smq_registered_key_id_cred(as_key->id, ks->own_key.id_cred);
	ks->own_key.own = *own;
	ks->own_key.own.id_cred_full = ks->own_key.own.id_cred_short =
	    smq_span_of(ks->own_key.id_cred, sizeof(ks->own_key.id_cred));
	ks->own_key.own.cred = smq_span_of(as_key->cred, as_key->cred_len);
	ks->own_key.own.dh_curve = SMQ_P256;
	ks->own_key.serves = err == SMQ_OK;
	return err;
}

smq_err ks_keys_init(struct smq_keyserver *ks)
{
	ks->all = (struct smq_credentials){ .self = ks, .resolve = resolve };
	return make_own(ks);
}

/* ---- what admins ask for ---- */

static bool is_member_anywhere(const struct smq_keyserver *ks, smq_span name)
{
	for (size_t i = 0; i < ks->group_count; i++) {
		if (smq_keygroup_find(ks->groups[i]->group, name))
			return true;
	}
	return false;
}

static smq_err may_register(const struct smq_keyserver *ks, smq_span name, const uint8_t id[SMQ_HASH_LEN],
			    const char **ret_why)
{
	const struct {
		bool is_so;
		smq_err err;
		const char *why;
	} rows[] = {
		{ !ks->own_key.serves, SMQ_ERR_UNSUPPORTED,
		  "the key server's own certificate is for signatures only: it takes one of `ca issue --static-dh`" },
		{ smq_span_equal(name, smq_span_str(ks->name)), SMQ_ERR_EXISTS, "that is the key server's own name" },
		{ ks_key_has_name(ks, name), SMQ_ERR_EXISTS,
		  "the name is registered with another key: unregister it first" },
		{ find(&ks->keys, false, smq_span_of(id, SMQ_HASH_LEN)), SMQ_ERR_EXISTS,
		  "the key is registered under another name" },
		{ find(&ks->keys, false, smq_span_of(id, SMQ_KID_LEN)) ||
		      memcmp(id, ks->own_key.credential.id, SMQ_KID_LEN) == 0,
		  SMQ_ERR_EXISTS, "another key has the same short id by chance: make a new one" },
		{ is_member_anywhere(ks, name), SMQ_ERR_EXISTS, "a member with a certificate has this name" },
		{ ks_barred(&ks->bars, id), SMQ_ERR_NOT_AUTHORIZED, "the key was expelled: it takes a new one" },
		{ ks->keys.count >= KS_KEYS_MAX, SMQ_ERR_FULL, "as many keys are registered as there may be" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!rows[i].is_so)
			continue;
		*ret_why = rows[i].why;
		return rows[i].err;
	}
	return SMQ_OK;
}

/* Durable already, or about to be: there is nothing to do. */
static const struct ks_key *same_key(const struct smq_keyserver *ks, smq_span name, const uint8_t id[SMQ_HASH_LEN])
{
	const struct ks_key *have = find(&ks->keys, true, name);
	return have && have->state != KEY_GOES && memcmp(have->id, id, SMQ_HASH_LEN) == 0 ? have : NULL;
}

static smq_err add_key(struct smq_keyserver *ks, smq_span name, const uint8_t point[SMQ_PUBLIC_KEY_MAX],
		       const uint8_t id[SMQ_HASH_LEN], struct smq_now now)
{
	struct ks_key *k = calloc(1, sizeof(*k));
	if (!k)
		return SMQ_ERR_NO_MEMORY;
	memcpy(k->name, name.p, name.len);
	memcpy(k->point, point, sizeof(k->point));
	memcpy(k->id, id, sizeof(k->id));
	k->since_ms = now.unix_ms;
	k->state = KEY_COMES;
	smq_err err = insert(&ks->keys, k);
	if (err != SMQ_OK) {
		free(k);
		return err;
	}
	ks->keys.pending[ks->keys.pending_count++] = k;
	return SMQ_OK;
}

smq_err ks_key_register(struct smq_keyserver *ks, const struct smq_ks_request *q, struct smq_now now, bool *ret_waits,
			const char **ret_why)
{
	uint8_t id[SMQ_HASH_LEN];
	smq_err err = smq_registered_key_thumbprint(ks->config.crypto, q->key, id);
	const struct ks_key *have = err == SMQ_OK ? same_key(ks, q->name, id) : NULL;
	if (have) {
		*ret_waits = have->state == KEY_COMES;
		return SMQ_OK;
	}
	if (err == SMQ_OK)
		err = may_register(ks, q->name, id, ret_why);
	if (err == SMQ_OK)
		err = add_key(ks, q->name, q->key, id, now);
	*ret_waits = err == SMQ_OK;
	return err;
}

/* ---- many at a time ---- */

struct many {
	struct smq_ks_key keys[SMQ_KS_KEYS_MAX];
	uint8_t ids[SMQ_KS_KEYS_MAX][SMQ_HASH_LEN];
	struct smq_ks_bad_key bad[SMQ_KS_KEYS_MAX];
	size_t count, bad_count;
};

/* What stands before it in the same request counts as registered. */
static smq_err may_register_beside(const struct smq_keyserver *ks, const struct many *m, size_t at,
				   const char **ret_why)
{
	for (size_t i = 0; i < at; i++) {
		if (smq_span_equal(m->keys[i].name, m->keys[at].name)) {
			*ret_why = "the name is there twice";
			return SMQ_ERR_EXISTS;
		}
		if (memcmp(m->ids[i], m->ids[at], SMQ_KID_LEN) == 0) {
			*ret_why = "the key is there twice, or another has the same short id by chance";
			return SMQ_ERR_EXISTS;
		}
	}
	if (same_key(ks, m->keys[at].name, m->ids[at]))
		return SMQ_OK;
	smq_err err = may_register(ks, m->keys[at].name, m->ids[at], ret_why);
	if (err == SMQ_OK && ks->keys.count + at >= KS_KEYS_MAX) {
		*ret_why = "as many keys are registered as there may be";
		return SMQ_ERR_FULL;
	}
	return err;
}

static smq_err look_at_all(const struct smq_keyserver *ks, struct many *m)
{
	smq_err err = SMQ_OK;
	for (size_t i = 0; i < m->count && err == SMQ_OK; i++)
		err = smq_registered_key_thumbprint(ks->config.crypto, m->keys[i].key, m->ids[i]);
	for (size_t i = 0; i < m->count && err == SMQ_OK; i++) {
		const char *why = NULL;
		smq_err one = may_register_beside(ks, m, i, &why);
		if (one != SMQ_OK)
			m->bad[m->bad_count++] =
			    (struct smq_ks_bad_key){ i, smq_span_str(why ? why : smq_err_text(one)) };
	}
	return err;
}

/* All of them, or none. */
static smq_err add_all(struct smq_keyserver *ks, const struct many *m, struct smq_now now, smq_span *new_names,
		       size_t *ret_count)
{
	size_t before = ks->keys.pending_count, count = 0;
	smq_err err = SMQ_OK;
	for (size_t i = 0; i < m->count && err == SMQ_OK; i++) {
		const struct ks_key *have = same_key(ks, m->keys[i].name, m->ids[i]);
		if (have && have->state == KEY_IN_FORCE)
			continue;
		if (!have)
			err = add_key(ks, m->keys[i].name, m->keys[i].key, m->ids[i], now);
		new_names[count++] = m->keys[i].name;
	}
	while (err != SMQ_OK && ks->keys.pending_count > before)
		drop(&ks->keys, ks->keys.pending[--ks->keys.pending_count]);
	*ret_count = err == SMQ_OK ? count : 0;
	return err;
}

smq_err ks_keys_register_many(struct smq_keyserver *ks, const struct smq_ks_request *q, struct smq_now now,
			      smq_span ret_names[SMQ_KS_KEYS_MAX], size_t *ret_count, size_t *ret_body_len)
{
	struct many *m = calloc(1, sizeof(*m));
	smq_err err = m ? smq_ks_keys_decode(q->keys, m->keys, &m->count) : SMQ_ERR_NO_MEMORY;
	if (err == SMQ_OK)
		err = look_at_all(ks, m);
	for (size_t i = 0; err == SMQ_OK && i < m->bad_count; i++)
		ret_names[i] = m->keys[m->bad[i].index].name;
	*ret_count = m ? m->bad_count : 0;
	if (err == SMQ_OK && (m->bad_count > 0 || !q->commit))
		err = smq_ks_bad_keys_encode(m->bad, m->bad_count, smq_mspan_of(ks->body, sizeof(ks->body)),
					     ret_body_len);
	else if (err == SMQ_OK)
		err = add_all(ks, m, now, ret_names, ret_count);
	free(m);
	return err;
}

/* Out of every group, in the same transaction. A group that cannot be written now would keep it. */
smq_err ks_key_unregister(struct smq_keyserver *ks, smq_span name, struct smq_now now, const char **ret_why)
{
	struct ks_key *k = find(&ks->keys, true, name);
	if (!k || k->state != KEY_IN_FORCE) {
		*ret_why = "no key is registered under this name";
		return SMQ_ERR_NOT_FOUND;
	}
	for (size_t i = 0; i < ks->group_count; i++) {
		if (ks->groups[i]->broken)
			return SMQ_ERR_STORE;
	}
	for (size_t i = 0; i < ks->group_count; i++) {
		smq_err err = ks_group_leave(ks->groups[i], name, true, now);
		if (err != SMQ_OK && err != SMQ_ERR_NOT_FOUND)
			return err;
	}
	k->state = KEY_GOES;
	ks->keys.pending[ks->keys.pending_count++] = k;
	return SMQ_OK;
}

smq_err ks_keys_list(struct smq_keyserver *ks, uint64_t offset, size_t *ret_len)
{
	struct smq_ks_key_line lines[SMQ_KS_PAGE];
	size_t count = 0;
	uint64_t at = offset;
	for (; at < ks->keys.count && count < SMQ_KS_PAGE; at++) {
		const struct ks_key *k = ks->keys.by_name[at];
		if (k->state != KEY_IN_FORCE)
			continue;
		lines[count] = (struct smq_ks_key_line){ .name = smq_span_str(k->name), .since_ms = k->since_ms };
		memcpy(lines[count++].kid, k->id, SMQ_KID_LEN);
	}
	return smq_ks_registered_encode(lines, count, at < ks->keys.count ? at : SMQ_KS_NO_MORE,
					smq_mspan_of(ks->body, sizeof(ks->body)), ret_len);
}
