/* Replay floors of a group's senders, kept in the store (FORMATS.md 2.2). */
#include "app/group_windows.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/big_endian.h"
#include "base/varint.h"

static const uint8_t head[SMQ_GROUP_SHARD_HEAD_LEN] = "smqflr1";

enum { KEY_MAX = 80 };

/* An entry of a shard: a boot id, and its floor. */
static uint64_t floor_of(const uint8_t *entry) { return smq_get_be(entry + SMQ_BOOT_ID_LEN, sizeof(uint64_t)); }

static void set_floor(uint8_t *entry, uint64_t floor) { smq_put_be(entry + SMQ_BOOT_ID_LEN, floor, sizeof(uint64_t)); }

/* ---- one shard in w->room ---- */

struct shard {
	char key[KEY_MAX + 1];
	size_t len;
	uint8_t *entry; /* of the life asked for; NULL: none */
};

static smq_err check_shard(const uint8_t *bytes, size_t len)
{
	if (len < sizeof(head) || memcmp(bytes, head, sizeof(head)) != 0 ||
	    (len - sizeof(head)) % SMQ_GROUP_SHARD_ENTRY_LEN != 0)
		return SMQ_ERR_CORRUPT;
	return SMQ_OK;
}

static void shard_key(const struct smq_group_windows_store *w, uint64_t sender_id, const uint8_t *boot_id,
		      char ret_key[KEY_MAX + 1])
{
	snprintf(ret_key, KEY_MAX + 1, "%s-%" PRIu64 "-%02x", w->prefix, sender_id, boot_id[0]);
}

static uint8_t *find_life(uint8_t *value, size_t len, const uint8_t *boot_id)
{
	for (size_t at = sizeof(head); at < len; at += SMQ_GROUP_SHARD_ENTRY_LEN) {
		if (memcmp(value + at, boot_id, SMQ_BOOT_ID_LEN) == 0)
			return value + at;
	}
	return NULL;
}

static smq_err load_shard(struct smq_group_windows_store *w, uint64_t sender_id, const uint8_t *boot_id,
			  struct shard *ret_shard)
{
	struct shard s = { .len = sizeof(head) };
	shard_key(w, sender_id, boot_id, s.key);
	smq_err err = w->store->get(w->store->self, s.key, smq_mspan_of(w->room, sizeof(w->room)), &s.len);
	if (err == SMQ_ERR_NOT_FOUND) {
		memcpy(w->room, head, sizeof(head));
		s.len = sizeof(head);
		err = SMQ_OK;
	}
	if (err == SMQ_OK)
		err = check_shard(w->room, s.len);
	if (err != SMQ_OK)
		return err == SMQ_ERR_NO_ROOM ? SMQ_ERR_CORRUPT : err;
	s.entry = find_life(w->room, s.len, boot_id);
	*ret_shard = s;
	return SMQ_OK;
}

static smq_err add_entry(struct smq_group_windows_store *w, struct shard *s, const uint8_t *boot_id)
{
	if (sizeof(w->room) - s->len < SMQ_GROUP_SHARD_ENTRY_LEN)
		return SMQ_ERR_FULL;
	s->entry = w->room + s->len;
	s->len += SMQ_GROUP_SHARD_ENTRY_LEN;
	memcpy(s->entry, boot_id, SMQ_BOOT_ID_LEN);
	set_floor(s->entry, 0);
	return SMQ_OK;
}

/* ---- two values ---- */

smq_err smq_group_floors_merge(smq_span mine, smq_span theirs, smq_mspan room, size_t *ret_len)
{
	smq_span base = mine.len > 0 ? mine : smq_span_of(head, sizeof(head));
	size_t len = base.len, most = room.len < SMQ_GROUP_SHARD_MAX ? room.len : SMQ_GROUP_SHARD_MAX;
	if (check_shard(base.p, base.len) != SMQ_OK || check_shard(theirs.p, theirs.len) != SMQ_OK)
		return SMQ_ERR_CORRUPT;
	if (len > most)
		return SMQ_ERR_FULL;
	memcpy(room.p, base.p, len);
	for (size_t at = sizeof(head); at < theirs.len; at += SMQ_GROUP_SHARD_ENTRY_LEN) {
		const uint8_t *its = theirs.p + at;
		uint8_t *ours = find_life(room.p, len, its);
		if (!ours && most - len < SMQ_GROUP_SHARD_ENTRY_LEN)
			return SMQ_ERR_FULL;
		if (!ours) {
			memcpy(room.p + len, its, SMQ_GROUP_SHARD_ENTRY_LEN);
			len += SMQ_GROUP_SHARD_ENTRY_LEN;
		} else if (floor_of(its) > floor_of(ours)) {
			memcpy(ours, its, SMQ_GROUP_SHARD_ENTRY_LEN);
		}
	}
	*ret_len = len;
	return SMQ_OK;
}

/* ---- the port ---- */

