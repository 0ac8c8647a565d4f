/* The sealed message's compact form (PROTOCOL.md 3.2). */
#include "wire/sealed.h"

#include "base/hot.h"
#include "base/table.h"
#include "base/varint.h"
#include "wire/sealed_key_ref.h"

enum {
	COMPACT_MARK = 0x80, /* 10 in the two top bits of the first byte */
	COMPACT_MASK = 0xc0,
	ALG_SHIFT = 4,
	ALG_EXTENDED = 3,
	KIND_SHIFT = 1,
	SIGNED_BIT = 0x01,
	EXT_STAMP_BIT = 0x08,
	EXT_COVERED_BIT = 0x04,
	STAMP_LEN = SMQ_STAMP_BITS / 8
};

/* The two AA bits, in order. */
static const int alg_ids[] = { SMQ_A128GCM, SMQ_A256GCM, SMQ_CHACHA20_POLY1305 };

/* Which parts the key reference of a kind has. */
static const struct key_ref {
	bool key_id, epoch, slot, boot_id;
} key_refs[] = {
	[SMQ_SEALED_SESSION] = { .key_id = true },
	[SMQ_SEALED_GROUP] = { .epoch = true },
	[SMQ_SEALED_GROUP_BOOT] = { .epoch = true, .boot_id = true },
	[SMQ_SEALED_SLOT] = { .epoch = true, .slot = true },
	[SMQ_SEALED_SLOT_BOOT] = { .epoch = true, .slot = true, .boot_id = true },
};

bool smq_sealed_has_slot(enum smq_sealed_kind kind)
{
	return (size_t)kind < SMQ_COUNT(key_refs) && key_refs[kind].slot;
}

static size_t alg_index(const struct smq_aead_alg *alg)
{
	size_t i = 0;
	while (i < SMQ_COUNT(alg_ids) && (!alg || alg_ids[i] != alg->id))
		i++;
	return i;
}

const struct smq_aead_alg *smq_sealed_alg(int id)
{
	for (size_t i = 0; i < SMQ_COUNT(alg_ids); i++) {
		if (alg_ids[i] == id)
			return smq_aead_alg_by_id(id);
	}
	return NULL;
}

smq_err smq_sealed_check(const struct smq_sealed *s)
{
	if ((size_t)s->kind >= SMQ_COUNT(key_refs))
		return SMQ_ERR_MALFORMED;
	if (alg_index(s->alg) == SMQ_COUNT(alg_ids))
		return SMQ_ERR_ALGORITHM;
	if (s->counter > SMQ_VARINT_MAX)
		return SMQ_ERR_TOO_LARGE;
	if (s->has_stamp ? s->stamp >> SMQ_STAMP_BITS : s->stamp)
		return SMQ_ERR_MALFORMED;
	if (s->ciphertext.len < s->alg->tag_len || (s->signature.len != 0 && s->signature.len != SMQ_SIG_LEN))
		return SMQ_ERR_MALFORMED;
	if (s->covered && s->signature.len != 0)
		return SMQ_ERR_MALFORMED;
	return SMQ_OK;
}

/* ---- the key reference ---- */

void smq_write_key_ref(struct smq_writer *w, const struct smq_sealed *s)
{
	if ((size_t)s->kind >= SMQ_COUNT(key_refs)) {
		smq_writer_fail(w, SMQ_ERR_MALFORMED);
		return;
	}
	const struct key_ref *ref = &key_refs[s->kind];
	if (ref->key_id)
		smq_write(w, smq_span_of(s->key_id, sizeof(s->key_id)));
	if (ref->epoch)
		smq_write_varint(w, s->epoch);
	if (ref->slot)
		smq_write_varint(w, s->slot);
	if (ref->epoch)
		smq_write_varint(w, s->sender_id);
	if (ref->boot_id)
		smq_write(w, smq_span_of(s->boot_id, sizeof(s->boot_id)));
}

/* A key reference in its parts; the spans point into the input, and are empty where the kind has none. */
struct key_parts {
	smq_span key_id, boot_id;
	uint64_t epoch, slot, sender_id;
};

static inline __attribute__((always_inline)) struct key_parts read_key_parts(struct smq_reader *r,
									     enum smq_sealed_kind kind)
{
	struct key_parts p = { .epoch = 0 };
	if ((size_t)kind >= SMQ_COUNT(key_refs)) {
		smq_reader_fail(r, SMQ_ERR_MALFORMED);
		return p;
	}
	const struct key_ref *ref = &key_refs[kind];
	if (ref->key_id)
		p.key_id = smq_read(r, SMQ_KEY_ID_LEN);
	if (ref->epoch)
		p.epoch = smq_read_varint(r);
	if (ref->slot)
		p.slot = smq_read_varint(r);
	if (ref->epoch)
		p.sender_id = smq_read_varint(r);
	if (ref->boot_id)
		p.boot_id = smq_read(r, SMQ_BOOT_ID_LEN);
	return p;
}

static inline void set_array(uint8_t *to, size_t len, smq_span bytes)
{
	memset(to, 0, len);
	if (bytes.len == len)
		memcpy(to, bytes.p, len);
}

static inline void set_key_parts(const struct key_parts *p, struct smq_sealed *s)
{
	set_array(s->key_id, sizeof(s->key_id), p->key_id);
	s->epoch = p->epoch;
	s->slot = p->slot;
	s->sender_id = p->sender_id;
	set_array(s->boot_id, sizeof(s->boot_id), p->boot_id);
}

void smq_read_key_ref(struct smq_reader *r, struct smq_sealed *s)
{
	struct key_parts p = read_key_parts(r, s->kind);
	if (r->err == SMQ_OK)
		set_key_parts(&p, s);
}

