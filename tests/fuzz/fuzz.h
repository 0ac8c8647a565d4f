/*
 * A fuzz target: a function over untrusted bytes that must come back, whatever they are.
 *
 * With clang and -Dfuzz=true each target is linked with libFuzzer; in every build it is linked with replay.c too,
 * which runs the corpus and mutations of it as an ordinary test.
 */
#ifndef SMQ_TESTS_FUZZ_H
#define SMQ_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A machine under test has carried out an operation: counted where FUZZ_OPERATIONS names a file of eight bytes. A file,
 * since a fuzzer that is stopped leaves without a word. */
void fuzz_operation(void);

/* A property that did not hold. Aborts in every build, so that both drivers see it. */
#define FUZZ_CHECK(condition)                                                                                          \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                 \
			abort();                                                                                       \
		}                                                                                                      \
	} while (0)

#endif