static smq_err load(void *self, uint64_t sender_id, const uint8_t boot_id[SMQ_BOOT_ID_LEN], uint64_t *ret_floor)
{
	struct shard s;
	smq_err err = load_shard(self, sender_id, boot_id, &s);
	if (err != SMQ_OK)
		return err;
	if (!s.entry)
		return SMQ_ERR_NOT_FOUND;
	uint64_t floor = floor_of(s.entry);
	if (floor > SMQ_VARINT_MAX + 1)
		return SMQ_ERR_CORRUPT;
	*ret_floor = floor;
	return SMQ_OK;
}

/* What is on its way under the name of this life's value, as that is durable or has failed. */
static void catch_up(const struct smq_group_windows_store *w, uint64_t sender_id, const uint8_t *boot_id)
{
	char key[KEY_MAX + 1];
	shard_key(w, sender_id, boot_id, key);
	if (w->store->catch_up)
		(void)w->store->catch_up(w->store->self, key);
}

/* The shard with the floor raised, in w->room; *ret_raised is false where it was as high before. */
static smq_err raise_floor(struct smq_group_windows_store *w, uint64_t sender_id, const uint8_t *boot_id,
			   uint64_t floor, struct shard *ret_shard, bool *ret_raised)
{
	smq_err err = load_shard(w, sender_id, boot_id, ret_shard);
	if (err == SMQ_OK && !ret_shard->entry)
		err = add_entry(w, ret_shard, boot_id);
	if (err != SMQ_OK)
		return err;
	*ret_raised = floor_of(ret_shard->entry) < floor;
	if (*ret_raised)
		set_floor(ret_shard->entry, floor);
	return SMQ_OK;
}

static smq_err save(void *self, uint64_t sender_id, const uint8_t boot_id[SMQ_BOOT_ID_LEN], uint64_t floor)
{
	struct smq_group_windows_store *w = self;
	struct shard s;
	bool raised = false;
	catch_up(w, sender_id, boot_id);
	smq_err err = raise_floor(w, sender_id, boot_id, floor, &s, &raised);
	return err == SMQ_OK && raised ? w->store->put(w->store->self, s.key, smq_span_of(w->room, s.len)) : err;
}

static void save_behind(void *self, uint64_t sender_id, const uint8_t boot_id[SMQ_BOOT_ID_LEN], uint64_t floor)
{
	struct smq_group_windows_store *w = self;
	struct shard s;
	bool raised = false;
	smq_err err = raise_floor(w, sender_id, boot_id, floor, &s, &raised);
	if (err == SMQ_OK && raised)
		err = w->store->put_behind(w->store->self, s.key, smq_span_of(w->room, s.len));
	(void)err; /* then save makes up for it */
}

static smq_err settle(void *self, uint64_t sender_id, const uint8_t boot_id[SMQ_BOOT_ID_LEN], uint64_t written,
		      uint64_t floor)
{
	struct smq_group_windows_store *w = self;
	struct shard s;
	catch_up(w, sender_id, boot_id);
	smq_err err = load_shard(w, sender_id, boot_id, &s);
	if (err != SMQ_OK || !s.entry || floor_of(s.entry) != written)
		return err;
	set_floor(s.entry, floor);
	return w->store->put(w->store->self, s.key, smq_span_of(w->room, s.len));
}

smq_err smq_group_state_digest(const struct smq_crypto *crypto, const struct smq_group_file *file,
			       char ret_hex[SMQ_GROUP_STATE_DIGEST_ROOM])
{
	uint8_t digest[SMQ_HASH_LEN], epoch[8];
	/* Names hold no zero byte, so the terminators part them. */
	smq_put_be(epoch, file->epoch, sizeof(uint64_t));
	const smq_span parts[] = { smq_span_of(file->realm, strlen(file->realm) + 1),
				   smq_span_of(file->group, strlen(file->group) + 1),
				   smq_span_of(epoch, sizeof(epoch)) };
	smq_err err = crypto->sha256(parts, sizeof(parts) / sizeof(parts[0]), digest);
	if (err != SMQ_OK)
		return err;
	return smq_hex_encode(smq_span_of(digest, SMQ_GROUP_STATE_DIGEST_ROOM / 2), ret_hex,
			      SMQ_GROUP_STATE_DIGEST_ROOM);
}

smq_err smq_group_windows_init(struct smq_group_windows_store *w, const struct smq_store *store,
			       const struct smq_crypto *crypto, const struct smq_group_file *file,
			       struct smq_group_windows *ret_windows)
{
	char digest[SMQ_GROUP_STATE_DIGEST_ROOM];
	smq_err err = smq_group_state_digest(crypto, file, digest);
	if (err != SMQ_OK)
		return err;
	w->store = store;
	snprintf(w->prefix, sizeof(w->prefix), SMQ_STORE_FLOOR "%s", digest);
	*ret_windows = (struct smq_group_windows){
		.self = w,
		.load = load,
		.save = save,
		.settle = settle,
		.save_behind = store->put_behind ? save_behind : NULL,
	};
	return SMQ_OK;
}
