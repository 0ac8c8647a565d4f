/* The manifest of an epoch (PROTOCOL.md 6.6). */
#include "wire/manifest.h"

#include "base/text.h"
#include "wire/fields.h"
#include "wire/tree_node.h"

enum { VERSION = 1, FIELDS = 17 };

static const uint8_t no_hash[SMQ_HASH_LEN];

static void put_hash(struct smq_writer *w, const uint8_t hash[SMQ_HASH_LEN])
{
	smq_cbor_put_bytes(w, smq_span_of(hash, SMQ_HASH_LEN));
}

static void put_slots(struct smq_writer *w, const struct smq_manifest *m)
{
	smq_cbor_put_uint(w, (uint64_t)m->mode);
	if (m->mode != SMQ_MODE_SLOTTED) {
		smq_cbor_put_null(w);
		return;
	}
	smq_cbor_put_array(w, 3);
	smq_cbor_put_int(w, m->slot_start_ms);
	smq_cbor_put_uint(w, m->slot_ms);
	smq_cbor_put_uint(w, m->slot_levels);
}

smq_err smq_manifest_encode(const struct smq_manifest *m, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	struct smq_manifest back;
	size_t len = 0;
	smq_cbor_put_array(&w, FIELDS);
	smq_cbor_put_uint(&w, VERSION);
	smq_cbor_put_text(&w, m->realm);
	smq_cbor_put_text(&w, m->group);
	smq_cbor_put_uint(&w, m->epoch);
	smq_cbor_put_uint(&w, m->previous_epoch);
	put_hash(&w, m->previous);
	smq_cbor_put_int(&w, m->activate_at_ms);
	smq_cbor_put_int(&w, m->expires_ms);
	smq_cbor_put_uint(&w, m->tree_height);
	smq_cbor_put_uint(&w, m->member_count);
	smq_cbor_put_uint(&w, m->root_version);
	put_hash(&w, m->members);
	smq_cbor_put_uint(&w, m->policy_number);
	put_hash(&w, m->policy);
	put_hash(&w, m->commitment);
	put_slots(&w, m);
	smq_err err = smq_writer_end(&w, &len);
	if (err == SMQ_OK && smq_manifest_decode(smq_span_of(room.p, len), &back) != SMQ_OK)
		err = SMQ_ERR_USAGE;
	if (err == SMQ_OK)
		*ret_len = len;
	return err;
}

static void read_slots(struct smq_reader *r, struct smq_manifest *m)
{
	m->mode = (enum smq_policy_mode)smq_get_between(r, 0, SMQ_MODE_SLOTTED);
	if (m->mode != SMQ_MODE_SLOTTED) {
		smq_cbor_get_null(r);
		return;
	}
	if (smq_cbor_get_array(r) != 3)
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
	m->slot_start_ms = smq_cbor_get_int(r);
	m->slot_ms = smq_get_between(r, SMQ_POLICY_SLOT_MIN_MS, SMQ_POLICY_SLOT_MAX_MS);
	m->slot_levels = (unsigned)smq_get_between(r, 1, SMQ_SLOT_LEVELS_MAX);
}

static void read_chain(struct smq_reader *r, struct smq_manifest *m)
{
	m->epoch = smq_get_between(r, 1, UINT64_MAX);
	m->previous_epoch = smq_cbor_get_uint(r);
	smq_get_fixed(r, smq_mspan_of(m->previous, SMQ_HASH_LEN));
	bool first = m->previous_epoch == 0;
	if (m->previous_epoch >= m->epoch || first != (memcmp(m->previous, no_hash, SMQ_HASH_LEN) == 0))
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
	m->activate_at_ms = (int64_t)smq_get_between(r, 0, INT64_MAX);
	m->expires_ms = (int64_t)smq_get_between(r, 0, INT64_MAX);
	if (m->activate_at_ms >= m->expires_ms)
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
}

smq_err smq_manifest_decode(smq_span bytes, struct smq_manifest *ret_manifest)
{
	struct smq_manifest m = { 0 };
	struct smq_reader r = smq_reader_on(bytes);
	if (smq_cbor_get_array(&r) != FIELDS)
		smq_reader_fail(&r, SMQ_ERR_MALFORMED);
	if (smq_cbor_get_uint(&r) != VERSION)
		smq_reader_fail(&r, SMQ_ERR_VERSION);
	m.realm = smq_cbor_get_text(&r);
	m.group = smq_cbor_get_text(&r);
	if (!smq_name_valid(m.realm) || !smq_name_valid(m.group))
		smq_reader_fail(&r, SMQ_ERR_NAME);
	read_chain(&r, &m);
	m.tree_height = (unsigned)smq_get_between(&r, 1, SMQ_TREE_HEIGHT_MAX);
	m.member_count = smq_get_between(&r, 0, SMQ_POLICY_MEMBERS_MAX);
	if (m.member_count > UINT64_C(1) << (2 * m.tree_height) % 64)
		smq_reader_fail(&r, SMQ_ERR_MALFORMED);
	m.root_version = smq_cbor_get_uint(&r);
	smq_get_fixed(&r, smq_mspan_of(m.members, SMQ_HASH_LEN));
	m.policy_number = smq_get_between(&r, 1, UINT64_MAX);
	smq_get_fixed(&r, smq_mspan_of(m.policy, SMQ_HASH_LEN));
	smq_get_fixed(&r, smq_mspan_of(m.commitment, SMQ_HASH_LEN));
	read_slots(&r, &m);
	smq_err err = smq_reader_end(&r);
	if (err == SMQ_OK)
		*ret_manifest = m;
	return err;
}
