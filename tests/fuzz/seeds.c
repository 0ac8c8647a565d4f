/* Writes the corpora that the fuzzers start from: seeds DIR. Run once; what it wrote is in the repository. */
#include "seeds.h"

#include <sys/stat.h>

#include "core/manifest_chain.h"
#include "core/members_digest.h"
#include "edhoc_pairs.h"
#include "signing.h"
#include "wire/keyex.h"
#include "wire/sealed.h"
#include "wire/slot_seeds.h"

static const char *top;

void save(const char *target, const char *name, smq_span bytes)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/%s", top, target);
	mkdir(path, 0777);
	snprintf(path, sizeof(path), "%s/%s/%s", top, target, name);
	FILE *file = fopen(path, "wb");
	FUZZ_CHECK(file && fwrite(bytes.p, 1, bytes.len, file) == bytes.len && fclose(file) == 0);
}

static void cbor_seeds(void)
{
	static const struct {
		const char *name, *bytes;
		size_t len;
	} rows[] = {
		{ "uint", "\x19\x03\xe8", 3 },
		{ "negint", "\x39\x03\xe7", 3 },
		{ "bytes", "\x44\x01\x02\x03\x04", 5 },
		{ "text", "\x66sealmq", 7 },
		{ "nested", "\x82\x01\x82\x02\x82\x03\xf6", 7 },
		{ "map", "\xa3\x01\x03\x04\x41\x2b\x20\xf5", 8 },
		{ "tag", "\xd0\x83\x43\xa1\x01\x01\xa0\x41\x00", 9 },
		{ "long-form", "\x18\x01", 2 },
		{ "indefinite", "\x5f\x41\x01\xff", 4 },
		{ "huge-array", "\x9b\xff\xff\xff\xff\xff\xff\xff\xff", 9 },
	};
	for (size_t i = 0; i < SMQ_COUNT(rows); i++)
		save("cbor", rows[i].name, smq_span_of(rows[i].bytes, rows[i].len));
}

static void sealed_seeds(void)
{
	static const uint8_t cipher[40] = { 0xc1, 0xc2, 0xc3 };
	static const int algorithms[] = { SMQ_A128GCM, SMQ_A256GCM, SMQ_CHACHA20_POLY1305 };
	uint8_t room[512];
	char name[64];
	size_t len;
	for (int kind = SMQ_SEALED_SESSION; kind <= SMQ_SEALED_SLOT_BOOT; kind++) {
		struct smq_sealed s = { .kind = (enum smq_sealed_kind)kind,
					.alg = smq_aead_alg_by_id(algorithms[kind % 3]),
					.counter = 1000,
					.has_stamp = kind % 2,
					.stamp = kind % 2 ? 0x123456 : 0,
					.ciphertext = smq_span_of(cipher, sizeof(cipher)) };
		bool slot = kind == SMQ_SEALED_SLOT || kind == SMQ_SEALED_SLOT_BOOT;
		bool boot = kind == SMQ_SEALED_GROUP_BOOT || kind == SMQ_SEALED_SLOT_BOOT;
		if (kind == SMQ_SEALED_SESSION)
			memset(s.key_id, 0x4b, sizeof(s.key_id));
		else
			s.epoch = 7, s.sender_id = 300;
		s.slot = slot ? 12 : 0;
		memset(s.boot_id, boot ? 0xb0 : 0, sizeof(s.boot_id));
		FUZZ_CHECK(smq_sealed_encode(&s, smq_mspan_of(room, sizeof(room)), &len) == SMQ_OK);
		snprintf(name, sizeof(name), "compact-%d", kind);
		save("sealed", name, smq_span_of(room, len));
		FUZZ_CHECK(smq_sealed_encode_cose(&s, smq_mspan_of(room, sizeof(room)), &len) == SMQ_OK);
		snprintf(name, sizeof(name), "cose-%d", kind);
		save("sealed", name, smq_span_of(room, len));
	}
}

static void keyex_seeds(void)
{
	uint8_t room[512];
	char name[64];
	size_t len;
	for (int kind = SMQ_KEYEX_MESSAGE_1; kind <= SMQ_KEYEX_WRITER_1; kind++) {
		bool hello = kind == SMQ_KEYEX_HELLO, open = hello || kind == SMQ_KEYEX_NO_KEY;
		struct smq_keyex m = { .kind = (enum smq_keyex_kind)kind,
				       .to = smq_span_str(open ? "all" : "cellar"),
				       .from = smq_span_str("fridge-07"),
				       .id = smq_span_of("\x01\x02\x03\x04", hello ? 0 : 4),
				       .body = open ? smq_span_str("")
						    : smq_span_str("\x58\x05"
								   "hello") };
		FUZZ_CHECK(smq_keyex_encode(&m, smq_mspan_of(room, sizeof(room)), &len) == SMQ_OK);
		snprintf(name, sizeof(name), "kind-%d", kind);
		save("keyex", name, smq_span_of(room, len));
	}
}

