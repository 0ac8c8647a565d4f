/*
 * What is counted, instruction by instruction (bench/instructions.py runs this under callgrind): every function op_*
 * is one piece of work, called some hundred times after a first call that nobody counts.
 *
 *     op_floor_*      bare EVP with a cached context, the bytes that a message of ours has: what could be had by hand
 *     op_seal*        a 64-byte message of a group into its sealed form: header, AAD, nonce, counter
 *     op_open*        and back: decoding, its sender among 1,000, window, AAD
 *     op_slot_key     the next slot's key from a member's seeds
 *     op_rekey_member a member follows one leave among 1,000
 */
#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include <sealmq/client.h>

#include "base/table.h"
#include "core/group.h"
#include "core/keytree.h"
#include "core/slots.h"

enum {
	REPEATS = 200,
	SIZE = 64,
	ROOM = 256,
	MEMBERS = 250,
	LIVES_EACH = 4,
	SENDERS = MEMBERS * LIVES_EACH,
	TREE_HEIGHT = 5, /* 1,024 leaves */
	FOLLOWERS = 999
};

#define COUNTED __attribute__((noinline)) void

static const char topic_text[] = "plant/fridge-07/temperature";
static smq_span topic;
static uint8_t plain[SIZE], out[ROOM];
static bool good = true; /* everything so far */

static void must(bool right, const char *what)
{
	if (right)
		return;
	fprintf(stderr, "instructions: %s failed\n", what);
	exit(1);
}

/* Repeatable: the same addresses in every tree, the same boot ids. */
static smq_err fill(void *self, smq_mspan room)
{
	static uint32_t state = 1;
	(void)self;
	for (size_t i = 0; i < room.len; i++) {
		state = state * 1664525u + 1013904223u;
		room.p[i] = (uint8_t)(state >> 24);
	}
	return SMQ_OK;
}

static const struct smq_random seeded = { NULL, fill };

/* ---- messages ---- */

static struct smq_group_file file;
static struct smq_group sender, receiver;
static struct smq_group_life sender_lives[1], lives[SENDERS + 24];
static uint8_t messages[REPEATS + 1][ROOM];
static size_t message_lens[REPEATS + 1];

static smq_span message(size_t i) { return smq_span_of(messages[i], message_lens[i]); }

static void seal(size_t i)
{
	good &= smq_group_seal(&sender, topic, -1, smq_span_of(plain, SIZE), smq_mspan_of(messages[i], ROOM),
			       &message_lens[i]) == SMQ_OK;
}

static void open_message(smq_span bytes)
{
	struct smq_sealed s;
	struct smq_group_opened o;
	good &= smq_sealed_decode(bytes, &s) == SMQ_OK &&
		smq_group_open(&receiver, &s, topic, 0, smq_mspan_of(out, sizeof(out)), &o) == SMQ_OK;
}

/* One name for each, so that each is counted apart. */
COUNTED op_seal(size_t i);
COUNTED op_seal(size_t i) { seal(i); }
COUNTED op_open(size_t i);
COUNTED op_open(size_t i) { open_message(message(i)); }
COUNTED op_seal_multi(size_t i);
COUNTED op_seal_multi(size_t i) { seal(i); }
COUNTED op_open_multi(size_t i);
COUNTED op_open_multi(size_t i) { open_message(message(i)); }
COUNTED op_seal_evp(size_t i);
COUNTED op_seal_evp(size_t i) { seal(i); }
COUNTED op_open_evp(size_t i);
COUNTED op_open_evp(size_t i) { open_message(message(i)); }

static void make_file(void)
{
	file = (struct smq_group_file){ .realm = "plant",
					.group = "telemetry",
					.epoch = 1,
					.alg = smq_aead_alg_by_id(SMQ_A128GCM),
					.member_count = MEMBERS,
					.filter_count = 1,
					.filters = { "plant/#" } };
	for (size_t i = 0; i < MEMBERS; i++)
		snprintf(file.members[i], sizeof(file.members[i]), "fridge-%zu", i);
}

static void sender_starts(const struct smq_crypto *crypto, size_t member)
{
	memset(sender_lives, 0, sizeof(sender_lives));
	must(smq_group_init(&sender, crypto, &seeded, &file, file.members[member], NULL, sender_lives, 1) == SMQ_OK,
	     "sender");
}

