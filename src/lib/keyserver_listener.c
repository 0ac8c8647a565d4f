/* The listener of a split key server: MQTT to the broker on one side, frames to the signer on the other, and no secret.
 */
#include "lib/keyserver_part.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_WAITS_MS = 1000, SILENT_MS = 10 * 1000 };

static smq_err say(struct smq_keyserver_part *p, const struct smq_frame *f, int patience_ms)
{
	smq_err err = smq_channel_send(&p->link, f, patience_ms);
	if (err == SMQ_ERR_CONNECTION_LOST)
		p->over = true;
	return err;
}

/* ---- from the broker ---- */

static void on_connected(void *self, int reason, bool session_present)
{
	struct smq_keyserver_part *p = self;
	(void)session_present;
	if (reason != 0)
		return; /* `disconnected` follows */
	p->online = true;
	(void)!say(p, &(struct smq_frame){ .kind = SMQ_FRAME_ONLINE }, -1);
}

static void on_disconnected(void *self, smq_err err, int reason)
{
	struct smq_keyserver_part *p = self;
	struct smq_frame f = { .kind = SMQ_FRAME_OFFLINE, .numbers = { (uint64_t)err } };
	(void)reason;
	p->online = false;
	(void)!say(p, &f, -1);
}

/* What does not fit into a frame is nothing for a key server. Whoever waits too long asks again. */
static void on_message(void *self, const struct smq_mqtt_message *m)
{
	struct smq_keyserver_part *p = self;
	struct smq_frame f = { .kind = SMQ_FRAME_MESSAGE,
			       .numbers = { m->retain },
			       .parts = { smq_span_str(m->topic), m->payload } };
	(void)!say(p, &f, MESSAGE_WAITS_MS);
}

static void tell_published(struct smq_keyserver_part *p, uint64_t id, smq_err err)
{
	struct smq_frame f = { .kind = SMQ_FRAME_PUBLISHED, .numbers = { id, (uint64_t)err } };
	(void)!say(p, &f, -1);
}

static void on_published(void *self, int id, int reason)
{
	struct smq_keyserver_part *p = self;
	smq_err err = reason == SMQ_PUBLISHED_NEVER ? SMQ_ERR_CONNECTION_LOST
		      : reason >= 128               ? SMQ_ERR_NOT_AUTHORIZED
						    : SMQ_OK;
	for (size_t i = 0; i < SMQ_KEYSERVER_INFLIGHT; i++) {
		if (p->sent[i] != id || id == 0)
			continue;
		p->sent[i] = 0;
		if (p->ids[i])
			tell_published(p, p->ids[i], err);
		return;
	}
}

static void on_subscribed(void *self, int id, const int *reasons, size_t count)
{
	struct smq_keyserver_part *p = self;
	(void)id;
	if (count > 0 && reasons[0] >= 128)
		(void)!say(p, &(struct smq_frame){ .kind = SMQ_FRAME_DENIED }, -1);
}

/* ---- /metrics and /healthz, of what the signer says of itself ---- */

static void take_status(struct smq_keyserver_part *p, const struct smq_frame *f)
{
	if (!p->status || f->parts[1].len > SMQ_STATUS_PAGE_MAX)
		return;
	memcpy(p->status, f->parts[1].p, f->parts[1].len);
	p->status_len = f->parts[1].len;
	p->status_well = f->numbers[0] == 1;
	snprintf(p->status_why, sizeof(p->status_why), "%s", smq_frame_text(f, 0));
	p->status_ms = smq_line_clock.now().mono_ms;
}

static bool is_silent(const struct smq_keyserver_part *p)
{
	return p->status_ms == INT64_MIN || smq_line_clock.now().mono_ms - p->status_ms > SILENT_MS;
}

static smq_err page_metrics(void *self, smq_mspan room, size_t *ret_len)
{
	const struct smq_keyserver_part *p = self;
	int len = snprintf((char *)room.p, room.len,
			   "# HELP sealmq_keyserver_up Whether the signer says how it is.\n"
			   "# TYPE sealmq_keyserver_up gauge\nsealmq_keyserver_up %d\n",
			   !is_silent(p));
	if (len < 0 || p->status_len > room.len - (size_t)len)
		return SMQ_ERR_NO_ROOM;
	memcpy(room.p + len, p->status, p->status_len);
	*ret_len = (size_t)len + p->status_len;
	return SMQ_OK;
}

static bool page_healthy(void *self, char *ret_why, size_t room)
{
	const struct smq_keyserver_part *p = self;
	bool silent = is_silent(p);
	if (silent || !p->status_well)
		snprintf(ret_why, room, "%s", silent ? "the signer is silent" : p->status_why);
	return !silent && p->status_well;
}

static smq_err make_page(struct smq_keyserver_part *p)
{
	const struct smq_status_source source = { p, page_metrics, page_healthy };
	p->status_ms = INT64_MIN;
	if (p->options.http_port == 0)
		return SMQ_OK;
	p->status = malloc(SMQ_STATUS_PAGE_MAX);
	if (!p->status)
		return SMQ_ERR_NO_MEMORY;
	smq_err err = smq_keyserver_serve_page(p->options.http_port, &source, &p->page);
	p->line.page = p->page;
	return err;
}

/* ---- from the signer ---- */

static size_t free_place(const struct smq_keyserver_part *p)
{
	size_t i = 0;
	while (i < SMQ_KEYSERVER_INFLIGHT && p->sent[i] != 0)
		i++;
	return i;
}

