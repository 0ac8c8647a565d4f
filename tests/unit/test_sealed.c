/* wire/sealed: both forms, what is refused, and how long they are (PROTOCOL.md 3.2 and 3.3). */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/table.h"
#include "base/text.h"
#include "base/varint.h"
#include "wire/sealed.h"

enum { ROOM = 512 };

#define BOOT "000102030405060708090a0b0c0d0e0f"
#define TAG "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
#define SIG \
	"c0c1c2c3c4c5c6c7c8c9cacbcccdcecfc0c1c2c3c4c5c6c7c8c9cacbcccdcecf" \
	"c0c1c2c3c4c5c6c7c8c9cacbcccdcecfc0c1c2c3c4c5c6c7c8c9cacbcccdcecf"

/* Messages with an empty plaintext, so that their lengths are the overhead. */
static const struct row {
	int number;
	int kind;
	int alg;
	uint64_t epoch, slot, sender_id, counter;
	int stamp; /* -1: none */
	bool is_signed;
	const char *compact, *cose;
} rows[] = {
	{ 1, SMQ_SEALED_SESSION, SMQ_A128GCM, 0, 0, 0, 0, -1, false, "80" "11223344" "00" TAG,
	  "d08343a10101" "a20445" "0011223344" "064100" "50" TAG },
	{ 2, SMQ_SEALED_SESSION, SMQ_A256GCM, 0, 0, 0, 127, -1, false, "90" "11223344" "7f" TAG,
	  "d08343a10103" "a20445" "0011223344" "06417f" "50" TAG },
	{ 3, SMQ_SEALED_SESSION, SMQ_CHACHA20_POLY1305, 0, 0, 0, 128, -1, false, "a0" "11223344" "8080" TAG,
	  "d08344a1011818" "a20445" "0011223344" "064180" "50" TAG },
	{ 4, SMQ_SEALED_SESSION, SMQ_A128GCM, 0, 0, 0, 1048576, 0x123456, false,
	  "b0" "08" "11223344" "d00000" "123456" TAG,
	  "d08343a10101" "a30445" "0011223344" "0643100000" "3a000100001a00123456" "50" TAG },
	{ 5, SMQ_SEALED_GROUP, SMQ_A128GCM, 300, 0, 7, 65535, -1, false, "82" "812c" "07" "c0ffff" TAG,
	  "d08343a10101" "a20444" "01812c07" "0642ffff" "50" TAG },
	{ 6, SMQ_SEALED_GROUP_BOOT, SMQ_A128GCM, 1, 0, 2, 3, -1, false, "84" "01" "02" BOOT "03" TAG,
	  "d08343a10101" "a20453" "020102" BOOT "064103" "50" TAG },
	{ 7, SMQ_SEALED_SLOT, SMQ_A128GCM, 1, 16384, 2, 3, -1, false, "86" "01" "c04000" "02" "03" TAG,
	  "d08343a10101" "a20446" "0301c0400002" "064103" "50" TAG },
	{ 8, SMQ_SEALED_SLOT_BOOT, SMQ_CHACHA20_POLY1305, 1, 5, 2, 3, 0, true, "b9" "0a" "01" "05" "02" BOOT "03"
	  "000000" TAG SIG,
	  "d08344a1011818" "a40454" "04010502" BOOT "064103" "0c5840" SIG "3a0001000000" "50" TAG },
	{ 9, SMQ_SEALED_GROUP, SMQ_A256GCM, SMQ_VARINT_MAX, 0, SMQ_VARINT_MAX, SMQ_VARINT_MAX, 0xffffff, true,
	  "b3" "09" "feffffffffffffff" "feffffffffffffff" "feffffffffffffff" "ffffff" TAG SIG,
	  "d08343a10103" "a40451" "01feffffffffffffff" "feffffffffffffff" "0647ffffffffffffff" "0c5840" SIG
	  "3a000100001a00ffffff" "50" TAG },
};

static uint8_t signature_bytes[SMQ_SIG_LEN], tag_bytes[16];

