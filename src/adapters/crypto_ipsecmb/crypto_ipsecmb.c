/* Sealing and opening with the multi-buffer library's own functions, which take a whole message in one call. */
#include "adapters/crypto_ipsecmb/crypto_ipsecmb.h"

#include <link.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <intel-ipsec-mb.h>

#include "adapters/common_loader/loader.h"
#include "base/table.h"
#include "base/wipe.h"

/* The library reads a ChaCha20 key in steps that go beyond its end. */
enum { GCM_TAG_LEN = 16, CHACHA_KEY_ROOM = 64, KEY_ALIGN = 64 };

/*
 * A key for vector AES holds 48 powers, 768 bytes of it; one for AVX2 holds 8. Whoever hears thousands of senders shall
 * not have a kilobyte for each: all keys are small, and those that are busy (and not too many at a time) get a place
 * for a large one beside it; the first few get one at once.
 *
 * The large form is the faster one where many short messages follow one another, and for long ones. A short one after a
 * rest is quicker in the small form: there is less code to fetch, and a processor that has not used its widest
 * registers for a while is slow to begin.
 */
enum { BUSY = 16, PLACES = 64, FEW = 8, SHORT_LEN = 128, ROW = 4 };

/* How a key is held, and what works on it. */
struct form {
	aes_gcm_pre_t pre; /* NULL: ChaCha20-Poly1305, whose key is just that */
	aes_gcm_enc_dec_t seal, open;
	size_t at, size;         /* of the key behind its head; of both */
	const struct form *fast; /* for a key that is busy; NULL: there is none, or no need */
};

struct smq_aead {
	smq_aead *below;        /* not one of ours: the port's below, and no form */
	const struct form *own; /* of what follows */
	uint32_t place;         /* of the large key, from 1; 0: none */
	uint16_t uses;          /* up to BUSY */
	uint16_t row;           /* short messages since the last rest, up to ROW */
	uint32_t rest;          /* the last one that it saw */
	uint8_t bytes[];        /* own->size bytes in all, the key at own->at */
};

enum {
	HEAD_LEN = sizeof(struct smq_aead),
	GCM_SMALL_LEN =
	    offsetof(struct gcm_key_data, ghash_keys) + sizeof(((struct gcm_key_data *)0)->ghash_keys.avx2_avx512),
	GCM_LARGE_LEN = (sizeof(struct gcm_key_data) + KEY_ALIGN - 1) / KEY_ALIGN * KEY_ALIGN
};

static const struct form chacha_form = { .at = HEAD_LEN, .size = HEAD_LEN + CHACHA_KEY_ROOM };

/* What is used of the library: found once. */
static struct {
	const struct smq_crypto *below;
	struct form gcm128, gcm256, fast128, fast256;
	chacha_poly_init_t chacha_init;
	chacha_poly_enc_dec_update_t chacha_seal, chacha_open;
	chacha_poly_finalize_t chacha_end;
} mb;

/* Large keys; a bit for each that is taken. Pages of it come as they are touched. */
static _Alignas(KEY_ALIGN) uint8_t places[PLACES][GCM_LARGE_LEN];
static _Atomic uint64_t taken;

static _Atomic uint32_t rests; /* counted; a hint, so that nobody waits for it */

/* ---- keys ---- */

static uint8_t *own_key(const smq_aead *a) { return (uint8_t *)(uintptr_t)a + a->own->at; }

/* From any thread, without a lock. 0: all are taken. */
static uint32_t take_place(void)
{
	uint64_t had = atomic_load_explicit(&taken, memory_order_relaxed);
	while (~had) {
		uint32_t free = (uint32_t)__builtin_ctzll(~had);
		if (atomic_compare_exchange_weak_explicit(&taken, &had, had | UINT64_C(1) << free, memory_order_acquire,
							  memory_order_relaxed))
			return free + 1;
	}
	return 0;
}

static void give_place_back(uint32_t place)
{
	smq_wipe(places[place - 1], GCM_LARGE_LEN);
	(void)atomic_fetch_and_explicit(&taken, ~(UINT64_C(1) << (place - 1)), memory_order_release);
}

