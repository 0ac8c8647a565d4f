/* sealmq.yaml, environment and command line (FORMATS.md 4). */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sealmq/config.h>

#include "base/table.h"

static char dir[] = "/tmp/smq-config-XXXXXX";
static char file[64], other[64];

static void put(const char *path, const char *text, mode_t mode)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static smq_config *fresh(void)
{
	smq_config *c;
	assert_int_equal(smq_config_new(&c, NULL), SMQ_OK);
	return c;
}

/* The key as a line of YAML in its sections. */
static void as_yaml(const struct smq_config_key *key, const char *value, char *ret_text, size_t room)
{
	size_t n = 0;
	int level = 0;
	const char *part = key->name;
	bool list = key->type >= SMQ_CONFIG_TEXTS;
	for (const char *dot; (dot = strchr(part, '.')); part = dot + 1)
		n += (size_t)snprintf(ret_text + n, room - n, "%*s%.*s:\n", 2 * level++, "", (int)(dot - part), part);
	n += (size_t)snprintf(ret_text + n, room - n, "%*s%s: %s", 2 * level, "", part, list ? "[" : "\"");
	for (const char *p = value; *p;) {
		size_t len = list ? strcspn(p, ",") : strlen(p);
		n += (size_t)snprintf(ret_text + n, room - n, list ? "%s\"%.*s\"" : "%s%.*s", p == value ? "" : ", ",
				      (int)len, p);
		p += len;
		p += strspn(p, ", ");
	}
	(void)snprintf(ret_text + n, room - n, "%s\n", list ? "]" : "\"");
}

/* Lesson of a predecessor: keys that were read and ignored. */
static void every_key_in_a_file_changes_the_settings(void **state)
{
	const struct smq_config_key *key;
	(void)state;
	for (size_t i = 0; (key = smq_config_key(i)); i++) {
		char text[512], shown[256], before[256];
		const char *why = "", *from;
		smq_config *c = fresh();
		struct smq_settings defaults = *smq_config_settings(c);
		smq_config_text(c, key, before, sizeof(before));
		as_yaml(key, key->example, text, sizeof(text));
		put(file, text, 0600);
		if (smq_config_read_file(c, file, &why) != SMQ_OK)
			fail_msg("%s: %s", key->name, why);
		if (memcmp(smq_config_settings(c), &defaults, sizeof(defaults)) == 0)
			fail_msg("%s changes nothing", key->name);
		smq_config_text(c, key, shown, sizeof(shown));
		assert_string_not_equal(shown, before);
		assert_int_equal(smq_config_origin(c, key, &from), SMQ_ORIGIN_FILE);
		assert_non_null(strstr(from, file));
		smq_config_free(c);
	}
	assert_true(strcmp(smq_config_key(0)->name, "realm") == 0);
}

static void set(smq_config *c, const char *key, const char *value)
{
	const char *why = "";
	if (smq_config_set(c, key, value, SMQ_ORIGIN_COMMAND_LINE, "--test", &why) != SMQ_OK)
		fail_msg("%s", why);
}

/* What must be there for the key to be allowed. */
static void set_companions(smq_config *c, const char *name)
{
	if (strcmp(name, "broker.tls.cert_file") == 0)
		set(c, "broker.tls.key_file", "k");
	if (strcmp(name, "broker.tls.key_file") == 0)
		set(c, "broker.tls.cert_file", "c");
	if (strncmp(name, "broker.tls.psk", 14) == 0) {
		set(c, "broker.tls.psk_file", other);
		set(c, "broker.tls.psk_identity", "x");
	} else if (strncmp(name, "broker.tls.", 11) == 0 && strcmp(name, "broker.tls.os_certs") != 0) {
		set(c, "broker.tls.ca_dir", "d");
	}
	if (strcmp(name, "proof.checkpoint_messages") == 0)
		set(c, "proof.sign", "checkpoint");
	if (strncmp(name, "will.", 5) == 0)
		set(c, "will.topic", "w");
	if (strncmp(name, "broker.password", 15) == 0)
		set(c, "broker.username", "u");
	if (strcmp(name, "broker.clean_start") == 0)
		set(c, "broker.client_id", "i");
}