static struct smq_sealed fields_of(const struct row *row)
{
	struct smq_sealed s = { .kind = (enum smq_sealed_kind)row->kind,
				.alg = smq_aead_alg_by_id(row->alg),
				.epoch = row->epoch,
				.slot = row->slot,
				.sender_id = row->sender_id,
				.counter = row->counter,
				.has_stamp = row->stamp >= 0,
				.stamp = row->stamp >= 0 ? (uint32_t)row->stamp : 0 };
	size_t len;
	if (s.kind == SMQ_SEALED_SESSION)
		assert_int_equal(smq_hex_decode("11223344", smq_mspan_of(s.key_id, 4), &len), SMQ_OK);
	if (s.kind == SMQ_SEALED_GROUP_BOOT || s.kind == SMQ_SEALED_SLOT_BOOT)
		assert_int_equal(smq_hex_decode(BOOT, smq_mspan_of(s.boot_id, 16), &len), SMQ_OK);
	assert_int_equal(smq_hex_decode(TAG, smq_mspan_of(tag_bytes, sizeof(tag_bytes)), &len), SMQ_OK);
	assert_int_equal(smq_hex_decode(SIG, smq_mspan_of(signature_bytes, SMQ_SIG_LEN), &len), SMQ_OK);
	s.ciphertext = smq_span_of(tag_bytes, sizeof(tag_bytes));
	if (row->is_signed)
		s.signature = smq_span_of(signature_bytes, SMQ_SIG_LEN);
	return s;
}

static void assert_same(const struct smq_sealed *a, const struct smq_sealed *b)
{
	assert_int_equal(a->kind, b->kind);
	assert_ptr_equal(a->alg, b->alg);
	assert_memory_equal(a->key_id, b->key_id, sizeof(a->key_id));
	assert_memory_equal(a->boot_id, b->boot_id, sizeof(a->boot_id));
	assert_true(a->epoch == b->epoch && a->slot == b->slot && a->sender_id == b->sender_id);
	assert_true(a->counter == b->counter && a->has_stamp == b->has_stamp && a->stamp == b->stamp);
	assert_true(smq_span_equal(a->ciphertext, b->ciphertext));
	assert_true(smq_span_equal(a->signature, b->signature));
	assert_int_equal(a->covered, b->covered);
}

typedef smq_err encoder(const struct smq_sealed *sealed, smq_mspan room, size_t *ret_len);

static void check_form(const struct row *row, encoder *encode, const char *want)
{
	struct smq_sealed s = fields_of(row), back;
	uint8_t bytes[ROOM];
	char hex[2 * ROOM + 1];
	size_t len = 0;
	assert_int_equal(encode(&s, smq_mspan_of(bytes, sizeof(bytes)), &len), SMQ_OK);
	assert_int_equal(smq_hex_encode(smq_span_of(bytes, len), hex, sizeof(hex)), SMQ_OK);
	if (strcmp(hex, want) != 0)
		fail_msg("row %d:\n  is   %s\n  want %s", row->number, hex, want);
	assert_int_equal(smq_sealed_decode(smq_span_of(bytes, len), &back), SMQ_OK);
	assert_same(&s, &back);
	for (size_t room = 0; room < len; room++) {
		size_t untouched = 4711;
		assert_int_equal(encode(&s, smq_mspan_of(bytes, room), &untouched), SMQ_ERR_NO_ROOM);
		assert_true(untouched == 4711);
	}
}

static void both_forms_are_byte_for_byte_as_specified(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		check_form(&rows[i], smq_sealed_encode, rows[i].compact);
		check_form(&rows[i], smq_sealed_encode_cose, rows[i].cose);
	}
}

static uint32_t dice_state = 1;

static uint64_t dice(uint64_t below)
{
	dice_state ^= dice_state << 13;
	dice_state ^= dice_state >> 17;
	dice_state ^= dice_state << 5;
	return dice_state % below;
}

static uint64_t any_number(void)
{
	return (dice(UINT32_MAX) << 24 ^ dice(UINT32_MAX)) & SMQ_VARINT_MAX >> dice(56);
}

/* A wrong yes costs a decoding; a wrong no would lose a session's message, or a proof. */
static void the_first_byte_tells_enough(void **state)
{
	(void)state;
	uint8_t bytes[ROOM];
	size_t len = 0;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		const struct row *r = &rows[i];
		assert_int_equal(smq_hex_decode(r->compact, smq_mspan_of(bytes, sizeof(bytes)), &len), SMQ_OK);
		assert_int_equal(smq_sealed_names_group(smq_span_of(bytes, len)), r->kind != SMQ_SEALED_SESSION);
		assert_int_equal(smq_sealed_may_prove(smq_span_of(bytes, len)), r->is_signed || r->stamp >= 0);
		assert_int_equal(smq_hex_decode(r->cose, smq_mspan_of(bytes, sizeof(bytes)), &len), SMQ_OK);
		assert_false(smq_sealed_names_group(smq_span_of(bytes, len)));
		assert_true(smq_sealed_may_prove(smq_span_of(bytes, len)));
	}
	assert_false(smq_sealed_names_group(smq_span_of(NULL, 0)));
}

