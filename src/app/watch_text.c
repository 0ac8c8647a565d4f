/* What the watcher found, for other programs: alarms as JSON, totals for Prometheus. */
#include <sealmq/watch.h>

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <sealmq/json.h>

static void put_time(struct smq_json *j, const char *key, int64_t time_s)
{
	char text[32];
	time_t t = (time_t)time_s;
	struct tm tm;
	smq_json_key(j, key);
	if (gmtime_r(&t, &tm) && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
		smq_json_str(j, text);
	else
		smq_json_null(j);
}

smq_err smq_watch_alarm_json(const struct smq_watch_alarm *a, smq_mspan ret_text, size_t *ret_len)
{
	struct smq_json j = smq_json_on(ret_text);
	smq_json_object(&j);
	smq_json_key(&j, "alarm");
	smq_json_str(&j, a->rule);
	smq_json_key(&j, "severity");
	smq_json_str(&j, smq_severity_name(a->severity));
	smq_json_key(&j, "subject");
	smq_json_str(&j, a->subject);
	smq_json_key(&j, "text");
	smq_json_str(&j, a->text);
	smq_json_key(&j, "count");
	smq_json_uint(&j, a->count);
	smq_json_key(&j, "since_last_alarm");
	smq_json_uint(&j, a->repeats);
	put_time(&j, "first", a->first_s);
	put_time(&j, "last", a->last_s);
	smq_json_key(&j, "evidence");
	smq_json_array(&j);
	for (size_t i = 0; i < SMQ_WATCH_EVIDENCE && a->evidence[i]; i++)
		smq_json_str(&j, a->evidence[i]);
	smq_json_end(&j);
	smq_json_end(&j);
	return smq_json_finish(&j, ret_len);
}

/* ---- Prometheus ---- */

struct page {
	smq_mspan room;
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void put(struct page *p, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf((char *)p->room.p + (p->len < p->room.len ? p->len : p->room.len),
			  p->len < p->room.len ? p->room.len - p->len : 0, format, args);
	va_end(args);
	p->len += n > 0 ? (size_t)n : 0;
}

smq_err smq_watch_metrics(const struct smq_watch_totals *t, smq_mspan ret_text, size_t *ret_len)
{
	struct page p = { ret_text, 0 };
	put(&p,
	    "# HELP sealmq_watch_lines_total Lines of logs that were read.\n"
	    "# TYPE sealmq_watch_lines_total counter\nsealmq_watch_lines_total %llu\n",
	    (unsigned long long)t->lines);
	put(&p,
	    "# HELP sealmq_watch_bytes_total Bytes of logs that were read.\n"
	    "# TYPE sealmq_watch_bytes_total counter\nsealmq_watch_bytes_total %llu\n",
	    (unsigned long long)t->bytes);
	put(&p,
	    "# HELP sealmq_watch_events_total Events that a rule counts.\n# TYPE sealmq_watch_events_total counter\n");
	for (size_t i = 0; i < t->rule_count; i++)
		put(&p, "sealmq_watch_events_total{rule=\"%s\"} %llu\n", t->rules[i].name,
		    (unsigned long long)t->rules[i].events);
	put(&p,
	    "# HELP sealmq_watch_alarms_total Alarms that were raised.\n# TYPE sealmq_watch_alarms_total counter\n");
	for (size_t i = 0; i < t->rule_count; i++)
		put(&p, "sealmq_watch_alarms_total{rule=\"%s\"} %llu\n", t->rules[i].name,
		    (unsigned long long)t->rules[i].alarms);
	if (p.len >= ret_text.len)
		return SMQ_ERR_NO_ROOM;
	*ret_len = p.len;
	return SMQ_OK;
}
