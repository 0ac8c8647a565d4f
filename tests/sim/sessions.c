/* Pairwise sessions: real member machines that exchange keys, rotate, crash and start again. */
#include <string.h>

#include "sim.h"

enum { PEOPLE = 3, ROOM = 96 * 1024 };

static struct person {
	bool up;
	smq_member *m;
	_Alignas(max_align_t) uint8_t memory[ROOM];
} people[PEOPLE];

static struct smq_member_config config;

static void work(struct sim *s, int i)
{
	struct smq_action a;
	for (int n = 0; people[i].up && smq_member_next(people[i].m, sim_now(s, i), &a); n++) {
		SIM_CHECK(s, n < 1000, "member %d has always something to do", i);
		if (a.kind == SMQ_ACT_SEND)
			bus_publish(s, a.topic, a.payload, false);
		else
			sim_note(s, "member %d: note %d of %s, session %llu, %s", i, (int)a.note.kind, a.note.peer,
				 (unsigned long long)a.note.session, smq_err_name(a.note.err));
	}
}

static void stop(int i)
{
	if (people[i].up)
		smq_member_done(people[i].m);
	people[i].up = false;
}

static void start(struct sim *s, int i)
{
	struct smq_member_config c = config;
	stop(i);
	c.crypto = s->crypto;
	c.random = &s->random;
	c.credentials = &s->credentials;
	c.own = &sim_identity(s->real, i)->own;
	c.name = sim_identity(s->real, i)->name;
	SIM_CHECK(s, smq_member_size(&c) <= ROOM, "a member takes %zu bytes", smq_member_size(&c));
	SIM_CHECK(s, smq_member_init(people[i].memory, ROOM, &c, sim_now(s, i), &people[i].m) == SMQ_OK, "no member");
	people[i].up = true;
	for (int peer = 0; peer < PEOPLE; peer++) {
		smq_err err =
		    peer == i ? SMQ_OK : smq_member_keep(people[i].m, sim_identity(s->real, peer)->name, sim_now(s, i));
		SIM_CHECK(s, err == SMQ_OK, "a peer is refused: %s", smq_err_name(err));
	}
	smq_member_online(people[i].m, sim_now(s, i));
	sim_note(s, "member %d starts", i);
	work(s, i);
}

static void up(struct sim *s, struct dice *d)
{
	static const int suites[] = { 2 };
	static const int algorithms[] = { SMQ_A128GCM, SMQ_A256GCM, SMQ_CHACHA20_POLY1305 };
	config = (struct smq_member_config){ .realm = "world",
					     .keyex_topic = "sealmq/world/keyex/{to}",
					     .suites = suites,
					     .suite_count = 1,
					     .algorithm = algorithms[dice_below(d, 3)],
					     .any_peer = true,
					     .stamp = dice_one_in(d, 3),
					     .cose = dice_one_in(d, 3),
					     .rotate_every_ms = dice_one_in(d, 2) ? 3000 : 60000,
					     .rotate_messages = dice_one_in(d, 2) ? 4 : 0,
					     .grace_ms = 2000,
					     .peers_max = 4,
					     .runs_max = 4 };
	for (int i = 0; i < PEOPLE; i++)
		start(s, i);
}

static void down(struct sim *s)
{
	(void)s;
	for (int i = 0; i < PEOPLE; i++)
		stop(i);
}

static void tick(struct sim *s)
{
	for (int i = 0; i < PEOPLE; i++)
		work(s, i);
}

static bool reads(struct sim *s, int i, const char *topic)
{
	if (i >= PEOPLE || !people[i].up)
		return false;
	return smq_member_takes(people[i].m, topic) || topic[0] == sim_identity(s->real, i)->name[0];
}

static void receive(struct sim *s, int i, const char *topic, smq_span payload, bool retained)
{
	uint8_t room[SIM_PAYLOAD];
	struct smq_opened o = { .sender = "" };
	smq_err err;
	if (smq_member_takes(people[i].m, topic)) {
		err = smq_member_input(people[i].m, topic, payload, retained, sim_now(s, i));
	} else {
		err = smq_member_open(people[i].m, topic, payload, sim_now(s, i), smq_mspan_of(room, sizeof(room)), &o);
		if (err == SMQ_OK)
			oracle_delivered(s, i, o.sender, topic, o.plain, false);
	}
	SIM_CHECK(s, err != SMQ_ERR_BUG && err != SMQ_ERR_CRYPTO, "member %d: %s", i, smq_err_name(err));
	if (err != SMQ_OK)
		sim_note(s, "member %d: %s on %s", i, smq_err_name(err), topic);
	work(s, i);
}

