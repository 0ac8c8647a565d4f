/* What a member machine has to tell its owner: a bounded queue that drops the newest when nobody listens. */
#include "core/member_state.h"

#include "base/hot.h"

void smq_member_note(smq_member *m, enum smq_note_kind kind, const char *peer, uint64_t session, smq_err err,
		     size_t wire_bytes, int64_t took_ms)
{
	if (m->note_count == SMQ_NOTES_MAX)
		return;
	size_t at = (m->note_first + m->note_count++) % SMQ_NOTES_MAX;
	memcpy(m->note_names[at], peer, strlen(peer) + 1);
	m->notes[at] = (struct smq_note){
		.kind = kind,
		.session = session,
		.err = err,
		.wire_bytes = wire_bytes,
		.took_ms = took_ms,
	};
}

SMQ_HOT bool smq_member_take_note(smq_member *m, struct smq_action *ret_action)
{
	if (m->note_count == 0)
		return false;
	ret_action->kind = SMQ_ACT_NOTE;
	ret_action->note = m->notes[m->note_first];
	memcpy(m->note_name, m->note_names[m->note_first], sizeof(m->note_name));
	ret_action->note.peer = m->note_name;
	m->note_first = (m->note_first + 1) % SMQ_NOTES_MAX;
	m->note_count--;
	return true;
}
