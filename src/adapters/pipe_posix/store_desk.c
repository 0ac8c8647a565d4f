/* The key server's store port over a channel: the end that has the database. */
#include "adapters/pipe_posix/store_desk.h"

#include <stdlib.h>

#include "base/wipe.h"
#include "base/writer.h"

smq_err smq_store_desk_init(struct smq_store_desk *d, int fd)
{
	*d = (struct smq_store_desk){ .room = malloc(SMQ_FRAME_MAX) };
	smq_err err = d->room ? smq_channel_init(&d->channel, fd) : SMQ_ERR_NO_MEMORY;
	if (err != SMQ_OK)
		smq_store_desk_done(d);
	return err;
}

void smq_store_desk_done(struct smq_store_desk *d)
{
	smq_channel_done(&d->channel);
	if (d->room)
		smq_wipe(d->room, SMQ_FRAME_MAX);
	free(d->room);
	d->room = NULL;
}

/* ---- signing ---- */

static smq_err sign(void *self, const smq_span *parts, size_t count, uint8_t ret_signature[SMQ_SIG_LEN])
{
	struct smq_store_desk *d = self;
	struct smq_frame answer, f = { .kind = SMQ_FRAME_SIGN };
	struct smq_writer w = smq_writer_on(smq_mspan_of(d->room, SMQ_FRAME_MAX));
	smq_err err = SMQ_OK;
	if (!d->may_sign)
		return SMQ_ERR_STATE;
	d->may_sign = false;
	for (size_t i = 0; i < count; i++)
		smq_write(&w, parts[i]);
	f.parts[0] = smq_writer_span(&w);
	if (w.err != SMQ_OK)
		return w.err;
	if (smq_channel_send(&d->channel, &f, -1) != SMQ_OK ||
	    smq_channel_receive(&d->channel, -1, &answer) != SMQ_OK || answer.kind != SMQ_FRAME_SIGNED ||
	    answer.parts[0].len != SMQ_SIG_LEN || smq_frame_err(answer.numbers[0], &err) != SMQ_OK)
		return SMQ_ERR_STORE;
	if (err == SMQ_OK)
		memcpy(ret_signature, answer.parts[0].p, SMQ_SIG_LEN);
	return err;
}

struct smq_signer smq_store_desk_signer(struct smq_store_desk *d, enum smq_sig_id alg)
{
	return (struct smq_signer){ .self = d, .alg = alg, .sign = sign };
}

/* ---- serving ---- */

static smq_err answer(struct smq_store_desk *d, smq_err outcome)
{
	struct smq_frame f = { .kind = SMQ_FRAME_RESULT, .numbers = { (uint64_t)outcome } };
	return smq_channel_send(&d->channel, &f, -1);
}

static smq_err send_item(void *context, const char *group, uint64_t a, uint64_t b, smq_span value)
{
	struct smq_store_desk *d = context;
	struct smq_frame f = { .kind = SMQ_FRAME_ITEM, .numbers = { a, b }, .parts = { smq_span_str(group), value } };
	return smq_channel_send(&d->channel, &f, -1);
}

static bool is_item(uint64_t kind) { return kind >= SMQ_KS_ITEM_SERVER && kind <= SMQ_KS_ITEM_KEY; }

static smq_err serve_get(struct smq_store_desk *d, const struct smq_ks_store *s, const struct smq_frame *q)
{
	size_t len = 0, most = q->numbers[3] < SMQ_FRAME_MAX - 64 ? (size_t)q->numbers[3] : SMQ_FRAME_MAX - 64;
	smq_err err = s->get(s->self, (enum smq_ks_item)q->numbers[0], smq_frame_text(q, 0), q->numbers[1],
			     q->numbers[2], smq_mspan_of(d->room, most), &len);
	struct smq_frame f = { .kind = SMQ_FRAME_VALUE, .parts = { { d->room, len } } };
	return err == SMQ_OK ? smq_channel_send(&d->channel, &f, -1) : answer(d, err);
}

