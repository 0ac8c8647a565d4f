/* sealmq query: asks a store of records. */
#include "cli/cmd_query.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sealmq/json.h>
#include <sealmq/record.h>
#include <sealmq/text.h>

#include "cli/buf.h"
#include "cli/mem.h"
#include "cli/print.h"
#include "cli/when.h"

static const char usage[] =
    "sealmq query - ask a store of records\n\n"
    "usage: sealmq query QUESTION --store STORE [options]\n\n"
    "  latest       the newest reading of each sender and type\n"
    "  range        readings by measured time\n"
    "  counts       stored messages by sender and proof\n"
    "  reasons      quarantined messages by sender and reason\n"
    "  quarantine   quarantined messages by received time\n\n"
    "  --store STORE    an SQLite file, or postgres://USER@HOST/DATABASE\n"
    "  --sender NAME    of this sender only\n"
    "  --type TYPE      readings of this type only; for reasons and quarantine: of this reason\n"
    "  --topic TOPIC    of this topic only\n"
    "  --from TIME      from this time on: RFC 3339, Unix seconds, or so long ago (15m, 2h, 7d)\n"
    "  --to TIME        before this time\n"
    "  --limit N        at most N rows\n"
    "  --csv            as CSV (RFC 4180)\n"
    "  --json           as JSON, one object a row\n"
    "  --plot FILE      range as a picture, .png or .svg, through gnuplot; needs --type\n"
    "  --help           this text\n";

enum output { AS_TABLE, AS_CSV, AS_JSON, AS_PLOT };

struct series {
	char name[65];
	struct buf points; /* lines of "seconds value" */
};

struct query {
	struct smq_record_query q;
	const char *store, *plot;
	enum output output;
	uint64_t rows;
	struct buf line;
	char *room; /* for JSON */
	size_t room_len;
	struct series *series; /* for plots, by sender */
	size_t series_count;
};

static const char *const names[SMQ_RECORD_QUESTIONS] = { [SMQ_RECORD_LATEST] = "latest",
							 [SMQ_RECORD_RANGE] = "range",
							 [SMQ_RECORD_COUNTS] = "counts",
							 [SMQ_RECORD_REASONS] = "reasons",
							 [SMQ_RECORD_QUARANTINE] = "quarantine" };

static int wrong(const char *what, const char *given)
{
	char shown[120] = "";
	if (given)
		smq_escape(smq_span_str(given), shown, sizeof shown);
	fprintf(stderr, "sealmq query: %s%s%s; `sealmq query --help` tells more\n", what, given ? ": " : "", shown);
	return smq_err_exit(SMQ_ERR_USAGE);
}

/* ---- cells as text ---- */

static void put_time(struct buf *out, int64_t unix_ms)
{
	char text[WHEN_TEXT_MAX];
	when_write(unix_ms, text);
	buf_put(out, text, strlen(text));
}

static void put_number(struct buf *out, double number)
{
	char room[48];
	size_t len = 0;
	struct smq_json j = smq_json_on(smq_mspan_of(room, sizeof room));
	smq_json_double(&j, number);
	if (smq_json_finish(&j, &len) == SMQ_OK)
		buf_put(out, room, len);
}

static bool is_proof(const struct smq_record_cell *c)
{
	return strcmp(c->column, "proof") == 0 && c->kind == SMQ_CELL_INTEGER;
}

static void put_cell(struct buf *out, const struct smq_record_cell *c)
{
	char text[24];
	const char *proof = is_proof(c) ? smq_proof_name((enum smq_proof)c->integer) : NULL;
	if (proof) {
		buf_put(out, proof, strlen(proof));
		return;
	}
	switch (c->kind) {
	case SMQ_CELL_TIME:
		put_time(out, c->integer);
		break;
	case SMQ_CELL_INTEGER:
		snprintf(text, sizeof text, "%" PRId64, c->integer);
		buf_put(out, text, strlen(text));
		break;
	case SMQ_CELL_REAL:
		put_number(out, c->real);
		break;
	case SMQ_CELL_TEXT:
		buf_put(out, (const char *)c->text.p, c->text.len);
		break;
	case SMQ_CELL_NULL:
		break;
	}
}

/* ---- rows ---- */

static bool write_line(struct query *q)
{
	buf_put(&q->line, "\n", 1);
	bool good = fwrite(q->line.p, 1, q->line.len, stdout) == q->line.len;
	q->line.len = 0;
	return good;
}

