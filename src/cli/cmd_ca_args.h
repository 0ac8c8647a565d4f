/* The options of `sealmq ca`: one table for all of its commands, and what is made from it: the parser and the help. */
#ifndef SMQ_CLI_CMD_CA_ARGS_H
#define SMQ_CLI_CMD_CA_ARGS_H

#include <stdbool.h>

#include <sealmq/ca.h>

enum { CA_PATH_LEN = 4096, CA_TO_MAX = 64 };

/* Bits: which commands an option is for. */
enum ca_command {
	CA_INIT = 1,
	CA_ISSUE = 2,
	CA_LIST = 4,
	CA_SHOW = 8,
	CA_REVOKE = 16,
	CA_CRL = 32,
	CA_CSR = 64,
	CA_SIGN = 128,
	CA_ACCEPT = 256,
	CA_RENEW = 512,
	CA_ROLLOVER = 1024,
	CA_TOKEN = 2048,
	CA_SERVE = 4096,
	CA_ENROL = 8192,
	CA_RAW = 16384
};

struct ca_args {
	enum ca_command command;
	const char *word; /* the one that is no option */
	const char *ca;   /* the authority's directory; found by ca_find */
	const char *realm, *prefix, *keyex, *passphrase_file, *name, *names, *from, *address, *identity, *server, *root,
	    *token_file, *pkcs11;
	const char *dns[SMQ_CA_HOSTS_MAX], *ip[SMQ_CA_HOSTS_MAX], *to[CA_TO_MAX];
	size_t dns_count, ip_count, to_count;
	unsigned roles;
	enum smq_curve curve;
	enum smq_ca_reason reason;
	int days, hours, port;
	bool force, unconfined, static_dh, reissue, issuing, stale_crl, keep_key, json, new_root;
	char room[CA_PATH_LEN];
};

/* What a command is called with, and what it is for; the options follow in its help by themselves. */
struct ca_usage {
	enum ca_command command;
	const char *name;  /* "issue" */
	const char *word;  /* "NAME"; with brackets: it may be left out */
	const char *brief; /* one line */
	const char *text;  /* more lines */
};

/* -1: go on; otherwise the exit status: help was asked for, or something is wrong and was said. */
int ca_parse(int argc, char **argv, const struct ca_usage *usage, struct ca_args *ret_args);

/* Finds the authority where --ca does not name it: $SEALMQ_CA, here, or the only one below. -1: go on. */
int ca_find(struct ca_args *args);

bool ca_is(const char *dir);

/* Say what is wrong; return the exit status. */
int ca_fail(smq_err err, const char *text);
int ca_misuse(const char *text, const char *word);
/* 0, unless output did not arrive: a full disk, a closed pipe. */
int ca_flushed(void);

#endif
