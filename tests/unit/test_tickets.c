/* Tickets by packet identifier, beside an array of all of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "app/prng.h"
#include "app/tickets.h"

enum { IDS = 65536 };

static uint64_t all[IDS];

static void put(struct smq_tickets *t, uint16_t id, uint64_t number)
{
	assert_int_equal(smq_tickets_reserve(t), SMQ_OK);
	smq_tickets_put(t, id, number);
	all[id] = number;
}

static void take(struct smq_tickets *t, uint16_t id)
{
	assert_int_equal(smq_tickets_take(t, id), all[id]);
	all[id] = 0;
}

static void test_one(void **state)
{
	struct smq_tickets t = { .size = 0 };
	(void)state;
	memset(all, 0, sizeof(all));
	take(&t, 7); /* before there is any room */
	put(&t, 7, UINT64_MAX);
	put(&t, 7, 2); /* in its place */
	take(&t, 7);
	put(&t, 7, 4);
	put(&t, 7, 0);
	take(&t, 7);
	put(&t, 0, 1);
	put(&t, IDS - 1, 3);
	take(&t, 0);
	take(&t, IDS - 1);
	smq_tickets_done(&t);
	smq_tickets_done(&t);
}

/* What is in flight, not how many there have been, decides about the room. */
static void test_in_turn(void **state)
{
	struct smq_tickets t = { .size = 0 };
	(void)state;
	memset(all, 0, sizeof(all));
	for (uint32_t i = 1; i < 3 * IDS; i++) {
		put(&t, (uint16_t)i, i);
		if (i > 60)
			take(&t, (uint16_t)(i - 60));
	}
	assert_int_equal(t.size, 64);
	smq_tickets_done(&t);
}

/* All that there can be, and never more. */
static void test_full(void **state)
{
	struct smq_tickets t = { .size = 0 };
	(void)state;
	memset(all, 0, sizeof(all));
	for (int round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < IDS; i++)
			put(&t, (uint16_t)(i * 7919u), i + 1);
	}
	for (uint32_t i = 0; i < IDS; i++)
		take(&t, (uint16_t)i);
	smq_tickets_done(&t);
}

static void test_any_order(void **state)
{
	struct smq_tickets t = { .size = 0 };
	struct smq_prng prng = { .state = 42 };
	(void)state;
	memset(all, 0, sizeof(all));
	for (int i = 0; i < 300000; i++) {
		uint64_t dice = smq_prng_next(&prng);
		uint16_t id = (uint16_t)(dice >> 40 & (dice & 4 ? 0xfff : 0xffff));
		if (dice & 1)
			put(&t, id, (dice >> 8) + 1);
		else
			take(&t, id);
	}
	smq_tickets_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one),
		cmocka_unit_test(test_in_turn),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_any_order),
	};
	return cmocka_run_group_tests_name("tickets", tests, NULL, NULL);
}
