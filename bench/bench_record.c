/*
 * The store of records against bare SQLite in the same run: the same tables, index, pragmas and batches, rounds taking
 * turns, the best of each compared. Bare binds numbers that are known beforehand; the store looks up names and lives.
 *
 * usage: bench_record DIRECTORY [ROUNDS [ROWS]]      prints JSON
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "adapters/records_sqlite/records_sqlite.h"
#include "base/table.h"

static const char raw[] = "{\"auditor_id\":\"auditor-1\",\"measured_timestamp\":\"2026-11-21T14:30:00Z\","
			  "\"measure_type\":\"gas_m3\",\"measure\":1234.567}";
static const char insert[] =
    "INSERT INTO readings (life_id, counter, part, topic_id, type_id, measured_ms, received_ms,"
    " value, value_text, proof, raw) VALUES (?1, ?2, 0, 1, 1, ?3, ?4, ?5, NULL, 4, ?6)"
    " ON CONFLICT DO NOTHING";
static const size_t batches[] = { 100, 1000 };

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

static struct smq_record_store fresh(const char *path)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	struct smq_record_store store;
	char name[512];
	for (size_t i = 0; i < SMQ_COUNT(ends); i++) {
		snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		unlink(name);
	}
	must(smq_records_sqlite_open(path, true, &store) == SMQ_OK, "opening the store");
	return store;
}

static double run_store(const char *path, size_t rows, size_t batch)
{
	static const uint8_t boot_id[16] = "0123456789abcdef";
	const struct smq_record_reading reading = { .type = smq_span_str("gas_m3"),
						    .unit = smq_span_str("m3"),
						    .value = 1234.567 };
	struct smq_record_store store = fresh(path);
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

static double run_bare(const char *path, size_t rows, size_t batch)
{
	sqlite3 *db;
	sqlite3_stmt *s;
	struct smq_record_store store = fresh(path);
	store.free(store.self);
	must(sqlite3_open(path, &db) == SQLITE_OK, "opening SQLite");
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

int main(int argc, char **argv)
{
	char path[480];
	if (argc < 2) {
		fputs("usage: bench_record DIRECTORY [ROUNDS [ROWS]]\n", stderr);
		return 2;
	}
	size_t rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 5,
	       rows = argc > 3 ? strtoul(argv[3], NULL, 10) : 200000;
	snprintf(path, sizeof(path), "%.400s/bench-record-%ld.db", argv[1], (long)getpid());
	printf("{\"bench\": \"record\", \"rows\": %zu, \"rounds\": %zu, \"results\": [", rows, rounds);
	for (size_t b = 0; b < SMQ_COUNT(batches); b++) {
		double best[2] = { 0 };
		for (size_t i = 0; i < rounds; i++) {
			double bare = run_bare(path, rows, batches[b]), store = run_store(path, rows, batches[b]);
			best[0] = bare > best[0] ? bare : best[0];
			best[1] = store > best[1] ? store : best[1];
		}
		printf("%s\n  {\"batch\": %zu, \"bare_per_s\": %.0f, \"store_per_s\": %.0f, \"ratio\": %.3f}",
		       b ? "," : "", batches[b], best[0], best[1], best[1] / best[0]);
	}
	puts("\n]}");
	struct smq_record_store last = fresh(path);
	last.free(last.self);
	unlink(path);
	return 0;
}