static void edhoc_run_seeds(int kind)
{
	static struct edhoc_pair p;
	uint8_t input[SMQ_EDHOC_MESSAGE_MAX + 1];
	char name[64];
	pair_run(&p, kind);
	for (int n = 1; n <= 4; n++) {
		const struct rig_message *m = &p.run.m[n];
		const uint8_t which = (uint8_t)(kind << 2 | (n - 1));
		const uint8_t patch[] = { which | 0x80, 0, 5, 1, 0, 40, 0x80 };
		input[0] = which;
		memcpy(input + 1, m->b, m->len);
		snprintf(name, sizeof(name), "run-%d-message-%d", kind, n);
		save("edhoc", name, smq_span_of(input, m->len + 1));
		snprintf(name, sizeof(name), "run-%d-patch-%d", kind, n);
		save("edhoc", name, smq_span_of(patch, sizeof(patch)));
	}
	rig_pair_done(&p.run);
}

static void edhoc_seeds(void)
{
	for (int kind = 0; kind < PAIR_COUNT; kind++)
		edhoc_run_seeds(kind);
	save("edhoc", "error-1", smq_span_of("\x01\x01\x62no", 5));
	save("edhoc", "error-2", smq_span_of("\x01\x02\x82\x02\x03", 5));
}

static void slots_seeds(void)
{
	static const uint64_t rows[][2] = { { 0, 65535 }, { 1, 65534 }, { 7, 7 }, { 100, 8740 } };
	char name[64];
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		struct smq_slot_seeds s = { 0 };
		uint8_t room[SMQ_SLOT_SEEDS_BYTES_MAX];
		size_t len;
		for (uint64_t at = rows[i][0]; at <= rows[i][1]; at = smq_slot_seed_last(&s.seeds[s.count++]) + 1) {
			unsigned level = smq_slot_level_at(at, rows[i][1], SMQ_SLOT_LEVELS);
			s.seeds[s.count] = (struct smq_slot_seed){ level, at >> level, { { (uint8_t)s.count } } };
		}
		FUZZ_CHECK(smq_slot_seeds_encode(&s, smq_mspan_of(room, sizeof(room)), &len) == SMQ_OK);
		snprintf(name, sizeof(name), "interval-%zu", i + 1);
		save("slots", name, smq_span_of(room, len));
	}
}

static struct smq_policy some_policy(void)
{
	struct smq_policy p = { .realm = smq_span_str("plant"),
				.group = smq_span_str("temps"),
				.number = 3,
				.filter_count = 2,
				.filters = { smq_span_str("plant/+/temp"), smq_span_str("plant/alarms/#") },
				.mode = SMQ_MODE_UPDATE,
				.rotate_s = 300,
				.alg = smq_aead_alg_by_id(SMQ_A128GCM),
				.publisher_count = 2,
				.publishers = { { smq_span_str("fridge-*"), 0 },
						{ smq_span_str("*"), SMQ_ROLE_ADMIN } },
				.subscriber_count = 1,
				.subscribers = { { smq_span_str("archive-?"), SMQ_ROLE_MEMBER } },
				.batch_ms = 200,
				.activation_ms = 500,
				.grace_ms = 10000,
				.validity_s = 86400,
				.lease_s = 3600,
				.history = SMQ_HISTORY_LAST,
				.history_epochs = 4,
				.members_max = 1000,
				.issued_s = 1795259500 };
	return p;
}

static void policy_seeds(const struct signing *by)
{
	uint8_t room[SMQ_POLICY_MAX], signed_room[SMQ_POLICY_MAX];
	char name[64];
	size_t len;
	for (int i = 1; i <= 3; i++) {
		struct smq_policy p = some_policy();
		if (i == 2) {
			p.mode = SMQ_MODE_SLOTTED, p.slot_ms = 10000, p.slot_levels = 16;
			p.proof = SMQ_PROOF_CHECKPOINT, p.proof_messages = 32, p.proof_s = 5;
		}
		if (i == 3) {
			p.is_template = true, p.group = smq_span_str("room-*"), p.history = SMQ_HISTORY_JOIN;
			p.filters[0] = smq_span_str("home/{group}/#"), p.history_epochs = 0;
		}
		FUZZ_CHECK(smq_policy_encode(&p, smq_mspan_of(room, sizeof(room)), &len) == SMQ_OK);
		snprintf(name, sizeof(name), "policy-%d", i);
		save("policy", name, smq_span_of(room, len));
		FUZZ_CHECK(smq_policy_sign(smq_span_of(room, len), &by->own,
					   smq_mspan_of(signed_room, sizeof(signed_room)), &len) == SMQ_OK);
		save("sign1", name, smq_span_of(signed_room, len));
	}
}

