/* What the writers of corpora share. */
#ifndef SMQ_TESTS_FUZZ_SEEDS_H
#define SMQ_TESTS_FUZZ_SEEDS_H

#include <string.h>

#include <sealmq/span.h>

#include "fuzz.h"

/* Writes DIR/target/name. */
void save(const char *target, const char *name, smq_span bytes);

void ks_seeds(void);

#endif