/* A thousand lives are known; then one of the members starts once more, and sends. */
static void run_messages(const struct smq_crypto *crypto, void (*op_s)(size_t), void (*op_o)(size_t))
{
	memset(lives, 0, sizeof(lives));
	must(smq_group_init(&receiver, crypto, &seeded, &file, "nobody", NULL, lives, SMQ_COUNT(lives)) == SMQ_OK,
	     "receiver");
	for (size_t i = 0; i < SENDERS; i++) {
		sender_starts(crypto, i % MEMBERS);
		seal(0);
		open_message(message(0));
		smq_group_done(&sender);
	}
	sender_starts(crypto, 7);
	seal(0);
	open_message(message(0));
	for (size_t i = 0; i < REPEATS; i++)
		op_s(i);
	for (size_t i = 0; i < REPEATS; i++)
		op_o(i);
	must(good && memcmp(out, plain, SIZE) == 0, crypto->name);
	smq_group_done(&sender);
	smq_group_done(&receiver);
}

/* ---- the floor ---- */

static EVP_CIPHER_CTX *ctx;
static uint8_t aad[96], nonce[12], floor_text[SIZE + 16];
static size_t aad_len;

static void floor_init(void)
{
	static const uint8_t key[16] = { 1 };
	/* as much as the messages above authenticate */
	must(smq_seal_enc_structure(&sender.sealer.key, &sender.sealer.key.header, topic,
				    smq_mspan_of(aad, sizeof(aad)), &aad_len) == SMQ_OK,
	     "AAD");
	ctx = EVP_CIPHER_CTX_new();
	must(ctx && EVP_EncryptInit_ex2(ctx, EVP_aes_128_gcm(), key, NULL, NULL) == 1, "EVP");
}

static void floor_seal(void)
{
	int n;
	nonce[0]++;
	good &= EVP_CipherInit_ex2(ctx, NULL, NULL, nonce, 1, NULL) == 1 &&
		EVP_CipherUpdate(ctx, NULL, &n, aad, (int)aad_len) == 1 &&
		EVP_CipherUpdate(ctx, floor_text, &n, plain, SIZE) == 1 &&
		EVP_CipherFinal_ex(ctx, floor_text + SIZE, &n) == 1 &&
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, floor_text + SIZE) == 1;
}

static void floor_open(void)
{
	int n;
	good &= EVP_CipherInit_ex2(ctx, NULL, NULL, nonce, 0, NULL) == 1 &&
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, floor_text + SIZE) == 1 &&
		EVP_CipherUpdate(ctx, NULL, &n, aad, (int)aad_len) == 1 &&
		EVP_CipherUpdate(ctx, out, &n, floor_text, SIZE) == 1 && EVP_CipherFinal_ex(ctx, out + SIZE, &n) == 1;
}

COUNTED op_floor_seal(void);
COUNTED op_floor_seal(void) { floor_seal(); }
COUNTED op_floor_open(void);
COUNTED op_floor_open(void) { floor_open(); }

static void run_floor(void)
{
	sender_starts(smq_crypto_openssl(), 0);
	floor_init();
	floor_seal();
	floor_open();
	for (size_t i = 0; i < REPEATS; i++) {
		op_floor_seal();
		op_floor_open();
	}
	must(good, "floor");
	EVP_CIPHER_CTX_free(ctx);
	smq_group_done(&sender);
}

/* ---- slots ---- */

COUNTED op_slot_key(struct smq_slot_holder *h, uint64_t slot);
COUNTED op_slot_key(struct smq_slot_holder *h, uint64_t slot)
{
	struct smq_slot_key key;
	good &= smq_slot_holder_forget(h, slot) == SMQ_OK && smq_slot_holder_key(h, slot, &key) == SMQ_OK;
}

static void run_slots(void)
{
	enum { LEVELS = 16 };
	struct smq_slot_tree tree;
	struct smq_slot_holder holder;
	struct smq_slot_seeds seeds;
	must(smq_slot_tree_init(&tree, smq_crypto_openssl(), &seeded, 0, LEVELS) == SMQ_OK &&
		 smq_slot_cover(&tree, 1000, 60000, &seeds) == SMQ_OK &&
		 smq_slot_holder_init(&holder, smq_crypto_openssl(), 0, LEVELS, 0, &seeds) == SMQ_OK,
	     "slots");
	for (size_t i = 0; i < REPEATS; i++)
		op_slot_key(&holder, 1000 + i);
	must(good, "slot keys");
	smq_slot_holder_done(&holder);
	smq_slot_tree_done(&tree);
}

