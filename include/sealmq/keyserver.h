/*
 * The key server of a realm: admits members to groups by signed policies, and moves the groups' keys on
 * (PROTOCOL.md 7). One for each realm; its certificate has the role key server.
 *
 *     struct smq_keyserver_options o = { .realm = realm, .database = "keys.db", .passphrase_file = "pass" };
 *     smq_keyserver_init(&o, &why);                    once
 *     smq_keyserver_service_new(&o, &service, &why);
 *     while (smq_keyserver_service_run(service, -1) == SMQ_OK) ...
 *
 * *ret_why (may be NULL) says what is wrong and what would be right; valid until the next call in this thread.
 */
#ifndef SEALMQ_KEYSERVER_H
#define SEALMQ_KEYSERVER_H

#include <stdbool.h>

#include <sealmq/client.h>
#include <sealmq/confine.h>

#ifdef __cplusplus
extern "C" {
#endif

struct smq_keyserver_happening {
	enum {
		SMQ_HAPPENED_CONNECTED,
		SMQ_HAPPENED_DISCONNECTED, /* err; we go on trying */
		SMQ_HAPPENED_ASKED,        /* who asked what, of which group, about whom; err: the answer */
		SMQ_HAPPENED_EPOCH,        /* a group has a new epoch; what was published for it */
		SMQ_HAPPENED_DROPPED,      /* something that was no request of a member (err); at most one a second */
		SMQ_HAPPENED_RIVAL,        /* another key server was here first: stop */
		SMQ_HAPPENED_JUMPED,       /* after a restore the group's epoch moved ahead */
		SMQ_HAPPENED_IDENTITY,     /* our certificate was renewed and is in use; err: it is of no use */
		SMQ_HAPPENED_CRL /* revocation lists; what: "new", "refused" (err), "ending" (left_ms), "ended"
				  * (err: nobody is trusted any more) */
	} kind;
	const char *who, *what, *group, *whom; /* "" where there is none */
	uint64_t epoch, members, messages, bytes;
	smq_err err;
	uint64_t left_ms;
};

struct smq_keyserver_options {
	smq_realm *realm;     /* of the key server; not owned, outlives it */
	const char *database; /* FORMATS.md 8 */
	/* Mode 0600, its first line: the passphrase, or the token's PIN; NULL: the systemd credential
	 * `sealmq-keyserver`. */
	const char *passphrase_file;
	/* RFC 7512. smq_keyserver_init: the master key comes from a secret key in this PKCS#11 token, made there, or
	 * the one that object= or id= names; the database knows which. Later only needed where its module is not
	 * registered. */
	const char *master_pkcs11;
	const struct smq_client_options *broker; /* how to get to the broker; only those fields are read */
	uint32_t requests_per_min;               /* of one identity; 0: 120 */
	bool announce_again; /* each manifest a few times more, for brokers that retain on one of their nodes only */
	int http_port;       /* /metrics and /healthz on 127.0.0.1; 0: none */
	void *self;
	void (*on_event)(void *self, const struct smq_keyserver_happening *what);
};

/* Makes the database. SMQ_ERR_EXISTS: there is one. Nobody is asked and nothing is connected to. */
SMQ_MUST_USE smq_err smq_keyserver_init(const struct smq_keyserver_options *options, const char **ret_why);

typedef struct smq_keyserver_service smq_keyserver_service;

/* Opens the database, and starts connecting. SMQ_ERR_LOCKED: a key server runs on it; SMQ_ERR_OPEN: another
 * passphrase; SMQ_ERR_CERT_USAGE: the realm is not a key server's. */
SMQ_MUST_USE smq_err smq_keyserver_service_new(const struct smq_keyserver_options *options,
					       smq_keyserver_service **ret_service, const char **ret_why);
/* Serves for at most timeout_ms (-1: for ever), or until smq_keyserver_service_stop. SMQ_ERR_EXISTS: another key server
 * was here first. */
SMQ_MUST_USE smq_err smq_keyserver_service_run(smq_keyserver_service *s, int timeout_ms);
/* Ends a running smq_keyserver_service_run; safe in a signal handler. */
void smq_keyserver_service_stop(smq_keyserver_service *s);
void smq_keyserver_service_free(smq_keyserver_service *s);

/*
 * ---- split by duty: one process each, with the rights of its duty alone (doc/decisions/0022) ----
 *
 * A guard starts argv once for each duty, with `--duty NAME` put in after its first words; such a process makes its
 * part (smq_keyserver_part_new), gives up what it does not need (smq_keyserver_part_confine), and runs it.
 */
enum smq_keyserver_duty { SMQ_DUTY_LISTENER, SMQ_DUTY_SIGNER, SMQ_DUTY_STORE, SMQ_DUTIES };

const char *smq_keyserver_duty_name(enum smq_keyserver_duty duty);   /* "signer" */
const char *smq_keyserver_duty_rights(enum smq_keyserver_duty duty); /* one line */
/* SMQ_ERR_USAGE: no such duty. */
SMQ_MUST_USE smq_err smq_keyserver_duty_by_name(const char *name, enum smq_keyserver_duty *ret_duty);

typedef struct smq_keyserver_part smq_keyserver_part;

/* In a process that a guard started. The realm may be freed after it unless the duty is the signer's: what the others
 * need of it they have then, and the private key is none of that. */
SMQ_MUST_USE smq_err smq_keyserver_part_new(const struct smq_keyserver_options *options, enum smq_keyserver_duty duty,
					    smq_keyserver_part **ret_part, const char **ret_why);
/* SMQ_ERR_UNSUPPORTED: nothing was given up (sealmq/confine.h). */
SMQ_MUST_USE smq_err smq_keyserver_part_confine(const smq_keyserver_part *p, struct smq_confined *ret_how);
/* Until it is stopped, or the others are gone. SMQ_ERR_EXISTS: another key server was here first (signer). */
SMQ_MUST_USE smq_err smq_keyserver_part_run(smq_keyserver_part *p);
void smq_keyserver_part_stop(smq_keyserver_part *p); /* safe in a signal handler */
void smq_keyserver_part_free(smq_keyserver_part *p);

struct smq_keyserver_guard_options {
	char *const *argv; /* of this process, ended by NULL */
	int words;         /* how many of them stay before `--duty NAME` */
	void *self;
	/* A part ended and is started again: which, and how it ended (wait's status). */
	void (*on_ended)(void *self, const char *duty, int status);
};
/*
 * Starts the three parts, and those that end again, until it is stopped. *ret_status is what the process should end
 * with: that of a part that could not start, or that found another key server; else 0.
 */
SMQ_MUST_USE smq_err smq_keyserver_guard_run(const struct smq_keyserver_guard_options *options, int *ret_status);
void smq_keyserver_guard_stop(void); /* safe in a signal handler */

/* A copy, while it may be running. SMQ_ERR_EXISTS: `to` is there. */
SMQ_MUST_USE smq_err smq_keyserver_backup(const char *database, const char *to, const char **ret_why);
/*
 * Makes options->database out of a backup, marked as restored: the key server that starts on it moves its epochs and
 * sender ids ahead, so that nothing of the time since the backup is issued twice.
 */
SMQ_MUST_USE smq_err smq_keyserver_restore(const struct smq_keyserver_options *options, const char *backup,
					   const char **ret_why);

struct smq_keyserver_contents {
	uint64_t groups, members, nodes, epochs, waiting; /* waiting: published, not acknowledged */
	uint64_t keys;                                    /* registered keys, those taken back included */
};
/* Reads everything: damage, a wrong passphrase, an item that does not open (SMQ_ERR_CORRUPT). */
SMQ_MUST_USE smq_err smq_keyserver_check(const struct smq_keyserver_options *options,
					 struct smq_keyserver_contents *ret_contents, const char **ret_why);

struct smq_audit_line {
	uint64_t number;
	int64_t time_ms; /* Unix time */
	const char *what, *who, *group, *whom;
	smq_err outcome;
};
struct smq_audit_end {
	uint64_t lines;
	int64_t signed_ms;
	char hash[65]; /* of the last line, hex */
	char signer[SMQ_MEMBER_NAME_MAX + 1];
};
/*
 * Checks the audit log without the passphrase, line by line, and its signed end; take (may be NULL) sees each line that
 * holds. SMQ_ERR_CORRUPT: altered, missing or added after line ret_end->lines; SMQ_ERR_TRUNCATED: cut off;
 * SMQ_ERR_SIGNATURE and SMQ_ERR_CERT_*: the end is not signed by a key server of this realm.
 */
SMQ_MUST_USE smq_err smq_keyserver_audit(const smq_realm *realm, const char *database, void *self,
					 void (*take)(void *self, const struct smq_audit_line *line),
					 struct smq_audit_end *ret_end, const char **ret_why);

#ifdef __cplusplus
}
#endif
#endif
