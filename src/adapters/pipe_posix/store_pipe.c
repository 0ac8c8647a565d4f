/* The key server's store port over a channel: the signer's end. */
#include "adapters/pipe_posix/store_pipe.h"

#include <stdlib.h>

#include "adapters/pipe_posix/channel.h"
#include "wire/cbor.h"

struct store {
	struct smq_channel channel;
	struct smq_signer signer;
	const char *audit_kind;
	bool lost, busy; /* busy: inside each */
};

static smq_err lose(struct store *s)
{
	s->lost = true;
	return SMQ_ERR_STORE;
}

/* ---- signing ---- */

/* A store that was taken over shall get no signature under a manifest, and none under a key exchange. */
static bool is_audit_end(smq_span bytes, const char *kind)
{
	struct smq_reader r = smq_reader_on(bytes);
	bool four = smq_cbor_get_array(&r) == 4;
	smq_span context = smq_cbor_get_text(&r);
	(void)smq_cbor_get_bytes(&r);
	smq_span what = smq_cbor_get_bytes(&r);
	(void)smq_cbor_get_bytes(&r);
	return smq_reader_end(&r) == SMQ_OK && four && smq_span_equal(context, smq_span_str("Signature1")) &&
	       smq_span_equal(what, smq_span_str(kind));
}

static smq_err sign_for_store(struct store *s, smq_span bytes)
{
	uint8_t signature[SMQ_SIG_LEN] = { 0 };
	if (!is_audit_end(bytes, s->audit_kind))
		return lose(s);
	smq_err err = s->signer.sign(s->signer.self, &bytes, 1, signature);
	struct smq_frame f = { .kind = SMQ_FRAME_SIGNED,
			       .numbers = { err },
			       .parts = { { signature, sizeof(signature) } } };
	return smq_channel_send(&s->channel, &f, -1) == SMQ_OK ? SMQ_OK : lose(s);
}

/* ---- asking ---- */

/* The next frame that is no wish for a signature. */
static smq_err next(struct store *s, bool may_sign, struct smq_frame *ret_frame)
{
	for (;;) {
		if (smq_channel_receive(&s->channel, -1, ret_frame) != SMQ_OK)
			return lose(s);
		if (!may_sign || ret_frame->kind != SMQ_FRAME_SIGN)
			return SMQ_OK;
		may_sign = false; /* one for a question */
		smq_err err = sign_for_store(s, ret_frame->parts[0]);
		if (err != SMQ_OK)
			return err;
	}
}

static smq_err result(struct store *s, const struct smq_frame *f)
{
	smq_err err = SMQ_OK;
	if (f->kind != SMQ_FRAME_RESULT || smq_frame_err(f->numbers[0], &err) != SMQ_OK)
		return lose(s);
	return err;
}

static smq_err send_question(struct store *s, const struct smq_frame *question)
{
	if (s->lost)
		return SMQ_ERR_STORE;
	if (s->busy)
		return SMQ_ERR_BUG;
	smq_err err = smq_channel_send(&s->channel, question, -1);
	/* longer than any item that there is: the caller's doing */
	return err == SMQ_OK || err == SMQ_ERR_NO_ROOM || err == SMQ_ERR_TOO_LARGE ? err : lose(s);
}

static smq_err ask(struct store *s, const struct smq_frame *question)
{
	struct smq_frame answer;
	smq_err err = send_question(s, question);
	if (err == SMQ_OK)
		err = next(s, question->kind == SMQ_FRAME_COMMIT, &answer);
	return err == SMQ_OK ? result(s, &answer) : err;
}

/* ---- the port ---- */

static smq_err op_begin(void *self) { return ask(self, &(struct smq_frame){ .kind = SMQ_FRAME_BEGIN }); }

static smq_err op_commit(void *self) { return ask(self, &(struct smq_frame){ .kind = SMQ_FRAME_COMMIT }); }

static void op_rollback(void *self) { (void)!ask(self, &(struct smq_frame){ .kind = SMQ_FRAME_ROLLBACK }); }

