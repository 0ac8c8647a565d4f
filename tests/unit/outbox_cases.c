/* What every outbox must do; the tests of both run these. */
#include "cmocka_all.h"

#include "outbox_cases.h"

#include <stdio.h>

static const char value_with_zero[] = "a\0b";

static char texts[3][32];
static struct smq_property properties[3];

struct smq_publish outbox_sample(unsigned n)
{
	snprintf(texts[0], sizeof(texts[0]), "topic/%u", n);
	snprintf(texts[1], sizeof(texts[1]), "payload%c%u", 0, n);
	snprintf(texts[2], sizeof(texts[2]), "peer-%u", n);
	properties[0] = (struct smq_property){ "publish", "correlation-data", value_with_zero, 3, NULL };
	properties[1] = (struct smq_property){ NULL, "user-property", "key", 3, n % 2 ? "" : "second" };
	properties[2] = (struct smq_property){ "publish", "message-expiry-interval", "60", 2, NULL };
	return (struct smq_publish){ .topic = texts[0],
				     .payload = smq_span_of(texts[1], 9 + n % 3),
				     .qos = (int)(n % 3),
				     .retain = n % 2 == 0,
				     .properties = n % 4 ? properties : NULL,
				     .property_count = n % 4,
				     .to = n % 2 ? texts[2] : NULL,
				     .group = n % 2 ? NULL : "group",
				     .plain = n % 5 == 0 };
}

static void assert_text(const char *a, const char *b)
{
	assert_int_equal(a == NULL, b == NULL);
	if (a)
		assert_string_equal(a, b);
}

void outbox_assert_sample(const struct smq_publish *m, unsigned n)
{
	struct smq_publish want = outbox_sample(n);
	assert_text(m->topic, want.topic);
	assert_true(smq_span_equal(m->payload, want.payload));
	assert_int_equal(m->qos, want.qos);
	assert_int_equal(m->retain, want.retain);
	assert_int_equal(m->plain, want.plain);
	assert_text(m->to, want.to);
	assert_text(m->group, want.group);
	assert_int_equal(m->property_count, want.property_count);
	for (size_t i = 0; i < want.property_count; i++) {
		const struct smq_property *a = &m->properties[i], *b = &want.properties[i];
		assert_text(a->command, b->command);
		assert_text(a->name, b->name);
		assert_int_equal(a->value_len, b->value_len);
		assert_memory_equal(a->value, b->value, b->value_len);
		assert_text(a->pair_value, b->pair_value);
	}
}

static void take_first(struct smq_outbox *o, uint64_t want_number)
{
	struct smq_publish got;
	uint64_t number;
	assert_int_equal(o->next(o->self, 0, &number, &got), SMQ_OK);
	assert_int_equal(number, want_number);
	assert_int_equal(o->remove(o->self, number), SMQ_OK);
}

void outbox_keeps_every_field(struct smq_outbox *o)
{
	for (unsigned n = 0; n < 60; n++) {
		struct smq_publish in = outbox_sample(n), out;
		uint64_t number, again;
		assert_int_equal(o->append(o->self, &in, &number), SMQ_OK);
		memset(texts, 'x', sizeof(texts)); /* the outbox has its own copy */
		memset(properties, 0, sizeof(properties));
		assert_int_equal(o->next(o->self, number - 1, &again, &out), SMQ_OK);
		assert_int_equal(again, number);
		outbox_assert_sample(&out, n);
		assert_int_equal(o->remove(o->self, number), SMQ_OK);
	}
	/* the smallest, and a large one */
	static uint8_t large[300000];
	large[299999] = 7;
	struct smq_publish in = { .topic = "t" }, out;
	uint64_t number;
	assert_int_equal(o->append(o->self, &in, &number), SMQ_OK);
	assert_int_equal(o->next(o->self, 0, &number, &out), SMQ_OK);
	assert_int_equal(out.payload.len, 0);
	assert_int_equal(out.property_count, 0);
	assert_int_equal(o->remove(o->self, number), SMQ_OK);
	in.payload = smq_span_of(large, sizeof(large));
	assert_int_equal(o->append(o->self, &in, &number), SMQ_OK);
	assert_int_equal(o->next(o->self, 0, &number, &out), SMQ_OK);
	assert_true(smq_span_equal(in.payload, out.payload));
	assert_int_equal(o->remove(o->self, number), SMQ_OK);
	assert_int_equal(o->count(o->self), 0);
}

void outbox_keeps_order_and_numbers(struct smq_outbox *o)
{
	struct smq_publish m = { .topic = "t" }, out;
	uint64_t numbers[5], number = 77;
	assert_int_equal(o->next(o->self, 0, &number, &out), SMQ_ERR_NOT_FOUND);
	assert_int_equal(o->next(o->self, UINT64_MAX, &number, &out), SMQ_ERR_NOT_FOUND);
	assert_int_equal(o->remove(o->self, 1000000), SMQ_ERR_NOT_FOUND);
	assert_int_equal(o->remove(o->self, 0), SMQ_ERR_NOT_FOUND);
	assert_int_equal(o->remove(o->self, UINT64_MAX), SMQ_ERR_NOT_FOUND);
	assert_int_equal(number, 77);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(o->append(o->self, &m, &numbers[i]), SMQ_OK);
		assert_true(i == 0 || numbers[i] > numbers[i - 1]);
		assert_int_equal(o->count(o->self), i + 1);
	}
	/* walk to the third, take the third and the second away, walk on from each */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(o->next(o->self, i ? numbers[i - 1] : 0, &number, &out), SMQ_OK);
		assert_int_equal(number, numbers[i]);
	}
	assert_int_equal(o->remove(o->self, numbers[2]), SMQ_OK);
	assert_int_equal(o->remove(o->self, numbers[2]), SMQ_ERR_NOT_FOUND);
	assert_int_equal(o->remove(o->self, numbers[1]), SMQ_OK);
	assert_int_equal(o->next(o->self, numbers[2], &number, &out), SMQ_OK);
	assert_int_equal(number, numbers[3]);
	assert_int_equal(o->next(o->self, numbers[0], &number, &out), SMQ_OK);
	assert_int_equal(number, numbers[3]);
	assert_int_equal(o->next(o->self, numbers[4], &number, &out), SMQ_ERR_NOT_FOUND);
	take_first(o, numbers[0]);
	take_first(o, numbers[3]);
	take_first(o, numbers[4]);
	assert_int_equal(o->count(o->self), 0);
	/* numbers are never given out again, not even after the outbox was empty */
	assert_int_equal(o->append(o->self, &m, &number), SMQ_OK);
	assert_true(number > numbers[4]);
	assert_int_equal(o->remove(o->self, number), SMQ_OK);
}
