/*
 * A store of records against its bare database in the same run: the same tables, index, settings and batches, whose
 * numbers are known beforehand. In each round bare, store and bare again take turns; a ratio is of one round. Bare is
 * prepared INSERTs in SQLite, and COPY in PostgreSQL.
 *
 * usage: bench_record STORE [ROUNDS [ROWS]]      STORE: a directory, or postgres://...; prints JSON
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "adapters/records_postgres/copy_rows.h"
#include "adapters/records_postgres/libpq.h"
#include "adapters/records_postgres/records_postgres.h"
#include "adapters/records_sqlite/records_sqlite.h"
#include "base/table.h"

enum { ROUNDS_MAX = 101 };

static const char raw[] = "{\"auditor_id\":\"auditor-1\",\"measured_timestamp\":\"2026-11-21T14:30:00Z\","
			  "\"measure_type\":\"gas_m3\",\"measure\":1234.567}";
static const char insert[] =
    "INSERT INTO readings (life_id, counter, part, topic_id, type_id, measured_ms, received_ms,"
    " value, value_text, proof, raw) VALUES (?1, ?2, 0, 1, 1, ?3, ?4, ?5, NULL, 4, ?6)"
    " ON CONFLICT DO NOTHING";
static const char copy[] = "COPY readings (life_id, counter, part, topic_id, type_id, measured_ms, received_ms, value,"
			   " value_text, proof, raw) FROM STDIN (FORMAT binary)";
static const size_t batches[] = { 100, 1000, 5000 };

static const char *where; /* a file, or an URL */
static bool postgres;
static struct libpq pq;

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "bench_record: %s failed\n", what);
	exit(1);
}

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- empty tables ---- */

static void remove_files(void)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	char name[512];
	for (size_t i = 0; i < SMQ_COUNT(ends); i++) {
		snprintf(name, sizeof(name), "%s%s", where, ends[i]);
		unlink(name);
	}
}

static void pg_exec(PGconn *db, const char *sql)
{
	PGresult *result = pq.exec(db, sql);
	ExecStatusType status = pq.resultStatus(result);
	must(status == PGRES_COMMAND_OK || status == PGRES_COPY_IN, sql);
	pq.clear(result);
}

static PGconn *pg_connect(void)
{
	const char *const names[] = { "dbname", NULL }, *const values[] = { where, NULL };
	PGconn *db = pq.connectdbParams(names, values, 1);
	must(db && pq.status(db) == CONNECTION_OK, "connecting");
	return db;
}

/* A store on empty tables. What the database has to catch up with is not left to the next. */
static struct smq_record_store fresh(void)
{
	struct smq_record_store store;
	char why[256] = "";
	if (!postgres) {
		remove_files();
		must(smq_records_sqlite_open(where, true, &store) == SMQ_OK, "opening the store");
		return store;
	}
	must(smq_records_postgres_open(where, true, &store, why, sizeof(why)) == SMQ_OK, why);
	PGconn *db = pg_connect();
	pg_exec(db, "TRUNCATE readings, quarantine");
	pg_exec(db, "CHECKPOINT");
	pq.finish(db);
	return store;
}

/* ---- the store ---- */

static double run_store(size_t rows, size_t batch)
{
	static const uint8_t boot_id[16] = "0123456789abcdef";
	const struct smq_record_reading reading = { .type = smq_span_str("gas_m3"),
						    .unit = smq_span_str("m3"),
						    .value = 1234.567 };
	struct smq_record_store store = fresh();
	struct smq_record_committed done;
	double start = now_s();
	for (size_t i = 0; i < rows; i++) {
		const struct smq_record_row row = {
			.key = { "auditor-1", "energy", 1, SMQ_NO_SLOT, i, boot_id },
			.topic = "audit/auditor-1/energy",
			.measured_ms = (int64_t)i * 10,
			.received_ms = (int64_t)i * 10 + 3,
			.proof = SMQ_PROOF_PROVEN,
			.raw = smq_span_of(raw, sizeof(raw) - 1),
			.readings = &reading,
			.reading_count = 1,
		};
		must(store.add(store.self, &row) == SMQ_OK, "adding a row");
		if ((i + 1) % batch == 0)
			must(store.commit(store.self, &done) == SMQ_OK, "a commit");
	}
	must(store.commit(store.self, &done) == SMQ_OK, "the last commit");
	double took = now_s() - start;
	store.free(store.self);
	return (double)rows / took;
}

/* ---- the bare database ---- */

