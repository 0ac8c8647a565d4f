/* Built-in telemetry: plausible records from a seed, for first steps, demos and benchmarks. */
#ifndef SMQ_APP_TELEMETRY_GENERATE_H
#define SMQ_APP_TELEMETRY_GENERATE_H

#include "app/csv_values.h"
#include "app/prng.h"

enum { SMQ_GENERATED_FIELDS_MAX = 8, SMQ_GENERATED_TEXT_MAX = 40 };

struct smq_generator;

/* What a generator is: its columns and how it makes the next record. */
struct smq_generator_kind {
	const char *name;
	size_t column_count;
	const char *columns[SMQ_GENERATED_FIELDS_MAX];
	enum smq_column_type types[SMQ_GENERATED_FIELDS_MAX];
	int64_t step_ms; /* between records, where no pace is given */
	void (*make)(struct smq_generator *g, int64_t time_ms);
};

struct smq_generator {
	const struct smq_generator_kind *kind;
	struct smq_prng prng;
	char text[SMQ_GENERATED_FIELDS_MAX][SMQ_GENERATED_TEXT_MAX]; /* the record, one text per column */
	/* what goes on from record to record */
	int level[8]; /* of the walks, in their smallest unit; their sense is each generator's own */
	unsigned left;
};

/* NULL where there is none of that name. */
const struct smq_generator_kind *smq_generator_find(const char *name);
void smq_generator_init(struct smq_generator *g, const struct smq_generator_kind *kind, uint64_t seed);
/* Fills g->text with the record of that time (Unix ms). */
void smq_generator_next(struct smq_generator *g, int64_t time_ms);

#endif
