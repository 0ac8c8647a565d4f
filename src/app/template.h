/*
 * Texts with holes: @name@ is replaced by a value, @@ is one @, and lines between "@if name@" (or "@ifnot name@") and
 * "@end@", each alone on its line, stand only where the value is there and not empty. Conditions nest.
 */
#ifndef SMQ_APP_TEMPLATE_H
#define SMQ_APP_TEMPLATE_H

#include <stddef.h>

#include <sealmq/err.h>

struct smq_template_value {
	const char *name;
	const char *text; /* NULL or "": a condition does not hold */
};

/* Allocates the text. SMQ_ERR_BUG: a name that has no value, a condition that does not end. SMQ_ERR_NO_MEMORY. */
SMQ_MUST_USE smq_err smq_template_fill(const char *text, const struct smq_template_value *values, size_t count,
				       char **ret_text);

#endif
