/* The options of pub and sub: their table, the parser, options files, and what is made from the table. */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/table.h"
#include "cli/nearest.h"
#include "cli/options.h"

enum { ARGS_MAX = 16 };

/* ---- a row: words, and what comes of them ---- */

struct row {
	enum option_user user;
	const char *args;  /* separated by '|' */
	const char *why;   /* part of the complaint; NULL: accepted */
	const char *field; /* what `show` gives for the settings */
};

static char shown[4096];

static void add(const char *name, const char *value)
{
	size_t len = strlen(shown);
	if (value)
		snprintf(shown + len, sizeof shown - len, "%s=%s ", name, value);
}

static void add_number(const char *name, double value, double usual)
{
	size_t len = strlen(shown);
	if (value < usual || value > usual)
		snprintf(shown + len, sizeof shown - len, "%s=%g ", name, value);
}

static void add_list(const char *name, const struct list *list)
{
	for (size_t i = 0; i < list->count; i++)
		add(name, list->items[i]);
}

/* Everything that differs from the defaults. */
static const char *show(const struct settings *s)
{
	shown[0] = 0;
	add("host", s->host);
	add_number("port", (double)s->port, 0);
	add("user", s->username);
	add("pw", s->password);
	add("id", s->id);
	add_number("v", (double)s->protocol, 5);
	add_number("k", (double)s->keepalive, 60);
	add_number("expiry", (double)s->session_expiry_s, 0);
	add_number("kept", !s->clean_start, 0);
	add_list("t", &s->topics);
	add_list("T", &s->filter_out);
	add_list("U", &s->unsubscribe);
	add_number("q", (double)s->qos, 0);
	add_number("mode", s->mode, MESSAGE_NONE);
	add("m", s->message);
	add_number("r", s->retain, 0);
	add_number("repeat", (double)s->repeat, 1);
	add_number("delay", s->repeat_delay, 0);
	for (size_t i = 0; i < s->properties.count; i++) {
		add(s->properties.items[i].command, s->properties.items[i].name);
		add("value", s->properties.items[i].value);
		add("pair", s->properties.items[i].pair_value);
	}
	add_list("to", &s->to);
	add_list("from", &s->from);
	add_list("group", &s->groups);
	add_list("column", &s->columns);
	add_number("plain", s->plain, 0);
	add_number("rotate", s->rotate_every_s, 300);
	add_number("sample", s->sample, 0);
	add_number("C", (double)s->count, 0);
	add_number("W", (double)s->timeout_s, 0);
	add_number("N", s->no_newline, 0);
	add_number("R", s->no_retained, 0);
	add_number("verbose", s->verbose, 0);
	add_number("oscerts", s->os_certs, 0);
	add("F", s->format);
	if (shown[0])
		shown[strlen(shown) - 1] = 0;
	return shown;
}

static int split(const char *args, char *room, size_t size, char *argv[ARGS_MAX])
{
	int argc = 0;
	char *at = room;
	snprintf(room, size, "%s", args);
	argv[argc++] = (char[]){ "x" };
	if (*room == 0)
		return argc;
	for (char *word; (word = strsep(&at, "|"));)
		argv[argc++] = word;
	return argc;
}

static void check_row(const struct row *row, size_t number, bool finish)
{
	struct settings s;
	char room[2048], *argv[ARGS_MAX] = { NULL };
	const char *why = NULL;
	settings_init(&s);
	int argc = split(row->args, room, sizeof room, argv);
	bool ok = options_look(row->user, argc, argv, &s, &why) && options_from_args(row->user, argc, argv, &s, &why) &&
		  (!finish || settings_finish(&s, row->user == FOR_PUB, &why));
	if (ok != (row->why == NULL) || (!ok && !strstr(why, row->why)))
		fail_msg("row %zu (%s): %s", number, row->args, ok ? "accepted" : why);
	if (ok && strcmp(show(&s), row->field) != 0)
		fail_msg("row %zu (%s): '%s', not '%s'", number, row->args, shown, row->field);
	settings_done(&s);
}

/* ---- the parser ---- */

