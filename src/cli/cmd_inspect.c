/* sealmq inspect: what a sealed payload says, and, with the group's key, what is in it. */
#include "cli/cmd_inspect.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sealmq/inspect.h>
#include <sealmq/text.h>

enum { PAYLOAD_MAX = 268435455 + 1 }; /* what MQTT can carry */

struct request {
	bool hex, json, cose, reveal;
	const char *realm, *topic, *file;
};

static const char usage[] = "usage: sealmq inspect [options] FILE|-\n"
			    "\n"
			    "Prints what the header of a sealed payload says: what the broker can read too.\n"
			    "With --realm and --topic it is opened, if a group of that directory holds the key.\n"
			    "\n"
			    "  --hex                  FILE holds hexadecimal digits, blanks allowed\n"
			    "  --json                 print JSON\n"
			    "  --cose                 JSON with the message as a COSE_Encrypt0 (RFC 9052), in hex\n"
			    "  --realm DIR            open it with the group keys in DIR/groups\n"
			    "  --topic TOPIC          the topic on which it was received\n"
			    "  --insecure-reveal-key  also print the content key and nonces: whoever sees them\n"
			    "                         reads and forges this sender's messages\n"
			    "  --help                 this text\n"
			    "\n"
			    "example: mosquitto_sub -t plant/a -C 1 -N | sealmq inspect -\n";

static int fail(smq_err err, const char *what, const char *why)
{
	char shown[300];
	smq_escape(smq_span_str(what), shown, sizeof shown);
	fprintf(stderr, "sealmq inspect: %s: %s\n", shown, why);
	return smq_err_exit(err);
}

/* ---- reading ---- */

static smq_err read_stream(FILE *in, uint8_t **ret_bytes, size_t *ret_len)
{
	size_t room = 65536, len = 0;
	uint8_t *bytes = malloc(room);
	while (bytes) {
		len += fread(bytes + len, 1, room - len, in);
		if (len < room)
			break;
		uint8_t *more = room <= 2 * (size_t)PAYLOAD_MAX ? realloc(bytes, 2 * room) : NULL;
		if (!more) {
			free(bytes);
			return room > PAYLOAD_MAX ? SMQ_ERR_TOO_LARGE : SMQ_ERR_NO_MEMORY;
		}
		bytes = more;
		room *= 2;
	}
	if (!bytes)
		return SMQ_ERR_NO_MEMORY;
	if (ferror(in)) {
		free(bytes);
		return SMQ_ERR_IO;
	}
	*ret_bytes = bytes;
	*ret_len = len;
	return SMQ_OK;
}

static int digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (uint8_t)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place: digits become bytes, blanks go. */
static smq_err from_hex(uint8_t *bytes, size_t *len)
{
	size_t digits = 0;
	for (size_t i = 0; i < *len; i++) {
		int value = digit(bytes[i]);
		if (value < 0 && isspace(bytes[i]))
			continue;
		if (value < 0)
			return SMQ_ERR_DATA;
		bytes[digits / 2] = (uint8_t)(digits % 2 ? bytes[digits / 2] << 4 | value : value);
		digits++;
	}
	*len = digits / 2;
	return digits % 2 ? SMQ_ERR_DATA : SMQ_OK;
}

static smq_err read_payload(const struct request *r, uint8_t **ret_bytes, size_t *ret_len)
{
	bool is_stdin = strcmp(r->file, "-") == 0;
	FILE *in = is_stdin ? stdin : fopen(r->file, "rb");
	if (!in)
		return errno == ENOENT ? SMQ_ERR_NOT_FOUND : errno == EACCES ? SMQ_ERR_PERMISSION : SMQ_ERR_IO;
	smq_err err = read_stream(in, ret_bytes, ret_len);
	if (!is_stdin)
		fclose(in);
	if (err == SMQ_OK && r->hex && (err = from_hex(*ret_bytes, ret_len)) != SMQ_OK)
		free(*ret_bytes);
	return err;
}

/* ---- printing ---- */

static void put_hex(smq_span bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		printf("%02x", bytes.p[i]);
}

static void put_json_hex(const char *name, smq_span bytes)
{
	printf(",\n  \"%s\": \"", name);
	put_hex(bytes);
	putchar('"');
}

/* Names of members and groups hold no character that JSON must escape. */
static void put_json_text(const char *name, const char *value) { printf(",\n  \"%s\": \"%s\"", name, value); }

static void put_json_number(const char *name, uint64_t value) { printf(",\n  \"%s\": %" PRIu64, name, value); }

static void print_human(const struct smq_inspection *i)
{
	printf("form        %s\nkind        %s\nalgorithm   %s\n", i->form, i->kind, i->algorithm);
	if (i->is_session) {
		fputs("key id      ", stdout);
		put_hex(smq_span_of(i->key_id, sizeof i->key_id));
		putchar('\n');
	} else {
		printf("epoch       %" PRIu64 "\nsender id   %" PRIu64 "\n", i->epoch, i->sender_id);
	}
	if (i->has_slot)
		printf("slot        %" PRIu64 "\n", i->slot);
	if (i->has_boot_id) {
		fputs("boot id     ", stdout);
		put_hex(smq_span_of(i->boot_id, sizeof i->boot_id));
		putchar('\n');
	}
	printf("counter     %" PRIu64 "\n", i->counter);
	if (i->has_stamp)
		printf("stamp       %" PRIu32 " ms (of each %d)\n", i->stamp, 1 << 24);
	printf("signed      %s\nlength      %zu bytes: %zu of plaintext, %zu over it\n", i->is_signed ? "yes" : "no",
	       i->len, i->plain_len, i->overhead);
}

