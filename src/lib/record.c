/* Recorders and questions on real stores: which one a text names, the schema's file, the clock. */
#include <sealmq/record.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "adapters/common_loader/loader.h"
#include "adapters/config_yaml/record_yaml.h"
#include "adapters/records_postgres/records_postgres.h"
#include "adapters/records_sqlite/records_sqlite.h"
#include "adapters/workers_posix/workers.h"
#include "app/record_sql.h"
#include "app/recorder.h"
#include "lib/files.h"
#include "lib/line.h"
#include "lib/realm_internal.h"
#include "lib/record_open.h"

#define WEEK_S 604800u

struct smq_recorder {
	struct smq_record_options options;
	struct smq_record_schema schema;
	struct smq_record_book *book;
	smq_realm *realm; /* whose lists are in force; NULL until a client is prepared */
	struct smq_file_bytes lists;
	struct smq_record_store store; /* the book's */
};

static _Thread_local char why_text[768];

static smq_err because(smq_err err, const char **ret_why, const char *what, const char *detail)
{
	snprintf(why_text, sizeof(why_text), "%.200s%s%.500s", what, *detail ? ": " : "", detail);
	if (ret_why)
		*ret_why = why_text;
	return err;
}

static bool is_postgres(const char *store)
{
	return strncmp(store, "postgres://", 11) == 0 || strncmp(store, "postgresql://", 13) == 0;
}

/* A URL may hold a password: it is never shown. */
smq_err smq_record_store_open(const char *store, bool writes, struct smq_record_store *ret_store, const char **ret_why)
{
	if (!store || !*store)
		return because(SMQ_ERR_USAGE, ret_why, "no store is named: a file, or postgres://...", "");
	if (is_postgres(store)) {
		char why[256] = "";
		smq_err failure = smq_records_postgres_open(store, writes, ret_store, why, sizeof(why));
		return failure == SMQ_OK ? SMQ_OK
					 : because(failure, ret_why, "PostgreSQL", *why ? why : smq_err_text(failure));
	}
	smq_err err = smq_records_sqlite_open(store, writes, ret_store);
	return err == SMQ_OK ? SMQ_OK : because(err, ret_why, store, smq_library_text(err));
}

/* ---- the lists in force ---- */

static const uint8_t *lists_digest(void *self)
{
	const struct smq_recorder *r = self;
	return r->realm ? smq_realm_crl_digest(r->realm) : NULL;
}

/* The file may be newer than what is in force for a moment; then it is not the one that is asked for. */
static smq_span lists_read(void *self, const uint8_t *digest)
{
	struct smq_recorder *r = self;
	char path[SMQ_PATH_MAX], why[SMQ_WHY_MAX];
	uint8_t found[SMQ_HASH_LEN];
	smq_file_bytes_free(&r->lists);
	smq_err err = smq_path_join(smq_realm_dir(r->realm), "crl.pem", path);
	if (err == SMQ_OK)
		err = smq_file_read_most(path, false, SMQ_CRL_FILE_MAX, &r->lists, why, sizeof(why));
	smq_span pem = err == SMQ_OK ? smq_span_of(r->lists.p, r->lists.len) : smq_span_of(NULL, 0);
	if (err == SMQ_OK)
		err = smq_crypto_openssl()->sha256(&pem, 1, found);
	return err == SMQ_OK && memcmp(found, digest, sizeof(found)) == 0 ? pem : smq_span_of(NULL, 0);
}

void smq_record_options_init(struct smq_record_options *o)
{
	*o = (struct smq_record_options){ .refusals_max = 64, .verify_threads = -1 };
}

static smq_err load_schema(struct smq_recorder *r, const char **ret_why)
{
	smq_record_schema_init(&r->schema);
	if (!r->options.schema_file)
		return SMQ_OK;
	smq_err err = smq_record_yaml_load(r->options.schema_file, &r->schema, why_text, sizeof(why_text));
	if (err != SMQ_OK && ret_why)
		*ret_why = why_text;
	return err;
}

smq_err smq_recorder_open(const struct smq_record_options *options, smq_recorder **ret_recorder, const char **ret_why)
{
	struct smq_recorder *r = calloc(1, sizeof(*r));
	struct smq_record_store store;
	if (!r)
		return because(SMQ_ERR_NO_MEMORY, ret_why, "out of memory", "");
	r->options = *options;
	smq_err err = load_schema(r, ret_why);
	if (err == SMQ_OK)
		err = smq_record_store_open(options->store, true, &store, ret_why);
	if (err == SMQ_OK) {
		const struct smq_record_book_config config = {
			.options = &r->options,
			.schema = options->schema_file ? &r->schema : NULL,
			.store = store,
			.clock = smq_line_clock,
			.lists = { r, lists_digest, lists_read },
			.crypto = smq_crypto_openssl(),
		};
		r->store = store;
		err = smq_record_book_new(&config, &r->book);
		if (err != SMQ_OK) {
			store.free(store.self);
			because(err, ret_why, "out of memory", "");
		}
	}
	if (err != SMQ_OK) {
		smq_recorder_free(r);
		return err;
	}
	*ret_recorder = r;
	return SMQ_OK;
}