static void words_are_read(void **state)
{
	static const struct row rows[] = {
		/* one value, four ways to give it */
		{ FOR_SUB, "-p1883", NULL, "port=1883" },
		{ FOR_SUB, "-p|1883", NULL, "port=1883" },
		{ FOR_SUB, "--port=1883", NULL, "port=1883" },
		{ FOR_SUB, "--port|1883", NULL, "port=1883" },
		{ FOR_SUB, "-p=1883", NULL, "port=1883" },
		/* flags together, the last one with a value */
		{ FOR_SUB, "-vNR", NULL, "N=1 R=1 verbose=1" },
		{ FOR_SUB, "-vNp1883", NULL, "port=1883 N=1 verbose=1" },
		{ FOR_SUB, "-vp|1", NULL, "port=1 verbose=1" },
		{ FOR_SUB, "-vp", "needs a value", NULL },
		{ FOR_SUB, "-v=1", "unknown option '-='", NULL },
		/* -h is the host, an empty value is a value, '-' alone is no option */
		{ FOR_PUB, "-h|example", NULL, "host=example" },
		{ FOR_PUB, "-h|-v", NULL, "host=-v" },
		{ FOR_PUB, "--host=", NULL, "host=" },
		{ FOR_PUB, "-|x", "'-' is not an option", NULL },
		{ FOR_PUB, "--", "'--' is not an option", NULL },
		{ FOR_PUB, "stray", "'stray' is not an option", NULL },
		/* the last one wins; topics add up */
		{ FOR_PUB, "-p|1|-p|2", NULL, "port=2" },
		{ FOR_SUB, "-t|a|-t|b/#|--topic=c", NULL, "t=a t=b/# t=c" },
		{ FOR_SUB, "-T|a|-T|b|-U|c", NULL, "T=a T=b U=c" },
		/* who takes what */
		{ FOR_PUB, "-C|1", "unknown option '-C'", NULL },
		{ FOR_SUB, "-m|x", "unknown option '-m'", NULL },
		{ FOR_SUB, "--to|x", "unknown option '--to'", NULL },
		{ FOR_PUB, "--prot|1", "did you mean '--port'?", NULL },
		{ FOR_PUB, "--mesage=x", "did you mean '--message'?", NULL },
		{ FOR_PUB, "--zzzzzzzzzz", "unknown option '--zzzzzzzzzz'", NULL },
		{ FOR_PUB, "--retain=1", "takes no value", NULL },
		{ FOR_PUB, "-e\033[2J", "unknown option '-e'", NULL },
		{ FOR_PUB, "--\033[2J", "unknown option '--\\x1b[2J'", NULL },
		/* whole numbers and their limits */
		{ FOR_PUB, "-p|0", "from 1 to 65535", NULL },
		{ FOR_PUB, "-p|65535", NULL, "port=65535" },
		{ FOR_PUB, "-p|65536", "from 1 to 65535", NULL },
		{ FOR_PUB, "-p|1883x", "'1883x' is not a whole number", NULL },
		{ FOR_PUB, "-p| 1883", "is not a whole number", NULL },
		{ FOR_PUB, "-p|", "is not a whole number", NULL },
		{ FOR_PUB, "-p|99999999999999999999", "is not a whole number", NULL },
		{ FOR_PUB, "-k|4", "from 5 to 65535", NULL },
		{ FOR_PUB, "-q|3", "from 0 to 2", NULL },
		{ FOR_PUB, "-q|-1", "from 0 to 2", NULL },
		{ FOR_SUB, "-C|0", "from 1", NULL },
		{ FOR_SUB, "-W|0", "from 1", NULL },
		/* times */
		{ FOR_PUB, "--repeat-delay|1.5", NULL, "delay=1.5" },
		{ FOR_PUB, "--repeat-delay|500ms", NULL, "delay=0.5" },
		{ FOR_PUB, "--rotate-every|5m", NULL, "" },
		{ FOR_PUB, "--rotate-every|1", NULL, "rotate=1" },
		{ FOR_PUB, "--rotate-every|0.9", "from 1", NULL },
		{ FOR_PUB, "--repeat-delay|nan", "a number of seconds", NULL },
		{ FOR_PUB, "--repeat-delay|inf", "a number of seconds", NULL },
		{ FOR_PUB, "--repeat-delay|0x10", "a number of seconds", NULL },
		{ FOR_PUB, "--repeat-delay|-1", "a number of seconds", NULL },
		{ FOR_PUB, "--repeat-delay|1y", "a number of seconds", NULL },
		/* choices */
		{ FOR_PUB, "-V|mqttv5", NULL, "" },
		{ FOR_PUB, "-V|311", NULL, "v=4" },
		{ FOR_PUB, "-V|mqttv31", NULL, "v=3" },
		{ FOR_PUB, "-V|3.2", "one of 5|311|31", NULL },
		{ FOR_PUB, "-V|", "one of", NULL },
		{ FOR_PUB, "--algorithm|a256gcm", NULL, "" },
		{ FOR_PUB, "--algorithm|A1", "one of A128GCM", NULL },
		/* lists with commas */
		{ FOR_PUB, "--to|a,b|--to|c", NULL, "to=a to=b to=c" },
		{ FOR_PUB, "--to|a,", "a name or several", NULL },
		{ FOR_PUB, "--columns|x,y", NULL, "column=x column=y" },
		/* one kind of message */
		{ FOR_PUB, "-m|x", NULL, "mode=1 m=x" },
		{ FOR_PUB, "-m|", NULL, "mode=1 m=" },
		{ FOR_PUB, "-n", NULL, "mode=4" },
		{ FOR_PUB, "-m|x|-n", "only one of", NULL },
		{ FOR_PUB, "-l|-s", "only one of", NULL },
		/* properties: three words, or four */
		{ FOR_PUB, "-D|publish|content-type|a/b", NULL, "publish=content-type value=a/b" },
		{ FOR_PUB, "-D|PUBLISH|user-property|k|v|-r", NULL, "r=1 publish=user-property value=k pair=v" },
		{ FOR_PUB, "-D|publish|user-property|k", "four words", NULL },
		{ FOR_PUB, "-D|publish|content-type", "needs COMMAND NAME VALUE", NULL },
		{ FOR_PUB, "-D|publish|nonsense|1", "no property of this name", NULL },
		{ FOR_PUB, "-D|connect|content-type|x", "does not go with this packet", NULL },
		{ FOR_PUB, "-D|subscribe|user-property|k|v", "not a packet that is sent", NULL },
		{ FOR_SUB, "-D|subscribe|user-property|k|v", NULL, "subscribe=user-property value=k pair=v" },
		{ FOR_PUB, "-D|publish|payload-format-indicator|2", "takes 0 or 1", NULL },
		{ FOR_PUB, "-D|publish|topic-alias|65536", "whole number", NULL },
		{ FOR_PUB, "-D|publish|content-type|\xff", "UTF-8", NULL },
		{ FOR_PUB, "-D|publish|correlation-data|\xff", NULL, "publish=correlation-data value=\xff" },
	};
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++)
		check_row(&rows[i], i + 1, false);
}