/* Any fields at all: compact -> struct -> COSE -> struct -> compact gives the bytes one began with. */
static void expansion_and_compaction_are_inverse(void **state)
{
	(void)state;
	static const int algs[] = { SMQ_A128GCM, SMQ_A256GCM, SMQ_CHACHA20_POLY1305 };
	static uint8_t body[300];
	for (int i = 0; i < 20000; i++) {
		struct row row = { .kind = (int)dice(5),
				   .alg = algs[dice(3)],
				   .counter = any_number(),
				   .stamp = dice(2) ? (int)dice(1 << 24) >> dice(24) : -1,
				   .is_signed = dice(2) };
		struct smq_sealed s = fields_of(&row), from_compact, from_cose;
		if (s.kind != SMQ_SEALED_SESSION) {
			s.epoch = any_number();
			s.sender_id = any_number();
		}
		if (smq_sealed_has_slot(s.kind))
			s.slot = any_number();
		s.covered = !row.is_signed && dice(2);
		s.ciphertext = smq_span_of(body, 16 + dice(sizeof(body) - 16));
		uint8_t compact[ROOM], cose[ROOM], again[ROOM];
		size_t compact_len, cose_len, again_len;
		assert_int_equal(smq_sealed_encode(&s, smq_mspan_of(compact, ROOM), &compact_len), SMQ_OK);
		assert_int_equal(smq_sealed_decode(smq_span_of(compact, compact_len), &from_compact), SMQ_OK);
		assert_same(&s, &from_compact);
		assert_int_equal(smq_sealed_encode_cose(&from_compact, smq_mspan_of(cose, ROOM), &cose_len), SMQ_OK);
		assert_int_equal(smq_sealed_decode(smq_span_of(cose, cose_len), &from_cose), SMQ_OK);
		assert_int_equal(smq_sealed_encode(&from_cose, smq_mspan_of(again, ROOM), &again_len), SMQ_OK);
		assert_true(smq_span_equal(smq_span_of(compact, compact_len), smq_span_of(again, again_len)));
	}
}

