/* core/members_digest and wire/member_proof: who is in the group, provably (PROTOCOL.md 6.7). */
#include <stdio.h>
#include <stdlib.h>

#include "cmocka_all.h"

#include <sealmq/client.h>

#include "base/table.h"
#include "core/members_digest.h"

static struct smq_crypto counting;
static size_t hashes;
static void *memories[4];
static size_t memory_count;

static smq_err count_sha256(const smq_span *parts, size_t count, uint8_t ret_hash[SMQ_HASH_LEN])
{
	hashes++;
	return smq_crypto_openssl()->sha256(parts, count, ret_hash);
}

static int start(void **state)
{
	(void)state;
	counting = *smq_crypto_openssl();
	counting.sha256 = count_sha256;
	return 0;
}

static int release(void **state)
{
	(void)state;
	while (memory_count > 0)
		free(memories[--memory_count]);
	return 0;
}

static void *memory_for(unsigned height)
{
	assert_true(memory_count < SMQ_COUNT(memories));
	void *memory = malloc(smq_members_digest_size(height));
	assert_non_null(memory);
	memories[memory_count++] = memory;
	return memory;
}

static struct smq_members_digest digest_of(unsigned height)
{
	struct smq_members_digest d;
	assert_int_equal(
	    smq_members_digest_init(&d, &counting, height, memory_for(height), smq_members_digest_size(height)),
	    SMQ_OK);
	return d;
}

static struct smq_member_record record_of(char name[16], uint64_t i)
{
	snprintf(name, 16, "m-%llu", (unsigned long long)i);
	struct smq_member_record r = { smq_span_str(name), i, SMQ_MEMBER_PUBLISHES, 1000, 2000 };
	return r;
}

static void set(struct smq_members_digest *d, uint64_t leaf, uint64_t i)
{
	char name[16];
	struct smq_member_record r = record_of(name, i);
	assert_int_equal(smq_members_digest_set(d, leaf, &r), SMQ_OK);
}

/* The proof goes over the wire before it is looked at. */
static smq_err shown(const struct smq_members_digest *d, uint64_t leaf, const struct smq_member_record *r,
		     const uint8_t *root)
{
	struct smq_member_proof proof, back;
	uint8_t bytes[SMQ_MEMBER_PROOF_MAX];
	size_t len = 0;
	assert_int_equal(smq_members_digest_prove(d, leaf, &proof), SMQ_OK);
	assert_int_equal(smq_member_proof_encode(&proof, smq_mspan_of(bytes, sizeof(bytes)), &len), SMQ_OK);
	assert_int_equal(smq_member_proof_decode(smq_span_of(bytes, len), &back), SMQ_OK);
	assert_int_equal(back.leaf, proof.leaf);
	assert_int_equal(back.height, proof.height);
	assert_memory_equal(back.siblings, proof.siblings, sizeof(proof.siblings));
	return smq_member_proof_verify(&counting, &back, r, d->height, root);
}

/* Leaf by leaf or at once, in any order and after leaves: the digest is of who is there, not of how they came. */
static void the_digest_is_of_the_set(void **state)
{
	(void)state;
	struct smq_members_digest a = digest_of(3), b = digest_of(3), c = digest_of(3);
	static const uint8_t zero[SMQ_HASH_LEN];
	assert_memory_equal(smq_members_digest_root(&a), zero, SMQ_HASH_LEN);
	for (uint64_t i = 0; i < 40; i++)
		set(&a, i, i);
	for (uint64_t i = 64; i-- > 0;)
		set(&b, i, i % 3);
	for (uint64_t i = 64; i-- > 0;)
		assert_int_equal(smq_members_digest_set(&b, i, NULL), SMQ_OK);
	assert_memory_equal(smq_members_digest_root(&b), zero, SMQ_HASH_LEN);
	for (uint64_t i = 40; i-- > 0;)
		set(&b, i, i);
	for (uint64_t i = 0; i < 40; i++) {
		char name[16];
		struct smq_member_record r = record_of(name, i);
		assert_int_equal(smq_members_digest_place(&c, i, &r), SMQ_OK);
	}
	assert_int_equal(smq_members_digest_rebuild(&c), SMQ_OK);
	assert_memory_equal(smq_members_digest_root(&a), smq_members_digest_root(&b), SMQ_HASH_LEN);
	assert_memory_equal(smq_members_digest_root(&a), smq_members_digest_root(&c), SMQ_HASH_LEN);
	set(&b, 41, 41);
	assert_memory_not_equal(smq_members_digest_root(&a), smq_members_digest_root(&b), SMQ_HASH_LEN);
}

