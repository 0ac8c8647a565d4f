/* sealmq rights: what each process may do; and what came of giving up the rest, in words. */
#include "cli/cmd_rights.h"

#include <stdio.h>
#include <string.h>

#include <sealmq/json.h>

#include "cli/print.h"

static const char usage[] =
    "sealmq rights - the processes that run for long, and what each of them may do\n\n"
    "usage: sealmq rights [--json]\n\n"
    "Before anything is received each gives up the rest for good: system calls by seccomp, files and TCP ports by\n"
    "Landlock. Started with --unconfined (the key server: --undivided) it keeps what the user may do. A kernel that\n"
    "cannot is named in one line on standard error.\n\n"
    "  --json   as JSON, a line each\n"
    "  --help   this text\n";

const char *confined_words(const struct smq_confined *how)
{
	if (!how)
		return "not confined: this kernel has neither seccomp nor Landlock; --unconfined says no more of it";
	if (!how->calls)
		return "system calls are not confined: no seccomp in this kernel";
	return how->landlock == 0 ? "files and ports are not confined: no Landlock in this kernel" : NULL;
}

static void write_process(struct smq_json *j, const void *of)
{
	const struct smq_process *p = of;
	smq_json_object(j);
	smq_json_key(j, "process");
	smq_json_str(j, p->name);
	smq_json_key(j, "rights");
	smq_json_str(j, p->rights);
	smq_json_end(j);
}

int cmd_rights(int argc, char **argv)
{
	bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		fputs(usage, stdout);
		return 0;
	}
	if (argc > 1 && !json) {
		fputs("sealmq rights: takes --json and nothing else\n", stderr);
		return smq_err_exit(SMQ_ERR_USAGE);
	}
	for (size_t i = 0; smq_process_rights(i); i++) {
		const struct smq_process *p = smq_process_rights(i);
		if (json)
			(void)!print_json(stdout, write_process, p);
		else
			printf("%-20s  %s\n", p->name, p->rights);
	}
	return 0;
}
