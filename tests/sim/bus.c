/* The broker and the network, at their worst. */
#include <string.h>

#include "sim.h"

/* No more than there is in it: most of a message is room. */
void bus_copy(struct bus_message *to, const struct bus_message *from)
{
	memcpy(to->topic, from->topic, sizeof(to->topic));
	memcpy(to->payload, from->payload, from->len);
	to->len = from->len;
	to->retain = from->retain;
}

static void set(struct bus_message *m, const char *topic, smq_span payload, bool retain)
{
	snprintf(m->topic, sizeof(m->topic), "%s", topic);
	if (payload.len > 0)
		memcpy(m->payload, payload.p, payload.len);
	m->len = payload.len;
	m->retain = retain;
}

static void retain(struct sim *s, const struct bus_message *m)
{
	size_t i = 0;
	while (i < s->retained_count && strcmp(s->retained[i].topic, m->topic) != 0)
		i++;
	SIM_CHECK(s, i < RETAINED_MAX, "too many retained topics for this world");
	if (m->len > 0) {
		bus_copy(&s->retained[i], m);
		s->retained_count += i == s->retained_count;
	} else if (i < s->retained_count) {
		bus_copy(&s->retained[i], &s->retained[--s->retained_count]);
	}
}

void bus_publish(struct sim *s, const char *topic, smq_span payload, bool keep)
{
	SIM_CHECK(s, payload.len <= SIM_PAYLOAD, "a message of %zu bytes is too long for this world", payload.len);
	if (s->flight_count == FLIGHT_MAX)
		bus_deliver_all(s);
	struct bus_message *m = &s->flight[s->flight_count++];
	set(m, topic, payload, keep);
	bus_copy(&s->archive[s->archive_count++ % ARCHIVE_MAX], m);
	if (keep)
		retain(s, m);
	sim_note(s, "publish %s, %zu bytes%s", topic, payload.len, keep ? ", retained" : "");
}

static void give(struct sim *s, int member, const struct bus_message *m, bool retained)
{
	if (!s->cut_off[member] && s->scenario->reads(s, member, m->topic))
		s->scenario->receive(s, member, m->topic, smq_span_of(m->payload, m->len), retained);
}

static void give_all(struct sim *s, const struct bus_message *m)
{
	for (int i = 0; i < SIM_NODES; i++)
		give(s, i, m, false);
}

/* A copy, because what is given makes others publish. */
static void take_out(struct sim *s, size_t i, struct bus_message *ret)
{
	bus_copy(ret, &s->flight[i]);
	for (s->flight_count--; i < s->flight_count; i++)
		bus_copy(&s->flight[i], &s->flight[i + 1]);
}

void bus_deliver_all(struct sim *s)
{
	struct bus_message m;
	for (unsigned n = 0; s->flight_count > 0; n++) {
		SIM_CHECK(s, n < 5000, "they do not stop talking");
		take_out(s, 0, &m);
		give_all(s, &m);
	}
}

void bus_deliver_some(struct sim *s, size_t count)
{
	struct bus_message m;
	for (; count > 0 && s->flight_count > 0; count--) {
		take_out(s, 0, &m);
		give_all(s, &m);
	}
}

void bus_send_retained(struct sim *s, int member)
{
	for (size_t i = 0; i < s->retained_count; i++) {
		struct bus_message m;
		bus_copy(&m, &s->retained[i]);
		give(s, member, &m, true);
	}
}

/* ---- what goes wrong ---- */

static void op_run(struct sim *s, struct dice *d)
{
	(void)d;
	bus_deliver_all(s);
}

static void op_reorder(struct sim *s, struct dice *d)
{
	struct bus_message m;
	if (s->flight_count == 0)
		return;
	take_out(s, dice_below(d, s->flight_count), &m);
	give_all(s, &m);
}

static void op_lose(struct sim *s, struct dice *d)
{
	struct bus_message m;
	if (s->flight_count > 0)
		take_out(s, dice_below(d, s->flight_count), &m);
}

/* To some only. */
static void op_split(struct sim *s, struct dice *d)
{
	struct bus_message m;
	if (s->flight_count == 0)
		return;
	take_out(s, dice_below(d, s->flight_count), &m);
	for (int i = 0; i < SIM_NODES; i++) {
		if (dice_one_in(d, 2))
			give(s, i, &m, false);
	}
}

static const struct bus_message *old_one(struct sim *s, struct dice *d)
{
	size_t have = s->archive_count < ARCHIVE_MAX ? s->archive_count : ARCHIVE_MAX;
	if (have == 0)
		return NULL;
	/* mostly new ones: they are the ones that might still be taken */
	size_t back = dice_one_in(d, 2) && have > 12 ? dice_below(d, 12) : dice_below(d, have);
	return &s->archive[(s->archive_count - 1 - back) % ARCHIVE_MAX];
}

static void op_replay(struct sim *s, struct dice *d)
{
	for (uint64_t n = 1 + dice_below(d, 4); n > 0; n--) {
		const struct bus_message *old = old_one(s, d);
		struct bus_message m;
		if (!old)
			return;
		bus_copy(&m, old);
		bool retained = dice_one_in(d, 4);
		for (int i = 0; i < SIM_NODES; i++)
			give(s, i, &m, retained);
	}
}