static void what_is_not_canonical_is_refused(void **state)
{
	(void)state;
	static const struct {
		int number;
		const char *hex;
		smq_err err;
	} bad[] = {
		{ 1, "", SMQ_ERR_NOT_SEALED },
		{ 2, "7b22613122", SMQ_ERR_NOT_SEALED },       /* JSON */
		{ 3, "c3a4c3b6c3bc", SMQ_ERR_NOT_SEALED },     /* UTF-8 */
		{ 4, "d1" TAG, SMQ_ERR_NOT_SEALED },	       /* another CBOR tag */
		{ 5, "80", SMQ_ERR_TRUNCATED },
		{ 6, "80112233", SMQ_ERR_TRUNCATED },
		{ 7, "801122334400a0a1a2a3a4a5a6a7a8a9aaabacadae", SMQ_ERR_TRUNCATED }, /* 15 bytes of tag */
		{ 8, "80112233448000" TAG, SMQ_ERR_MALFORMED }, /* counter 0 in two bytes */
		{ 9, "8011223344c03fff" TAG, SMQ_ERR_MALFORMED },
		{ 10, "8011223344ff01000000000000" TAG, SMQ_ERR_MALFORMED }, /* counter beyond 2^56 */
		{ 11, "8280010700" TAG, SMQ_ERR_MALFORMED },	/* epoch 1 in two bytes */
		{ 12, "8a11223344" "00" TAG, SMQ_ERR_MALFORMED },	/* kinds 5 to 7 */
		{ 13, "8c11223344" "00" TAG, SMQ_ERR_MALFORMED },
		{ 14, "8e11223344" "00" TAG, SMQ_ERR_MALFORMED },
		{ 15, "b000" "11223344" "00" TAG, SMQ_ERR_MALFORMED }, /* an extension that extends nothing */
		{ 16, "b00b" "11223344" "00" "000000" TAG, SMQ_ERR_MALFORMED }, /* algorithm 3 */
		{ 17, "b018" "11223344" "00" "000000" TAG, SMQ_ERR_MALFORMED }, /* reserved bits */
		{ 18, "b10c" "11223344" "00" "000000" TAG TAG TAG TAG TAG, SMQ_ERR_MALFORMED }, /* signed, and covered */
		{ 19, "81" "11223344" "00" TAG, SMQ_ERR_TRUNCATED }, /* signed, but without a signature */
		{ 20, "d08343a10101a2044500112233440642000150" TAG, SMQ_ERR_MALFORMED }, /* Partial IV 0001 */
		{ 21, "d08343a10101a20445001122334406405" "0" TAG, SMQ_ERR_MALFORMED },	/* empty Partial IV */
		{ 22, "d08343a10101a2044500112233440648010000000000000050" TAG, SMQ_ERR_MALFORMED },
		{ 23, "d08343a10101a1044500112233" "4450" TAG, SMQ_ERR_MALFORMED },	      /* no Partial IV */
		{ 24, "d08343a10101a1064100" "50" TAG, SMQ_ERR_MALFORMED },		      /* no key reference */
		{ 25, "d08343a10101a2064100044500112233" "4450" TAG, SMQ_ERR_MALFORMED },     /* keys out of order */
		{ 26, "d08343a10101a3044500112233" "44044500112233" "4406410050" TAG, SMQ_ERR_MALFORMED }, /* twice */
		{ 27, "d08343a10101a30445001122334406410007415550" TAG, SMQ_ERR_MALFORMED }, /* unknown label */
		{ 28, "d08343a1010aa204450011223344064100" "50" TAG, SMQ_ERR_ALGORITHM },    /* CCM is EDHOC's */
		{ 29, "d08344a1011819a204450011223344064100" "50" TAG, SMQ_ERR_ALGORITHM },
		{ 30, "d08340a204450011223344064100" "50" TAG, SMQ_ERR_MALFORMED },	     /* no protected header */
		{ 31, "d08345a201010200a204450011223344064100" "50" TAG, SMQ_ERR_MALFORMED }, /* a crit-like extra */
		{ 32, "d08343a10101a20446001122334455064100" "50" TAG, SMQ_ERR_MALFORMED },  /* key id too long */
		{ 33, "d08343a10101a204450511223344064100" "50" TAG, SMQ_ERR_MALFORMED },    /* kind 5 */
		{ 34, "d08343a10101a204450011223344064100" "4f" "a0a1a2a3a4a5a6a7a8a9aaabacadae", SMQ_ERR_MALFORMED },
		{ 35, "d08343a10101a204450011223344064100" "50" TAG "00", SMQ_ERR_TRAILING },
		{ 36, "d08343a10101a304450011223344064100" "3a000100001a0100000050" TAG, SMQ_ERR_MALFORMED },
		{ 37, "d08343a10101a304450011223344064100" "0c41" "c050" TAG, SMQ_ERR_MALFORMED },
		{ 38, "d08443a10101a204450011223344064100" "50" TAG "00", SMQ_ERR_MALFORMED },
		{ 39, "d0835f43a10101ffa204450011223344064100" "50" TAG, SMQ_ERR_MALFORMED },
		{ 40, "d08343a10101bf04450011223344064100ff" "50" TAG, SMQ_ERR_MALFORMED },
		{ 41, "d08343a10101a304450011223344064100" "3a00010001f450" TAG, SMQ_ERR_MALFORMED }, /* covered: false */
		{ 42, "b004" "11223344" "00" "a0a1", SMQ_ERR_TRUNCATED },
	};
	for (size_t i = 0; i < SMQ_COUNT(bad); i++) {
		uint8_t bytes[ROOM];
		size_t len = 0;
		struct smq_sealed s, before;
		memset(&s, 0x5a, sizeof(s));
		before = s;
		assert_int_equal(smq_hex_decode(bad[i].hex, smq_mspan_of(bytes, sizeof(bytes)), &len), SMQ_OK);
		smq_err err = smq_sealed_decode(smq_span_of(bytes, len), &s);
		if (err != bad[i].err)
			fail_msg("row %d: %s", bad[i].number, smq_err_name(err));
		assert_memory_equal(&s, &before, sizeof(s));
	}
}

static void what_no_message_can_be_is_not_encoded(void **state)
{
	(void)state;
	uint8_t bytes[ROOM];
	size_t len = 0;
	for (int i = 0; i < 7; i++) {
		struct smq_sealed s = fields_of(&rows[4]);
		smq_err want = SMQ_ERR_MALFORMED;
		if (i == 0)
			s.kind = (enum smq_sealed_kind)5;
		else if (i == 1)
			s.alg = smq_aead_alg_by_id(SMQ_AES_CCM_16_64_128), want = SMQ_ERR_ALGORITHM;
		else if (i == 2)
			s.counter = SMQ_VARINT_MAX + 1, want = SMQ_ERR_TOO_LARGE;
		else if (i == 3)
			s.ciphertext.len = 15;
		else if (i == 4)
			s.signature = smq_span_of(signature_bytes, 63);
		else if (i == 5)
			s.has_stamp = true, s.stamp = 1u << 24;
		else
			s.epoch = SMQ_VARINT_MAX + 1, want = SMQ_ERR_TOO_LARGE;
		assert_int_equal(smq_sealed_encode(&s, smq_mspan_of(bytes, ROOM), &len), want);
		assert_int_equal(smq_sealed_encode_cose(&s, smq_mspan_of(bytes, ROOM), &len), want);
	}
}

