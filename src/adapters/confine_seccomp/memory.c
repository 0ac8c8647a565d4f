/* A process's memory, kept to itself: out of core dumps, out of swap, away from debuggers. */
#include "adapters/confine_seccomp/memory.h"

#include "confine_internal.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* The heap is made this large at once (as address space; pages come as they are touched), so that it stays the one
 * mapping whose marks are set here. */
enum { HEAP_ROOM = 64 << 20 };

/* Large blocks, too, come from the marked heap. */
static bool one_heap(void)
{
	if (mallopt(M_ARENA_MAX, 1) != 1 || mallopt(M_MMAP_MAX, 0) != 1 || mallopt(M_TOP_PAD, HEAP_ROOM) != 1 ||
	    mallopt(M_TRIM_THRESHOLD, 2 * HEAP_ROOM) != 1)
		return false;
	void *first = malloc(HEAP_ROOM / 64); /* more than is free: the heap grows now */
	free(first);
	return first != NULL;
}

/* Private memory that can be written: heap, stack, data of programs and libraries. */
static bool mark(const char *line, bool *locked)
{
	unsigned long from = 0, to = 0;
	char rights[5] = "";
	if (sscanf(line, "%lx-%lx %4s", &from, &to, rights) != 3 || rights[1] != 'w' || rights[3] != 'p')
		return true;
	void *start = (void *)from; /* NOLINT: an address that the kernel told */
	if (mlock2(start, to - from, MLOCK_ONFAULT) != 0)
		*locked = false;
	return madvise(start, to - from, MADV_DONTDUMP) == 0;
}

smq_err smq_memory_fence(bool *ret_locked)
{
#ifdef SMQ_SANITIZED
	(void)ret_locked;
	(void)one_heap;
	(void)mark;
	return SMQ_ERR_UNSUPPORTED;
#else
	struct rlimit none = { 0, 0 };
	char line[512];
	bool locked = true,
	     good = one_heap() && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 && setrlimit(RLIMIT_CORE, &none) == 0;
	FILE *maps = good ? fopen("/proc/self/maps", "re") : NULL;
	if (!maps)
		return SMQ_ERR_UNSUPPORTED;
	while (good && fgets(line, sizeof(line), maps))
		good = mark(line, &locked);
	fclose(maps);
	if (good)
		*ret_locked = locked;
	return good ? SMQ_OK : SMQ_ERR_UNSUPPORTED;
#endif
}
