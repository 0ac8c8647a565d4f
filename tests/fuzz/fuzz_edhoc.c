/*
 * EDHOC: a machine in each of its states is handed one message. From message_2 on it must take the genuine one only,
 * and a forged one must not harm the run.
 *
 * Input: one byte, then the message or a patch. The byte: bits 0 and 1 the message's number less one, bit 2 which of
 * the two runs, bit 7 set for a patch: three bytes each, offset (big endian) and what to xor there into the genuine
 * one.
 */
#include "edhoc_pairs.h"

enum { PATCH = 0x80 };

static struct edhoc_pair pairs[PAIR_COUNT];

static void make_message(const uint8_t *data, size_t size, const struct rig_message *genuine,
			 struct rig_message *ret_message)
{
	if (!(data[0] & PATCH)) {
		memcpy(ret_message->b, data + 1, size - 1);
		ret_message->len = size - 1;
		return;
	}
	*ret_message = *genuine;
	for (size_t at = 1; at + 3 <= size; at += 3)
		ret_message->b[(data[at] << 8 | data[at + 1]) % (int)ret_message->len] ^= data[at + 2];
}

/* What was refused and did not end the run has changed nothing: the genuine message still goes through. */
static void check_unharmed(struct smq_edhoc *e, const struct rig_message *genuine)
{
	static struct rig_message answer;
	FUZZ_CHECK(smq_edhoc_input(e, rig_span(genuine), rig_now_ms, rig_room(&answer), &answer.len) == SMQ_OK);
}

static void first_message(struct edhoc_pair *p, const struct rig_message *message)
{
	static struct smq_edhoc e;
	static struct rig_message answer;
	memset(&e, 0, sizeof(e));
	smq_err err = smq_edhoc_accept(&e, &p->run.r.config, smq_span_str("\x01R"), rig_span(message), rig_now_ms,
				       rig_room(&answer), &answer.len);
	FUZZ_CHECK(smq_edhoc_state(&e) == (err == SMQ_OK ? SMQ_EDHOC_WAIT_3 : SMQ_EDHOC_FAILED));
	smq_edhoc_done(&e);
}

static void later_message(struct edhoc_pair *p, int step, const struct rig_message *message)
{
	static struct smq_edhoc e;
	static struct rig_message answer;
	const struct rig_message *genuine = &p->run.m[step + 1];
	e = p->before[step];
	answer.len = 0;
	smq_err err = smq_edhoc_input(&e, rig_span(message), rig_now_ms, rig_room(&answer), &answer.len);
	FUZZ_CHECK(answer.len <= sizeof(answer.b));
	if (err == SMQ_OK)
		FUZZ_CHECK(smq_span_equal(rig_span(message), rig_span(genuine)));
	else if (smq_edhoc_state(&e) != SMQ_EDHOC_FAILED)
		check_unharmed(&e, genuine);
	smq_edhoc_done(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct rig_message message;
	if (!pairs[0].run.m[1].len) {
		for (int kind = 0; kind < PAIR_COUNT; kind++)
			pair_run(&pairs[kind], kind);
	}
	if (size < 2 || size > SMQ_EDHOC_MESSAGE_MAX)
		return 0;
	int step = data[0] & 3;
	struct edhoc_pair *p = &pairs[data[0] >> 2 & 1];
	make_message(data, size, &p->run.m[step + 1], &message);
	if (step == 0)
		first_message(p, &message);
	else
		later_message(p, step, &message);
	return 0;
}