/* Truncated bytes lie at the end of an allocation of their own, so that a sanitizer sees one read too many. */
static void truncations_and_flips_never_read_past_the_end(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		const char *forms[] = { rows[i].compact, rows[i].cose };
		for (size_t f = 0; f < 2; f++) {
			uint8_t bytes[ROOM];
			size_t len = 0;
			struct smq_sealed s;
			assert_int_equal(smq_hex_decode(forms[f], smq_mspan_of(bytes, ROOM), &len), SMQ_OK);
			for (size_t cut = 0; cut < len; cut++) {
				uint8_t *copy = malloc(cut + 1);
				assert_non_null(copy);
				memcpy(copy, bytes, cut);
				/* The compact form of a signed message cut short may read as another message; the tag
				 * refuses that one (test_seal). All these have no plaintext, so here none does. */
				assert_int_not_equal(smq_sealed_decode(smq_span_of(copy, cut), &s), SMQ_OK);
				free(copy);
			}
			for (size_t bit = 0; bit < 8 * len; bit++) {
				bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
				smq_err err = smq_sealed_decode(smq_span_of(bytes, len), &s);
				assert_true(err == SMQ_OK || smq_err_kind_of(err) == SMQ_KIND_INPUT);
				bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			}
		}
	}
}

/* The usual message: epoch below 2^14, sender id below 2^14, counter below 2^21, plaintext of 24 to 255 bytes. */
static void overhead_is_within_the_budget(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		struct row row;
		size_t compact_max, cose_max;
	} budget[] = {
		{ "session", { .kind = SMQ_SEALED_SESSION, .alg = SMQ_A128GCM, .counter = 2097151, .stamp = -1 }, 24, 39 },
		{ "group", { .kind = SMQ_SEALED_GROUP, .alg = SMQ_A128GCM, .epoch = 16383, .sender_id = 16383,
			     .counter = 2097151, .stamp = -1 }, 24, 39 },
		{ "session, ChaCha20-Poly1305",
		  { .kind = SMQ_SEALED_SESSION, .alg = SMQ_CHACHA20_POLY1305, .counter = 2097151, .stamp = -1 }, 24, 39 },
		{ "session, stamped",
		  { .kind = SMQ_SEALED_SESSION, .alg = SMQ_A128GCM, .counter = 2097151, .stamp = 0xffffff }, 28, 49 },
		{ "group, signed", { .kind = SMQ_SEALED_GROUP, .alg = SMQ_A128GCM, .epoch = 16383, .sender_id = 16383,
				     .counter = 2097151, .stamp = -1, .is_signed = true }, 88, 106 },
		{ "group, boot id in full",
		  { .kind = SMQ_SEALED_GROUP_BOOT, .alg = SMQ_A128GCM, .epoch = 16383, .sender_id = 16383,
		    .counter = 2097151, .stamp = -1 }, 40, 55 },
	};
	static uint8_t body[125 + 16], bytes[ROOM];
	for (size_t i = 0; i < SMQ_COUNT(budget); i++) {
		struct smq_sealed s = fields_of(&budget[i].row);
		size_t compact = 0, cose = 0;
		s.ciphertext = smq_span_of(body, sizeof(body));
		assert_int_equal(smq_sealed_encode(&s, smq_mspan_of(bytes, ROOM), &compact), SMQ_OK);
		assert_int_equal(smq_sealed_encode_cose(&s, smq_mspan_of(bytes, ROOM), &cose), SMQ_OK);
		compact -= 125;
		cose -= 125;
		printf("# overhead, %s: %zu bytes compact, %zu as COSE\n", budget[i].what, compact, cose);
		assert_true(compact <= budget[i].compact_max);
		assert_true(cose <= budget[i].cose_max);
		if (budget[i].cose_max == 39)
			assert_true(cose >= 36);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_forms_are_byte_for_byte_as_specified),
		cmocka_unit_test(the_first_byte_tells_enough),
		cmocka_unit_test(expansion_and_compaction_are_inverse),
		cmocka_unit_test(what_is_not_canonical_is_refused),
		cmocka_unit_test(what_no_message_can_be_is_not_encoded),
		cmocka_unit_test(truncations_and_flips_never_read_past_the_end),
		cmocka_unit_test(overhead_is_within_the_budget),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