/* ---- rekeying ---- */

static struct smq_tree_node_message published[TREE_HEIGHT];
static size_t published_count;
static struct smq_keypath followers[FOLLOWERS];

static smq_err publish(void *self, const struct smq_tree_node_message *m)
{
	(void)self;
	if (published_count == TREE_HEIGHT)
		return SMQ_ERR_FULL;
	published[published_count++] = *m;
	return SMQ_OK;
}

static smq_err publish_nothing(void *self, const struct smq_tree_node_message *m)
{
	(void)self;
	(void)m;
	return SMQ_OK;
}

COUNTED op_rekey_member(struct smq_keypath *p, uint64_t root_version, const uint8_t *commitment);
COUNTED op_rekey_member(struct smq_keypath *p, uint64_t root_version, const uint8_t *commitment)
{
	const struct smq_tree_node_message *mine[SMQ_TREE_HEIGHT_MAX] = { NULL };
	struct smq_tree_key secret;
	for (size_t i = 0; i < published_count; i++) {
		if (published[i].index == smq_keypath_index(p, published[i].height))
			mine[published[i].height - 1] = &published[i];
	}
	good &= smq_keypath_follow(p, 3, mine, root_version, commitment, &secret) == SMQ_OK;
}

static void fill_tree(smq_keytree *tree, const struct smq_tree_scope *scope, uint64_t *ret_leaver)
{
	uint64_t leaf;
	for (size_t i = 0; i < FOLLOWERS; i++) {
		must(smq_keytree_join(tree, &leaf) == SMQ_OK, "join");
		followers[i] = (struct smq_keypath){ .scope = scope, .leaf = leaf, .height = TREE_HEIGHT, .epoch = 2 };
	}
	must(smq_keytree_join(tree, ret_leaver) == SMQ_OK, "join");
	must(smq_keytree_advance(tree, 2, NULL, publish_nothing) == SMQ_OK, "epoch");
	for (size_t i = 0; i < FOLLOWERS; i++)
		must(smq_keytree_path(tree, followers[i].leaf, followers[i].nodes) == SMQ_OK, "path");
}

static void run_rekeying(void)
{
	const struct smq_tree_scope scope = { smq_crypto_openssl(), &seeded, smq_span_str("plant"),
					      smq_span_str("telemetry") };
	size_t size = smq_keytree_size(TREE_HEIGHT);
	void *memory = malloc(size);
	smq_keytree *tree = NULL;
	uint64_t leaver;
	struct smq_tree_key secret;
	uint8_t commitment[SMQ_HASH_LEN];
	must(memory && smq_keytree_init(memory, size, TREE_HEIGHT, 1, &scope, &tree) == SMQ_OK, "tree");
	fill_tree(tree, &scope, &leaver);
	must(smq_keytree_leave(tree, leaver) == SMQ_OK && smq_keytree_advance(tree, 3, NULL, publish) == SMQ_OK,
	     "leave");
	const struct smq_tree_node *root = smq_keytree_node(tree, TREE_HEIGHT, 0);
	must(smq_epoch_secret(&scope, &root->key, 3, &secret) == SMQ_OK &&
		 smq_epoch_commitment(&scope, &secret, 3, commitment) == SMQ_OK,
	     "commitment");
	for (size_t i = 0; i < FOLLOWERS; i++)
		op_rekey_member(&followers[i], root->version, commitment);
	must(good, "following");
	smq_keytree_done(tree);
	free(memory);
}

int main(void)
{
	topic = smq_span_str(topic_text);
	make_file();
	run_messages(smq_crypto_openssl_evp(), op_seal_evp, op_open_evp);
	run_messages(smq_crypto_openssl(), op_seal, op_open);
	if (smq_crypto_multibuffer())
		run_messages(smq_crypto_multibuffer(), op_seal_multi, op_open_multi);
	run_floor();
	run_slots();
	run_rekeying();
	return 0;
}
