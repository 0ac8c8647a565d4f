/* Looking into one sealed message. */
#include <sealmq/inspect.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include <sealmq/client.h>

#include "base/wipe.h"
#include "core/group.h"
#include "core/keyschedule.h"
#include "lib/group_files.h"

static const char *const kinds[] = { "session", "group", "group-boot", "slot", "slot-boot" };

smq_err smq_inspect(smq_span payload, struct smq_inspection *ret_inspection)
{
	struct smq_sealed s;
	smq_err err = smq_sealed_decode(payload, &s);
	if (err != SMQ_OK)
		return err;
	struct smq_inspection i = {
		.form = payload.p[0] == 0xd0 ? "cose" : "compact",
		.kind = kinds[s.kind],
		.algorithm = s.alg->name,
		.is_session = s.kind == SMQ_SEALED_SESSION,
		.epoch = s.epoch,
		.sender_id = s.sender_id,
		.has_slot = smq_sealed_has_slot(s.kind),
		.slot = s.slot,
		.has_boot_id = s.kind == SMQ_SEALED_GROUP_BOOT || s.kind == SMQ_SEALED_SLOT_BOOT,
		.counter = s.counter,
		.has_stamp = s.has_stamp,
		.stamp = s.stamp,
		.is_signed = s.signature.len != 0,
		.len = payload.len,
		.plain_len = s.ciphertext.len - s.alg->tag_len,
	};
	i.overhead = i.len - i.plain_len;
	memcpy(i.key_id, s.key_id, sizeof(i.key_id));
	memcpy(i.boot_id, s.boot_id, sizeof(i.boot_id));
	*ret_inspection = i;
	return SMQ_OK;
}

smq_err smq_inspect_cose(smq_span payload, uint8_t **ret_cose, size_t *ret_len)
{
	struct smq_sealed s;
	smq_err err = smq_sealed_decode(payload, &s);
	if (err != SMQ_OK)
		return err;
	size_t room = smq_sealed_room(s.ciphertext.len);
	uint8_t *cose = malloc(room);
	if (!cose)
		return SMQ_ERR_NO_MEMORY;
	err = smq_sealed_encode_cose(&s, smq_mspan_of(cose, room), ret_len);
	if (err == SMQ_OK)
		*ret_cose = cose;
	else
		free(cose);
	return err;
}

/* ---- opening ---- */

/* Everything that an opened message's spans point into. */
struct memory {
	struct smq_group_file file;
	uint8_t key[SMQ_AEAD_KEY_MAX], base_iv[SMQ_AEAD_NONCE_MAX], nonce[SMQ_AEAD_NONCE_MAX];
	uint8_t external_aad[1024], enc_structure[1024];
	size_t room; /* of each half of bytes */
	uint8_t bytes[];
};

struct attempt {
	const struct smq_sealed *sealed;
	const char *topic;
	struct memory *memory;
	struct smq_inspect_opened opened;
	smq_err result; /* the most telling so far */
};

static _Thread_local char why_text[PATH_MAX + 256];

static smq_err reveal(struct attempt *a, const struct smq_traffic_secret *traffic,
		      const struct smq_seal_context *context, const struct smq_seal_key *k)
{
	struct memory *m = a->memory;
	const struct smq_aead_alg *alg = context->alg;
	size_t ext_len = 0, enc_len = 0, cose_len = 0;
	smq_err err = smq_derive_key_iv(smq_crypto_openssl(), traffic, k->context_digest,
					smq_mspan_of(m->key, alg->key_len), smq_mspan_of(m->base_iv, alg->nonce_len));
	if (err == SMQ_OK)
		err = smq_seal_nonce(k, a->sealed->counter, m->nonce);
	if (err == SMQ_OK)
		err = smq_seal_external_aad(k, a->sealed, smq_span_str(a->topic),
					    smq_mspan_of(m->external_aad, sizeof(m->external_aad)), &ext_len);
	if (err == SMQ_OK)
		err = smq_seal_enc_structure(k, a->sealed, smq_span_str(a->topic),
					     smq_mspan_of(m->enc_structure, sizeof(m->enc_structure)), &enc_len);
	if (err == SMQ_OK)
		err = smq_sealed_encode_cose_iv(a->sealed, smq_span_of(m->nonce, alg->nonce_len),
						smq_mspan_of(m->bytes + m->room, m->room), &cose_len);
	a->opened.key = smq_span_of(m->key, alg->key_len);
	a->opened.base_iv = smq_span_of(m->base_iv, alg->nonce_len);
	a->opened.nonce = smq_span_of(m->nonce, alg->nonce_len);
	a->opened.external_aad = smq_span_of(m->external_aad, ext_len);
	a->opened.enc_structure = smq_span_of(m->enc_structure, enc_len);
	a->opened.cose_full_iv = smq_span_of(m->bytes + m->room, cose_len);
	return err;
}

