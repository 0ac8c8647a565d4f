/*
 * sealmq bench: what it costs, on this machine.
 *
 * The measuring is done by programs of their own (bench/), which lie beside the tool: in libexec where it is
 * installed, in bench/ where it was built. This finds them and hands over.
 */
#include "cli/cmd_bench.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sealmq/err.h>

#include "cli/mem.h"

static const char *const places[] = { "../libexec/sealmq", "../../bench" }; /* from the tool's own directory */

static bool find_suite(const char *self, char *room, size_t room_len)
{
	const char *slash = strrchr(self, '/');
	int dir_len = slash ? (int)(slash - self) : 0;
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
		int n = snprintf(room, room_len, "%.*s/%s/sealmq_bench.py", dir_len, self, places[i]);
		if (n > 0 && (size_t)n < room_len && access(room, R_OK) == 0)
			return true;
	}
	return false;
}

int cmd_bench(int argc, char **argv)
{
	char self[PATH_MAX], suite[PATH_MAX + 64], python[] = "python3", no_cache[] = "-B";
	ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
	if (len <= 0) {
		fputs("sealmq bench: does not find itself\n", stderr);
		return smq_err_exit(SMQ_ERR_IO);
	}
	self[len] = '\0';
	if (!find_suite(self, suite, sizeof suite)) {
		fputs("sealmq bench: the measuring programs are not installed (libexec/sealmq)\n", stderr);
		return smq_err_exit(SMQ_ERR_NOT_FOUND);
	}
	char **words = mem_array(NULL, (size_t)argc + 5, sizeof *words);
	words[0] = python;
	words[1] = no_cache;
	words[2] = suite;
	words[3] = self;
	for (int i = 1; i <= argc; i++)
		words[3 + i] = i < argc ? argv[i] : NULL;
	execvp(python, words);
	fprintf(stderr, "sealmq bench: python3: %s\n", strerror(errno));
	return smq_err_exit(SMQ_ERR_NOT_FOUND);
}
