/* A member as the members digest knows it, and the proof that it is in there (PROTOCOL.md 6.7). */
#include "wire/member_proof.h"

#include "base/text.h"
#include "wire/cbor.h"

enum { VERSION = 1, RECORD_FIELDS = 6, PROOF_FIELDS = 5, MASK_ALL = 7, ROLES_ALL = 3 };

static const uint8_t nobody[SMQ_HASH_LEN];

smq_err smq_member_record_encode(const struct smq_member_record *record, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	if (!smq_name_valid(record->name))
		return SMQ_ERR_NAME;
	if (record->roles < 1 || record->roles > ROLES_ALL || record->from_ms >= record->until_ms)
		return SMQ_ERR_USAGE;
	smq_cbor_put_array(&w, RECORD_FIELDS);
	smq_cbor_put_text(&w, smq_span_str("sealmq1 member"));
	smq_cbor_put_text(&w, record->name);
	smq_cbor_put_uint(&w, record->sender_id);
	smq_cbor_put_uint(&w, record->roles);
	smq_cbor_put_int(&w, record->from_ms);
	smq_cbor_put_int(&w, record->until_ms);
	return smq_writer_end(&w, ret_len);
}

static bool somebody(const uint8_t hash[SMQ_HASH_LEN]) { return memcmp(hash, nobody, SMQ_HASH_LEN) != 0; }

/* A leaf number that the height does not reach would be read as another one. */
static bool within(uint64_t leaf, uint64_t height)
{
	return height >= 1 && height <= SMQ_TREE_HEIGHT_MAX && leaf >> 2 * height == 0;
}

smq_err smq_member_proof_encode(const struct smq_member_proof *proof, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	uint8_t masks[SMQ_TREE_HEIGHT_MAX] = { 0 };
	size_t count = 0;
	if (!within(proof->leaf, proof->height))
		return SMQ_ERR_USAGE;
	for (unsigned h = 0; h < proof->height; h++) {
		for (unsigned i = 0; i < SMQ_MEMBER_SIBLINGS; i++) {
			bool there = somebody(proof->siblings[h][i]);
			masks[h] |= (uint8_t)(there << i);
			count += there;
		}
	}
	smq_cbor_put_array(&w, PROOF_FIELDS);
	smq_cbor_put_uint(&w, VERSION);
	smq_cbor_put_uint(&w, proof->leaf);
	smq_cbor_put_uint(&w, proof->height);
	smq_cbor_put_bytes(&w, smq_span_of(masks, proof->height));
	smq_cbor_put_bytes_head(&w, count * SMQ_HASH_LEN);
	for (unsigned h = 0; h < proof->height; h++) {
		for (unsigned i = 0; i < SMQ_MEMBER_SIBLINGS; i++) {
			if (masks[h] >> i & 1)
				smq_write(&w, smq_span_of(proof->siblings[h][i], SMQ_HASH_LEN));
		}
	}
	return smq_writer_end(&w, ret_len);
}

static void read_level(struct smq_reader *hashes, uint8_t mask, uint8_t siblings[SMQ_MEMBER_SIBLINGS][SMQ_HASH_LEN])
{
	if (mask > MASK_ALL)
		smq_reader_fail(hashes, SMQ_ERR_MALFORMED);
	for (unsigned i = 0; i < SMQ_MEMBER_SIBLINGS; i++) {
		if (!(mask >> i & 1))
			continue;
		smq_span hash = smq_read(hashes, SMQ_HASH_LEN);
		if (hash.len != SMQ_HASH_LEN || !somebody(hash.p))
			smq_reader_fail(hashes, SMQ_ERR_MALFORMED);
		else
			memcpy(siblings[i], hash.p, SMQ_HASH_LEN);
	}
}

smq_err smq_member_proof_decode(smq_span bytes, struct smq_member_proof *ret_proof)
{
	struct smq_member_proof p = { 0 };
	struct smq_reader r = smq_reader_on(bytes);
	if (smq_cbor_get_array(&r) != PROOF_FIELDS)
		smq_reader_fail(&r, SMQ_ERR_MALFORMED);
	if (smq_cbor_get_uint(&r) != VERSION)
		smq_reader_fail(&r, SMQ_ERR_VERSION);
	p.leaf = smq_cbor_get_uint(&r);
	uint64_t height = smq_cbor_get_uint(&r);
	smq_span masks = smq_cbor_get_bytes(&r);
	struct smq_reader hashes = smq_reader_on(smq_cbor_get_bytes(&r));
	if (!within(p.leaf, height) || masks.len != height)
		smq_reader_fail(&r, SMQ_ERR_MALFORMED);
	smq_err err = smq_reader_end(&r);
	if (err != SMQ_OK)
		return err;
	p.height = (unsigned)height;
	for (unsigned h = 0; h < p.height; h++)
		read_level(&hashes, masks.p[h], p.siblings[h]);
	err = smq_reader_end(&hashes);
	if (err == SMQ_OK)
		*ret_proof = p;
	return err;
}