static smq_err try_file(struct attempt *a)
{
	struct memory *m = a->memory;
	struct smq_traffic_secret traffic;
	struct smq_seal_context context;
	struct smq_opener opener = { 0 };
	size_t len = 0;
	smq_err err = smq_group_context(&m->file, a->sealed, &context);
	if (err != SMQ_OK)
		return err;
	err = smq_group_traffic_secret(smq_crypto_openssl(), &m->file.secret, smq_span_str(m->file.realm),
				       smq_span_str(m->file.group), m->file.epoch, &traffic);
	if (err == SMQ_OK)
		err = smq_opener_init(&opener, smq_crypto_openssl(), &traffic, &context);
	if (err == SMQ_OK)
		err = smq_open(&opener, a->sealed, smq_span_str(a->topic), smq_mspan_of(m->bytes, m->room), &len, NULL);
	if (err == SMQ_OK)
		err = reveal(a, &traffic, &context, &opener.key);
	if (err == SMQ_OK) {
		a->opened.plain = smq_span_of(m->bytes, len);
		a->opened.group = m->file.group;
		a->opened.sender = m->file.members[a->sealed->sender_id];
	}
	smq_opener_done(&opener);
	smq_wipe(&traffic, sizeof(traffic));
	return err;
}

/* A file that fits ends the search; any other answer is remembered if it says more than "no key". */
static smq_err take_path(void *self, const char *path)
{
	struct attempt *a = self;
	if (a->opened.group)
		return SMQ_OK;
	smq_err err = smq_group_files_load(path, NULL, &a->memory->file, why_text, sizeof(why_text));
	if (err != SMQ_OK)
		return err;
	err = try_file(a);
	if (err == SMQ_OK || a->result == SMQ_ERR_NO_KEY || err == SMQ_ERR_OPEN)
		a->result = err;
	if (err != SMQ_OK)
		smq_wipe(&a->memory->file, sizeof(a->memory->file));
	return SMQ_OK;
}

static smq_err explain(smq_err err, const struct smq_sealed *s)
{
	const char *text = smq_err_text(err);
	if (err == SMQ_ERR_OPEN)
		text = "it does not open: altered, sealed for another topic, or under another group's key";
	else if (err == SMQ_ERR_NO_KEY && s->kind == SMQ_SEALED_SESSION)
		text = "it belongs to a session between two members, whose keys are in no file";
	else if (err == SMQ_ERR_NO_KEY)
		text = "no group of this realm directory has its epoch";
	snprintf(why_text, sizeof(why_text), "%s", text);
	return err;
}

smq_err smq_inspect_open(smq_span payload, const char *realm_dir, const char *topic,
			 struct smq_inspect_opened *ret_opened, const char **ret_why)
{
	struct smq_sealed s;
	struct attempt a = { .sealed = &s, .topic = topic, .result = SMQ_ERR_NO_KEY };
	why_text[0] = 0;
	smq_err err = smq_sealed_decode(payload, &s);
	if (err == SMQ_OK) {
		size_t room = smq_sealed_room(s.ciphertext.len);
		a.memory = calloc(1, sizeof(*a.memory) + 2 * room);
		err = a.memory ? SMQ_OK : SMQ_ERR_NO_MEMORY;
		if (a.memory) {
			a.memory->room = room;
			a.opened.memory = a.memory;
		}
	}
	if (err == SMQ_OK)
		err = smq_group_files_each(realm_dir, take_path, &a, why_text, sizeof(why_text));
	if (err == SMQ_OK)
		err = a.result == SMQ_OK ? SMQ_OK : explain(a.result, &s);
	if (err == SMQ_OK) {
		*ret_opened = a.opened;
		return SMQ_OK;
	}
	smq_inspect_done(&a.opened);
	if (!why_text[0])
		snprintf(why_text, sizeof(why_text), "%s", smq_err_text(err));
	if (ret_why)
		*ret_why = why_text;
	return err;
}

void smq_inspect_done(struct smq_inspect_opened *opened)
{
	struct memory *m = opened->memory;
	if (m)
		smq_wipe(m, sizeof(*m) + 2 * m->room);
	free(m);
	*opened = (struct smq_inspect_opened){ 0 };
}
