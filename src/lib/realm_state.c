/*
 * The state directories of a realm directory (FORMATS.md 2): which one this process has, and what the others know.
 *
 *     state, state/reader-2 ... reader-16    who opens messages
 *     state/writer-1 ... writer-16           who only seals
 *     state/counters                         a boot id that is kept
 *
 * A process has the first one that is free. A reader that starts takes over the floors of those after its own that
 * nobody has: what any process before it delivered is not delivered again.
 */
#include "lib/realm_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/store_behind/store_behind.h"
#include "adapters/store_files/store_files.h"
#include "app/group_windows.h"
#include "base/wipe.h"
#include "core/group_member.h"
#include "lib/files.h"

enum { PLACES = 16 };

/* number: from 1. False: there is none. */
static bool place(const char *state, enum smq_state_use use, int number, char ret_dir[SMQ_PATH_MAX])
{
	static const char *const names[] = { "reader", "writer", "counters" };
	int len;
	if (use == SMQ_STATE_READS && number == 1)
		len = snprintf(ret_dir, SMQ_PATH_MAX, "%s", state);
	else if (use == SMQ_STATE_COUNTERS)
		len = snprintf(ret_dir, SMQ_PATH_MAX, "%s/%s", state, names[use]);
	else
		len = snprintf(ret_dir, SMQ_PATH_MAX, "%s/%s-%d", state, names[use], number);
	return len < SMQ_PATH_MAX && number <= (use == SMQ_STATE_COUNTERS ? 1 : PLACES);
}

static bool is_named(const char *key, const char *prefix) { return strncmp(key, prefix, strlen(prefix)) == 0; }

static smq_err merge(const char *key, smq_span mine, smq_span theirs, smq_mspan room, size_t *ret_len)
{
	if (is_named(key, SMQ_STORE_FLOOR))
		return smq_group_floors_merge(mine, theirs, room, ret_len);
	bool further = is_named(key, "member-") && smq_group_kept_epoch(theirs) > smq_group_kept_epoch(mine);
	smq_span kept = mine.len == 0 || further ? theirs : mine;
	if (kept.len > room.len)
		return SMQ_ERR_NO_ROOM;
	memcpy(room.p, kept.p, kept.len);
	*ret_len = kept.len;
	return SMQ_OK;
}

smq_err smq_state_open(const char *state, enum smq_state_use use, struct smq_store *ret_store)
{
	char dir[SMQ_PATH_MAX];
	smq_err err = smq_store_files_prepare(state);
	int number = 0;
	if (err == SMQ_OK)
		err = SMQ_ERR_LOCKED;
	struct smq_store files;
	while (err == SMQ_ERR_LOCKED && place(state, use, ++number, dir))
		err = smq_store_files_new(dir, &files);
	if (err != SMQ_OK)
		return err;
	while (use == SMQ_STATE_READS && place(state, use, ++number, dir))
		smq_store_files_absorb(dir, &files, merge);
	err = smq_store_behind_new(&files, ret_store);
	if (err != SMQ_OK)
		files.free(files.self);
	return err;
}

/* Into room, if it has come further than what is there. */
static void look(const char *dir, const char *key, smq_mspan scratch, smq_mspan room, size_t *len)
{
	size_t found = 0;
	if (smq_store_files_peek(dir, key, scratch, &found) != SMQ_OK ||
	    smq_group_kept_epoch(smq_span_of(scratch.p, found)) <= smq_group_kept_epoch(smq_span_of(room.p, *len)))
		return;
	memcpy(room.p, scratch.p, found);
	*len = found;
}

smq_err smq_state_borrow(const char *state, const char *key, smq_mspan room, size_t *ret_len)
{
	char dir[SMQ_PATH_MAX];
	size_t len = 0;
	uint8_t *scratch = malloc(room.len);
	if (!scratch)
		return SMQ_ERR_NO_MEMORY;
	for (int use = SMQ_STATE_READS; use <= SMQ_STATE_WRITES; use++) {
		for (int number = 1; place(state, (enum smq_state_use)use, number, dir); number++)
			look(dir, key, smq_mspan_of(scratch, room.len), room, &len);
	}
	smq_wipe(scratch, room.len);
	free(scratch);
	if (len == 0)
		return SMQ_ERR_NOT_FOUND;
	*ret_len = len;
	return SMQ_OK;
}

void smq_state_each(const char *state, const char *prefix, void *self, void (*take)(void *self, smq_span value))
{
	char dir[SMQ_PATH_MAX];
	for (int use = SMQ_STATE_READS; use <= SMQ_STATE_WRITES; use++) {
		for (int number = 1; place(state, (enum smq_state_use)use, number, dir); number++)
			smq_store_files_each(dir, prefix, self, take);
	}
}

size_t smq_state_held(const char *state, const char *key)
{
	char dir[SMQ_PATH_MAX];
	uint8_t *room = malloc(SMQ_STORE_FILES_VALUE_MAX);
	size_t held = 0, len;
	for (int use = SMQ_STATE_READS; room && use <= SMQ_STATE_WRITES; use++) {
		for (int number = 1; place(state, (enum smq_state_use)use, number, dir); number++) {
			held += smq_store_files_is_held(dir) &&
				smq_store_files_peek(dir, key, smq_mspan_of(room, SMQ_STORE_FILES_VALUE_MAX), &len) ==
				    SMQ_OK &&
				smq_group_kept_epoch(smq_span_of(room, len)) > 0;
		}
	}
	if (room)
		smq_wipe(room, SMQ_STORE_FILES_VALUE_MAX);
	free(room);
	return held;
}