static void every_key_reaches_who_takes_it(void **state)
{
	const struct smq_config_key *key;
	unsigned client = 0, source = 0;
	(void)state;
	put(other, "the password\n", 0600);
	put(file, "another secret\n", 0600);
	for (size_t i = 0; (key = smq_config_key(i)); i++) {
		struct smq_client_options before, after;
		struct smq_source_options s_before, s_after;
		const char *why = "";
		smq_config *c = fresh();
		bool password = strcmp(key->name, "broker.password_file") == 0;
		set_companions(c, key->name);
		/* cert and key file need each other, so both are there before as well, with another value */
		if (strncmp(key->name, "broker.tls.cert", 15) == 0 || strcmp(key->name, "broker.tls.key_file") == 0)
			set(c, key->name, "x");
		if (smq_config_client_options(c, &before, &why) != SMQ_OK)
			fail_msg("%s: %s", key->name, why);
		before.peers = NULL;
		before.suites = NULL;
		smq_config_source_options(c, &s_before);
		bool psk = strcmp(key->name, "broker.tls.psk_file") == 0; /* it is there before, too */
		set(c, key->name, password ? other : psk ? file : key->example);
		if (smq_config_client_options(c, &after, &why) != SMQ_OK)
			fail_msg("%s: %s", key->name, why);
		after.peers = NULL;
		after.suites = NULL;
		smq_config_source_options(c, &s_after);
		bool client_changed = memcmp(&before, &after, sizeof(before)) != 0;
		bool source_changed = memcmp(&s_before, &s_after, sizeof(s_before)) != 0;
		if (client_changed != (key->use == SMQ_USE_CLIENT) || source_changed != (key->use == SMQ_USE_SOURCE))
			fail_msg("%s: client %d, source %d", key->name, client_changed, source_changed);
		client += client_changed;
		source += source_changed;
		smq_config_free(c);
	}
	assert_true(client > 30 && source == 9);
}

static void options_hold_the_values(void **state)
{
	struct smq_client_options o;
	const char *why = "";
	smq_config *c = fresh();
	(void)state;
	put(other, "p w\r\nmore\n", 0600);
	set(c, "broker.host", "h");
	set(c, "broker.port", "8883");
	set(c, "broker.protocol", "MQTTV311");
	set(c, "broker.keepalive", "5500ms");
	set(c, "broker.username", "u");
	set(c, "broker.password_file", other);
	set(c, "broker.tls.psk_file", other);
	set(c, "broker.tls.psk_identity", "me");
	set(c, "proof.sign", "checkpoint");
	set(c, "proof.checkpoint_messages", "64");
	set(c, "keyserver.name", "keys");
	set(c, "keyserver.lease", "1h");
	set(c, "peers.to", "desk, archive");
	set(c, "peers.from", "a,b");
	set(c, "keyex.suites", "6, 2");
	set(c, "keyex.rotate_every", "1s");
	set(c, "accept_algorithms", "a256gcm,chacha20-poly1305");
	if (smq_config_client_options(c, &o, &why) != SMQ_OK)
		fail_msg("%s", why);
	assert_string_equal(o.host, "h");
	assert_int_equal(o.port, 8883);
	assert_int_equal(o.protocol, 4);
	assert_int_equal(o.keepalive_s, 6);
	assert_string_equal(o.password, "p w");
	assert_string_equal(o.tls.psk, "p w");
	assert_string_equal(o.tls.psk_identity, "me");
	assert_int_equal(o.sign, SMQ_SIGN_CHECKPOINT);
	assert_int_equal(o.checkpoint_messages, 64);
	assert_string_equal(o.keyserver, "keys");
	assert_int_equal(o.group_lease_ms, 3600000);
	assert_int_equal(o.peer_count, 4);
	assert_string_equal(o.peers[0], "desk");
	assert_string_equal(o.peers[1], "archive");
	assert_string_equal(o.peers[3], "b");
	assert_int_equal(o.suite_count, 2);
	assert_int_equal(o.suites[0], 6);
	assert_int_equal(o.rotate_every_ms, 1000);
	assert_string_equal(o.accept_algorithms, "A256GCM,ChaCha20-Poly1305");
	assert_int_equal(chmod(other, 0640), 0);
	assert_int_equal(smq_config_client_options(c, &o, &why), SMQ_ERR_UNSAFE_FILE);
	assert_non_null(strstr(why, "chmod 600"));
	smq_config_free(c);
}