static smq_err op_put(void *self, enum smq_ks_item kind, const char *group, uint64_t a, uint64_t b, smq_span value)
{
	struct smq_frame f = { .kind = SMQ_FRAME_PUT,
			       .numbers = { (uint64_t)kind, a, b },
			       .parts = { smq_span_str(group), value } };
	return ask(self, &f);
}

static smq_err op_remove(void *self, enum smq_ks_item kind, const char *group, uint64_t a, uint64_t b)
{
	struct smq_frame f = { .kind = SMQ_FRAME_REMOVE,
			       .numbers = { (uint64_t)kind, a, b },
			       .parts = { smq_span_str(group) } };
	return ask(self, &f);
}

static smq_err op_get(void *self, enum smq_ks_item kind, const char *group, uint64_t a, uint64_t b, smq_mspan room,
		      size_t *ret_len)
{
	struct store *s = self;
	struct smq_frame answer, f = { .kind = SMQ_FRAME_GET,
				       .numbers = { (uint64_t)kind, a, b, room.len },
				       .parts = { smq_span_str(group) } };
	smq_err err = send_question(s, &f);
	if (err == SMQ_OK)
		err = next(s, false, &answer);
	if (err != SMQ_OK || answer.kind != SMQ_FRAME_VALUE)
		return err != SMQ_OK ? err : (err = result(s, &answer)) != SMQ_OK ? err : lose(s);
	smq_span value = answer.parts[0];
	if (value.len > room.len)
		return lose(s);
	if (value.len > 0)
		memcpy(room.p, value.p, value.len);
	*ret_len = value.len;
	return SMQ_OK;
}

/* All items are taken off the channel, whatever the callback says. */
static smq_err op_each(void *self, enum smq_ks_item kind, const char *group, void *context,
		       smq_err (*take)(void *context, const char *group, uint64_t a, uint64_t b, smq_span value))
{
	struct store *s = self;
	struct smq_frame item, f = { .kind = SMQ_FRAME_EACH,
				     .numbers = { (uint64_t)kind, group != NULL },
				     .parts = { smq_span_str(group ? group : "") } };
	smq_err taken = SMQ_OK, err = send_question(s, &f);
	s->busy = err == SMQ_OK;
	while (err == SMQ_OK) {
		err = next(s, false, &item);
		if (err != SMQ_OK || item.kind != SMQ_FRAME_ITEM)
			break;
		if (taken == SMQ_OK)
			taken =
			    take(context, smq_frame_text(&item, 0), item.numbers[0], item.numbers[1], item.parts[1]);
	}
	s->busy = false;
	if (err == SMQ_OK)
		err = result(s, &item);
	return err != SMQ_OK ? err : taken;
}

static smq_err op_audit(void *self, const char *what, const char *who, const char *group, const char *whom,
			smq_err outcome)
{
	struct smq_frame f = { .kind = SMQ_FRAME_AUDIT,
			       .numbers = { (uint64_t)outcome },
			       .parts = { smq_span_str(what), smq_span_str(who), smq_span_str(group),
					  smq_span_str(whom) } };
	return ask(self, &f);
}

static void op_free(void *self)
{
	struct store *s = self;
	smq_channel_done(&s->channel);
	free(s);
}

bool smq_store_pipe_lost(const struct smq_ks_store *store) { return ((const struct store *)store->self)->lost; }

smq_err smq_store_pipe_open(int fd, const struct smq_signer *signer, const char *audit_kind,
			    struct smq_ks_store *ret_store)
{
	struct store *s = calloc(1, sizeof(*s));
	if (!s)
		return SMQ_ERR_NO_MEMORY;
	s->signer = *signer;
	s->audit_kind = audit_kind;
	smq_err err = smq_channel_init(&s->channel, fd);
	if (err != SMQ_OK) {
		free(s);
		return err;
	}
	*ret_store = (struct smq_ks_store){ .self = s,
					    .begin = op_begin,
					    .commit = op_commit,
					    .rollback = op_rollback,
					    .put = op_put,
					    .remove = op_remove,
					    .each = op_each,
					    .get = op_get,
					    .audit = op_audit,
					    .free = op_free };
	return SMQ_OK;
}