/* True: done with it, one way or the other. */
static bool publish(struct smq_keyserver_part *p, const struct smq_frame *f)
{
	struct smq_transport *t = p->line.transport;
	struct smq_mqtt_message m = {
		.topic = smq_frame_text(f, 0), .payload = f->parts[1], .qos = 1, .retain = f->numbers[1] == 1
	};
	size_t place = free_place(p);
	int id = 0;
	smq_err err = place == SMQ_KEYSERVER_INFLIGHT ? SMQ_ERR_FULL : t->ops->publish(t, &m, &id);
	if (err == SMQ_ERR_FULL)
		return false;
	if (err == SMQ_OK) {
		p->sent[place] = id;
		p->ids[place] = f->numbers[0];
	} else
		tell_published(p, f->numbers[0], err);
	return true;
}

/* What is under way was another signer's: its numbers mean nothing to the new one. */
static void greet(struct smq_keyserver_part *p)
{
	struct smq_frame hello = { .kind = SMQ_FRAME_HELLO, .numbers = { SMQ_FRAME_VERSION } };
	for (size_t i = 0; i < SMQ_KEYSERVER_INFLIGHT; i++)
		p->ids[i] = 0;
	if (say(p, &hello, -1) == SMQ_OK && p->online)
		(void)!say(p, &(struct smq_frame){ .kind = SMQ_FRAME_ONLINE }, -1);
}

/* False: the transport has no room for it now. Anything but these ends us: our other end is not what it was. */
static bool serve(struct smq_keyserver_part *p, const struct smq_frame *f)
{
	struct smq_transport *t = p->line.transport;
	int id = 0;
	if (f->kind == SMQ_FRAME_PUBLISH)
		return publish(p, f);
	if (f->kind == SMQ_FRAME_ANEW)
		greet(p);
	else if (f->kind == SMQ_FRAME_STATUS)
		take_status(p, f);
	else if (f->kind != SMQ_FRAME_SUBSCRIBE)
		p->over = true;
	else if (p->online)
		(void)!t->ops->subscribe(t, smq_frame_text(f, 0), SMQ_SUB_CONTROL, NULL, 0, &id);
	return true;
}

/* One frame at most is held here; the others wait in the channel, whose room is bounded too. */
static void tick(void *self)
{
	struct smq_keyserver_part *p = self;
	smq_err err = SMQ_OK;
	while (!p->over) {
		if (!p->holding)
			err = smq_channel_receive(&p->link, 0, &p->held);
		if (err == SMQ_ERR_FULL)
			return;
		if (err != SMQ_OK) {
			p->over = true;
			return;
		}
		p->holding = !serve(p, &p->held);
		if (p->holding)
			return;
	}
}

static int64_t wake_at(void *self)
{
	(void)self;
	return INT64_MAX;
}

/* ---- a part ---- */

static smq_err directory_of(const char *file, char ret_dir[SMQ_PATH_MAX])
{
	char copy[SMQ_PATH_MAX];
	ret_dir[0] = 0;
	if (!file)
		return SMQ_OK;
	if (snprintf(copy, sizeof(copy), "%s", file) >= (int)sizeof(copy))
		return SMQ_ERR_TOO_LARGE;
	snprintf(ret_dir, SMQ_PATH_MAX, "%s", dirname(copy));
	return SMQ_OK;
}

smq_err smq_listener_new(struct smq_keyserver_part *p)
{
	const struct smq_transport_events events = { .self = p,
						     .connected = on_connected,
						     .disconnected = on_disconnected,
						     .message = on_message,
						     .published = on_published,
						     .subscribed = on_subscribed };
	struct smq_client_options broker = *p->options.broker;
	struct smq_frame stale;
	const char *why = "";
	broker.inflight_max = SMQ_KEYSERVER_INFLIGHT;
	p->line.self = p;
	p->line.tick = tick;
	p->line.wake_at = wake_at;
	p->line.channel = SMQ_PART_LINK;
	smq_err err = smq_channel_init(&p->link, SMQ_PART_LINK);
	/* what was meant for the one before us */
	while (err == SMQ_OK && smq_channel_receive(&p->link, 0, &stale) != SMQ_ERR_FULL)
		;
	if (err == SMQ_OK)
		err = make_page(p);
	if (err == SMQ_OK)
		err = smq_line_open(&p->line, &broker, &events, &why);
	if (err != SMQ_OK && smq_keyserver_why[0])
		return err;
	if (err != SMQ_OK)
		return smq_because(err, smq_keyserver_why, SMQ_WHY_MAX, "%s", why && *why ? why : smq_err_text(err));
	p->line.options.realm = NULL;
	const struct smq_client_options *o = &p->line.options;
	const char *const files[] = { o->tls.ca_file, o->tls.cert_file, o->tls.key_file };
	for (size_t i = 0; i < 3 && err == SMQ_OK; i++)
		err = directory_of(files[i], p->file_dirs[i]);
	p->ports[0] = (uint16_t)(o->port ? o->port : o->tls.by_realm || o->tls.ca_file || o->tls.ca_dir ? 8883 : 1883);
	p->ports[1] = 53;
	return err;
}

smq_err smq_listener_run(struct smq_keyserver_part *p)
{
	struct smq_transport *t = p->line.transport;
	greet(p);
	smq_line_run(&p->line, &p->over, -1);
	if (p->online && t->ops->disconnect(t, 0, NULL, 0) == SMQ_OK) {
		bool gone = false;
		smq_line_run(&p->line, &gone, 50);
	}
	return SMQ_OK;
}