static void defaults_are_those_of_the_header(void **state)
{
	struct smq_client_options o;
	smq_config *c = fresh();
	(void)state;
	assert_int_equal(smq_config_client_options(c, &o, NULL), SMQ_OK);
	assert_string_equal(o.host, "localhost");
	assert_int_equal(o.port, 0);
	assert_int_equal(o.protocol, 5);
	assert_int_equal(o.keepalive_s, 60);
	assert_true(o.clean_start);
	assert_int_equal(o.inflight_max, 20);
	assert_int_equal(o.backoff_min_ms, 250);
	assert_int_equal(o.backoff_max_ms, 30000);
	assert_int_equal(o.connect_timeout_ms, 10000);
	assert_int_equal(o.rotate_every_ms, 300000);
	assert_int_equal(o.rotate_messages, 1 << 24);
	assert_int_equal(o.grace_ms, 10000);
	assert_int_equal(o.queue_max, 10000);
	assert_string_equal(o.algorithm, "A128GCM");
	assert_null(o.suites);
	smq_config_free(c);
}

static const struct {
	const char *text, *where, *part;
} bad[] = {
	/* 0 */ { "broker:\n  prot: 1\n", ":2:3: key 'broker.prot'", "unknown key; did you mean 'broker.port'?" },
	/* 1 */ { "port: 1\n", ":1:1: key 'port'", "did you mean 'broker.port'?" },
	/* 2 */ { "broker:\n  zzzzzz: 1\n", ":2:3: ", "known here: host, port, protocol" },
	/* 3 */ { "zzzzzz: 1\n", ":1:1: ", "known here: realm, broker, topics" },
	/* 4 */ { "broker:\n  port: 1\n  port: 2\n", ":3:3: key 'broker.port'", "given twice, first on line 2" },
	/* 5 */ { "qos: 1\nbroker: {}\nqos: 1\n", ":3:1: ", "given twice" },
	/* 6 */ { "broker:\n  port: 0\n", ":2:9: key 'broker.port'", "'0' is not a whole number from 1 to 65535" },
	/* 7 */ { "broker:\n  port: 65536\n", ":2:9: ", "from 1 to 65535" },
	/* 8 */ { "broker:\n  port: 1e3\n", ":2:9: ", "from 1 to 65535" },
	/* 9 */ { "broker:\n  port:\n", ":2:8: ", "has no value" },
	/* 10 */ { "broker:\n  port: [1]\n", ":2:9: ", "takes a single value" },
	/* 11 */ { "broker: 5\n", ":1:9: key 'broker'", "is a section" },
	/* 12 */ { "qos: 3\n", ":1:6: ", "from 0 to 2" },
	/* 13 */ { "keyex:\n  rotate_every: 300\n", ":2:17: ", "give a number and a unit" },
	/* 14 */ { "keyex:\n  rotate_every: 999ms\n", ":2:17: ", "it may be from 1s to 7d" },
	/* 15 */ { "keyex:\n  rotate_every: 1.0005s\n", ":2:17: ", "duration" },
	/* 16 */ { "keyex:\n  method: 1\n", ":2:11: ", "one of: 0, 3" },
	/* 17 */ { "keyex:\n  suites: [2, 9]\n", ":2:11: ", "'9' is not one of: 0, 1, 2" },
	/* 18 */ { "algorithm: AES\n", ":1:12: ", "one of: A128GCM, A256GCM, ChaCha20-Poly1305" },
	/* 19 */ { "stamp: maybe\n", ":1:8: ", "true or false" },
	/* 20 */ { "peers:\n  to: a b\n", ":2:7: ", "not a name" },
	/* 21 */ { "topics:\n  publish: a/+\n", ":2:12: ", "no '+' and no '#'" },
	/* 22 */ { "topics:\n  subscribe: [a, b/#/c]\n", ":2:14: ", "'b/#/c' is not a topic filter" },
	/* 23 */ { "source:\n  spec: fridges\n", ":2:9: ", "there are csv:FILE, fridge, vitals, energy" },
	/* 24 */ { "source:\n  sample: 1.5\n", ":2:11: ", "above 0 and up to 1" },
	/* 25 */ { "source:\n  rate: nan\n", ":2:9: ", "a number" },
	/* 26 */ { "broker:\n  host: \"a\\e[2Jb\"\n", ":2:9: ", "control character" },
	/* 27 */ { "broker:\n  password: [x]\n", ":2:13: ", "takes a single value" },
	/* 28 */ { "broker:\n  tls:\n    ca_fil: x\n", ":3:5: ", "did you mean 'broker.tls.ca_file'?" },
	/* 29 */ { "broker.port: 5\n", ":1:1: ", "not a plain word" },
	/* 30 */ { "count: -1\n", ":1:8: ", "whole number from 0 up" },
	/* 31 */ { "count: 99999999999999999999\n", ":1:8: ", "whole number from 0 up" },
};