void smq_recorder_prepare(smq_recorder *recorder, struct smq_client_options *options)
{
	recorder->realm = options->realm;
	options->evidence = recorder->options.evidence;
	options->verify_threads = recorder->options.verify_threads < 0 ? smq_workers_processors() - 1
								       : (size_t)recorder->options.verify_threads;
	options->repeats = true;
	options->check = SMQ_CHECK_PROOF;
	options->clean_start = false;
	if (options->session_expiry_s == 0)
		options->session_expiry_s = WEEK_S;
}

/* ---- what it needs ---- */

static void need_setting(void *self, const char *name, const char *value)
{
	static const char *const files[] = { "passfile", "sslcert", "sslkey", "sslrootcert", "sslcrl" };
	smq_needs *n = self;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (strcmp(name, files[i]) == 0)
			smq_needs_directory(n, value);
	}
	if (strcmp(name, "sslcrldir") == 0)
		smq_needs_read(n, value);
	if (strcmp(name, "host") == 0 && value[0] == '/')
		smq_needs_local(n);
	/* one, or a list */
	for (const char *at = strcmp(name, "port") == 0 ? value : NULL; at;
	     at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
		smq_needs_port(n, (int)strtol(at, NULL, 10));
}

/* What libpq looks for at every connection, whether it is there or not. */
static void need_postgres(const struct smq_recorder *r, smq_needs *n)
{
	static const char *const usual[] = { "/etc/passwd", "/etc/postgresql-common", "/etc/krb5.conf",
					     "/etc/krb5.conf.d", "/etc/gss" };
	char path[SMQ_PATH_MAX];
	const char *home = getenv("HOME");
	smq_records_postgres_settings(&r->store, n, need_setting);
	smq_needs_local(n); /* which a host that is not named means */
	smq_needs_names(n);
	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
		smq_needs_read(n, usual[i]);
	if (home && smq_path_join(home, ".postgresql", path) == SMQ_OK)
		smq_needs_read(n, path);
	if (home && smq_path_join(home, ".pgpass", path) == SMQ_OK)
		smq_needs_read(n, path);
}

void smq_recorder_needs(const smq_recorder *r, smq_needs *n)
{
	if (is_postgres(r->options.store))
		need_postgres(r, n);
	else
		smq_needs_sqlite(n, r->options.store);
}

void smq_recorder_take(smq_recorder *recorder, const struct smq_message *message)
{
	smq_record_book_take(recorder->book, message);
}

void smq_recorder_refuse(smq_recorder *recorder, const struct smq_refusal *refusal)
{
	smq_record_book_refuse(recorder->book, refusal);
}

void smq_recorder_prove(smq_recorder *recorder, const struct smq_message *message, smq_err err)
{
	smq_record_book_prove(recorder->book, message, err);
}

void smq_recorder_witness(smq_recorder *recorder, const struct smq_witness *witness)
{
	smq_record_book_witness(recorder->book, witness);
}

smq_err smq_recorder_commit(smq_recorder *recorder) { return smq_record_book_commit(recorder->book); }

struct smq_record_counts smq_recorder_counts(const smq_recorder *recorder)
{
	return smq_record_book_counts(recorder->book);
}

const char *smq_recorder_why(const smq_recorder *recorder) { return smq_record_book_why(recorder->book); }

void smq_recorder_free(smq_recorder *r)
{
	if (!r)
		return;
	smq_record_book_free(r->book);
	smq_record_schema_done(&r->schema);
	smq_file_bytes_free(&r->lists);
	free(r);
}

/* ---- asking ---- */

const char *smq_record_column(enum smq_record_question question, size_t column)
{
	return (unsigned)question < SMQ_RECORD_QUESTIONS && column < smq_record_column_count(question)
		   ? smq_record_column_name(question, column)
		   : NULL;
}

bool smq_record_time(const char *text, int64_t *ret_unix_ms)
{
	return smq_time_rfc3339(smq_span_str(text), ret_unix_ms);
}

smq_err smq_record_ask(const char *store, const struct smq_record_query *query, smq_record_row_fn on_row, void *self,
		       const char **ret_why)
{
	struct smq_record_store s;
	if ((unsigned)query->question >= SMQ_RECORD_QUESTIONS)
		return because(SMQ_ERR_USAGE, ret_why, "no such question", "");
	smq_err err = smq_record_store_open(store, false, &s, ret_why);
	if (err != SMQ_OK)
		return err;
	err = s.query(s.self, query, on_row, self);
	if (err != SMQ_OK)
		because(err, ret_why, smq_err_text(err), s.why(s.self));
	s.free(s.self);
	return err;
}