static void print_json(const struct smq_inspection *i)
{
	printf("{\n  \"form\": \"%s\"", i->form);
	put_json_text("kind", i->kind);
	put_json_text("algorithm", i->algorithm);
	if (i->is_session) {
		put_json_hex("key_id", smq_span_of(i->key_id, sizeof i->key_id));
	} else {
		put_json_number("epoch", i->epoch);
		put_json_number("sender_id", i->sender_id);
	}
	if (i->has_slot)
		put_json_number("slot", i->slot);
	if (i->has_boot_id)
		put_json_hex("boot_id", smq_span_of(i->boot_id, sizeof i->boot_id));
	put_json_number("counter", i->counter);
	if (i->has_stamp)
		put_json_number("stamp", i->stamp);
	printf(",\n  \"signed\": %s", i->is_signed ? "true" : "false");
	put_json_number("length", i->len);
	put_json_number("plain_length", i->plain_len);
	put_json_number("overhead", i->overhead);
}

static void print_opened_human(const struct smq_inspect_opened *o)
{
	size_t room = 4 * o->plain.len + 8;
	char *text = malloc(room);
	printf("group       %s\nsender      %s (claimed by a holder of the group's key)\n", o->group, o->sender);
	if (text) {
		smq_escape(o->plain, text, room);
		printf("plaintext   %s\n", text);
	}
	free(text);
}

static void print_opened_json(const struct request *r, const struct smq_inspect_opened *o)
{
	put_json_text("group", o->group);
	put_json_text("sender", o->sender);
	put_json_hex("plaintext_hex", o->plain);
	if (!r->cose)
		return;
	put_json_hex("external_aad", o->external_aad);
	put_json_hex("enc_structure", o->enc_structure);
	put_json_hex("nonce", o->nonce);
	put_json_hex("cose_full_iv", o->cose_full_iv);
}

static void print_key(const struct request *r, const struct smq_inspect_opened *o)
{
	if (r->json) {
		put_json_hex("insecure_key", o->key);
		put_json_hex("insecure_base_iv", o->base_iv);
		return;
	}
	fputs("key         ", stdout);
	put_hex(o->key);
	fputs("\nbase iv     ", stdout);
	put_hex(o->base_iv);
	putchar('\n');
}

static int print_cose(const struct request *r, smq_span payload)
{
	uint8_t *cose;
	size_t len;
	smq_err err = smq_inspect_cose(payload, &cose, &len);
	if (err != SMQ_OK)
		return fail(err, r->file, smq_err_text(err));
	put_json_hex("cose_encrypt0", smq_span_of(cose, len));
	free(cose);
	return 0;
}

static int print_all(const struct request *r, smq_span payload, const struct smq_inspect_opened *opened)
{
	struct smq_inspection i;
	int status = 0;
	smq_err err = smq_inspect(payload, &i);
	if (err != SMQ_OK)
		return fail(err, r->file, smq_err_text(err));
	if (r->json)
		print_json(&i);
	else
		print_human(&i);
	if (r->cose)
		status = print_cose(r, payload);
	if (opened && r->json)
		print_opened_json(r, opened);
	else if (opened)
		print_opened_human(opened);
	if (opened && r->reveal)
		print_key(r, opened);
	if (r->json)
		fputs("\n}\n", stdout);
	return status;
}

static int inspect(const struct request *r, smq_span payload)
{
	struct smq_inspect_opened opened;
	const char *why = "";
	if (!r->realm)
		return print_all(r, payload, NULL);
	smq_err err = smq_inspect_open(payload, r->realm, r->topic, &opened, &why);
	if (err != SMQ_OK) {
		if (smq_err_kind_of(err) == SMQ_KIND_AUTH)
			(void)print_all(r, payload, NULL);
		return fail(err, r->file, why);
	}
	int status = print_all(r, payload, &opened);
	smq_inspect_done(&opened);
	return status;
}

/* ---- options ---- */

static int wrong_use(const char *why)
{
	fprintf(stderr, "sealmq inspect: %s; `sealmq inspect --help` tells more\n", why);
	return smq_err_exit(SMQ_ERR_USAGE);
}

int cmd_inspect(int argc, char **argv)
{
	static const struct option options[] = {
		{ "hex", no_argument, NULL, 'x' },         { "json", no_argument, NULL, 'j' },
		{ "cose", no_argument, NULL, 'c' },        { "realm", required_argument, NULL, 'r' },
		{ "topic", required_argument, NULL, 't' }, { "insecure-reveal-key", no_argument, NULL, 'k' },
		{ "help", no_argument, NULL, 'h' },        { NULL, 0, NULL, 0 },
	};
	struct request r = { 0 };
	uint8_t *bytes = NULL;
	size_t len = 0;
	int c;
	optind = 1;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'x':
			r.hex = true;
			break;
		case 'j':
			r.json = true;
			break;
		case 'c':
			r.cose = r.json = true;
			break;
		case 'r':
			r.realm = optarg;
			break;
		case 't':
			r.topic = optarg;
			break;
		case 'k':
			r.reveal = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			return wrong_use("that option is not one of its own");
		}
	}
	if (optind + 1 != argc)
		return wrong_use("one file is needed, or - for standard input");
	if (r.realm && !r.topic)
		return wrong_use("opening needs --topic: a message belongs to the topic it was sealed for");
	if (r.reveal && !r.realm)
		return wrong_use("--insecure-reveal-key needs --realm and --topic");
	r.file = argv[optind];
	smq_err err = read_payload(&r, &bytes, &len);
	if (err == SMQ_ERR_DATA)
		return fail(err, r.file, "not an even number of hexadecimal digits");
	if (err != SMQ_OK)
		return fail(err, r.file, smq_err_text(err));
	int status = inspect(&r, smq_span_of(bytes, len));
	free(bytes);
	return status;
}
