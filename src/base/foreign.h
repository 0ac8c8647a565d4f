/* What a library that was not built for clang's memory sanitizer has written: told to it, where it looks. */
#ifndef SMQ_BASE_FOREIGN_H
#define SMQ_BASE_FOREIGN_H

#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#define SMQ_MEMORY_SANITIZER 1
void __msan_unpoison(const volatile void *p, size_t len);
#endif
#endif

static inline void smq_foreign_wrote(const void *p, size_t len)
{
#ifdef SMQ_MEMORY_SANITIZER
	__msan_unpoison(p, len);
#else
	(void)p;
	(void)len;
#endif
}

#endif
