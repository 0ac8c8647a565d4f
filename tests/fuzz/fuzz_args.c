/*
 * The command lines of pub and sub: words are taken, or refused with one printable line; a format that is called valid
 * prints any message. The input's first byte says whose words they are (0 pub, 1 sub), newlines part them; 2: a format,
 * and what is to be printed with it.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cli/format.h"
#include "cli/options.h"

enum { WORDS_MAX = 32 };

static void printable(const char *text)
{
	for (; *text; text++)
		FUZZ_CHECK((unsigned char)*text >= 0x20 && *text != 0x7f);
}

/* Nothing here may read a file: options that name one are given names that do not exist. */
static void words(enum option_user user, char *text)
{
	char tool[] = "sealmq";
	char *argv[WORDS_MAX + 2] = { tool };
	const char *why = NULL;
	struct settings s;
	int argc = 1;
	if (strchr(text, '/'))
		return;
	for (char *word = strtok(text, "\n"); word && argc < WORDS_MAX; word = strtok(NULL, "\n"))
		argv[argc++] = word;
	settings_init(&s);
	bool good = options_look(user, argc, argv, &s, &why) && options_from_args(user, argc, argv, &s, &why) &&
		    settings_finish(&s, user == FOR_PUB, &why);
	FUZZ_CHECK(good || (why && why[0]));
	if (!good)
		printable(why);
	settings_done(&s);
}

static void format(const char *text, smq_span payload)
{
	const struct smq_property property = { "publish", "user-property", "a", 1, "b" };
	struct smq_message m = { .mqtt = { .topic = "plant/a",
					   .payload = payload,
					   .qos = 1,
					   .properties = &property,
					   .property_count = 1 },
				 .sender = "fridge-07",
				 .algorithm = "A128GCM",
				 .slot = SMQ_NO_SLOT,
				 .age_ms = SMQ_NO_AGE };
	struct format_options options = { .escape = true, .now = { 1795259500, 5 } };
	struct buf out = { 0 };
	const char *why = NULL;
	char bad = 0;
	if (!format_valid(text, &why, &bad)) {
		FUZZ_CHECK(why && why[0]);
		return;
	}
	smq_err err = format_message(text, &m, &options, &out);
	FUZZ_CHECK(err == SMQ_OK || err == SMQ_ERR_DATA || err == SMQ_ERR_NO_MEMORY);
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool in_empty_place;
	char dir[] = "/tmp/sealmq-fuzz-XXXXXX";
	if (size == 0 || data[0] > 2 || memchr(data + 1, 0, size - 1))
		return 0;
	if (!in_empty_place) {
		int null = open("/dev/null", O_RDONLY);
		FUZZ_CHECK(mkdtemp(dir) && chdir(dir) == 0 && rmdir(dir) == 0);
		FUZZ_CHECK(null >= 0 && dup2(null, STDIN_FILENO) == STDIN_FILENO && close(null) == 0);
		in_empty_place = true;
	}
	char *text = malloc(size);
	if (!text)
		return 0;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	if (data[0] == 2)
		format(text, smq_span_of(data, size));
	else
		words(data[0] == 0 ? FOR_PUB : FOR_SUB, text);
	free(text);
	return 0;
}
