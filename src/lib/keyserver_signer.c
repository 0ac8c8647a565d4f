/* The signer of a split key server: the use case itself, with the identity and the groups' keys. The broker and the
 * database are at the other ends of two channels. */
#include "lib/keyserver_part.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "adapters/keyserver_sqlite/audit.h"
#include "adapters/pipe_posix/store_pipe.h"
#include "lib/line.h"
#include "lib/realm_internal.h"

enum { FRAMES_A_TURN = 256, STATUS_EVERY_MS = 1000 };

static void tell_guard(char what) { (void)!write(SMQ_PART_GUARD, &what, 1); }

/* ---- to the listener ---- */

/* Never waits: a listener that does not read holds nobody up. */
static smq_err publish(void *self, const char *topic, smq_span payload, bool retain, uint64_t *ret_id)
{
	struct smq_keyserver_part *p = self;
	struct smq_frame f = { .kind = SMQ_FRAME_PUBLISH,
			       .numbers = { p->next_id + 1, retain },
			       .parts = { smq_span_str(topic), payload } };
	smq_err err = p->heard && p->online ? smq_channel_send(&p->link, &f, 0) : SMQ_ERR_NO_CONNECTION;
	if (err == SMQ_OK)
		*ret_id = ++p->next_id;
	return err;
}

static void on_server_event(void *self, const struct smq_keyserver_event *e)
{
	struct smq_keyserver_part *p = self;
	struct smq_keyserver_happening h = smq_keyserver_told(e);
	if (e->kind == SMQ_KEYSERVER_RIVAL)
		p->rival = p->over = true;
	if (p->options.on_event)
		p->options.on_event(p->options.self, &h);
}

/* ---- from the listener ---- */

static void go_offline(struct smq_keyserver_part *p, smq_err err)
{
	if (!p->online)
		return;
	p->online = false;
	smq_keyserver_offline(p->server);
	smq_keyserver_tell(&p->options, SMQ_HAPPENED_DISCONNECTED, err);
}

static void subscribe(struct smq_keyserver_part *p, const char *filter)
{
	struct smq_frame f = { .kind = SMQ_FRAME_SUBSCRIBE, .parts = { smq_span_str(filter) } };
	(void)!smq_channel_send(&p->link, &f, 0);
}

static void subscribe_all(struct smq_keyserver_part *p)
{
	for (size_t i = 0; smq_keyserver_filter(p->server, i); i++)
		subscribe(p, smq_keyserver_filter(p->server, i));
	if (p->lists.line.realm)
		subscribe(p, p->lists.line.topic);
}

static void go_online(struct smq_keyserver_part *p)
{
	p->online = true;
	p->again = (struct smq_keyserver_again){ 0, 0 };
	subscribe_all(p);
	smq_keyserver_tell(&p->options, SMQ_HAPPENED_CONNECTED, SMQ_OK);
	smq_keyserver_online(p->server);
}

static smq_err on_offline(struct smq_keyserver_part *p, uint64_t number)
{
	smq_err reason = SMQ_OK, err = smq_frame_err(number, &reason);
	bool was = p->online;
	if (err == SMQ_OK && was)
		go_offline(p, reason);
	else if (err == SMQ_OK)
		smq_keyserver_tell(&p->options, SMQ_HAPPENED_DISCONNECTED, reason);
	return err;
}

static smq_err on_published(struct smq_keyserver_part *p, const struct smq_frame *f)
{
	smq_err reason = SMQ_OK, err = smq_frame_err(f->numbers[1], &reason);
	if (err == SMQ_OK)
		smq_keyserver_published(p->server, f->numbers[0], reason);
	return err;
}

static void on_denied(struct smq_keyserver_part *p)
{
	struct smq_keyserver_happening h = { .kind = SMQ_HAPPENED_DROPPED,
					     .who = "broker",
					     .what = "subscription",
					     .group = "",
					     .whom = "",
					     .err = SMQ_ERR_NOT_AUTHORIZED };
	if (p->options.on_event)
		p->options.on_event(p->options.self, &h);
	smq_keyserver_again_later(&p->again);
}

static smq_err take(struct smq_keyserver_part *p, const struct smq_frame *f)
{
	switch (f->kind) {
	case SMQ_FRAME_ONLINE:
		if (p->online)
			return SMQ_ERR_STATE;
		go_online(p);
		return SMQ_OK;
	case SMQ_FRAME_OFFLINE:
		return on_offline(p, f->numbers[0]);
	case SMQ_FRAME_MESSAGE:
		if (!p->online || f->numbers[0] > 1)
			return SMQ_ERR_STATE;
		if (!smq_keyserver_lists_take(&p->lists, smq_frame_text(f, 0), f->parts[1]))
			smq_keyserver_input(p->server, smq_frame_text(f, 0), f->parts[1], f->numbers[0] == 1);
		return SMQ_OK;
	case SMQ_FRAME_PUBLISHED:
		return on_published(p, f);
	case SMQ_FRAME_DENIED:
		on_denied(p);
		return SMQ_OK;
	default:
		return SMQ_ERR_MALFORMED;
	}
}

