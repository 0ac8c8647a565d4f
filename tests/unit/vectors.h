/*
 * Vector files made by others: read where they lie, never part of the repository.
 *
 * SEALMQ_VECTORS names their directory; without it, shared/vectors beside the source tree is looked at. Where a
 * file is not there, its test program is skipped, and says so.
 */
#ifndef SMQ_TESTS_VECTORS_H
#define SMQ_TESTS_VECTORS_H

#include "cmocka_all.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "base/text.h"

static inline FILE *vectors_open(const char *file)
{
	char path[1024];
	const char *dir = getenv("SEALMQ_VECTORS"), *root = getenv("SEALMQ_SOURCE_ROOT");
	if (dir)
		snprintf(path, sizeof(path), "%s/%s", dir, file);
	else
		snprintf(path, sizeof(path), "%s/../shared/vectors/%s", root ? root : ".", file);
	return fopen(path, "r");
}

/* For main: true, and said in TAP, where the file is not there. cmocka's own skip reads as "not ok" to the runner. */
static inline bool vectors_missing(const char *file)
{
	FILE *f = vectors_open(file);
	if (f)
		fclose(f);
	else
		printf("1..0 # SKIP no %s: set SEALMQ_VECTORS\n", file);
	return !f;
}

static inline json_t *vectors_load(const char *file)
{
	json_error_t error;
	FILE *f = vectors_open(file);
	assert_non_null(f);
	json_t *json = json_loadf(f, 0, &error);
	fclose(f);
	if (!json)
		fail_msg("%s:%d: %s", file, error.line, error.text);
	return json;
}

struct vector_bytes {
	uint8_t b[1536];
	size_t len;
};

static inline smq_span vector_span(const struct vector_bytes *v) { return smq_span_of(v->b, v->len); }

static inline struct vector_bytes vector_unhex(const char *hex)
{
	struct vector_bytes v = { .len = 0 };
	assert_non_null(hex);
	if (smq_hex_decode(hex, smq_mspan_of(v.b, sizeof(v.b)), &v.len) != SMQ_OK)
		fail_msg("not hexadecimal, or too long: %.60s", hex);
	return v;
}

#endif
