/*
 * What is counted beside bench/instructions.c: a message between members of a key server's group, with all that a
 * client does for it. 1,000 senders are known; the members are those of the unit tests, with their small key server.
 *
 *     op_seal_member  a 64-byte message sealed: policy, epoch, interval, header, AAD, counter
 *     op_open_member  and opened: epoch, policy, the sender's card among 1,000, its life, window; what is due then
 */
#include <stdio.h>
#include <stdlib.h>

#include "cmocka_all.h"

#include <sealmq/client.h>

#include "../tests/unit/group_sim.h"
#include "core/group_member_state.h"

enum { REPEATS = 200, SIZE = 64, SENDERS = 1000, FROM = 1, TO = 2 };

#define COUNTED __attribute__((noinline)) void

static struct sim *sim;
static uint8_t plain[SIZE], out[SIZE];
static struct sim_message messages[REPEATS + 1];
static bool good = true; /* everything so far */

static void what_is_due(smq_group_member *m)
{
	struct smq_group_action action;
	good &= !smq_group_member_takes(m, messages[0].topic) && !smq_group_member_next(m, sim->world.now, &action) &&
		smq_group_member_wake_at(m) > sim->world.now.mono_ms;
}

COUNTED op_seal_member(size_t i);
COUNTED op_seal_member(size_t i)
{
	struct sim_message *sealed = &messages[i];
	good &= smq_group_member_seal(sim->members[FROM].m, smq_span_str(sealed->topic), sim->world.now,
				      smq_span_of(plain, SIZE), smq_mspan_of(sealed->bytes, sizeof(sealed->bytes)),
				      &sealed->len) == SMQ_OK;
}

COUNTED op_open_member(size_t i);
COUNTED op_open_member(size_t i)
{
	const struct sim_message *sealed = &messages[i];
	struct smq_sealed s;
	struct smq_group_member_opened o;
	good &= smq_sealed_decode(smq_span_of(sealed->bytes, sealed->len), &s) == SMQ_OK &&
		smq_group_member_open(sim->members[TO].m, &s, smq_span_str(sealed->topic), sim->world.now,
				      smq_mspan_of(out, sizeof(out)), &o) == SMQ_OK;
	what_is_due(sim->members[TO].m);
}

static void know_others(smq_group_member *m)
{
	uint8_t boot_id[SMQ_BOOT_ID_LEN] = { 0 };
	for (uint64_t i = 0; i < SENDERS; i++)
		smq_gm_know_sender(m, 100000 + i, "somebody", boot_id);
}

int main(void)
{
	sim = calloc(1, sizeof(*sim));
	sim_init(sim, SMQ_MODE_UPDATE);
	sim_up(sim, FROM);
	sim_up(sim, TO);
	know_others(sim->members[TO].m);
	sim_pass(sim, 5000); /* graces of former epochs, cards: all that follows the joins */
	for (size_t i = 0; i <= REPEATS; i++)
		messages[i].topic = "plant/a";
	op_seal_member(REPEATS);
	good &= sim_opened(sim, TO, &messages[REPEATS]) == SMQ_OK;
	for (size_t i = 0; i < REPEATS; i++)
		op_seal_member(i);
	for (size_t i = 0; i < REPEATS; i++)
		op_open_member(i);
	good &= memcmp(out, plain, SIZE) == 0;
	sim_done(sim);
	free(sim);
	if (!good)
		fputs("instructions_member: a message was not sealed or not opened\n", stderr);
	return good ? 0 : 1;
}
