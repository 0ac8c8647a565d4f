/*
 * Devices that keep their boot id and reserve their counters (PROTOCOL.md 3.7): the watch over keys and nonces is what
 * counts here, over crashes at every moment of a write.
 */
#include <string.h>

#include "core/reserve.h"
#include "sim.h"

enum { PEOPLE = 2, BLOCK_MAX = 9 };

static struct device {
	struct smq_sealer sealer;
	struct smq_opener opener; /* of somebody who never crashes */
	struct smq_reserve reserve;
	uint64_t disk;
	bool writing; /* asked for; it may reach the disk at any time until it is confirmed */
	uint64_t value;
} devices[PEOPLE];

static struct smq_traffic_secret secret;
static uint64_t block;

static void context_of(const struct sim *s, int i, struct smq_seal_context *c)
{
	*c = (struct smq_seal_context){ .kind = SMQ_SEALED_GROUP_BOOT,
					.alg = smq_aead_alg_by_id(SMQ_A128GCM),
					.realm = smq_span_str("world"),
					.group = smq_span_str("kept"),
					.sender = smq_span_str(sim_identity(s->real, i)->name),
					.epoch = 1,
					.sender_id = (uint64_t)i,
					.boot_id = { 1, 2, 3 } };
}

static void start(struct sim *s, int i)
{
	struct device *v = &devices[i];
	struct smq_seal_context c;
	context_of(s, i, &c);
	smq_sealer_done(&v->sealer);
	SIM_CHECK(s, smq_sealer_init(&v->sealer, s->crypto, &secret, &c) == SMQ_OK, "no sealer");
	smq_reserve_init(&v->reserve, v->disk, block);
	v->sealer.next_counter = v->sealer.first_counter = smq_reserve_start(&v->reserve);
	v->sealer.counter_limit = smq_reserve_limit(&v->reserve);
	v->writing = false;
	sim_note(s, "device %d starts at %llu", i, (unsigned long long)v->sealer.next_counter);
}

static void up(struct sim *s, struct dice *d)
{
	struct smq_seal_context c;
	memset(devices, 0, sizeof(devices));
	block = 1 + dice_below(d, BLOCK_MAX);
	for (size_t i = 0; i < sizeof(secret.b); i++)
		secret.b[i] = (uint8_t)dice_roll(d);
	for (int i = 0; i < PEOPLE; i++) {
		context_of(s, i, &c);
		SIM_CHECK(s, smq_opener_init(&devices[i].opener, s->crypto, &secret, &c) == SMQ_OK, "no opener");
		start(s, i);
	}
}

static void down(struct sim *s)
{
	(void)s;
	for (int i = 0; i < PEOPLE; i++) {
		smq_sealer_done(&devices[i].sealer);
		smq_opener_done(&devices[i].opener);
	}
}

static void confirm(struct device *v)
{
	if (!v->writing)
		return;
	v->disk = v->value;
	v->writing = false;
	smq_reserve_stored(&v->reserve, v->value);
	v->sealer.counter_limit = smq_reserve_limit(&v->reserve);
}

static void tick(struct sim *s)
{
	(void)s;
	for (int i = 0; i < PEOPLE; i++) {
		struct device *v = &devices[i];
		smq_reserve_used(&v->reserve, v->sealer.next_counter);
		if (!v->writing)
			v->writing = smq_reserve_next(&v->reserve, &v->value);
	}
}

static bool reads(struct sim *s, int i, const char *topic)
{
	(void)s, (void)topic;
	return i == SIM_MEMBERS - 1;
}

static void receive(struct sim *s, int i, const char *topic, smq_span payload, bool retained)
{
	struct smq_sealed m;
	uint8_t room[SIM_PAYLOAD];
	size_t len = 0;
	(void)retained;
	if (smq_sealed_decode(payload, &m) == SMQ_OK && m.sender_id < PEOPLE &&
	    smq_open(&devices[m.sender_id].opener, &m, smq_span_str(topic), smq_mspan_of(room, sizeof(room)), &len,
		     NULL) == SMQ_OK)
		oracle_delivered(s, i, sim_identity(s->real, (int)m.sender_id)->name, topic, smq_span_of(room, len),
				 false);
}

static bool say(struct sim *s, int i)
{
	char text[SIM_TEXT];
	uint8_t room[256];
	size_t len = 0;
	oracle_publish(s, i, UINT64_C(1) << (SIM_MEMBERS - 1), "kept/t", text);
	smq_err err = smq_seal(&devices[i].sealer, smq_span_str("kept/t"), -1, smq_span_str(text),
			       smq_mspan_of(room, sizeof(room)), &len);
	SIM_CHECK(s, err == SMQ_OK || err == SMQ_ERR_KEY_SPENT, "does not seal: %s", smq_err_name(err));
	if (err != SMQ_OK)
		return false; /* waits for the disk */
	oracle_sealed(s, smq_span_of(room, len));
	bus_publish(s, "kept/t", smq_span_of(room, len), false);
	return true;
}

static void op_say(struct sim *s, struct dice *d)
{
	int i = (int)dice_below(d, PEOPLE);
	for (uint64_t n = 1 + dice_below(d, 4); n > 0; n--)
		say(s, i);
}

static void op_write(struct sim *s, struct dice *d)
{
	(void)s;
	confirm(&devices[dice_below(d, PEOPLE)]);
}

static void op_write_fails(struct sim *s, struct dice *d)
{
	struct device *v = &devices[dice_below(d, PEOPLE)];
	(void)s;
	if (v->writing)
		smq_reserve_stored(&v->reserve, 0); /* no: it is to be tried again */
	v->writing = false;
}

static void op_crash(struct sim *s, struct dice *d)
{
	int i = (int)dice_below(d, PEOPLE);
	struct device *v = &devices[i];
	if (v->writing && dice_one_in(d, 2))
		v->disk = v->value; /* had reached the disk, and nobody was told */
	start(s, i);
}

static void calm(struct sim *s)
{
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < PEOPLE; i++) {
			tick(s);
			confirm(&devices[i]);
			SIM_CHECK(s, say(s, i), "in calm, device %d waits for its disk", i);
			bus_deliver_all(s);
			SIM_CHECK(s, oracle_reached(s, s->text_count - 1, UINT64_C(1) << (SIM_MEMBERS - 1)),
				  "in calm, device %d was not heard", i);
		}
	}
}

static const struct sim_op ops[] = {
	{ "say", 40, op_say }, { "write", 24, op_write }, { "write fails", 6, op_write_fails }, { "crash", 8, op_crash }
};

const struct scenario scenario_kept = { .name = "kept",
					.ops = ops,
					.op_count = SMQ_COUNT(ops),
					.up = up,
					.receive = receive,
					.reads = reads,
					.tick = tick,
					.calm = calm,
					.down = down };
