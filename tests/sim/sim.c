/* The simulated world: chance, people, time, and what is said of a run. */
#include "sim.h"

#include <stdarg.h>
#include <string.h>

#include "adapters/crypto_openssl/signer.h"
#include "wire/cbor.h"

/* ---- chance ---- */

/* Chance out of bytes that somebody else has chosen: few bytes for few outcomes. */
static uint64_t take_bytes(struct dice *d, uint64_t n)
{
	uint64_t x = 0;
	for (; n > 0 && d->left > 0; n >>= 8, d->left--)
		x = x << 8 | *d->bytes++;
	return x;
}

uint64_t dice_roll(struct dice *d)
{
	if (d->bytes)
		return take_bytes(d, UINT64_MAX);
	uint64_t x = d->state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

uint64_t dice_below(struct dice *d, uint64_t n) { return (d->bytes ? take_bytes(d, n - 1) : dice_roll(d)) % n; }

bool dice_one_in(struct dice *d, uint64_t n) { return dice_below(d, n) == 0; }

static smq_err fill(void *self, smq_mspan room)
{
	struct sim *s = self;
	for (size_t i = 0; i < room.len; i++)
		room.p[i] = (uint8_t)(dice_roll(&s->random_dice) >> 11);
	return SMQ_OK;
}

/* ---- people ---- */

enum { IDENTITIES = SIM_NODES };

static struct sim_identity identities[2][IDENTITIES]; /* mocked, real */

static void make_identity(bool real, int i, struct sim_identity *p)
{
	uint8_t secret[SMQ_KEX_LEN] = { 0 }, kid = (uint8_t)(0x40 + i);
	struct smq_writer w = smq_writer_on(smq_mspan_of(p->id_cred, sizeof(p->id_cred)));
	snprintf(p->name, sizeof(p->name), "%c-%s", 'a' + i,
		 i < SIM_MEMBERS    ? "member"
		 : i == SIM_MEMBERS ? "server"
				    : "admin");
	smq_cbor_put_map(&w, 1);
	smq_cbor_put_uint(&w, 4);
	smq_cbor_put_bytes(&w, smq_span_of(&kid, 1));
	p->own.id_cred_full = p->own.id_cred_short = smq_writer_span(&w);
	secret[31] = (uint8_t)(i + 7);
	p->own.dh_curve = SMQ_P256;
	if (real) {
		if (smq_openssl_signer_from_raw(SMQ_P256, secret, &p->own.signer) != SMQ_OK ||
		    smq_openssl_signer_public(&p->own.signer, p->public_key, &p->public_key_len) != SMQ_OK)
			abort();
	} else {
		p->public_key_len = SMQ_PUBLIC_KEY_MAX;
		mock_public((uint8_t)(2 * i + 7), p->public_key);
		mock_signer(p->public_key, &p->own.signer);
	}
	w = smq_writer_on(smq_mspan_of(p->cred, sizeof(p->cred)));
	smq_cbor_put_bytes(&w, smq_span_of(p->public_key, p->public_key_len));
	p->own.cred = smq_writer_span(&w);
}

void sim_identities_init(void)
{
	for (int i = 0; i < 2 * IDENTITIES; i++)
		make_identity(i % 2, i / 2, &identities[i % 2][i / 2]);
}

void sim_identities_done(void)
{
	for (int i = 0; i < IDENTITIES; i++)
		smq_openssl_signer_free(&identities[1][i].own.signer);
}

const struct sim_identity *sim_identity(bool real, int i) { return &identities[real][i]; }

static smq_err resolve(void *self, smq_span id_cred, int64_t now_ms, struct smq_credential *ret_credential)
{
	const struct sim *s = self;
	(void)now_ms;
	for (int i = 0; i < IDENTITIES; i++) {
		const struct sim_identity *p = sim_identity(s->real, i);
		if (!smq_span_equal(id_cred, p->own.id_cred_full))
			continue;
		memset(ret_credential, 0, sizeof(*ret_credential));
		memcpy(ret_credential->name, p->name, sizeof(p->name));
		ret_credential->id[0] = (uint8_t)i;
		ret_credential->roles = i < SIM_MEMBERS    ? SMQ_ROLE_MEMBER
					: i == SIM_MEMBERS ? SMQ_ROLE_KEYSERVER
							   : SMQ_ROLE_ADMIN;
		ret_credential->sig_alg = SMQ_ES256;
		ret_credential->dh_curve = SMQ_P256;
		ret_credential->expires_ms = INT64_MAX;
		memcpy(ret_credential->public_key, p->public_key, p->public_key_len);
		ret_credential->public_key_len = p->public_key_len;
		memcpy(ret_credential->cred, p->own.cred.p, p->own.cred.len);
		ret_credential->cred_len = p->own.cred.len;
		return SMQ_OK;
	}
	return SMQ_ERR_CREDENTIAL;
}

struct smq_now sim_now(const struct sim *s, int member)
{
	return (struct smq_now){ s->now.mono_ms + 7777 * (member + 1), s->now.unix_ms + s->skew_ms[member] };
}

/* ---- what is said of it ---- */

static void trace(struct sim *s, const char *text)
{
	for (const char *c = text; *c; c++)
		s->trace = (s->trace ^ (uint8_t)*c) * UINT64_C(1099511628211);
}

void sim_note(struct sim *s, const char *format, ...)
{
	char line[256];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	trace(s, line);
	if (s->verbose)
		printf("  %s\n", line);
}

void sim_fail(struct sim *s, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(s->failure, sizeof(s->failure), format, args);
	va_end(args);
	longjmp(s->failed, 1);
}

/* ---- a run ---- */

const struct sim_op *sim_op_of(const struct sim *s, size_t kind)
{
	return kind < bus_op_count ? &bus_ops[kind] : &s->scenario->ops[kind - bus_op_count];
}

void sim_begin(struct sim *s)
{
	memset(s->skew_ms, 0, sizeof(s->skew_ms));
	memset(s->cut_off, 0, sizeof(s->cut_off));
	s->flight_count = s->archive_count = s->retained_count = s->text_count = 0;
	s->now = (struct smq_now){ 100000, INT64_C(1790000000000) };
	s->trace = UINT64_C(14695981039346656037);
	s->delivered = 0;
	s->failure[0] = 0;
	s->random_dice.state = s->seed ^ UINT64_C(0x5ea1);
	s->random = (struct smq_random){ s, fill };
	s->crypto = watch_crypto(s->real);
	s->credentials = (struct smq_credentials){ .self = s, .resolve = resolve };
	watch_begin(s);
}