static void every_member_can_be_shown(void **state)
{
	(void)state;
	struct smq_members_digest d = digest_of(3);
	for (uint64_t i = 0; i < 64; i += 1 + i % 3)
		set(&d, i, i);
	for (uint64_t leaf = 0; leaf < 64; leaf++) {
		for (uint64_t i = 0; i < 64; i++) {
			char name[16];
			struct smq_member_record r = record_of(name, i);
			bool there =
			    memcmp(d.levels[0] + leaf * SMQ_HASH_LEN, (uint8_t[SMQ_HASH_LEN]){ 0 }, SMQ_HASH_LEN) != 0;
			smq_err err = shown(&d, leaf, &r, smq_members_digest_root(&d));
			assert_int_equal(err, there && i == leaf ? SMQ_OK : SMQ_ERR_NOT_PROVEN);
			err = shown(&d, leaf, NULL, smq_members_digest_root(&d));
			assert_int_equal(err, there ? SMQ_ERR_NOT_PROVEN : SMQ_OK);
		}
	}
}

static void no_field_may_differ(void **state)
{
	(void)state;
	struct smq_members_digest d = digest_of(2);
	for (uint64_t i = 0; i < 16; i++)
		set(&d, i, i);
	for (int row = 0; row <= 5; row++) {
		char name[16];
		struct smq_member_record r = record_of(name, 6);
		if (row == 1)
			r.name = smq_span_str("m-66");
		if (row == 2)
			r.sender_id++;
		if (row == 3)
			r.roles |= SMQ_MEMBER_SUBSCRIBES;
		if (row == 4)
			r.from_ms--;
		if (row == 5)
			r.until_ms++;
		assert_int_equal(shown(&d, 6, &r, smq_members_digest_root(&d)), row ? SMQ_ERR_NOT_PROVEN : SMQ_OK);
	}
}

static void proofs_that_lie(void **state)
{
	(void)state;
	struct smq_members_digest d = digest_of(3);
	char name[16];
	struct smq_member_record r = record_of(name, 9);
	struct smq_member_proof p, q;
	for (uint64_t i = 0; i < 64; i++)
		set(&d, i, i);
	const uint8_t *root = smq_members_digest_root(&d);
	assert_int_equal(smq_members_digest_prove(&d, 9, &p), SMQ_OK);
	assert_int_equal(smq_member_proof_verify(&counting, &p, &r, 3, root), SMQ_OK);
	assert_int_equal(smq_member_proof_verify(&counting, &p, &r, 2, root), SMQ_ERR_NOT_PROVEN);
	for (size_t level = 0; level < 3; level++) {
		for (size_t i = 0; i < SMQ_MEMBER_SIBLINGS; i++) {
			q = p;
			q.siblings[level][i][7] ^= 1;
			assert_int_equal(smq_member_proof_verify(&counting, &q, &r, 3, root), SMQ_ERR_NOT_PROVEN);
		}
	}
	for (uint64_t leaf = 0; leaf < 70; leaf++) {
		q = p;
		q.leaf = leaf;
		assert_int_equal(smq_member_proof_verify(&counting, &q, &r, 3, root),
				 leaf == 9 ? SMQ_OK : SMQ_ERR_NOT_PROVEN);
	}
	/* an inner node is no leaf: a proof that begins one level up and claims to be short */
	q = p;
	q.height = 2;
	q.leaf = 2;
	memmove(q.siblings[0], p.siblings[1], sizeof(p.siblings[0]) * 2);
	assert_int_equal(smq_member_proof_verify(&counting, &q, &r, 2, root), SMQ_ERR_NOT_PROVEN);
	assert_int_equal(smq_member_proof_verify(&counting, &q, &r, 0, root), SMQ_ERR_NOT_PROVEN);
	q.height = 13;
	assert_int_equal(smq_member_proof_verify(&counting, &q, &r, 13, root), SMQ_ERR_NOT_PROVEN);
}