static void mistakes_are_told_with_their_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(bad); i++) {
		const char *why = "";
		smq_config *c = fresh();
		put(file, bad[i].text, 0600);
		assert_int_equal(smq_config_read_file(c, file, &why), SMQ_ERR_CONFIG);
		size_t n = strlen(file);
		if (strncmp(why, file, n) != 0 || strncmp(why + n, bad[i].where, strlen(bad[i].where)) != 0 ||
		    !strstr(why, bad[i].part))
			fail_msg("row %zu: %s", i, why);
		smq_config_free(c);
	}
}

static const struct {
	const char *keys[3], *values[3], *part;
} misfits[] = {
	/* 0 */ { { "broker.tls.cert_file" }, { "c" }, "give broker.tls.key_file too" },
	/* 1 */ { { "broker.tls.key_file" }, { "k" }, "give broker.tls.cert_file too" },
	/* 2 */ { { "broker.tls.cert_file", "broker.tls.key_file" }, { "c", "k" }, "needs TLS" },
	/* 3 */ { { "broker.password", "broker.password_file" }, { "p", "f" }, "keep one" },
	/* 4 */ { { "broker.password" }, { "p" }, "give broker.username too" },
	/* 5 */ { { "broker.backoff_min" }, { "1m" }, "longer than broker.backoff_max" },
	/* 6 */ { { "broker.clean_start" }, { "false" }, "give broker.client_id too" },
	/* 7 */ { { "source.interval", "source.rate" }, { "1s", "5" }, "keep one" },
	/* 8 */ { { "peers.any", "peers.from" }, { "true", "a" }, "keep one" },
	/* 9 */ { { "keyex.topic" }, { "a/{from}" }, "braces" },
	/* 10 */ { { "keyex.topic" }, { "a/{to}/{to}" }, "braces" },
};

static void values_that_do_not_fit_together_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(misfits); i++) {
		const char *why = "";
		smq_config *c = fresh();
		assert_int_equal(smq_config_check(c, &why), SMQ_OK);
		for (size_t k = 0; k < 3 && misfits[i].keys[k]; k++)
			set(c, misfits[i].keys[k], misfits[i].values[k]);
		assert_int_equal(smq_config_check(c, &why), SMQ_ERR_CONFIG);
		if (!strstr(why, misfits[i].part) || !strstr(why, "--test: key '"))
			fail_msg("row %zu: %s", i, why);
		smq_config_free(c);
	}
}