static void manifest_seeds(const struct signing *by)
{
	struct smq_manifest m = { .realm = smq_span_str("plant"),
				  .group = smq_span_str("temps"),
				  .epoch = 7,
				  .previous_epoch = 6,
				  .previous = { 9 },
				  .activate_at_ms = INT64_C(1795259500000),
				  .expires_ms = INT64_C(1795345900000),
				  .tree_height = 9,
				  .member_count = 100000,
				  .root_version = 3,
				  .members = { 1 },
				  .policy_number = 4,
				  .policy = { 2 },
				  .commitment = { 3 } };
	struct smq_manifest_chain chain = { 7, { 1 }, INT64_C(1795345900000), "keys" };
	uint8_t room[SMQ_POLICY_MAX], signed_room[SMQ_POLICY_MAX];
	char name[64];
	size_t len;
	for (int mode = SMQ_MODE_UPDATE; mode <= SMQ_MODE_SLOTTED; mode++) {
		m.mode = (enum smq_policy_mode)mode;
		if (mode == SMQ_MODE_SLOTTED)
			m.slot_ms = 10000, m.slot_levels = 16, m.slot_start_ms = -1;
		FUZZ_CHECK(smq_manifest_encode(&m, smq_mspan_of(room, sizeof(room)), &len) == SMQ_OK);
		snprintf(name, sizeof(name), "manifest-%d", mode);
		save("manifest", name, smq_span_of(room, len));
		FUZZ_CHECK(smq_sign1_encode(&by->own.signer, smq_span_of("\xa1\x04\x42k1", 5), smq_span_str(name),
					    smq_span_of(room, len), mode == SMQ_MODE_SLOTTED,
					    smq_mspan_of(signed_room, sizeof(signed_room)), &len) == SMQ_OK);
		save("sign1", name, smq_span_of(signed_room, len));
	}
	FUZZ_CHECK(smq_manifest_chain_encode(&chain, smq_mspan_of(room, sizeof(room)), &len) == SMQ_OK);
	save("manifest", "state", smq_span_of(room, len));
}

static void proof_seeds(void)
{
	static uint8_t memory[4096];
	struct smq_members_digest d;
	struct smq_member_record r = { smq_span_str("fridge-07"), 7, SMQ_MEMBER_PUBLISHES, 0, 1 };
	struct smq_member_proof proof;
	uint8_t room[SMQ_MEMBER_PROOF_MAX];
	char name[64];
	size_t len;
	for (unsigned height = 1; height <= 3; height++) {
		FUZZ_CHECK(smq_members_digest_init(&d, smq_crypto_openssl(), height, memory, sizeof(memory)) == SMQ_OK);
		for (uint64_t leaf = 0; leaf < 4 * height; leaf += height)
			FUZZ_CHECK(smq_members_digest_set(&d, leaf, &r) == SMQ_OK);
		FUZZ_CHECK(smq_members_digest_prove(&d, height, &proof) == SMQ_OK);
		FUZZ_CHECK(smq_member_proof_encode(&proof, smq_mspan_of(room, sizeof(room)), &len) == SMQ_OK);
		snprintf(name, sizeof(name), "height-%u", height);
		save("proof", name, smq_span_of(room, len));
	}
}

/* Ed25519, so that the corpus comes out alike each time. */
static void group_seeds(void)
{
	struct signing admin;
	signing_init(&admin, SMQ_ED25519, 7, SMQ_ROLE_ADMIN | SMQ_ROLE_KEYSERVER, "boss");
	policy_seeds(&admin);
	manifest_seeds(&admin);
	proof_seeds();
	signing_done(&admin);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s DIR\n", argv[0]);
		return 2;
	}
	top = argv[1];
	cbor_seeds();
	sealed_seeds();
	keyex_seeds();
	edhoc_seeds();
	slots_seeds();
	group_seeds();
	ks_seeds();
	return 0;
}