static void settings_fit_together(void **state)
{
	static const struct row rows[] = {
		{ FOR_PUB, "--plain|-t|a|-m|x", NULL, "t=a mode=1 m=x plain=1" },
		{ FOR_PUB, "--plain|-m|x", "no topic", NULL },
		{ FOR_PUB, "--plain|-t|a", "no message", NULL },
		{ FOR_PUB, "--plain|--to|b|-t|a|-m|x", "contradicts", NULL },
		{ FOR_PUB, "--to|b c|-t|a|-m|x", "a member's name", NULL },
		{ FOR_PUB, "--plain|-t|a/+|-m|x", "not a topic", NULL },
		{ FOR_PUB, "--plain|-t||-m|x", "not a topic", NULL },
		{ FOR_SUB, "-v", "no topic", NULL },
		{ FOR_SUB, "-t|a/#/b", "not a topic filter", NULL },
		{ FOR_SUB, "-t|#|-T|a+", "not a topic filter", NULL },
		{ FOR_SUB, "-t|a|-R|--retained-only", "let nothing through", NULL },
		{ FOR_SUB, "-t|a|-i|x|-I|y", "cannot be used together", NULL },
		{ FOR_SUB, "-t|a|-c", "needs a client id", NULL },
		{ FOR_SUB, "-t|a|-c|-i|x", NULL, "id=x expiry=4.29497e+09 kept=1 t=a" },
		{ FOR_SUB, "-t|a|-c|-i|x|-x|60", NULL, "id=x expiry=60 kept=1 t=a" },
		{ FOR_SUB, "-t|a|-x|-1", "never expires needs a client id", NULL },
		{ FOR_SUB, "-t|a|-x|4294967296", "-x", NULL },
		{ FOR_SUB, "-t|a|-x|1s", "-x", NULL },
		{ FOR_SUB, "-t|a|-V|311|-P|p", "needs a user name", NULL },
		{ FOR_SUB, "-t|a|-V|311|-D|connect|user-property|k|v", "needs MQTT 5", NULL },
		{ FOR_SUB, "-t|a|--cert|c", "--cert and --key", NULL },
		{ FOR_SUB, "-t|a|--cert|c|--key|k", "whom to trust", NULL },
		{ FOR_SUB, "-t|a|--psk|00", "--psk-identity", NULL },
		{ FOR_SUB, "-t|a|--insecure", "without TLS", NULL },
		{ FOR_SUB, "-t|a|--will-payload|x", "needs --will-topic", NULL },
		{ FOR_SUB, "-t|a|--will-topic|w/#", "--will-topic", NULL },
		{ FOR_PUB, "--plain|-t|a|-l|--repeat|2", "--repeat goes with", NULL },
		{ FOR_PUB, "--plain|-t|a|-m|x|--rate|2", "go with --source", NULL },
		{ FOR_PUB, "--plain|-t|a|--source|fridge|--rate|2|--interval|1", "give one", NULL },
		{ FOR_PUB, "--plain|-t|a|--source|fridge|--sample|1.5", "--sample", NULL },
		{ FOR_PUB, "--plain|-t|a|-m|x|--outbox|f", "add -q 1", NULL },
		/* URLs */
		{ FOR_SUB, "-L|mqtt://h/t", NULL, "host=h t=t" },
		{ FOR_SUB, "-L|mqtt://u:p@h:1/a/b|-t|c", NULL, "host=h port=1 user=u pw=p t=c t=a/b" },
		{ FOR_SUB, "-L|mqtt://u@h/t", NULL, "host=h user=u t=t" },
		{ FOR_SUB, "-L|mqtt://u:a@b@h/t", NULL, "host=h user=u pw=a@b t=t" },
		{ FOR_SUB, "-L|mqtts://h/t", NULL, "host=h t=t oscerts=1" },
		{ FOR_SUB, "-L|mqtt://[::1]:18/t", NULL, "host=::1 port=18 t=t" },
		{ FOR_SUB, "-L|mqtt://[::1/t", "does not end with ']'", NULL },
		{ FOR_SUB, "-L|mqtt://[::1]x/t", "does not end with ']'", NULL },
		{ FOR_SUB, "-L|http://h/t", "begins with mqtt", NULL },
		{ FOR_SUB, "-L|mqtt://h", "no topic", NULL },
		{ FOR_SUB, "-L|mqtt:///t", "no host", NULL },
		{ FOR_SUB, "-L|mqtt://h:/t", "the port", NULL },
		{ FOR_SUB, "-L|mqtt://h:65536/t", "the port", NULL },
		{ FOR_SUB, "-L|mqtt://h:1x/t", "the port", NULL },
	};
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++)
		check_row(&rows[i], i + 1, true);
}

