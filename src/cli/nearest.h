/* Which of several words did the user mean? */
#ifndef SMQ_CLI_NEAREST_H
#define SMQ_CLI_NEAREST_H

#include <stddef.h>

/* Insertions, deletions, replacements and swaps of neighbours between two words; words above 63 characters: 64. */
size_t word_distance(const char *a, const char *b);

/* Whether a distance is small enough for a suggestion, given what was typed. */
int word_is_near(const char *typed, size_t distance);

#endif
