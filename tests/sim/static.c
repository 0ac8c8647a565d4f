/* Static groups, with their windows on a disk that fails, tears, and is restored from a backup. */
#include <string.h>

#include "app/group_windows.h"
#include "sim.h"

enum { PEOPLE = 3, LIVES = 3, VALUES = 48, VALUE_MAX = 1024, STRANGER = 3 };

struct disk {
	size_t count;
	struct {
		char key[81];
		uint8_t bytes[VALUE_MAX];
		size_t len;
	} values[VALUES];
};

static struct person {
	bool up, crashed;
	struct smq_group group;
	struct smq_group_life lives[LIVES];
	struct smq_group_windows_store windows_store;
	struct smq_group_windows windows;
	struct smq_store store;
	struct disk disk, backup;
	struct disk late;    /* on its way to the disk: a crash loses it */
	bool restored;       /* its disk has forgotten: it may hear things again */
	unsigned failing;    /* puts that will fail */
	bool written_though; /* ... and reach the disk all the same */
	unsigned crash_in;   /* puts until it crashes, 0: never */
	int number;
} people[SIM_MEMBERS];

static struct smq_group_file file;

/* ---- the disk ---- */

static size_t find(const struct disk *k, const char *key)
{
	size_t i = 0;
	while (i < k->count && strcmp(k->values[i].key, key) != 0)
		i++;
	return i;
}

static void write_value(struct disk *k, const char *key, smq_span value)
{
	size_t i = find(k, key);
	if (i == VALUES || value.len > VALUE_MAX)
		abort();
	snprintf(k->values[i].key, sizeof(k->values[i].key), "%s", key);
	memcpy(k->values[i].bytes, value.p, value.len);
	k->values[i].len = value.len;
	if (i == k->count)
		k->count++;
}

static smq_err put(void *self, const char *key, smq_span value)
{
	struct person *p = self;
	bool crash = p->crash_in > 0 && --p->crash_in == 0;
	bool fail = crash || p->crashed || p->failing > 0;
	if (p->failing > 0)
		p->failing--;
	if (!p->crashed && (!fail || p->written_though))
		write_value(&p->disk, key, value);
	p->crashed |= crash;
	return fail ? SMQ_ERR_IO : SMQ_OK;
}

static smq_err get(void *self, const char *key, smq_mspan room, size_t *ret_len)
{
	const struct person *p = self;
	const struct disk *k = find(&p->late, key) < p->late.count ? &p->late : &p->disk;
	size_t i = find(k, key);
	if (i == k->count)
		return SMQ_ERR_NOT_FOUND;
	if (k->values[i].len > room.len)
		return SMQ_ERR_NO_ROOM;
	memcpy(room.p, k->values[i].bytes, k->values[i].len);
	*ret_len = k->values[i].len;
	return SMQ_OK;
}

static smq_err put_behind(void *self, const char *key, smq_span value)
{
	struct person *p = self;
	write_value(&p->late, key, value);
	return SMQ_OK;
}

static bool catch_up(void *self, const char *key)
{
	struct person *p = self;
	size_t i = find(&p->late, key);
	if (i == p->late.count)
		return false;
	(void)!put(p, key, smq_span_of(p->late.values[i].bytes, p->late.values[i].len));
	p->late.values[i] = p->late.values[--p->late.count];
	return true;
}

/* ---- life ---- */

/* A clean stop settles its floors; a crash writes no more. */
static void stop(struct person *p, bool clean)
{
	if (p->up) {
		p->crashed |= !clean;
		smq_group_done(&p->group);
	}
	p->up = false;
}

static void start(struct sim *s, int i, bool clean)
{
	struct person *p = &people[i];
	stop(p, clean);
	p->crashed = false;
	p->failing = p->crash_in = 0;
	memset(p->lives, 0, sizeof(p->lives));
	p->late.count = 0;
	p->store =
	    (struct smq_store){ .self = p, .put = put, .get = get, .put_behind = put_behind, .catch_up = catch_up };
	smq_err err = smq_group_windows_init(&p->windows_store, &p->store, s->crypto, &file, &p->windows);
	if (err == SMQ_OK)
		err = smq_group_init(&p->group, s->crypto, &s->random, &file, sim_identity(s->real, i)->name,
				     &p->windows, p->lives, LIVES);
	SIM_CHECK(s, err == SMQ_OK, "member %d does not start: %s", i, smq_err_name(err));
	p->up = true;
	sim_note(s, "member %d starts", i);
}