/* ---- files ---- */

static char dir[] = "/tmp/smq-options-XXXXXX";
static char file[80], other[80];

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static const char *read_with_file(const char *text, const char *args, bool default_file)
{
	static struct settings s;
	char room[512], whole[600], *argv[ARGS_MAX] = { NULL };
	const char *why = NULL;
	settings_done(&s);
	settings_init(&s);
	put(file, text);
	if (default_file)
		snprintf(whole, sizeof whole, "%s", args);
	else
		snprintf(whole, sizeof whole, "%s|-o|%s", args, file);
	int argc = split(whole, room, sizeof room, argv);
	bool ok = (!default_file || options_from_default_file(FOR_PUB, &s, &why)) &&
		  options_from_args(FOR_PUB, argc, argv, &s, &why);
	static char result[4200];
	snprintf(result, sizeof result, "%s", ok ? show(&s) : why);
	return result;
}

static void files_hold_an_option_a_line(void **state)
{
	(void)state;
	assert_string_equal(read_with_file("# no option\n\n-p 18\n--host=h\n  \n-m two  words \r\n", "-r", false),
			    "host=h port=18 mode=1 m=two  words r=1");
	assert_string_equal(
	    read_with_file("-D publish user-property k the rest\n-D publish content-type a b\n", "-r", false),
	    "r=1 publish=user-property value=k pair=the rest publish=content-type value=a b");
	assert_non_null(strstr(read_with_file("-p 18\n--nonsense\n", "-r", false), ":2: unknown option '--nonsense'"));
	assert_non_null(strstr(read_with_file("-p\n", "-r", false), ":1: -p (--port) needs a value"));
}

