/* What every outbox must do; the tests of both run these. */
#ifndef SMQ_TESTS_OUTBOX_CASES_H
#define SMQ_TESTS_OUTBOX_CASES_H

#include "app/outbox.h"

/* A message with everything in it, different for each n. */
struct smq_publish outbox_sample(unsigned n);
/* Asserts that it is that one. */
void outbox_assert_sample(const struct smq_publish *m, unsigned n);

/* Each starts and ends with an empty outbox. */
void outbox_keeps_every_field(struct smq_outbox *o);
void outbox_keeps_order_and_numbers(struct smq_outbox *o);

#endif