static bool say(struct sim *s, int from, int to, int variant)
{
	char topic[SIM_TOPIC], text[SIM_TEXT];
	uint8_t room[256];
	size_t len = 0;
	const char *name = sim_identity(s->real, to)->name;
	if (!people[from].up || !smq_member_ready(people[from].m, name, sim_now(s, from)))
		return false;
	snprintf(topic, sizeof(topic), "%s/%d", name, variant);
	oracle_publish(s, from, UINT64_C(1) << to, topic, text);
	smq_err err = smq_member_seal(people[from].m, name, topic, smq_span_str(text), sim_now(s, from),
				      smq_mspan_of(room, sizeof(room)), &len);
	SIM_CHECK(s, err == SMQ_OK, "ready, and does not seal: %s", smq_err_name(err));
	oracle_sealed(s, smq_span_of(room, len));
	bus_publish(s, topic, smq_span_of(room, len), false);
	work(s, from);
	return true;
}

static void op_say(struct sim *s, struct dice *d)
{
	int from = (int)dice_below(d, PEOPLE);
	for (uint64_t n = 1 + dice_below(d, 4); n > 0; n--)
		say(s, from, (from + 1 + (int)dice_below(d, PEOPLE - 1)) % PEOPLE, (int)dice_below(d, 3));
}

static void op_crash(struct sim *s, struct dice *d) { start(s, (int)dice_below(d, PEOPLE)); }

static void op_rotate(struct sim *s, struct dice *d)
{
	int i = (int)dice_below(d, PEOPLE), to = (i + 1 + (int)dice_below(d, PEOPLE - 1)) % PEOPLE;
	smq_err err = smq_member_rotate(people[i].m, sim_identity(s->real, to)->name);
	sim_note(s, "member %d is to rotate: %s", i, smq_err_name(err));
}

static void op_reconnect(struct sim *s, struct dice *d)
{
	int i = (int)dice_below(d, PEOPLE);
	smq_member_offline(people[i].m);
	smq_member_online(people[i].m, sim_now(s, i));
}

static void pass(struct sim *s, int64_t ms)
{
	s->now.mono_ms += ms;
	s->now.unix_ms += ms;
	tick(s);
	bus_deliver_all(s);
}

static void all_say(struct sim *s)
{
	for (int from = 0; from < PEOPLE; from++) {
		for (int to = 0; to < PEOPLE; to++)
			SIM_CHECK(s, from == to || say(s, from, to, 9), "in calm, member %d has no keys for member %d",
				  from, to);
	}
}

/* Time enough for the longest back-off. Then, while keys rotate, with messages under way before and behind each step
 * of a key exchange, nothing may be lost any more. */
static void calm(struct sim *s)
{
	for (int i = 0; i < 75; i++)
		pass(s, 1000);
	size_t first = s->text_count;
	for (int round = 0; round < 12; round++) {
		s->now.mono_ms += 450;
		s->now.unix_ms += 450;
		for (int step = 0; step < 6; step++) {
			all_say(s); /* behind what the last step published */
			tick(s);
			bus_deliver_some(s, s->flight_count);
		}
	}
	bus_deliver_all(s);
	for (size_t i = first; i < s->text_count; i++)
		SIM_CHECK(s, oracle_reached(s, i, s->texts[i].readers), "in calm, what member %d said was lost",
			  s->texts[i].from);
}

static const struct sim_op ops[] = {
	{ "say", 30, op_say },
	{ "crash", 3, op_crash },
	{ "rotate", 4, op_rotate },
	{ "reconnect", 2, op_reconnect },
};

const struct scenario scenario_sessions = { .name = "sessions",
					    .ops = ops,
					    .op_count = SMQ_COUNT(ops),
					    .up = up,
					    .receive = receive,
					    .reads = reads,
					    .tick = tick,
					    .calm = calm,
					    .down = down };
