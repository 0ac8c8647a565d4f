/* MQTT 5 properties as -D takes them (MQTT 5, 2.2.2): which there are, where they go, what they hold. */
#ifndef SMQ_CLI_PROPERTY_H
#define SMQ_CLI_PROPERTY_H

#include <stdbool.h>

#include "cli/settings.h"

/*
 * words: COMMAND NAME VALUE, or COMMAND "user-property" NAME VALUE; they must outlive the list.
 * false: *ret_why is static text that says what is wrong.
 */
bool property_add(struct properties *list, bool publishing, const char *const *words, const char **ret_why);

/* The property of that name, NULL if the message carries none; start at 0, *index is where to go on. */
const struct smq_property *property_find(const struct smq_property *items, size_t count, const char *name,
					 size_t *index);

/* Whether the property's value is a number. */
bool property_is_number(const char *name);

#endif
