/* Counts the operations of whole machines in a file that fuzz.py reads; without one it counts for nobody. */
#include "fuzz.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t *counter(void)
{
	static uint64_t nobody;
	const char *path = getenv("FUZZ_OPERATIONS");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0)
		return &nobody;
	void *page = mmap(NULL, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return page == MAP_FAILED ? &nobody : page;
}

void fuzz_operation(void)
{
	static uint64_t *count;
	if (!count)
		count = counter();
	++*count;
}