static void up(struct sim *s, struct dice *d)
{
	static const int algorithms[] = { SMQ_A128GCM, SMQ_A256GCM, SMQ_CHACHA20_POLY1305 };
	memset(&file, 0, sizeof(file));
	memset(people, 0, sizeof(people));
	snprintf(file.realm, sizeof(file.realm), "world");
	snprintf(file.group, sizeof(file.group), "temps");
	file.epoch = 1 + dice_below(d, 3);
	file.alg = smq_aead_alg_by_id(algorithms[dice_below(d, 3)]);
	for (int i = 0; i < PEOPLE; i++)
		snprintf(file.members[i], sizeof(file.members[i]), "%s", sim_identity(s->real, i)->name);
	file.member_count = PEOPLE;
	snprintf(file.filters[0], sizeof(file.filters[0]), "g/#");
	file.filter_count = 1;
	for (size_t i = 0; i < sizeof(file.secret.b); i++)
		file.secret.b[i] = (uint8_t)dice_roll(d);
	for (int i = 0; i < PEOPLE; i++) {
		people[i].number = i;
		start(s, i, true);
	}
}

static void down(struct sim *s)
{
	(void)s;
	for (int i = 0; i < PEOPLE; i++)
		stop(&people[i], true);
}

/* Whoever crashed while it was asked for something starts again before the next thing happens. */
static void tick(struct sim *s)
{
	for (int i = 0; i < PEOPLE; i++) {
		if (people[i].crashed)
			start(s, i, false);
	}
}

static bool reads(struct sim *s, int i, const char *topic)
{
	(void)s;
	return i < PEOPLE && topic[0] != '$';
}

static void receive(struct sim *s, int i, const char *topic, smq_span payload, bool retained)
{
	struct person *p = &people[i];
	uint8_t room[SIM_PAYLOAD];
	struct smq_group_opened o;
	struct smq_sealed sealed;
	(void)retained;
	smq_err err = smq_sealed_decode(payload, &sealed);
	if (err == SMQ_OK)
		err = smq_group_open(&p->group, &sealed, smq_span_str(topic), sim_now(s, i).mono_ms,
				     smq_mspan_of(room, sizeof(room)), &o);
	SIM_CHECK(s, err != SMQ_ERR_BUG && err != SMQ_ERR_CRYPTO && err != SMQ_ERR_CORRUPT, "member %d: %s", i,
		  smq_err_name(err));
	if (p->crashed) { /* in the middle of it: nobody was told */
		sim_note(s, "member %d crashed", i);
		start(s, i, false);
	} else if (err == SMQ_OK) {
		oracle_delivered(s, i, o.sender, topic, smq_span_of(room, o.len), p->restored);
	} else {
		sim_note(s, "member %d: %s", i, smq_err_name(err));
	}
}

static void say(struct sim *s, int from, int variant)
{
	char topic[SIM_TOPIC], text[SIM_TEXT];
	uint8_t room[256];
	size_t len = 0;
	snprintf(topic, sizeof(topic), "g/%d", variant);
	oracle_publish(s, from, (UINT64_C(1) << PEOPLE) - 1, topic, text);
	people[from].group.sealer.cose = variant == 2;
	smq_err err = smq_group_seal(&people[from].group, smq_span_str(topic), variant == 1 ? s->now.unix_ms : -1,
				     smq_span_str(text), smq_mspan_of(room, sizeof(room)), &len);
	SIM_CHECK(s, err == SMQ_OK, "does not seal: %s", smq_err_name(err));
	oracle_sealed(s, smq_span_of(room, len));
	bus_publish(s, topic, smq_span_of(room, len), false);
}

