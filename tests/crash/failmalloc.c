/* Preloaded: the i-th allocation fails, once, or all from it on. FAILMALLOC=i or i+; the count goes to
 * FAILMALLOC_COUNT. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *p, size_t size);

static unsigned long calls, fail_at;
static int on, all_after;

static __attribute__((constructor)) void start(void)
{
	const char *text = getenv("FAILMALLOC");
	if (!text)
		return;
	fail_at = strtoul(text, NULL, 10);
	all_after = strchr(text, '+') != NULL;
	on = 1;
}

static __attribute__((destructor)) void tell(void)
{
	char text[32];
	const char *path = getenv("FAILMALLOC_COUNT");
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;
	on = 0;
	if (fd < 0)
		return;
	int len = snprintf(text, sizeof(text), "%lu\n", calls);
	(void)!write(fd, text, (size_t)len);
	close(fd);
}

static int fails(void)
{
	if (!on)
		return 0;
	calls++;
	if (fail_at == 0 || (calls != fail_at && !(all_after && calls > fail_at)))
		return 0;
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t size) { return fails() ? NULL : __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return fails() ? NULL : __libc_calloc(count, size); }
void *realloc(void *p, size_t size) { return fails() ? NULL : __libc_realloc(p, size); }