static void the_command_line_wins(void **state)
{
	(void)state;
	/* wherever -o stands */
	assert_string_equal(read_with_file("-p 18\n-m file\n--to a,b\n-t x\n", "-p|19|-m|args|--to|c|-t|y", false),
			    "port=19 t=x t=y mode=1 m=args to=c");
	assert_string_equal(read_with_file("-p 18\n-m file\n", "-n", true), "port=18 mode=4");
}

static void files_end_somewhere(void **state)
{
	char text[128];
	(void)state;
	snprintf(text, sizeof text, "-o %s\n", file);
	assert_non_null(strstr(read_with_file(text, "-r", false), "files deep"));
	unlink(other);
	snprintf(text, sizeof text, "-o %s\n", other);
	assert_non_null(strstr(read_with_file(text, "-r", false), "No such file"));
	unlink(file);
	struct settings s;
	const char *why = NULL;
	settings_init(&s);
	assert_true(options_from_default_file(FOR_PUB, &s, &why)); /* none there is fine */
	settings_done(&s);
}

static void secrets_leave_the_arguments(void **state)
{
	char room[64], *argv[ARGS_MAX] = { NULL };
	struct settings s;
	const char *why = NULL;
	(void)state;
	settings_init(&s);
	int argc = split("-P|hidden|-pw", room, sizeof room, argv);
	assert_true(options_from_args(FOR_PUB, argc - 1, argv, &s, &why));
	assert_string_equal(s.password, "hidden");
	assert_string_equal(argv[2], "");
	settings_done(&s);
}

/* ---- the table ---- */

static void the_table_is_sound(void **state)
{
	(void)state;
	for (size_t i = 0; i < option_row_count; i++) {
		const struct option_row *a = &option_rows[i];
		bool flag = a->type == OPTION_FLAG || a->type == OPTION_MODE;
		assert_true(flag == (a->value == NULL));
		assert_true(strlen(a->help) > 5 && a->help[strlen(a->help) - 1] != '.');
		for (size_t j = i + 1; j < option_row_count; j++) {
			const struct option_row *b = &option_rows[j];
			if (a->users & b->users) {
				assert_string_not_equal(a->name, b->name);
				assert_true(!a->letter || a->letter != b->letter);
			}
		}
	}
}

/* The letters that the packaged clients take, all of them ours too. */
static void every_letter_of_mosquitto_is_there(void **state)
{
	static const char pub[] = "AcDdfhiIkLlmMnopPqrsStuVx", sub[] = "AcCdDEFhiIkLMNopPqRStTuUvVWx";
	(void)state;
	for (const char *at = pub; *at; at++)
		assert_non_null(option_by_letter(FOR_PUB, *at));
	for (const char *at = sub; *at; at++)
		assert_non_null(option_by_letter(FOR_SUB, *at));
}

static void distances(void **state)
{
	static const struct {
		const char *a, *b;
		size_t distance;
	} rows[] = { { "", "", 0 },       { "a", "", 1 },        { "pub", "pub", 0 },       { "pbu", "pub", 1 },
		     { "sub", "pub", 1 }, { "hlep", "help", 1 }, { "kitten", "sitting", 3 } };
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		assert_int_equal(word_distance(rows[i].a, rows[i].b), rows[i].distance);
		assert_int_equal(word_distance(rows[i].b, rows[i].a), rows[i].distance);
	}
}

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(dir) || setenv("XDG_CONFIG_HOME", dir, 1))
		return -1;
	snprintf(file, sizeof file, "%s/sealmq_pub", dir);
	snprintf(other, sizeof other, "%s/none", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(file);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_read),
		cmocka_unit_test(settings_fit_together),
		cmocka_unit_test(files_hold_an_option_a_line),
		cmocka_unit_test(the_command_line_wins),
		cmocka_unit_test(files_end_somewhere),
		cmocka_unit_test(secrets_leave_the_arguments),
		cmocka_unit_test(the_table_is_sound),
		cmocka_unit_test(every_letter_of_mosquitto_is_there),
		cmocka_unit_test(distances),
	};
	return cmocka_run_group_tests_name("options", tests, setup, teardown);
}