/* The expanded key begins with the key itself. */
static void hasten(smq_aead *a)
{
	uint32_t place = a->own->fast && !a->place ? take_place() : 0;
	if (!place)
		return;
	a->own->fast->pre(own_key(a), (struct gcm_key_data *)(void *)places[place - 1]);
	a->place = place;
}

static inline void count_use(smq_aead *a)
{
	if (a->uses < BUSY && ++a->uses == BUSY)
		hasten(a);
}

/* Of the two forms of its key, the better one for a message of this length. */
static inline bool use_large(smq_aead *a, size_t len)
{
	count_use(a);
	if (!a->place || len > SHORT_LEN)
		return a->place > 0;
	uint32_t rest = atomic_load_explicit(&rests, memory_order_relaxed);
	if (a->rest != rest) {
		a->rest = rest;
		a->row = 0;
	}
	if (a->row >= ROW)
		return true;
	a->row++;
	return false;
}

static bool few_are_taken(void)
{
	return __builtin_popcountll(atomic_load_explicit(&taken, memory_order_relaxed)) < FEW;
}

/* NULL: not an algorithm of ours */
static const struct form *form_for(const struct smq_aead_alg *alg)
{
	switch (alg->id) {
	case SMQ_A128GCM:
		return &mb.gcm128;
	case SMQ_A256GCM:
		return &mb.gcm256;
	case SMQ_CHACHA20_POLY1305:
		return &chacha_form;
	default:
		return NULL;
	}
}

static void mb_free(smq_aead *a)
{
	if (!a)
		return;
	if (a->place)
		give_place_back(a->place);
	mb.below->aead_free(a->below);
	smq_wipe(a, a->own ? a->own->size : sizeof(*a));
	free(a);
}

static smq_err new_in(const struct form *form, smq_span key, bool at_once, smq_aead **ret_aead)
{
	smq_aead *a = aligned_alloc(form->at % KEY_ALIGN ? sizeof(void *) : KEY_ALIGN, form->size);
	if (!a)
		return SMQ_ERR_NO_MEMORY;
	memset(a, 0, form->size);
	a->own = form;
	memcpy(own_key(a), key.p, key.len);
	if (form->pre)
		form->pre(key.p, (struct gcm_key_data *)(void *)own_key(a));
	if (at_once)
		hasten(a);
	*ret_aead = a;
	return SMQ_OK;
}

static smq_err new_below(const struct smq_aead_alg *alg, smq_span key, smq_aead **ret_aead)
{
	smq_aead *a = calloc(1, sizeof(*a));
	if (!a)
		return SMQ_ERR_NO_MEMORY;
	smq_err err = mb.below->aead_new(alg, key, &a->below);
	if (err != SMQ_OK)
		free(a);
	else
		*ret_aead = a;
	return err;
}

static smq_err mb_new(const struct smq_aead_alg *alg, smq_span key, smq_aead **ret_aead)
{
	if (!alg)
		return SMQ_ERR_ALGORITHM;
	if (key.len != alg->key_len)
		return mb.below->aead_new(alg, key, ret_aead); /* in whose words it is refused */
	const struct form *form = form_for(alg);
	return form ? new_in(form, key, few_are_taken(), ret_aead) : new_below(alg, key, ret_aead);
}

/* ---- messages ---- */

static bool same_tag(const uint8_t a[GCM_TAG_LEN], const uint8_t b[GCM_TAG_LEN])
{
	uint64_t x[2], y[2];
	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
}

/* What a call leaves in its context is the key stream of the last block. */
static void chacha(const smq_aead *a, chacha_poly_enc_dec_update_t update, const uint8_t *nonce, smq_span aad,
		   smq_span text, uint8_t *out, uint8_t *ret_tag)
{
	struct chacha20_poly1305_context_data ctx;
	mb.chacha_init(own_key(a), &ctx, nonce, aad.p, aad.len);
	update(own_key(a), &ctx, out, text.p, text.len);
	mb.chacha_end(&ctx, ret_tag, GCM_TAG_LEN);
	smq_wipe(&ctx, sizeof(ctx));
}