static void growing(void **state)
{
	(void)state;
	struct smq_members_digest d = digest_of(2), whole = digest_of(3);
	char name[16];
	struct smq_member_record r = record_of(name, 5);
	for (uint64_t i = 0; i < 16; i++) {
		set(&d, i, i);
		set(&whole, i, i);
	}
	assert_int_equal(smq_members_digest_grow(&d, memory_for(3), smq_members_digest_size(3) - 1), SMQ_ERR_NO_ROOM);
	assert_int_equal(d.height, 2);
	assert_int_equal(smq_members_digest_grow(&d, memories[memory_count - 1], smq_members_digest_size(3)), SMQ_OK);
	assert_memory_equal(smq_members_digest_root(&d), smq_members_digest_root(&whole), SMQ_HASH_LEN);
	assert_int_equal(shown(&d, 5, &r, smq_members_digest_root(&d)), SMQ_OK);
	set(&d, 63, 63);
	set(&whole, 63, 63);
	assert_memory_equal(smq_members_digest_root(&d), smq_members_digest_root(&whole), SMQ_HASH_LEN);
}

static void bounds(void **state)
{
	(void)state;
	struct smq_members_digest d = digest_of(1);
	struct smq_member_proof p;
	char name[16];
	struct smq_member_record good = record_of(name, 1), bad = good;
	assert_int_equal(smq_members_digest_size(0), 0);
	assert_int_equal(smq_members_digest_size(SMQ_TREE_HEIGHT_MAX + 1), 0);
	assert_int_equal(smq_members_digest_size(1), 5 * SMQ_HASH_LEN);
	assert_int_equal(smq_members_digest_set(&d, 3, &good), SMQ_OK);
	assert_int_equal(smq_members_digest_set(&d, 4, &good), SMQ_ERR_NOT_FOUND);
	assert_int_equal(smq_members_digest_set(&d, UINT64_MAX, &good), SMQ_ERR_NOT_FOUND);
	assert_int_equal(smq_members_digest_prove(&d, 4, &p), SMQ_ERR_NOT_FOUND);
	bad.name = smq_span_str("a/b");
	assert_int_equal(smq_members_digest_set(&d, 0, &bad), SMQ_ERR_NAME);
	bad = good;
	bad.roles = 0;
	assert_int_equal(smq_members_digest_set(&d, 0, &bad), SMQ_ERR_USAGE);
	bad.roles = 4;
	assert_int_equal(smq_members_digest_set(&d, 0, &bad), SMQ_ERR_USAGE);
	bad = good;
	bad.until_ms = bad.from_ms;
	assert_int_equal(smq_members_digest_set(&d, 0, &bad), SMQ_ERR_USAGE);
	/* the longest record */
	char long_name[64];
	memset(long_name, 'x', sizeof(long_name));
	struct smq_member_record large = { smq_span_of(long_name, sizeof(long_name)), UINT64_MAX, 3, INT64_MIN,
					   INT64_MAX };
	assert_int_equal(smq_members_digest_set(&d, 0, &large), SMQ_OK);
	assert_int_equal(smq_members_digest_init(&d, &counting, 0, name, sizeof(name)), SMQ_ERR_USAGE);
	assert_int_equal(smq_members_digest_init(&d, &counting, 13, name, sizeof(name)), SMQ_ERR_USAGE);
}

