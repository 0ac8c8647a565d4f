/* The outbox in memory. */
#include "cmocka_all.h"

#include "app/outbox_memory.h"
#include "outbox_cases.h"

static void all_fields(void **state)
{
	struct smq_outbox o;
	(void)state;
	assert_int_equal(smq_outbox_memory_new(10, &o), SMQ_OK);
	outbox_keeps_every_field(&o);
	o.free(o.self);
}

static void order_and_numbers(void **state)
{
	struct smq_outbox o;
	(void)state;
	assert_int_equal(smq_outbox_memory_new(10, &o), SMQ_OK);
	outbox_keeps_order_and_numbers(&o);
	o.free(o.self);
}

static void bounded(void **state)
{
	struct smq_outbox o;
	struct smq_publish m = outbox_sample(3);
	uint64_t number;
	(void)state;
	assert_int_equal(smq_outbox_memory_new(3, &o), SMQ_OK);
	for (int i = 0; i < 3; i++)
		assert_int_equal(o.append(o.self, &m, &number), SMQ_OK);
	assert_int_equal(o.append(o.self, &m, &number), SMQ_ERR_FULL);
	assert_int_equal(number, 3);
	assert_int_equal(o.remove(o.self, 2), SMQ_OK);
	assert_int_equal(o.append(o.self, &m, &number), SMQ_OK);
	o.free(o.self); /* with messages in it */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_fields),
		cmocka_unit_test(order_and_numbers),
		cmocka_unit_test(bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