/* The group's name lies in the channel's room, which the items are sent from. */
static smq_err serve_each(struct smq_store_desk *d, const struct smq_ks_store *s, const struct smq_frame *q)
{
	char group[SMQ_FRAME_TEXT_MAX + 1];
	memcpy(group, q->parts[0].p, q->parts[0].len + 1);
	return answer(d, s->each(s->self, (enum smq_ks_item)q->numbers[0], q->numbers[1] ? group : NULL, d, send_item));
}

static smq_err serve_item(struct smq_store_desk *d, const struct smq_ks_store *s, const struct smq_frame *q)
{
	enum smq_ks_item kind = (enum smq_ks_item)q->numbers[0];
	const char *group = smq_frame_text(q, 0);
	if (!is_item(q->numbers[0]))
		return SMQ_ERR_MALFORMED;
	switch (q->kind) {
	case SMQ_FRAME_PUT:
		return answer(d, s->put(s->self, kind, group, q->numbers[1], q->numbers[2], q->parts[1]));
	case SMQ_FRAME_REMOVE:
		return answer(d, s->remove(s->self, kind, group, q->numbers[1], q->numbers[2]));
	case SMQ_FRAME_GET:
		return serve_get(d, s, q);
	default:
		return q->numbers[1] <= 1 ? serve_each(d, s, q) : SMQ_ERR_MALFORMED;
	}
}

static smq_err serve_audit(struct smq_store_desk *d, const struct smq_ks_store *s, const struct smq_frame *q)
{
	smq_err outcome = SMQ_OK;
	smq_err err = smq_frame_err(q->numbers[0], &outcome);
	return err != SMQ_OK ? err
			     : answer(d, s->audit(s->self, smq_frame_text(q, 0), smq_frame_text(q, 1),
						  smq_frame_text(q, 2), smq_frame_text(q, 3), outcome));
}

static smq_err serve_transaction(struct smq_store_desk *d, const struct smq_ks_store *s, enum smq_frame_kind kind)
{
	smq_err err = SMQ_OK;
	if (kind == SMQ_FRAME_BEGIN) {
		err = s->begin(s->self);
		d->open = err == SMQ_OK;
		return answer(d, err);
	}
	d->open = false;
	if (kind == SMQ_FRAME_ROLLBACK)
		s->rollback(s->self);
	else {
		d->may_sign = true;
		err = s->commit(s->self);
		d->may_sign = false;
	}
	return answer(d, err);
}

/* What changes something is taken inside a transaction alone, and begin outside. */
static bool in_turn(const struct smq_store_desk *d, enum smq_frame_kind kind)
{
	switch (kind) {
	case SMQ_FRAME_BEGIN:
		return !d->open;
	case SMQ_FRAME_GET:
	case SMQ_FRAME_EACH:
	case SMQ_FRAME_ROLLBACK: /* of a commit that failed: there is nothing to undo */
		return true;
	default:
		return d->open;
	}
}

static smq_err serve_one(struct smq_store_desk *d, const struct smq_ks_store *s, const struct smq_frame *q)
{
	if (!in_turn(d, q->kind))
		return SMQ_ERR_STATE;
	switch (q->kind) {
	case SMQ_FRAME_BEGIN:
	case SMQ_FRAME_COMMIT:
	case SMQ_FRAME_ROLLBACK:
		return serve_transaction(d, s, q->kind);
	case SMQ_FRAME_PUT:
	case SMQ_FRAME_REMOVE:
	case SMQ_FRAME_GET:
	case SMQ_FRAME_EACH:
		return serve_item(d, s, q);
	case SMQ_FRAME_AUDIT:
		return serve_audit(d, s, q);
	default:
		return SMQ_ERR_MALFORMED;
	}
}

smq_err smq_store_desk_serve(struct smq_store_desk *d, const struct smq_ks_store *store)
{
	struct smq_frame question;
	smq_err err;
	do {
		err = smq_channel_receive(&d->channel, -1, &question);
		if (err == SMQ_OK)
			err = serve_one(d, store, &question);
	} while (err == SMQ_OK);
	if (d->open)
		store->rollback(store->self);
	d->open = false;
	return err == SMQ_ERR_CONNECTION_LOST ? SMQ_OK : err;
}
