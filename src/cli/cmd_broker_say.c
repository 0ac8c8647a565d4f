/* What the parts of `sealmq broker` have in common: refusals, numbers, times, JSON. */
#include "cli/cmd_broker_say.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <sealmq/text.h>

int broker_fail(smq_err err, const char *text)
{
	fprintf(stderr, "sealmq broker: %s\n", text && *text ? text : smq_err_text(err));
	return smq_err_exit(err);
}

int broker_misuse(const char *text, const char *word)
{
	char shown[120] = "";
	if (word)
		smq_escape(smq_span_str(word), shown, sizeof(shown));
	fprintf(stderr, "sealmq broker: %s%s%s%s; see `sealmq broker --help`\n", text, word ? " '" : "", shown,
		word ? "'" : "");
	return smq_err_exit(SMQ_ERR_USAGE);
}

int broker_flushed(void)
{
	return fflush(stdout) == 0 && !ferror(stdout) ? 0
						      : broker_fail(SMQ_ERR_IO, "standard output cannot be written");
}

void broker_time(int64_t ms, char ret_text[BROKER_TIME_LEN])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;
	if (!gmtime_r(&seconds, &tm) || strftime(ret_text, BROKER_TIME_LEN, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		ret_text[0] = 0;
}

bool broker_number(const char *text, int min, int max, int *ret_number)
{
	char *end = NULL;
	errno = 0;
	long n = strtol(text, &end, 10);
	if (errno != 0 || end == text || *end || n < min || n > max)
		return false;
	*ret_number = (int)n;
	return true;
}

int broker_print_json(const struct smq_json *j, const char *text)
{
	size_t len = 0;
	smq_err err = smq_json_finish(j, &len);
	if (err != SMQ_OK)
		return broker_fail(err, NULL);
	puts(text);
	return broker_flushed();
}