static void put_csv_cell(struct buf *out, const struct buf *cell)
{
	bool quoted = false;
	for (size_t i = 0; i < cell->len && !quoted; i++)
		quoted = strchr(",\"\r\n", cell->p[i]) != NULL;
	if (!quoted) {
		buf_put(out, cell->p, cell->len);
		return;
	}
	buf_put(out, "\"", 1);
	for (size_t i = 0; i < cell->len; i++)
		buf_put(out, cell->p[i] == '"' ? "\"\"" : &cell->p[i], cell->p[i] == '"' ? 2 : 1);
	buf_put(out, "\"", 1);
}

static bool csv_row(struct query *q, const struct smq_record_cell *cells, size_t count)
{
	struct buf cell = { 0 };
	for (size_t i = 0; i < count; i++) {
		cell.len = 0;
		put_cell(&cell, &cells[i]);
		if (i > 0)
			buf_put(&q->line, ",", 1);
		put_csv_cell(&q->line, &cell);
	}
	buf_free(&cell);
	return write_line(q);
}

/* One space between columns of a fixed width; what is longer moves the rest. */
static bool table_row(struct query *q, const struct smq_record_cell *cells, size_t count)
{
	struct buf cell = { 0 };
	char shown[200];
	for (size_t i = 0; i < count; i++) {
		cell.len = 0;
		put_cell(&cell, &cells[i]);
		size_t len = smq_escape(smq_span_of(cell.p, cell.len), shown, sizeof shown);
		size_t width = cells[i].kind == SMQ_CELL_TIME ? 24 : 14;
		buf_put(&q->line, shown, len);
		for (size_t k = len; i + 1 < count && k < width; k++)
			buf_put(&q->line, " ", 1);
		if (i + 1 < count)
			buf_put(&q->line, " ", 1);
	}
	while (q->line.len > 0 && q->line.p[q->line.len - 1] == ' ')
		q->line.len--;
	buf_free(&cell);
	return write_line(q);
}

static void json_cell(struct smq_json *j, const struct smq_record_cell *c, struct buf *scratch)
{
	smq_json_key(j, c->column);
	scratch->len = 0;
	if (c->kind == SMQ_CELL_NULL)
		smq_json_null(j);
	else if (c->kind == SMQ_CELL_REAL)
		smq_json_double(j, c->real);
	else if (c->kind == SMQ_CELL_INTEGER && !is_proof(c))
		smq_json_int(j, c->integer);
	else {
		put_cell(scratch, c);
		smq_json_string(j, smq_span_of(scratch->p, scratch->len));
	}
}

static bool json_row(struct query *q, const struct smq_record_cell *cells, size_t count)
{
	struct buf scratch = { 0 };
	size_t len = 0, need = 1024;
	for (size_t i = 0; i < count; i++)
		need += 128 + 6 * cells[i].text.len;
	if (need > q->room_len) {
		q->room = mem_array(q->room, need, 1);
		q->room_len = need;
	}
	struct smq_json j = smq_json_on(smq_mspan_of(q->room, q->room_len));
	smq_json_object(&j);
	for (size_t i = 0; i < count; i++)
		json_cell(&j, &cells[i], &scratch);
	smq_json_end(&j);
	buf_free(&scratch);
	if (smq_json_finish(&j, &len) != SMQ_OK)
		return false;
	buf_put(&q->line, q->room, len);
	return write_line(q);
}

/* ---- plots ---- */

static struct series *series_of(struct query *q, smq_span sender)
{
	for (size_t i = 0; i < q->series_count; i++) {
		if (smq_span_equal(smq_span_str(q->series[i].name), sender))
			return &q->series[i];
	}
	q->series = mem_array(q->series, q->series_count + 1, sizeof q->series[0]);
	struct series *s = &q->series[q->series_count++];
	memset(s, 0, sizeof *s);
	memcpy(s->name, sender.p, sender.len < sizeof s->name ? sender.len : sizeof s->name - 1);
	return s;
}

static bool plot_row(struct query *q, const struct smq_record_cell *cells, size_t count)
{
	char text[40];
	(void)count;
	/* measured, received, sender, topic, type, value */
	if (cells[5].kind != SMQ_CELL_REAL)
		return true;
	struct series *s = series_of(q, cells[2].text);
	snprintf(text, sizeof text, "%" PRId64 ".%03d ", cells[0].integer / 1000, (int)(cells[0].integer % 1000));
	buf_put(&s->points, text, strlen(text));
	put_number(&s->points, cells[5].real);
	buf_put(&s->points, "\n", 1);
	return true;
}