static inline void gcm(smq_aead *a, bool sealing, const uint8_t *nonce, smq_span aad, smq_span text, uint8_t *out,
		       uint8_t *ret_tag)
{
	struct gcm_context_data ctx;
	bool large = use_large(a, text.len);
	const struct form *form = large ? a->own->fast : a->own;
	const struct gcm_key_data *key = (const void *)(large ? places[a->place - 1] : own_key(a));
	(sealing ? form->seal : form->open)(key, &ctx, out, text.p, text.len, nonce, aad.p, aad.len, ret_tag,
					    GCM_TAG_LEN);
	smq_wipe(&ctx, sizeof(ctx));
}

static smq_err mb_seal(smq_aead *a, const uint8_t *nonce, smq_span aad, smq_span plain, uint8_t *ret_cipher)
{
	if (a->below)
		return mb.below->aead_seal(a->below, nonce, aad, plain, ret_cipher);
	if (a->own->seal)
		gcm(a, true, nonce, aad, plain, ret_cipher, ret_cipher + plain.len);
	else
		chacha(a, mb.chacha_seal, nonce, aad, plain, ret_cipher, ret_cipher + plain.len);
	return SMQ_OK;
}

static smq_err mb_open(smq_aead *a, const uint8_t *nonce, smq_span aad, smq_span cipher, uint8_t *ret_plain)
{
	uint8_t tag[GCM_TAG_LEN], want[GCM_TAG_LEN];
	if (a->below)
		return mb.below->aead_open(a->below, nonce, aad, cipher, ret_plain);
	if (cipher.len < GCM_TAG_LEN)
		return SMQ_ERR_OPEN;
	smq_span text = smq_span_of(cipher.p, cipher.len - GCM_TAG_LEN);
	memcpy(want, text.p + text.len, sizeof(want)); /* ret_plain may be where it lies */
	if (a->own->open)
		gcm(a, false, nonce, aad, text, ret_plain, tag);
	else
		chacha(a, mb.chacha_open, nonce, aad, text, ret_plain, tag);
	bool good = same_tag(tag, want);
	smq_wipe(tag, sizeof(tag)); /* the right tag of a wrong message is nobody's */
	if (!good && text.len > 0)
		smq_wipe(ret_plain, text.len);
	return good ? SMQ_OK : SMQ_ERR_OPEN;
}

/* ---- many messages ---- */

/* Of a key that is not in the cache: what a short message needs of it, while the one before is at work. That is how it
 * begins, and how it ends: the lowest powers come last. */
static void fetch_ahead(const smq_aead *a)
{
	enum { EDGE = 4 * KEY_ALIGN };
	const uint8_t *bytes = a->place ? places[a->place - 1] : (const uint8_t *)a;
	size_t size = a->place ? GCM_LARGE_LEN : a->own ? a->own->size : sizeof(*a);
	for (size_t at = 0; at < size; at += KEY_ALIGN) {
		if (at < EDGE || at + EDGE >= size)
			__builtin_prefetch(bytes + at);
	}
}

static void each(struct smq_aead_work *work, size_t count, bool sealing)
{
	for (size_t i = 0; i < count; i++) {
		struct smq_aead_work *w = &work[i];
		if (i + 1 < count && work[i + 1].aead != w->aead)
			fetch_ahead(work[i + 1].aead);
		w->err = sealing ? mb_seal(w->aead, w->nonce, w->aad, w->text, w->out)
				 : mb_open(w->aead, w->nonce, w->aad, w->text, w->out);
	}
}

static void mb_seal_many(struct smq_aead_work *work, size_t count) { each(work, count, true); }
static void mb_open_many(struct smq_aead_work *work, size_t count) { each(work, count, false); }

/* ---- trusted only after it has agreed with the port below ---- */

enum { TRIAL_MAX = 1000, TRIAL_AAD_MAX = 100 };

