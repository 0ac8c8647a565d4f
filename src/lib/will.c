/* A client's will, sealed, and sealed anew. */
#include "lib/will.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sealmq/client.h>

#include "base/wipe.h"
#include "lib/realm_internal.h"
#include "wire/sealed.h"

enum {
	SPREAD_MS = 1000, /* over which the members of a group make their new connections after an epoch */
	GAP_MS = 2000     /* between two of one member */
};

/* ---- sealing ---- */

static bool has_slot(smq_span payload)
{
	struct smq_sealed s;
	return smq_sealed_decode(payload, &s) == SMQ_OK && smq_sealed_has_slot(s.kind);
}

static uint64_t epoch_of(smq_span payload)
{
	struct smq_sealed s;
	return smq_sealed_decode(payload, &s) == SMQ_OK ? s.epoch : 0;
}

smq_err smq_will_seal(struct smq_will *w, struct smq_now now)
{
	const struct smq_client_options *o = w->options;
	struct smq_seal_proof proof = { .signer = &smq_realm_own(o->realm)->signer };
	size_t len = 0;
	w->due_ms = INT64_MAX;
	smq_err err =
	    w->groups->seal_proven(w->groups->self, o->will_group, w->plain.topic, w->plain.payload, now,
				   o->sign == SMQ_SIGN_NONE ? NULL : &proof, smq_mspan_of(w->room, w->room_len), &len);
	if (err == SMQ_OK && has_slot(smq_span_of(w->room, len)))
		err = SMQ_ERR_UNSUPPORTED;
	if (err != SMQ_OK)
		return err;
	w->sealed = w->plain;
	w->sealed.payload = smq_span_of(w->room, len);
	w->epoch = epoch_of(w->sealed.payload);
	w->last_ms = now.mono_ms;
	w->told = false;
	return SMQ_OK;
}

static smq_err because(smq_err err, const char **ret_why, const char *why)
{
	if (ret_why)
		*ret_why = why;
	return err;
}

smq_err smq_will_begin(struct smq_will *w, struct smq_client_options *o, const struct smq_groups *groups,
		       struct smq_now now, const char **ret_why)
{
	*w = (struct smq_will){ .due_ms = INT64_MAX, .last_ms = INT64_MIN / 2 };
	if (!o->will || o->plain)
		return SMQ_OK;
	if (!o->will_group || !groups->self)
		return because(
		    SMQ_ERR_USAGE, ret_why,
		    "a will is sealed for a group, since a session has no keys yet when the broker takes it: "
		    "name a group, or send plain");
	w->room_len = groups->room(o->will->payload.len);
	w->room = malloc(w->room_len);
	if (!w->room)
		return because(SMQ_ERR_NO_MEMORY, ret_why, "out of memory");
	w->options = o;
	w->groups = groups;
	w->plain = *o->will;
	o->will = NULL;
	smq_err err = smq_will_seal(w, now);
	if (err == SMQ_OK)
		o->will = &w->sealed;
	if (err == SMQ_OK || err == SMQ_ERR_NO_SESSION || err == SMQ_ERR_STALE_EPOCH)
		return SMQ_OK;
	return because(err, ret_why,
		       err == SMQ_ERR_UNSUPPORTED
			   ? "a will cannot be sealed for a group with slots: its slot has passed when it is published"
			   : "the will cannot be sealed for this group and topic");
}

void smq_will_end(struct smq_will *w)
{
	if (w->room)
		smq_wipe(w->room, w->room_len);
	free(w->room);
}

/* ---- epochs ---- */

/* Spread, or all members would leave the broker and come back in step. */
static int64_t spread(void)
{
	uint8_t bytes[2] = { 0x80, 0 };
	const struct smq_random *random = smq_random_system();
	(void)!random->fill(random->self, smq_mspan_of(bytes, sizeof(bytes)));
	return (int64_t)(bytes[0] * 256 + bytes[1]) * SPREAD_MS / 65536;
}

void smq_will_note(struct smq_will *w, const struct smq_group_note *note, const char *group, struct smq_now now)
{
	bool comes = note->kind == SMQ_GROUP_JOINED || note->kind == SMQ_GROUP_EPOCH;
	if (!w->options || !comes || strcmp(group, w->options->will_group) != 0 || note->epoch == w->epoch ||
	    w->due_ms != INT64_MAX)
		return;
	/* the first one has nothing to wait for */
	w->due_ms = w->epoch == 0 ? now.mono_ms : now.mono_ms + spread();
	if (w->due_ms < w->last_ms + GAP_MS)
		w->due_ms = w->last_ms + GAP_MS;
}

bool smq_will_is_due(const struct smq_will *w, struct smq_now now) { return w->options && now.mono_ms >= w->due_ms; }