static void the_stronger_origin_wins_in_any_order(void **state)
{
	static char environment_port[] = "SEALMQ_PORT=2000";
	static char *environment[] = { environment_port, NULL };
	(void)state;
	put(file, "broker: {port: 1000}\n", 0644);
	for (int order = 0; order < 4; order++) {
		const char *from;
		smq_config *c = fresh();
		const struct smq_config_key *key = smq_config_key_find("broker.port");
		if (order == 1 || order == 3)
			set(c, key->name, "3000");
		assert_int_equal(smq_config_read_environment(c, environment, NULL), SMQ_OK);
		assert_int_equal(smq_config_read_file(c, file, NULL), SMQ_OK);
		if (order == 2)
			set(c, key->name, "3000");
		assert_int_equal(smq_config_settings(c)->broker.port, order == 0 ? 2000 : 3000);
		assert_int_equal(smq_config_origin(c, key, &from),
				 order == 0 ? SMQ_ORIGIN_ENVIRONMENT : SMQ_ORIGIN_COMMAND_LINE);
		assert_string_equal(from, order == 0 ? "SEALMQ_PORT" : "--test");
		smq_config_free(c);
	}
}

static void every_variable_is_read(void **state)
{
	const struct smq_config_key *key;
	(void)state;
	for (size_t i = 0; (key = smq_config_key(i)); i++) {
		char text[300];
		char *environment[] = { text, NULL };
		const char *from;
		smq_config *c = fresh();
		if (key->env) {
			(void)snprintf(text, sizeof(text), "%s=%s", key->env, key->example);
			assert_int_equal(smq_config_read_environment(c, environment, NULL), SMQ_OK);
			assert_int_equal(smq_config_origin(c, key, &from), SMQ_ORIGIN_ENVIRONMENT);
			(void)snprintf(text, sizeof(text), "%s=", key->env); /* empty: as if it were not there */
			smq_config_free(c);
			c = fresh();
			assert_int_equal(smq_config_read_environment(c, environment, NULL), SMQ_OK);
			assert_int_equal(smq_config_origin(c, key, &from), SMQ_ORIGIN_DEFAULT);
		}
		smq_config_free(c);
	}
}

static void a_bad_variable_is_named(void **state)
{
	char text[] = "SEALMQ_PORT=99999\x1b";
	char *environment[] = { text, NULL };
	const char *why = "";
	smq_config *c = fresh();
	(void)state;
	assert_int_equal(smq_config_read_environment(c, environment, &why), SMQ_ERR_CONFIG);
	assert_string_equal(why, "SEALMQ_PORT: key 'broker.port': '99999\\x1b' is not a whole number from 1 to 65535");
	assert_int_equal(smq_config_set(c, "broker.prt", "1", SMQ_ORIGIN_COMMAND_LINE, "--set", &why), SMQ_ERR_CONFIG);
	assert_string_equal(why, "there is no key 'broker.prt'; did you mean 'broker.port'?");
	smq_config_free(c);
}

static void secrets_are_masked_and_guarded(void **state)
{
	const struct smq_config_key *key;
	(void)state;
	for (size_t i = 0; (key = smq_config_key(i)); i++) {
		char text[512];
		uint8_t json[512];
		size_t len;
		const char *why = "";
		smq_config *c = fresh();
		if (key->secret) {
			struct smq_json j = smq_json_on(smq_mspan_of(json, sizeof(json)));
			as_yaml(key, "hush:hush", text, sizeof(text));
			put(file, text, 0640);
			assert_int_equal(smq_config_read_file(c, file, &why), SMQ_ERR_UNSAFE_FILE);
			assert_null(strstr(why, "hush"));
			assert_int_equal(chmod(file, 0600), 0);
			assert_int_equal(smq_config_read_file(c, file, &why), SMQ_OK);
			smq_config_text(c, key, text, sizeof(text));
			assert_string_equal(text, "********");
			smq_config_json(c, key, &j);
			assert_int_equal(smq_json_finish(&j, &len), SMQ_OK);
			assert_string_equal((char *)json, "\"********\"");
			assert_int_equal(smq_config_set(c, key->name, "hush\n", SMQ_ORIGIN_COMMAND_LINE, "", &why),
					 SMQ_ERR_CONFIG);
			assert_null(strstr(why, "hush"));
		}
		smq_config_free(c);
	}
}

