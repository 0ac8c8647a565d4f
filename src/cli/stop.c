/* Being ended by a signal, for loops that poll descriptors. */
#include "cli/stop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static int stop_pipe[2] = { -1, -1 };

static void on_signal(int number)
{
	int before = errno;
	(void)number;
	if (write(stop_pipe[1], "", 1) < 0) {
		/* It is full: told already. */
	}
	errno = before;
}

int stop_descriptor(void)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
	struct sigaction act = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	if (pipe2(stop_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
		return -1;
	sigemptyset(&act.sa_mask);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		if (sigaction(signals[i], &act, NULL) != 0)
			return -1;
	}
	return stop_pipe[0];
}