/* Names of members hold nothing that gnuplot would take for more than text; a type is the schema's, and is checked. */
static void write_script(FILE *f, const struct query *q)
{
	const char *end = strrchr(q->plot, '.');
	fprintf(f, "set terminal %s size 1000,500\nset output\n", strcmp(end, ".svg") == 0 ? "svg" : "pngcairo");
	fputs("set xdata time\nset timefmt '%s'\nset format x '%m-%d\\n%H:%M'\nset grid\nset key outside below "
	      "noenhanced\n",
	      f);
	fprintf(f, "set ylabel '%s' noenhanced\nplot ", q->q.type);
	for (size_t i = 0; i < q->series_count; i++)
		fprintf(f, "%s'-' using 1:2 with linespoints pt 7 ps 0.3 title '%s'", i ? ", " : "", q->series[i].name);
	fputs("\n", f);
	for (size_t i = 0; i < q->series_count; i++) {
		fwrite(q->series[i].points.p, 1, q->series[i].points.len, f);
		fputs("e\n", f);
	}
}

/* gnuplot's standard output is the picture, so that no file name stands in its script. */
static int run_gnuplot(const struct query *q)
{
	int pipes[2], status = 0;
	FILE *picture = fopen(q->plot, "wb");
	if (!picture || pipe(pipes) != 0) {
		fprintf(stderr, "sealmq query: cannot write the plot: %s\n", strerror(errno));
		if (picture)
			fclose(picture);
		return smq_err_exit(SMQ_ERR_IO);
	}
	pid_t child = fork();
	if (child == 0) {
		dup2(pipes[0], STDIN_FILENO);
		dup2(fileno(picture), STDOUT_FILENO);
		close(pipes[0]);
		close(pipes[1]);
		execlp("gnuplot", "gnuplot", (char *)NULL);
		_exit(127);
	}
	close(pipes[0]);
	signal(SIGPIPE, SIG_IGN);
	FILE *script = child > 0 ? fdopen(pipes[1], "w") : NULL;
	if (script) {
		write_script(script, q);
		fclose(script);
	} else {
		close(pipes[1]);
	}
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	fclose(picture);
	if (child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	unlink(q->plot);
	fputs(child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 127
		  ? "sealmq query: gnuplot is not installed (Debian: gnuplot-nox)\n"
		  : "sealmq query: gnuplot failed\n",
	      stderr);
	return smq_err_exit(SMQ_ERR_UNSUPPORTED);
}

static int plot(struct query *q)
{
	if (q->series_count == 0) {
		fputs("sealmq query: nothing to plot: no such readings\n", stderr);
		return smq_err_exit(SMQ_ERR_NOT_FOUND);
	}
	return run_gnuplot(q);
}

/* ---- asking ---- */

static bool on_row(void *self, const struct smq_record_cell *cells, size_t count)
{
	struct query *q = self;
	q->rows++;
	switch (q->output) {
	case AS_CSV:
		return csv_row(q, cells, count);
	case AS_JSON:
		return json_row(q, cells, count);
	case AS_PLOT:
		return plot_row(q, cells, count);
	default:
		return table_row(q, cells, count);
	}
}

static void print_heading(const struct query *q)
{
	const char *column;
	for (size_t i = 0; (column = smq_record_column(q->q.question, i)) != NULL; i++) {
		bool is_time = strcmp(column, "measured") == 0 || strcmp(column, "received") == 0 ||
			       strcmp(column, "first") == 0 || strcmp(column, "last") == 0;
		if (q->output == AS_CSV)
			printf("%s%s", i ? "," : "", column);
		else
			printf("%s%-*s", i ? " " : "", smq_record_column(q->q.question, i + 1) ? is_time ? 24 : 14 : 0,
			       column);
	}
	putchar('\n');
}

static int ask(struct query *q)
{
	const char *why = NULL;
	if (q->output == AS_TABLE || q->output == AS_CSV)
		print_heading(q);
	smq_err err = smq_record_ask(q->store, &q->q, on_row, q, &why);
	if (err != SMQ_OK) {
		char shown[300];
		smq_escape(smq_span_str(why ? why : smq_err_text(err)), shown, sizeof shown);
		fflush(stdout);
		fprintf(stderr, "sealmq query: %s\n", shown);
		return smq_err_exit(err);
	}
	if (q->output == AS_PLOT)
		return plot(q);
	if (fflush(stdout) != 0 || ferror(stdout))
		return smq_err_exit(SMQ_ERR_IO);
	return 0;
}

/* ---- the command line ---- */

static bool take_question(const char *word, enum smq_record_question *ret_question)
{
	for (size_t i = 0; i < SMQ_RECORD_QUESTIONS; i++) {
		if (strcmp(names[i], word) == 0) {
			*ret_question = (enum smq_record_question)i;
			return true;
		}
	}
	return false;
}

static const char *check_plot(const struct query *q)
{
	const char *end = q->plot ? strrchr(q->plot, '.') : NULL;
	if (!q->plot)
		return NULL;
	if (q->q.question != SMQ_RECORD_RANGE || !q->q.type)
		return "--plot draws a range of one --type";
	if (!smq_name_valid(smq_span_str(q->q.type)))
		return "--plot takes a type of letters, digits, - and _";
	if (!end || (strcmp(end, ".png") != 0 && strcmp(end, ".svg") != 0))
		return "--plot takes a file that ends in .png or .svg";
	return NULL;
}

static const struct option options[] = {
	{ "store", required_argument, NULL, 's' }, { "sender", required_argument, NULL, 'n' },
	{ "type", required_argument, NULL, 'y' },  { "topic", required_argument, NULL, 't' },
	{ "from", required_argument, NULL, 'f' },  { "to", required_argument, NULL, 'u' },
	{ "limit", required_argument, NULL, 'l' }, { "csv", no_argument, NULL, 'c' },
	{ "json", no_argument, NULL, 'j' },        { "plot", required_argument, NULL, 'p' },
	{ "help", no_argument, NULL, 'h' },        { NULL, 0, NULL, 0 },
};

/* What is wrong with it, or NULL. */
static const char *take_option(struct query *q, int c)
{
	char *end;
	switch (c) {
	case 's':
		q->store = optarg;
		return NULL;
	case 'n':
		q->q.sender = optarg;
		return NULL;
	case 'y':
		q->q.type = optarg;
		return NULL;
	case 't':
		q->q.topic = optarg;
		return NULL;
	case 'f':
		return when_read(optarg, &q->q.from_ms) ? NULL : "--from is not a time";
	case 'u':
		return when_read(optarg, &q->q.to_ms) ? NULL : "--to is not a time";
	case 'l':
		q->q.limit = strtoull(optarg, &end, 10);
		return *optarg >= '1' && *optarg <= '9' && !*end ? NULL : "--limit takes a number from 1 on";
	case 'p':
		q->plot = optarg;
		q->output = AS_PLOT;
		return NULL;
	default:
		q->output = c == 'c' ? AS_CSV : AS_JSON;
		return NULL;
	}
}

static int read_options(struct query *q, int argc, char **argv, bool *ret_done)
{
	const char *problem = NULL;
	optind = 1;
	opterr = 0;
	for (int c; !problem && (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		*ret_done = true;
		if (c == 'h')
			return fputs(usage, stdout) < 0;
		if (c == '?')
			return wrong("unknown or incomplete option", argv[optind - 1]);
		problem = take_option(q, c);
		if (problem)
			return wrong(problem, optarg);
	}
	*ret_done = true;
	if (optind >= argc || !take_question(argv[optind], &q->q.question))
		return wrong("ask for latest, range, counts, reasons or quarantine",
			     optind < argc ? argv[optind] : NULL);
	if (optind + 1 < argc)
		return wrong("unexpected argument", argv[optind + 1]);
	if (!q->store)
		return wrong("--store says where the records are", NULL);
	problem = check_plot(q);
	if (problem)
		return wrong(problem, NULL);
	*ret_done = false;
	return 0;
}

int cmd_query(int argc, char **argv)
{
	struct query q = { .q = { .from_ms = INT64_MIN, .to_ms = INT64_MAX } };
	bool done = false;
	int status = read_options(&q, argc, argv, &done);
	if (!done)
		status = ask(&q);
	for (size_t i = 0; i < q.series_count; i++)
		buf_free(&q.series[i].points);
	free(q.series);
	free(q.room);
	buf_free(&q.line);
	return status;
}