/* One message sealed by both, opened, and refused with a wrong tag. */
static bool agrees_at(smq_aead *ours, smq_aead *theirs, size_t len)
{
	uint8_t plain[TRIAL_MAX], aad_bytes[TRIAL_AAD_MAX], nonce[SMQ_AEAD_NONCE_MAX];
	uint8_t want[TRIAL_MAX + GCM_TAG_LEN], got[TRIAL_MAX + GCM_TAG_LEN];
	smq_span aad = smq_span_of(aad_bytes, len % TRIAL_AAD_MAX), text = smq_span_of(plain, len);
	memset(plain, 0x5a, sizeof(plain));
	memset(aad_bytes, 0xa5, sizeof(aad_bytes));
	memset(nonce, (int)len + 1, sizeof(nonce));
	smq_span sealed = smq_span_of(want, len + GCM_TAG_LEN);
	if (mb.below->aead_seal(theirs, nonce, aad, text, want) != SMQ_OK ||
	    mb_seal(ours, nonce, aad, text, got) != SMQ_OK || memcmp(want, got, sealed.len) != 0 ||
	    mb_open(ours, nonce, aad, sealed, got) != SMQ_OK || memcmp(got, plain, len) != 0)
		return false;
	want[len] ^= 1;
	return mb_open(ours, nonce, aad, sealed, got) == SMQ_ERR_OPEN;
}

/* A key of this form, which becomes busy on the way: every length by both. */
static bool agrees(int id)
{
	static const size_t lengths[] = { 0, 1, 16, 63, 64, 65, 255, 256, TRIAL_MAX };
	static const uint8_t key_bytes[SMQ_AEAD_KEY_MAX] = { 1, 2, 3 };
	const struct smq_aead_alg *alg = smq_aead_alg_by_id(id);
	smq_span key = smq_span_of(key_bytes, alg->key_len);
	smq_aead *ours = NULL, *theirs = NULL;
	bool good =
	    new_in(form_for(alg), key, false, &ours) == SMQ_OK && mb.below->aead_new(alg, key, &theirs) == SMQ_OK;
	for (int busy = 0; good && busy < 2; busy++) {
		for (size_t i = 0; good && i < SMQ_COUNT(lengths); i++) {
			ours->uses = 0; /* as it is, until we say so */
			ours->row = busy ? ROW : 0;
			ours->rest = atomic_load_explicit(&rests, memory_order_relaxed);
			good = agrees_at(ours, theirs, lengths[i]);
		}
		if (good && !busy)
			hasten(ours);
	}
	mb_free(ours);
	mb.below->aead_free(theirs);
	return good;
}

/* ---- once per process ---- */

#define LIBRARY_EACH(X)                                                                                                \
	X(alloc_mb_mgr)                                                                                                \
	X(free_mb_mgr)                                                                                                 \
	X(init_mb_mgr_auto)                                                                                            \
	X(imb_get_version)                                                                                             \
	X(aes_gcm_pre_128_avx_gen4)                                                                                    \
	X(aes_gcm_enc_128_avx_gen4)                                                                                    \
	X(aes_gcm_dec_128_avx_gen4)                                                                                    \
	X(aes_gcm_pre_256_avx_gen4)                                                                                    \
	X(aes_gcm_enc_256_avx_gen4)                                                                                    \
	X(aes_gcm_dec_256_avx_gen4)

#define MEMBER(name) __typeof__(name) *name;
#define NAME(name) #name,
static const char *const names[] = { LIBRARY_EACH(NAME) };
static struct library {
	LIBRARY_EACH(MEMBER)
} functions;
_Static_assert(sizeof(struct library) == SMQ_COUNT(names) * sizeof(void *), "a pointer for each name");

static struct form gcm_form(size_t at, size_t len, aes_gcm_pre_t pre, aes_gcm_enc_dec_t seal, aes_gcm_enc_dec_t open)
{
	return (struct form){ pre, seal, open, at, at + len, NULL };
}

/* Where the processor has AVX2, its functions do for small keys; what vector AES has beyond is for the busy ones. */
static void take_small(IMB_ARCH arch)
{
	if (arch != IMB_ARCH_AVX2 && arch != IMB_ARCH_AVX512)
		return;
	mb.fast128 = mb.gcm128;
	mb.fast256 = mb.gcm256;
	mb.gcm128 = gcm_form(HEAD_LEN, GCM_SMALL_LEN, functions.aes_gcm_pre_128_avx_gen4,
			     functions.aes_gcm_enc_128_avx_gen4, functions.aes_gcm_dec_128_avx_gen4);
	mb.gcm256 = gcm_form(HEAD_LEN, GCM_SMALL_LEN, functions.aes_gcm_pre_256_avx_gen4,
			     functions.aes_gcm_enc_256_avx_gen4, functions.aes_gcm_dec_256_avx_gen4);
	if (arch == IMB_ARCH_AVX512) {
		mb.gcm128.fast = &mb.fast128;
		mb.gcm256.fast = &mb.fast256;
	}
}