/* ---- encoding ---- */

static void write_header(struct smq_writer *w, const struct smq_sealed *s)
{
	size_t alg = alg_index(s->alg);
	bool extended = s->has_stamp || s->covered;
	size_t outer = extended ? ALG_EXTENDED : alg;
	smq_write_u8(w, (uint8_t)(COMPACT_MARK | outer << ALG_SHIFT | (size_t)s->kind << KIND_SHIFT |
				  (s->signature.len ? SIGNED_BIT : 0)));
	if (extended)
		smq_write_u8(w,
			     (uint8_t)((s->has_stamp ? EXT_STAMP_BIT : 0) | (s->covered ? EXT_COVERED_BIT : 0) | alg));
	smq_write_key_ref(w, s);
	smq_write_varint(w, s->counter);
	if (s->has_stamp) {
		uint8_t stamp[STAMP_LEN] = { (uint8_t)(s->stamp >> 16), (uint8_t)(s->stamp >> 8), (uint8_t)s->stamp };
		smq_write(w, smq_span_of(stamp, sizeof(stamp)));
	}
}

smq_err smq_sealed_encode_header(const struct smq_sealed *s, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	if (alg_index(s->alg) == SMQ_COUNT(alg_ids))
		return SMQ_ERR_ALGORITHM;
	write_header(&w, s);
	return smq_writer_end(&w, ret_len);
}

smq_err smq_sealed_encode(const struct smq_sealed *s, smq_mspan room, size_t *ret_len)
{
	struct smq_writer w = smq_writer_on(room);
	smq_err err = smq_sealed_check(s);
	if (err != SMQ_OK)
		return err;
	write_header(&w, s);
	smq_write(&w, s->ciphertext);
	smq_write(&w, s->signature);
	return smq_writer_end(&w, ret_len);
}

/* ---- decoding ---- */

/* What the first byte says, and the extension byte where there is one, which must be there for a reason. */
struct first_bytes {
	const struct smq_aead_alg *alg;
	enum smq_sealed_kind kind;
	bool is_signed, has_stamp, covered;
};

static inline struct first_bytes read_first(struct smq_reader *r)
{
	uint8_t first = smq_read_u8(r);
	size_t alg = first >> ALG_SHIFT & 3;
	struct first_bytes f = { .kind = (enum smq_sealed_kind)(first >> KIND_SHIFT & 7),
				 .is_signed = first & SIGNED_BIT };
	if (alg == ALG_EXTENDED) {
		uint8_t ext = smq_read_u8(r);
		alg = ext & 3;
		f.has_stamp = ext & EXT_STAMP_BIT;
		f.covered = ext & EXT_COVERED_BIT;
		if (ext >> ALG_SHIFT != 0 || ext < EXT_COVERED_BIT || alg == ALG_EXTENDED ||
		    (f.covered && f.is_signed)) {
			smq_reader_fail(r, SMQ_ERR_MALFORMED);
			return f;
		}
	}
	f.alg = smq_aead_alg_by_id(alg_ids[alg]);
	return f;
}

static inline uint32_t read_stamp(struct smq_reader *r)
{
	smq_span stamp = smq_read(r, STAMP_LEN);
	return stamp.len == STAMP_LEN ? (uint32_t)stamp.p[0] << 16 | (uint32_t)stamp.p[1] << 8 | stamp.p[2] : 0;
}

/* Read into scalars and written out once: a struct that is cleared, filled and copied takes twice as long. */
static smq_err decode_compact(smq_span payload, struct smq_sealed *ret_sealed)
{
	struct smq_reader r = smq_reader_on(payload);
	struct first_bytes f = read_first(&r);
	struct key_parts key = read_key_parts(&r, f.kind);
	uint64_t counter = smq_read_varint(&r);
	uint32_t stamp = f.has_stamp ? read_stamp(&r) : 0;
	smq_span rest = smq_read_rest(&r);
	size_t sig_len = f.is_signed ? SMQ_SIG_LEN : 0;
	if (r.err != SMQ_OK)
		return r.err;
	if (rest.len < f.alg->tag_len + sig_len)
		return SMQ_ERR_TRUNCATED;
	set_key_parts(&key, ret_sealed);
	ret_sealed->kind = f.kind;
	ret_sealed->alg = f.alg;
	ret_sealed->counter = counter;
	ret_sealed->has_stamp = f.has_stamp;
	ret_sealed->stamp = stamp;
	ret_sealed->covered = f.covered;
	ret_sealed->ciphertext = smq_span_of(rest.p, rest.len - sig_len);
	ret_sealed->signature = smq_span_of(rest.p + ret_sealed->ciphertext.len, sig_len);
	return SMQ_OK;
}

static bool is_compact(smq_span payload) { return payload.len > 0 && (payload.p[0] & COMPACT_MASK) == COMPACT_MARK; }

SMQ_HOT bool smq_sealed_names_group(smq_span payload)
{
	return is_compact(payload) && (payload.p[0] >> KIND_SHIFT & 7) != SMQ_SEALED_SESSION;
}

bool smq_sealed_may_prove(smq_span payload)
{
	return !is_compact(payload) || payload.p[0] & SIGNED_BIT || (payload.p[0] >> ALG_SHIFT & 3) == ALG_EXTENDED;
}

SMQ_HOT smq_err smq_sealed_decode(smq_span payload, struct smq_sealed *ret_sealed)
{
	if (is_compact(payload))
		return decode_compact(payload, ret_sealed);
	if (payload.len > 0 && payload.p[0] == SMQ_SEALED_COSE_TAG)
		return smq_sealed_decode_cose(payload, ret_sealed);
	return SMQ_ERR_NOT_SEALED;
}