static void paths_are_meant_from_the_file(void **state)
{
	char want[128];
	smq_config *c = fresh();
	(void)state;
	put(file, "realm: r\nbroker: {tls: {ca_file: /abs}}\nsource: {spec: 'csv:d/x.csv'}\n", 0644);
	assert_int_equal(smq_config_read_file(c, file, NULL), SMQ_OK);
	(void)snprintf(want, sizeof(want), "%s/r", dir);
	assert_string_equal(smq_config_settings(c)->realm, want);
	assert_string_equal(smq_config_settings(c)->broker.tls.ca_file, "/abs");
	(void)snprintf(want, sizeof(want), "csv:%s/d/x.csv", dir);
	assert_string_equal(smq_config_settings(c)->source.spec, want);
	smq_config_free(c);
}

/* The example with every comment taken from its keys: the same keys, now all set. */
static void uncomment(char *text)
{
	char *out = text;
	for (char *p = text; *p; p++) {
		bool key = *p == '#' && p[1] != ' ';
		if (!key)
			*out++ = *p;
	}
	*out = 0;
}

static void the_example_passes_its_own_check(void **state)
{
	static char text[32768];
	const char *why = "";
	const struct smq_config_key *key;
	smq_config *c = fresh();
	(void)state;
	size_t len = smq_config_example(text, sizeof(text));
	assert_int_equal(len, strlen(text));
	assert_true(len < sizeof(text));
	put(file, text, 0600);
	if (smq_config_read_file(c, file, &why) != SMQ_OK || smq_config_check(c, &why) != SMQ_OK)
		fail_msg("%s", why);
	for (size_t i = 0; (key = smq_config_key(i)); i++)
		assert_int_equal(smq_config_origin(c, key, NULL), key->preset ? SMQ_ORIGIN_FILE : SMQ_ORIGIN_DEFAULT);
	smq_config_free(c);
	c = fresh();
	uncomment(text);
	put(file, text, 0600);
	if (smq_config_read_file(c, file, &why) != SMQ_OK)
		fail_msg("%s", why);
	for (size_t i = 0; (key = smq_config_key(i)); i++)
		assert_int_equal(smq_config_origin(c, key, NULL), SMQ_ORIGIN_FILE);
	smq_config_free(c);
	char small[10] = "123456789";
	assert_int_equal(smq_config_example(small, 5), len);
	assert_string_equal(small, "# se");
	assert_int_equal(small[5], '6');
	assert_int_equal(smq_config_example(NULL, 0), len);
	assert_true(smq_config_reference(NULL, 0) > 1000);
}

/* Any damage at all: taken, or refused with one printable line. */
static void survives_damaged_files(void **state)
{
	static char good[32768], text[32768];
	static const char letters[] = ":#[]{}&*!|>'\"%@`-?,~\n\t \0\xff\xc3"
				      "az09.";
	size_t len = smq_config_example(good, sizeof(good));
	uint64_t x = 3;
	unsigned refused = 0;
	(void)state;
	for (int round = 0; round < 400; round++) {
		const char *why = "";
		smq_config *c = fresh();
		size_t cut_at = round % 4 == 0 ? 1 + (size_t)round * 19 % len : len;
		memcpy(text, good, len);
		for (int i = 0; i < 1 + round % 5; i++) {
			x = x * 6364136223846793005u + 1442695040888963407u;
			text[(x >> 40) % cut_at] = letters[(x >> 20) % (sizeof(letters) - 1)];
		}
		FILE *f = fopen(file, "w");
		assert_non_null(f);
		assert_int_equal(fwrite(text, 1, cut_at, f), cut_at);
		assert_int_equal(fclose(f), 0);
		smq_err err = smq_config_read_file(c, file, &why);
		assert_true(err == SMQ_OK || (err == SMQ_ERR_CONFIG && strncmp(why, file, strlen(file)) == 0));
		refused += err != SMQ_OK;
		for (const char *p = why; *p; p++)
			assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
		smq_config_free(c);
	}
	assert_in_range(refused, 50, 399);
}