/* A new listener begins anew, whatever became of the one before. */
static void on_hello(struct smq_keyserver_part *p, uint64_t version)
{
	go_offline(p, SMQ_ERR_CONNECTION_LOST);
	p->heard = version == SMQ_FRAME_VERSION;
}

/* Whoever sends what no listener sends has been taken over: it is heard no more, and the guard ends it. */
static void end_conversation(struct smq_keyserver_part *p, smq_err err)
{
	p->heard = false;
	go_offline(p, err);
	tell_guard(SMQ_PART_BAD_LISTENER);
}

static void hear(struct smq_keyserver_part *p)
{
	struct smq_frame f;
	for (int i = 0; i < FRAMES_A_TURN && !p->over; i++) {
		smq_err err = smq_channel_receive(&p->link, 0, &f);
		if (err == SMQ_ERR_FULL)
			return;
		if (err == SMQ_ERR_CONNECTION_LOST) { /* the guard holds the other end, too: it is gone */
			p->over = true;
			return;
		}
		if (err == SMQ_OK && f.kind == SMQ_FRAME_HELLO)
			on_hello(p, f.numbers[0]);
		else if (p->heard) {
			err = err == SMQ_OK ? take(p, &f) : err;
			if (err != SMQ_OK)
				end_conversation(p, err);
		}
	}
}

/* ---- a part ---- */

smq_err smq_signer_new(struct smq_keyserver_part *p)
{
	const struct smq_keyserver_options *o = &p->options;
	struct smq_ks_store store;
	if (snprintf(p->realm_dir, sizeof(p->realm_dir), "%s", smq_realm_dir(o->realm)) >= (int)sizeof(p->realm_dir))
		return SMQ_ERR_TOO_LARGE;
	smq_keyserver_lists_init(&p->lists, &p->options);
	smq_err err = smq_channel_init(&p->link, SMQ_PART_LINK);
	if (err == SMQ_OK)
		err = smq_wakeup_init(&p->wakeup);
	if (err == SMQ_OK)
		err = smq_store_pipe_open(SMQ_PART_STORE, &smq_realm_own(o->realm)->signer, SMQ_KS_AUDIT_KIND, &store);
	if (err != SMQ_OK)
		return smq_because(err, smq_keyserver_why, SMQ_WHY_MAX, "%s", smq_err_text(err));
	err = smq_keyserver_make(o, &store, p, publish, on_server_event, &p->server);
	if (err == SMQ_OK)
		p->store = store;
	return err;
}

/* Once a second, to a listener that has a page for it. One that does not read misses some. */
static void tell_status(struct smq_keyserver_part *p)
{
	static uint8_t text[SMQ_STATUS_PAGE_MAX];
	char why[SMQ_STATUS_WHY_MAX] = "";
	int64_t now = smq_line_clock.now().mono_ms;
	size_t len = 0;
	if (p->options.http_port == 0 || !p->heard || now < p->status_at)
		return;
	p->status_at = now + STATUS_EVERY_MS;
	bool well = smq_keyserver_healthy(p->server, why, sizeof(why));
	if (smq_keyserver_status(&p->options, p->server, smq_mspan_of(text, sizeof(text)), &len) != SMQ_OK)
		return;
	struct smq_frame f = { .kind = SMQ_FRAME_STATUS,
			       .numbers = { well },
			       .parts = { smq_span_str(why), smq_span_of(text, len) } };
	(void)!smq_channel_send(&p->link, &f, 0);
}

static void turn(struct smq_keyserver_part *p)
{
	int64_t due = smq_keyserver_wake_at(p->server);
	due = due < p->lists.watch.due_ms ? due : p->lists.watch.due_ms;
	due = smq_keyserver_again_at(&p->again, due);
	if (p->options.http_port != 0 && p->heard && p->status_at < due)
		due = p->status_at;
	smq_wakeup_watch(&p->wakeup, p->link.fd, false, due);
	struct smq_wakeup_ready ready = smq_wakeup_wait(&p->wakeup, -1);
	p->over = p->over || ready.stopped;
	if (ready.readable)
		hear(p);
	if (smq_keyserver_again_now(&p->again) && p->online)
		subscribe_all(p);
	unsigned identity = p->lists.watch.identity;
	smq_keyserver_lists_look(&p->lists);
	if (p->lists.watch.identity != identity) {
		/* the store has the old certificate, and the listener shows it to the broker: all begin anew */
		tell_guard(SMQ_PART_BAD_LISTENER);
		p->over = true;
		return;
	}
	smq_keyserver_tick(p->server);
	tell_status(p);
}

/* Without the database nothing is true any more: the next one of us reads it anew. */
smq_err smq_signer_run(struct smq_keyserver_part *p)
{
	tell_guard(SMQ_PART_READY);
	(void)!smq_channel_send(&p->link, &(struct smq_frame){ .kind = SMQ_FRAME_ANEW }, 0);
	while (!p->over && !smq_store_pipe_lost(&p->store))
		turn(p);
	if (p->rival)
		return SMQ_ERR_EXISTS;
	return smq_store_pipe_lost(&p->store) ? SMQ_ERR_STORE : SMQ_OK;
}
