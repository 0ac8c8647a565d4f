/*
 * Whether a branch or an index depends on a secret: secrets are marked as undefined for valgrind's memcheck, which then
 * reports every jump and address that depends on them. Each case runs in a process of its own under valgrind
 * (test_secrets.py); the planted leaks must be reported, the others must not.
 */
#include <stdio.h>
#include <string.h>
#include <ucontext.h>
#include <valgrind/memcheck.h>

#include <sealmq/client.h>

#include "base/table.h"
#include "base/wipe.h"
#include "core/keyschedule.h"
#include "core/keytree_keys.h"
#include "core/slots.h"

static void poison(void *p, size_t len) { (void)VALGRIND_MAKE_MEM_UNDEFINED(p, len); }
static void reveal(void *p, size_t len) { (void)VALGRIND_MAKE_MEM_DEFINED(p, len); }

static const struct smq_crypto *crypto(void) { return smq_crypto_openssl(); }

static int compare(void)
{
	uint8_t a[32] = { 1 }, b[32] = { 1 };
	poison(a, sizeof(a));
	bool same = smq_equal_ct(a, b, sizeof(a));
	reveal(&same, sizeof(same)); /* the verdict itself is public */
	return same ? 0 : 1;
}

static int key_schedule(void)
{
	struct smq_traffic_secret secret = { { 1 } };
	uint8_t digest[SMQ_HASH_LEN] = { 2 }, key[16], iv[12];
	poison(&secret, sizeof(secret));
	return smq_derive_key_iv(crypto(), &secret, digest, smq_mspan_of(key, 16), smq_mspan_of(iv, 12)) != SMQ_OK;
}

static int ratchet(void)
{
	struct smq_tree_node node = { .version = 3 };
	poison(&node.key, sizeof(node.key));
	return smq_tree_ratchet(crypto(), &node, 7) != SMQ_OK;
}

static int slots(void)
{
	struct smq_slot_tree tree = { .crypto = crypto(), .levels = 8 };
	struct smq_slot_seeds seeds;
	struct smq_slot_holder holder;
	struct smq_slot_key key;
	poison(&tree.root, sizeof(tree.root));
	return smq_slot_cover(&tree, 3, 200, &seeds) != SMQ_OK ||
	       smq_slot_holder_init(&holder, crypto(), 0, 8, 0, &seeds) != SMQ_OK ||
	       smq_slot_holder_key(&holder, 77, &key) != SMQ_OK;
}

/* A plaintext is a secret too: how long it is may show, what is in it may not. */
static int seal_plaintext(void)
{
	const struct smq_seal_context context = { .kind = SMQ_SEALED_GROUP,
						  .alg = smq_aead_alg_by_id(SMQ_A128GCM),
						  .realm = smq_span_str("r"),
						  .group = smq_span_str("g"),
						  .sender = smq_span_str("s"),
						  .epoch = 1 };
	const struct smq_traffic_secret secret = { { 1 } };
	struct smq_sealer sealer;
	uint8_t plain[64] = { 0 }, room[256];
	size_t len = 0;
	poison(plain, sizeof(plain));
	return smq_sealer_init(&sealer, crypto(), &secret, &context) != SMQ_OK ||
	       smq_seal(&sealer, smq_span_str("t"), -1, smq_span_of(plain, sizeof(plain)),
			smq_mspan_of(room, sizeof(room)), &len) != SMQ_OK;
}

static int planted_branch(void)
{
	uint8_t a[32] = { 1 };
	poison(a, sizeof(a));
	if (a[7] == 9)
		puts("nine");
	return 0;
}

static int planted_index(void)
{
	static const uint8_t table[256] = { 7 };
	uint8_t secret = 3;
	volatile uint8_t out;
	poison(&secret, 1);
	out = table[secret];
	(void)out;
	return 0;
}

static int planted_compare(void)
{
	uint8_t a[32] = { 1 };
	static const uint8_t b[32] = { 2 };
	int different = 0;
	poison(a, sizeof(a));
	for (size_t i = 0; i < sizeof(a) && !different; i++)
		different = a[i] != b[i];
	volatile int verdict = different;
	(void)verdict;
	return 0;
}

/* The optimiser must not take away the last write to memory that nobody reads any more: what a function leaves on a
 * stack of its own is searched once it has returned. Not under valgrind, which would take us to be lost. */
static uint8_t own_stack[64 * 1024];
static ucontext_t here, there;
static volatile bool wipe_it;

static void use_a_secret(void)
{
	uint8_t secret[64];
	memset(secret, 0x5a, sizeof(secret));
	__asm__ volatile("" : : "r"(secret) : "memory");
	if (wipe_it)
		smq_wipe(secret, sizeof(secret));
}

static int left_behind(bool wipe)
{
	size_t left = 0;
	wipe_it = wipe;
	memset(own_stack, 0, sizeof(own_stack));
	if (getcontext(&there) != 0)
		return 2;
	there.uc_stack.ss_sp = own_stack;
	there.uc_stack.ss_size = sizeof(own_stack);
	there.uc_link = &here;
	makecontext(&there, use_a_secret, 0);
	if (swapcontext(&here, &there) != 0)
		return 2;
	for (size_t i = 0; i < sizeof(own_stack); i++)
		left += own_stack[i] == 0x5a;
	return left >= 32;
}

static int wipes(void) { return left_behind(true); }

static int planted_no_wipe(void) { return left_behind(false); }

static const struct {
	const char *name;
	int (*run)(void);
} cases[] = {
	{ "compare", compare },
	{ "key schedule", key_schedule },
	{ "ratchet", ratchet },
	{ "slots", slots },
	{ "seal", seal_plaintext },
	{ "planted branch", planted_branch },
	{ "planted index", planted_index },
	{ "planted compare", planted_compare },
	{ "wipe", wipes },
	{ "planted no wipe", planted_no_wipe },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < SMQ_COUNT(cases); i++) {
		if (strcmp(argv[1], cases[i].name) == 0)
			return cases[i].run();
	}
	for (size_t i = 0; i < SMQ_COUNT(cases); i++)
		puts(cases[i].name);
	return argc == 1 ? 0 : 2;
}