static void op_move(struct sim *s, struct dice *d)
{
	const struct bus_message *from = old_one(s, d), *to = old_one(s, d);
	struct bus_message m;
	if (!from || !to)
		return;
	bus_copy(&m, from);
	memcpy(m.topic, to->topic, sizeof(m.topic));
	give_all(s, &m);
}

static void op_alter(struct sim *s, struct dice *d)
{
	const struct bus_message *from = old_one(s, d);
	struct bus_message m;
	if (!from || from->len == 0)
		return;
	bus_copy(&m, from);
	if (dice_one_in(d, 8))
		m.len -= 1 + dice_below(d, m.len);
	else if (dice_one_in(d, 8) && m.len < SIM_PAYLOAD)
		m.payload[m.len++] = (uint8_t)dice_roll(d);
	else /* the head more often than the rest: that is where the fields are */
		m.payload[dice_below(d, dice_one_in(d, 2) && m.len > 12 ? 12 : m.len)] ^=
		    (uint8_t)(1U << dice_below(d, 8));
	give_all(s, &m);
}

/* The end of one message behind the beginning of another. */
static void op_splice(struct sim *s, struct dice *d)
{
	const struct bus_message *a = old_one(s, d), *b = old_one(s, d);
	struct bus_message m;
	if (!a || !b)
		return;
	bus_copy(&m, a);
	size_t keep = dice_below(d, (a->len < b->len ? a->len : b->len) + 1);
	memcpy(m.payload + keep, b->payload + keep, b->len - keep);
	m.len = b->len;
	give_all(s, &m);
}

static void op_junk(struct sim *s, struct dice *d)
{
	const struct bus_message *like = old_one(s, d);
	struct bus_message m;
	if (!like)
		return;
	for (uint64_t n = 1 + dice_below(d, 8); n > 0; n--) {
		memcpy(m.topic, like->topic, sizeof(m.topic));
		m.len = dice_below(d, 80);
		m.retain = false;
		for (size_t i = 0; i < m.len; i++)
			m.payload[i] = (uint8_t)dice_roll(d);
		if (m.len > 0 && dice_one_in(d, 2))
			m.payload[0] = like->payload[0];
		give_all(s, &m);
	}
}

/* Whoever chooses the operations chooses bytes, too: nothing of this comes out of a seed. */
static void op_bytes(struct sim *s, struct dice *d)
{
	const struct bus_message *like = old_one(s, d);
	struct bus_message m;
	if (!like)
		return;
	memcpy(m.topic, like->topic, sizeof(m.topic));
	m.retain = dice_one_in(d, 2);
	m.len = dice_below(d, 256);
	for (size_t i = 0; i < m.len; i++)
		m.payload[i] = (uint8_t)dice_below(d, 256);
	for (int i = 0; i < SIM_NODES; i++)
		give(s, i, &m, m.retain);
}

static void op_edit(struct sim *s, struct dice *d)
{
	const struct bus_message *like = old_one(s, d);
	struct bus_message m;
	if (!like)
		return;
	bus_copy(&m, like);
	for (uint64_t n = 1 + dice_below(d, 4); n > 0 && m.len > 0; n--) {
		size_t at = dice_below(d, m.len);
		switch (dice_below(d, 3)) {
		case 0:
			m.payload[at] = (uint8_t)dice_below(d, 256);
			break;
		case 1:
			memmove(m.payload + at, m.payload + at + 1, --m.len - at);
			break;
		default:
			if (m.len < SIM_PAYLOAD) {
				memmove(m.payload + at + 1, m.payload + at, m.len++ - at);
				m.payload[at] = (uint8_t)dice_below(d, 256);
			}
		}
	}
	give_all(s, &m);
}

static void op_cut_off(struct sim *s, struct dice *d)
{
	size_t i = dice_below(d, SIM_MEMBERS);
	s->cut_off[i] = !s->cut_off[i];
}

static void op_pass(struct sim *s, struct dice *d)
{
	static const int64_t steps[] = { 1, 50, 300, 1100, 5100, 11000, 40000 };
	int64_t ms = steps[dice_below(d, SMQ_COUNT(steps))];
	s->now.mono_ms += ms;
	s->now.unix_ms += ms;
}

static void op_jump(struct sim *s, struct dice *d)
{
	int64_t by = (int64_t)dice_below(d, 4000000) - 2000000;
	s->skew_ms[dice_below(d, SIM_MEMBERS)] = dice_one_in(d, 3) ? 0 : dice_one_in(d, 2) ? by : by / 1000;
}

const struct sim_op bus_ops[] = {
	{ "run", 24, op_run },      { "reorder", 6, op_reorder }, { "lose", 4, op_lose },   { "split", 3, op_split },
	{ "replay", 6, op_replay }, { "move", 4, op_move },       { "alter", 6, op_alter }, { "splice", 2, op_splice },
	{ "junk", 2, op_junk },     { "cut off", 2, op_cut_off }, { "pass", 12, op_pass },  { "jump", 2, op_jump },
	{ "bytes", 0, op_bytes },   { "edit", 0, op_edit },
};
const size_t bus_op_count = SMQ_COUNT(bus_ops);