/* The manager is a table of the functions that are best on this processor. Direct calls need no more of it than those,
 * and its four megabytes are given back. Without AES in hardware it would take tables, whose time tells the key. */
static bool take_functions(const IMB_MGR *m)
{
	const uint64_t wanted = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ | IMB_FEATURE_SAFE_DATA;
	if ((m->features & wanted) != wanted || (m->features & IMB_FEATURE_AESNI_EMU))
		return false;
	mb.gcm128 = gcm_form(KEY_ALIGN, GCM_LARGE_LEN, m->gcm128_pre, m->gcm128_enc, m->gcm128_dec);
	mb.gcm256 = gcm_form(KEY_ALIGN, GCM_LARGE_LEN, m->gcm256_pre, m->gcm256_enc, m->gcm256_dec);
	mb.chacha_init = m->chacha20_poly1305_init;
	mb.chacha_seal = m->chacha20_poly1305_enc_update;
	mb.chacha_open = m->chacha20_poly1305_dec_update;
	mb.chacha_end = m->chacha20_poly1305_finalize;
	return mb.gcm128.pre && mb.gcm128.seal && mb.gcm128.open && mb.gcm256.pre && mb.gcm256.seal && mb.gcm256.open &&
	       mb.chacha_init && mb.chacha_seal && mb.chacha_open && mb.chacha_end;
}

/* Its self-test and our trial have touched much of the library, which would count as ours: pages that nobody ever
 * writes are dropped, and those that are used come back by themselves. */
static int drop_pages(struct dl_phdr_info *info, size_t size, void *self)
{
	uintptr_t within = *(const uintptr_t *)self, page = (uintptr_t)sysconf(_SC_PAGESIZE);
	bool found = false;
	(void)size;
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < info->dlpi_phnum; i++) {
			const ElfW(Phdr) *h = &info->dlpi_phdr[i];
			uintptr_t start = info->dlpi_addr + h->p_vaddr, end = start + h->p_memsz;
			if (h->p_type != PT_LOAD || (h->p_flags & PF_W))
				continue;
			found = found || (within >= start && within < end);
			start -= start % page;
			if (pass == 1 && found)
				(void)madvise((void *)start, end - start, MADV_DONTNEED);
		}
	}
	return found;
}

static void drop_all(void)
{
	uintptr_t within;
	memcpy(&within, &functions.init_mb_mgr_auto, sizeof(within));
	if (within)
		(void)dl_iterate_phdr(drop_pages, &within);
}

static bool load(void)
{
	static const struct smq_library library = { "libIPSec_MB.so.1", "libipsec-mb1", names, SMQ_COUNT(names),
						    &functions };
	if (smq_library_load(&library) != SMQ_OK || functions.imb_get_version() != IMB_VERSION_NUM)
		return false;
	IMB_ARCH arch = IMB_ARCH_NONE;
	IMB_MGR *m = functions.alloc_mb_mgr(0);
	if (!m)
		return false;
	functions.init_mb_mgr_auto(m, &arch);
	bool good = arch != IMB_ARCH_NONE && arch != IMB_ARCH_NOAESNI && take_functions(m);
	take_small(arch);
	functions.free_mb_mgr(m);
	drop_all();
	return good;
}

static void rested(void) { (void)atomic_fetch_add_explicit(&rests, 1, memory_order_relaxed); }

bool smq_crypto_ipsecmb_over(const struct smq_crypto *below, struct smq_crypto *ret_port)
{
	mb.below = below;
	bool good = load() && agrees(SMQ_A128GCM) && agrees(SMQ_A256GCM) && agrees(SMQ_CHACHA20_POLY1305);
	drop_all();
	if (!good)
		return false;
	*ret_port = *below;
	ret_port->name = "ipsec-mb";
	ret_port->aead_new = mb_new;
	ret_port->aead_seal = mb_seal;
	ret_port->aead_open = mb_open;
	ret_port->aead_free = mb_free;
	ret_port->aead_seal_many = mb_seal_many;
	ret_port->aead_open_many = mb_open_many;
	ret_port->aead_rested = rested;
	return true;
}