static void a_hundred_thousand(void **state)
{
	(void)state;
	enum { MEMBERS = 100000, HEIGHT = 9 };
	struct smq_members_digest d = digest_of(HEIGHT);
	struct smq_member_proof proof;
	uint8_t bytes[SMQ_MEMBER_PROOF_MAX];
	size_t len = 0;
	for (uint64_t i = 0; i < MEMBERS; i++) {
		char name[16];
		struct smq_member_record r = record_of(name, i);
		assert_int_equal(smq_members_digest_place(&d, i, &r), SMQ_OK);
	}
	assert_int_equal(smq_members_digest_rebuild(&d), SMQ_OK);
	hashes = 0;
	assert_int_equal(smq_members_digest_set(&d, 77777, NULL), SMQ_OK);
	assert_int_equal(hashes, HEIGHT);
	assert_int_equal(smq_members_digest_prove(&d, 5, &proof), SMQ_OK);
	assert_int_equal(smq_member_proof_encode(&proof, smq_mspan_of(bytes, sizeof(bytes)), &len), SMQ_OK);
	printf("# %d members: %d hashes for a leave, %zu bytes for a proof, %zu bytes of memory\n", MEMBERS, HEIGHT,
	       len, smq_members_digest_size(HEIGHT));
	assert_true(len < 1024);
}

static void other_forms_are_refused(void **state)
{
	(void)state;
	struct smq_members_digest d = digest_of(2);
	struct smq_member_proof proof, back = { .leaf = 77 };
	uint8_t bytes[SMQ_MEMBER_PROOF_MAX];
	size_t len = 0;
	for (uint64_t i = 0; i < 7; i++)
		set(&d, i, i);
	assert_int_equal(smq_members_digest_prove(&d, 5, &proof), SMQ_OK);
	assert_int_equal(smq_member_proof_encode(&proof, smq_mspan_of(bytes, sizeof(bytes) - 1), &len), SMQ_OK);
	/* 85 01 05 02 42 03 01 58 60 ... */
	assert_memory_equal(bytes, "\x85\x01\x05\x02\x42\x03\x01\x58\x60", 9);
	for (size_t cut = 0; cut < len; cut++)
		assert_int_not_equal(smq_member_proof_decode(smq_span_of(bytes, cut), &back), SMQ_OK);
	static const struct {
		size_t at;
		uint8_t value;
		smq_err err;
	} rows[] = {
		{ 0, 0x84, SMQ_ERR_MALFORMED }, { 1, 2, SMQ_ERR_VERSION },   { 2, 16, SMQ_ERR_MALFORMED },
		{ 3, 0, SMQ_ERR_MALFORMED },    { 3, 1, SMQ_ERR_MALFORMED }, { 3, 3, SMQ_ERR_MALFORMED },
		{ 3, 13, SMQ_ERR_MALFORMED },   { 5, 1, SMQ_ERR_TRAILING },  { 5, 7, SMQ_ERR_TRUNCATED },
		{ 5, 0x0b, SMQ_ERR_MALFORMED },
	};
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		uint8_t was = bytes[rows[i].at];
		bytes[rows[i].at] = rows[i].value;
		smq_err err = smq_member_proof_decode(smq_span_of(bytes, len), &back);
		if (err != rows[i].err)
			fail_msg("row %zu: %s", i, smq_err_name(err));
		bytes[rows[i].at] = was;
	}
	bytes[len] = 0;
	assert_int_equal(smq_member_proof_decode(smq_span_of(bytes, len + 1), &back), SMQ_ERR_TRAILING);
	/* a hash of zeroes has another spelling */
	memset(bytes + 9, 0, SMQ_HASH_LEN);
	assert_int_equal(smq_member_proof_decode(smq_span_of(bytes, len), &back), SMQ_ERR_MALFORMED);
	assert_int_equal(back.leaf, 77);
	proof.leaf = 16;
	assert_int_equal(smq_member_proof_encode(&proof, smq_mspan_of(bytes, sizeof(bytes)), &len), SMQ_ERR_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(the_digest_is_of_the_set, release),
		cmocka_unit_test_teardown(every_member_can_be_shown, release),
		cmocka_unit_test_teardown(no_field_may_differ, release),
		cmocka_unit_test_teardown(proofs_that_lie, release),
		cmocka_unit_test_teardown(growing, release),
		cmocka_unit_test_teardown(bounds, release),
		cmocka_unit_test_teardown(a_hundred_thousand, release),
		cmocka_unit_test_teardown(other_forms_are_refused, release),
	};
	return cmocka_run_group_tests(tests, start, NULL);
}