static void op_say(struct sim *s, struct dice *d)
{
	int from = (int)dice_below(d, PEOPLE);
	for (uint64_t n = 1 + dice_below(d, 6); n > 0; n--)
		say(s, from, (int)dice_below(d, 3));
}

/* Messages that nobody hears: more than a window is wide, now and then. */
static void op_burst(struct sim *s, struct dice *d)
{
	(void)s;
	people[dice_below(d, PEOPLE)].group.sealer.next_counter += dice_below(d, dice_one_in(d, 2) ? 3000 : 100);
}

static void op_crash(struct sim *s, struct dice *d)
{
	int i = (int)dice_below(d, PEOPLE);
	start(s, i, dice_one_in(d, 3));
}

static void op_crash_in_put(struct sim *s, struct dice *d)
{
	struct person *p = &people[dice_below(d, PEOPLE)];
	(void)s;
	p->crash_in = 1 + (unsigned)dice_below(d, 3);
	p->written_though = dice_one_in(d, 2);
}

static void op_disk_fails(struct sim *s, struct dice *d)
{
	struct person *p = &people[dice_below(d, PEOPLE)];
	(void)s;
	p->failing = 1 + (unsigned)dice_below(d, 4);
	p->written_though = dice_one_in(d, 2);
}

static void op_backup(struct sim *s, struct dice *d)
{
	struct person *p = &people[dice_below(d, PEOPLE)];
	(void)s;
	p->backup = p->disk;
}

static void op_restore(struct sim *s, struct dice *d)
{
	int i = (int)dice_below(d, PEOPLE);
	stop(&people[i], false);
	people[i].disk = people[i].backup;
	people[i].restored = true;
	start(s, i, false);
}

static bool all_hear(struct sim *s, int from, int variant)
{
	s->now.mono_ms += 2500;
	s->now.unix_ms += 2500;
	say(s, from, variant);
	size_t text = s->text_count - 1;
	bus_deliver_all(s);
	return oracle_reached(s, text, (UINT64_C(1) << PEOPLE) - 1);
}

static void out_of_order(struct sim *s, int from)
{
	const uint64_t everybody = (UINT64_C(1) << PEOPLE) - 1;
	struct bus_message first;
	for (int n = 0; n < 3; n++)
		say(s, from, n);
	first = s->flight[0];
	s->flight[0] = s->flight[2];
	s->flight[2] = first;
	bus_deliver_all(s);
	for (size_t back = 1; back <= 3; back++)
		SIM_CHECK(s, oracle_reached(s, s->text_count - back, everybody),
			  "in calm, not everybody heard member %d out of order", from);
}

/* Floors were written ahead: what a crash skipped is bounded, and after that everything is heard; so are, much later,
 * the counters that share their place in the bitmap with those just heard. */
static void calm(struct sim *s)
{
	enum { SKIPPED_MAX = 300 };
	for (int i = 0; i < PEOPLE; i++)
		people[i].failing = people[i].crash_in = 0;
	for (int from = 0; from < PEOPLE; from++) {
		int in_a_row = 0;
		for (int n = 0; in_a_row < 3; n++) {
			SIM_CHECK(s, n < SKIPPED_MAX, "in calm, not everybody heard member %d", from);
			in_a_row = all_hear(s, from, n % 3) ? in_a_row + 1 : 0;
		}
		people[from].group.sealer.next_counter += 64 * SMQ_REPLAY_WORDS - 3;
		out_of_order(s, from);
	}
}

static const struct sim_op ops[] = {
	{ "say", 40, op_say },
	{ "burst", 3, op_burst },
	{ "crash", 4, op_crash },
	{ "crash in a write", 4, op_crash_in_put },
	{ "disk fails", 3, op_disk_fails },
	{ "backup", 1, op_backup },
	{ "restore", 1, op_restore },
};

const struct scenario scenario_static = { .name = "static",
					  .ops = ops,
					  .op_count = SMQ_COUNT(ops),
					  .up = up,
					  .receive = receive,
					  .reads = reads,
					  .tick = tick,
					  .calm = calm,
					  .down = down };
