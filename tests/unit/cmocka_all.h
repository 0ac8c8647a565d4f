/* cmocka wants these before itself. */
#ifndef SMQ_TESTS_CMOCKA_ALL_H
#define SMQ_TESTS_CMOCKA_ALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#endif