static const struct {
	const char *text;
	smq_err err;
	int64_t ms;
} durations[] = {
	/* 0 */ { "0", SMQ_OK, 0 },
	{ "0s", SMQ_OK, 0 },
	/* 2 */ { "250ms", SMQ_OK, 250 },
	{ "300s", SMQ_OK, 300000 },
	/* 4 */ { "5m", SMQ_OK, 300000 },
	{ "1h", SMQ_OK, 3600000 },
	/* 6 */ { "7d", SMQ_OK, 604800000 },
	{ "1.5s", SMQ_OK, 1500 },
	/* 8 */ { "0.001s", SMQ_OK, 1 },
	{ "0.25m", SMQ_OK, 15000 },
	/* 10 */ { "1.5ms", SMQ_ERR_MALFORMED, 0 },
	{ "", SMQ_ERR_MALFORMED, 0 },
	/* 12 */ { "5", SMQ_ERR_MALFORMED, 0 },
	{ "s", SMQ_ERR_MALFORMED, 0 },
	/* 14 */ { "-5s", SMQ_ERR_MALFORMED, 0 },
	{ "5 s", SMQ_ERR_MALFORMED, 0 },
	/* 16 */ { "5S", SMQ_ERR_MALFORMED, 0 },
	{ "1.s", SMQ_ERR_MALFORMED, 0 },
	/* 18 */ { "99999999999999999999s", SMQ_ERR_MALFORMED, 0 },
	/* 19 */ { "5s ", SMQ_ERR_MALFORMED, 0 },
};

static void durations_have_units(void **state)
{
	(void)state;
	for (size_t i = 0; i < SMQ_COUNT(durations); i++) {
		int64_t ms = 77;
		if (smq_duration_parse(durations[i].text, &ms) != durations[i].err ||
		    ms != (durations[i].err == SMQ_OK ? durations[i].ms : 77))
			fail_msg("row %zu: %s gives %lld", i, durations[i].text, (long long)ms);
	}
}

static void the_usual_file_is_found(void **state)
{
	smq_config *c;
	const char *why = "";
	char path[128];
	(void)state;
	(void)snprintf(path, sizeof(path), "%s/sealmq", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)setenv("XDG_CONFIG_HOME", dir, 1);
	(void)unsetenv("SEALMQ_CONFIG");
	assert_int_equal(smq_config_load(NULL, &c, &why), SMQ_OK);
	assert_null(smq_config_file(c));
	smq_config_free(c);
	(void)snprintf(path, sizeof(path), "%s/sealmq/sealmq.yaml", dir);
	put(path, "qos: 2\n", 0644);
	assert_int_equal(smq_config_load(NULL, &c, &why), SMQ_OK);
	assert_string_equal(smq_config_file(c), path);
	assert_int_equal(smq_config_settings(c)->qos, 2);
	smq_config_free(c);
	(void)setenv("SEALMQ_CONFIG", "/nonexistent.yaml", 1);
	assert_int_equal(smq_config_load(NULL, &c, &why), SMQ_ERR_NOT_FOUND);
	assert_string_equal(why, "/nonexistent.yaml: No such file or directory");
	(void)unsetenv("SEALMQ_CONFIG");
	assert_int_equal(unlink(path), 0);
	(void)snprintf(path, sizeof(path), "%s/sealmq", dir);
	assert_int_equal(rmdir(path), 0);
}

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(file, sizeof(file), "%s/sealmq.yaml", dir);
	(void)snprintf(other, sizeof(other), "%s/other", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	(void)unlink(file);
	(void)unlink(other);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_in_a_file_changes_the_settings),
		cmocka_unit_test(every_key_reaches_who_takes_it),
		cmocka_unit_test(options_hold_the_values),
		cmocka_unit_test(defaults_are_those_of_the_header),
		cmocka_unit_test(mistakes_are_told_with_their_place),
		cmocka_unit_test(values_that_do_not_fit_together_are_refused),
		cmocka_unit_test(the_stronger_origin_wins_in_any_order),
		cmocka_unit_test(every_variable_is_read),
		cmocka_unit_test(a_bad_variable_is_named),
		cmocka_unit_test(secrets_are_masked_and_guarded),
		cmocka_unit_test(paths_are_meant_from_the_file),
		cmocka_unit_test(the_example_passes_its_own_check),
		cmocka_unit_test(survives_damaged_files),
		cmocka_unit_test(durations_have_units),
		cmocka_unit_test(the_usual_file_is_found),
	};
	return cmocka_run_group_tests_name("config", tests, setup, teardown);
}
