/* The key server's transactions: all that is due in one, and what follows from it only once it is durable. */
#include "app/keyserver_inner.h"

enum { ACKED_WAIT_MS = 1000, RETRY_AFTER_MS = 500 }; /* retry: after a transaction that failed */

static bool is_due(const struct ks_group *g, struct smq_now now) { return now.mono_ms >= ks_group_due_at(g); }

static bool anything_due(const struct smq_keyserver *ks, struct smq_now now)
{
	if (ks->note_count > 0 || ks->bars.stored < ks->bars.count || ks->keys.pending_count > 0 ||
	    (ks->acked_count > 0 &&
	     (ks->acked_count > KS_ACKED_MAX / 2 || now.mono_ms >= ks->acked_at + ACKED_WAIT_MS)))
		return true;
	for (size_t i = 0; i < ks->group_count; i++) {
		if (is_due(ks->groups[i], now))
			return true;
	}
	return false;
}

/* What was refused, and what this transaction makes true. */
static smq_err save_notes(struct smq_keyserver *ks, struct smq_now now)
{
	const struct smq_ks_store *s = &ks->config.store;
	smq_err err = SMQ_OK;
	for (size_t i = 0; i < ks->note_count && err == SMQ_OK; i++) {
		const struct ks_note *n = &ks->notes[i];
		err = s->audit(s->self, n->what, n->who, n->group, n->whom, n->err);
	}
	for (size_t i = 0; i < ks->wait_count && err == SMQ_OK; i++) {
		const struct ks_wait *w = &ks->waits[i];
		if (ks_wait_is_over(w, now) && !ks_wait_is_overtaken(w))
			err = s->audit(s->self, ks_what_name(w->what), w->who, w->group ? w->group->name : "", w->whom,
				       SMQ_OK);
	}
	return err;
}

/* The mark of a restore goes with the transaction in which every group jumps. */
static smq_err save_all(struct smq_keyserver *ks, struct smq_now now)
{
	const struct smq_ks_store *s = &ks->config.store;
	smq_err err = SMQ_OK;
	bool all_jump = true;
	for (size_t i = 0; i < ks->group_count && err == SMQ_OK; i++) {
		struct ks_group *g = ks->groups[i];
		all_jump = all_jump && is_due(g, now);
		if (is_due(g, now))
			err = ks_group_save(g, now);
	}
	if (err == SMQ_OK)
		err = ks_save_bars(ks, "", &ks->bars);
	if (err == SMQ_OK)
		err = ks_keys_save(ks);
	if (err == SMQ_OK && ks->restored && all_jump)
		err = s->remove(s->self, SMQ_KS_ITEM_SERVER, "", 1, 0);
	if (err == SMQ_OK)
		err = ks_out_forget_acked(ks);
	if (err == SMQ_OK)
		err = save_notes(ks, now);
	if (err == SMQ_OK && ks->restored && all_jump)
		ks->restored = false;
	return err;
}

static void tell_of(struct ks_group *g)
{
	struct smq_keyserver_event e = { .kind = SMQ_KEYSERVER_EPOCH, .group = g->name };
	e.epoch = smq_keygroup_epoch(g->group);
	e.members = smq_keygroup_member_count(g->group);
	e.messages = g->messages;
	e.bytes = g->bytes;
	if (g->moves)
		ks_tell(g->ks, &e);
	e.kind = SMQ_KEYSERVER_JUMPED;
	if (g->jumped)
		ks_tell(g->ks, &e);
}

static void settle_groups(struct smq_keyserver *ks, struct smq_now now)
{
	for (size_t i = 0; i < ks->group_count; i++) {
		struct ks_group *g = ks->groups[i];
		if (!is_due(g, now))
			continue;
		tell_of(g);
		g->due = g->moves = g->prompt = g->fresh = g->new_policy = g->jumped = false;
	}
}

static void undo_groups(struct smq_keyserver *ks, struct smq_now now)
{
	for (size_t i = ks->group_count; i-- > 0;) {
		if (is_due(ks->groups[i], now))
			ks_group_reload(ks->groups[i], now);
	}
	ks->bars.stored = 0; /* the same ones are put again */
}

void ks_flush(struct smq_keyserver *ks, struct smq_now now)
{
	const struct smq_ks_store *s = &ks->config.store;
	bool was_restored = ks->restored;
	if (now.mono_ms < ks->flush_not_before || !anything_due(ks, now))
		return;
	smq_err err = s->begin(s->self);
	if (err == SMQ_OK) {
		err = save_all(ks, now);
		if (err == SMQ_OK)
			err = s->commit(s->self);
		else
			s->rollback(s->self);
	}
	ks_keys_settle(ks, err == SMQ_OK);
	ks->counts.commits += err == SMQ_OK;
	ks->counts.failed_commits += err != SMQ_OK;
	ks->counts.durable_ms = err == SMQ_OK ? now.unix_ms : ks->counts.durable_ms;
	ks_answer_waits(ks, err, now);
	if (err != SMQ_OK) {
		ks->restored = was_restored;
		ks->flush_not_before = now.mono_ms + RETRY_AFTER_MS;
		ks_out_rollback(ks);
		undo_groups(ks, now);
		return;
	}
	ks->note_count = ks->acked_count = 0;
	ks->acked_at = now.mono_ms;
	settle_groups(ks, now);
	ks_join_overtaken(ks, now);
	ks_out_commit(ks);
}
