/* The realm's revocation lists at its key server. */
#include "lib/keyserver_internal.h"

#include "base/table.h"
#include "lib/line.h"

/* In the words of clients. */
static void on_event(void *self, const struct smq_event *e)
{
	static const struct {
		enum smq_event_kind kind;
		const char *what;
	} rows[] = { { SMQ_EVENT_CRL_NEW, "new" },
		     { SMQ_EVENT_CRL_REFUSED, "refused" },
		     { SMQ_EVENT_CRL_ENDING, "ending" },
		     { SMQ_EVENT_CRL_STALE, "ended" } };
	const struct smq_keyserver_lists *l = self;
	struct smq_keyserver_happening h = { .kind = SMQ_HAPPENED_CRL,
					     .who = "",
					     .what = "",
					     .group = "",
					     .whom = "",
					     .err = e->err,
					     .left_ms = e->took_ms };
	if (e->kind == SMQ_EVENT_IDENTITY_NEW || e->kind == SMQ_EVENT_IDENTITY_REFUSED)
		h.kind = SMQ_HAPPENED_IDENTITY;
	for (size_t i = 0; i < SMQ_COUNT(rows); i++)
		h.what = rows[i].kind == e->kind ? rows[i].what : h.what;
	if (l->options->on_event)
		l->options->on_event(l->options->self, &h);
}

void smq_keyserver_lists_init(struct smq_keyserver_lists *l, const struct smq_keyserver_options *options)
{
	l->options = options;
	l->watch = smq_crl_watch_on(options->realm, smq_line_clock.now());
	l->line = smq_crl_line_on(options->realm);
}

void smq_keyserver_lists_look(struct smq_keyserver_lists *l)
{
	const struct smq_client_options words = { .on_event = on_event, .self = l };
	struct smq_now now = smq_line_clock.now();
	if (now.mono_ms >= l->watch.due_ms)
		smq_crl_watch_look(&l->watch, NULL, &words, now);
}

bool smq_keyserver_lists_take(struct smq_keyserver_lists *l, const char *topic, smq_span payload)
{
	const struct smq_client_options words = { .on_event = on_event, .self = l };
	bool new = false;
	if (!smq_crl_line_topic(&l->line, topic))
		return false;
	smq_err err = smq_crl_line_take(&l->line, payload, &new);
	if (err != SMQ_OK)
		smq_crl_watch_refused(&l->watch, &words, err, smq_line_clock.now());
	else if (new)
		l->watch.due_ms = 0;
	return true;
}
