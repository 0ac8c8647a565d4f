/*
 * Preloaded by tools/threads.py: what the thread sanitizer says goes to a file that is opened before a process gives up
 * its rights, one for each. Programs without that sanitizer are left alone.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern void __sanitizer_set_report_fd(void *fd) __attribute__((weak));

static __attribute__((constructor)) void start(void)
{
	char path[4096];
	const char *directory = getenv("TSAN_REPORTS");
	if (!directory || !__sanitizer_set_report_fd)
		return;
	snprintf(path, sizeof(path), "%s/%ld", directory, (long)getpid());
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd >= 0)
		__sanitizer_set_report_fd((void *)(long)fd);
}
