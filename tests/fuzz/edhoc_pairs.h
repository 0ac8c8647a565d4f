/* Two honest EDHOC runs that come out the same every time: no ECDSA, whose signatures are drawn at random. */
#ifndef SMQ_TESTS_EDHOC_PAIRS_H
#define SMQ_TESTS_EDHOC_PAIRS_H

#include "fuzz.h"

#include "edhoc_rig.h"
#include "memo.h"

enum { PAIR_COUNT = 2, PAIR_STEPS = 4 };

static const struct {
	int method, suite;
} pair_kinds[PAIR_COUNT] = { { 3, 2 }, { 0, 0 } };

struct edhoc_pair {
	struct rig_pair run;                 /* with its messages 1 to 4 */
	struct smq_edhoc before[PAIR_STEPS]; /* the machine that waits for message n + 1, n from 1 */
	struct smq_signer signers[2];        /* the keys themselves */
};

static inline void pair_take(struct smq_edhoc *e, const struct rig_message *in, struct rig_message *out,
			     struct smq_edhoc *ret_before)
{
	*ret_before = *e;
	FUZZ_CHECK(smq_edhoc_input(e, rig_span(in), rig_now_ms, rig_room(out), &out->len) == SMQ_OK);
}

static inline void pair_remember(struct rig_party *party, struct smq_signer *keeps)
{
	*keeps = party->id.own.signer;
	party->id.own.signer = memo_signer(keeps);
	party->config.crypto = memo_crypto();
}

/* A machine keeps nothing behind pointers but its config, so its copy can be run again and again. */
static inline void pair_run(struct edhoc_pair *p, int kind)
{
	static struct rig_message none;
	struct rig_pair *run = &p->run;
	struct rig_message *m = run->m;
	rig_pair_init(run, pair_kinds[kind].method, pair_kinds[kind].suite);
	pair_remember(&run->i, &p->signers[0]);
	pair_remember(&run->r, &p->signers[1]);
	FUZZ_CHECK(smq_edhoc_start(&run->i.e, &run->i.config, smq_span_str("\x01I"), rig_room(&m[1]), &m[1].len) ==
		   SMQ_OK);
	FUZZ_CHECK(smq_edhoc_accept(&run->r.e, &run->r.config, smq_span_str("\x01R"), rig_span(&m[1]), rig_now_ms,
				    rig_room(&m[2]), &m[2].len) == SMQ_OK);
	pair_take(&run->i.e, &m[2], &m[3], &p->before[1]);
	pair_take(&run->r.e, &m[3], &m[4], &p->before[2]);
	pair_take(&run->i.e, &m[4], &none, &p->before[3]);
}

#endif