static double run_sqlite(size_t rows, size_t batch)
{
	sqlite3 *db;
	sqlite3_stmt *s;
	must(sqlite3_open(where, &db) == SQLITE_OK, "opening SQLite");
	must(sqlite3_exec(db,
			  "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 8192;"
			  "PRAGMA cache_size = -32768",
			  NULL, NULL, NULL) == SQLITE_OK,
	     "pragmas");
	must(sqlite3_prepare_v2(db, insert, -1, &s, NULL) == SQLITE_OK, "preparing");
	double start = now_s();
	for (size_t i = 0; i < rows; i++) {
		if (i % batch == 0)
			must(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK, "BEGIN");
		sqlite3_bind_int64(s, 1, 1);
		sqlite3_bind_int64(s, 2, (int64_t)i);
		sqlite3_bind_int64(s, 3, (int64_t)i * 10);
		sqlite3_bind_int64(s, 4, (int64_t)i * 10 + 3);
		sqlite3_bind_double(s, 5, 1234.567);
		sqlite3_bind_blob(s, 6, raw, sizeof(raw) - 1, SQLITE_STATIC);
		must(sqlite3_step(s) == SQLITE_DONE, "inserting");
		sqlite3_reset(s);
		if ((i + 1) % batch == 0 || i + 1 == rows)
			must(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK, "COMMIT");
	}
	double took = now_s() - start;
	sqlite3_finalize(s);
	sqlite3_close(db);
	return (double)rows / took;
}

static void put_row(struct copy_rows *c, size_t i)
{
	copy_row(c, 11);
	copy_int8(c, 1);
	copy_int8(c, (int64_t)i);
	copy_int8(c, 0);
	copy_int8(c, 1);
	copy_int8(c, 1);
	copy_int8(c, (int64_t)i * 10);
	copy_int8(c, (int64_t)i * 10 + 3);
	copy_float8(c, 1234.567);
	copy_null(c);
	copy_int8(c, 4);
	copy_bytes(c, smq_span_of(raw, sizeof(raw) - 1));
}

static void send_rows(PGconn *db, struct copy_rows *c)
{
	must(copy_end(c) == SMQ_OK, "memory");
	pg_exec(db, copy);
	must(pq.putCopyData(db, (const char *)c->p, (int)c->len) == 1 && pq.putCopyEnd(db, NULL) == 1, "COPY");
	for (PGresult *r; (r = pq.getResult(db)) != NULL; pq.clear(r))
		must(pq.resultStatus(r) == PGRES_COMMAND_OK, "COPY's end");
	copy_clear(c);
}

static double run_copy(size_t rows, size_t batch)
{
	PGconn *db = pg_connect();
	struct copy_rows c = { 0 };
	copy_clear(&c);
	double start = now_s();
	for (size_t i = 0; i < rows; i++) {
		put_row(&c, i);
		if ((i + 1) % batch == 0 || i + 1 == rows)
			send_rows(db, &c);
	}
	double took = now_s() - start;
	copy_free(&c);
	pq.finish(db);
	return (double)rows / took;
}

static double run_bare(size_t rows, size_t batch)
{
	struct smq_record_store store = fresh();
	store.free(store.self);
	return postgres ? run_copy(rows, batch) : run_sqlite(rows, batch);
}

/* ---- rounds ---- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
	qsort(values, count, sizeof(values[0]), by_value);
	return values[count / 2];
}

static void put_quartiles(const char *name, double *values, size_t count)
{
	double middle = median(values, count);
	printf(", \"%s\": {\"median\": %.3f, \"low\": %.3f, \"high\": %.3f}", name, middle, values[count / 4],
	       values[3 * count / 4]);
}

/* The order changes from round to round. */
static void measure(size_t batch, size_t rounds, size_t rows)
{
	double bare[ROUNDS_MAX], store[ROUNDS_MAX], ratio[ROUNDS_MAX], control[ROUNDS_MAX];
	for (size_t i = 0; i < rounds; i++) {
		if (i % 2)
			store[i] = run_store(rows, batch);
		bare[i] = run_bare(rows, batch);
		if (i % 2 == 0)
			store[i] = run_store(rows, batch);
		ratio[i] = store[i] / bare[i];
		control[i] = run_bare(rows, batch) / bare[i];
	}
	printf("{\"batch\": %zu, \"bare_per_s\": %.0f, \"store_per_s\": %.0f", batch, median(bare, rounds),
	       median(store, rounds));
	put_quartiles("ratio", ratio, rounds);
	put_quartiles("control", control, rounds);
	printf("}");
}

int main(int argc, char **argv)
{
	static char file[512];
	size_t rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 9, rows = argc > 3 ? strtoul(argv[3], NULL, 10) : 50000;
	if (argc < 2 || rounds < 1 || rounds > ROUNDS_MAX || rows < 1) {
		fputs("usage: bench_record DIRECTORY|postgres://... [ROUNDS [ROWS]]\n", stderr);
		return 2;
	}
	postgres = strncmp(argv[1], "postgres", 8) == 0 && strstr(argv[1], "://");
	snprintf(file, sizeof(file), "%.400s/bench-record-%ld.db", argv[1], (long)getpid());
	where = postgres ? argv[1] : file;
	must(!postgres || libpq_load(&pq) == SMQ_OK, "loading libpq");
	printf("{\"store\": \"%s\", \"rows\": %zu, \"rounds\": %zu, \"results\": [", postgres ? "PostgreSQL" : "SQLite",
	       rows, rounds);
	for (size_t b = 0; b < SMQ_COUNT(batches); b++) {
		printf("%s\n  ", b ? "," : "");
		measure(batches[b], rounds, rows);
	}
	puts("\n]}");
	if (!postgres)
		remove_files();
	return 0;
}
