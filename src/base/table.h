/* The number of rows of a static table. */
#ifndef SMQ_BASE_TABLE_H
#define SMQ_BASE_TABLE_H

#include <stddef.h>

#define SMQ_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
