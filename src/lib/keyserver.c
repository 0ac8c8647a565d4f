/* The key server as a service: database, broker and use case put together. */
#include "lib/keyserver_internal.h"

#include <limits.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "adapters/common_loader/loader.h"
#include "adapters/crypto_openssl/password.h"
#include "adapters/keyserver_sqlite/keyserver_sqlite.h"
#include "adapters/token_pkcs11/token.h"
#include "base/text.h"
#include "lib/line.h"
#include "lib/pin.h"
#include "lib/realm_internal.h"

_Thread_local char smq_keyserver_why[SMQ_WHY_MAX];
#define why_text smq_keyserver_why

#define because(err, ...) smq_because(err, why_text, sizeof(why_text), __VA_ARGS__)

static smq_err answer(smq_err err, const char **ret_why)
{
	if (err != SMQ_OK && ret_why)
		*ret_why = why_text;
	return err;
}

/* ---- the database ---- */

static const char credential[] = "sealmq-keyserver";

static smq_err read_passphrase(const struct smq_keyserver_options *o, struct smq_file_bytes *ret_passphrase)
{
	char path[SMQ_PATH_MAX];
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	if (o->passphrase_file)
		return smq_passphrase_read(o->passphrase_file, ret_passphrase, why_text, sizeof(why_text));
	if (!dir)
		return because(SMQ_ERR_USAGE,
			       "no passphrase for the database: --passphrase-file FILE, or the systemd credential %s",
			       credential);
	smq_err err = smq_path_join(dir, credential, path);
	return err == SMQ_OK ? smq_passphrase_read(path, ret_passphrase, why_text, sizeof(why_text))
			     : because(err, "the path of the credentials is too long");
}

/* Where the master key comes from. */
struct master {
	const struct smq_keyserver_options *o;
	bool create, said;
	char source[SMQ_KS_SOURCE_MAX]; /* the URI of a key in a token; "": a passphrase */
};

static smq_err of_passphrase(const struct master *m, smq_span salt, smq_mspan key)
{
	struct smq_file_bytes passphrase = { NULL, 0 };
	smq_err err = read_passphrase(m->o, &passphrase);
	if (err == SMQ_OK)
		err = smq_openssl_scrypt(smq_span_of(passphrase.p, passphrase.len), salt, key);
	smq_file_bytes_free(&passphrase);
	return err;
}

static smq_err new_secret(struct smq_token *token, char ret_uri[SMQ_TOKEN_URI_MAX])
{
	const struct smq_random *random = smq_random_system();
	uint8_t id[SMQ_TOKEN_ID_LEN];
	smq_err err = random->fill(random->self, smq_mspan_of(id, sizeof(id)));
	return err == SMQ_OK ? smq_token_make_secret(token, "sealmq keyserver", id, ret_uri, why_text, sizeof(why_text))
			     : err;
}

/* HMAC in the token: its key never leaves it, and the master key is nowhere on the disk. */
static smq_err of_token(struct master *m, smq_span salt, uint8_t ret_key[SMQ_KS_MASTER_KEY_LEN])
{
	const char *uri = m->o->master_pkcs11 ? m->o->master_pkcs11 : m->source;
	struct smq_token_uri said;
	struct smq_file_bytes pin = { NULL, 0 };
	struct smq_token *token = NULL;
	smq_err err = smq_token_uri_read(uri, &said, why_text, sizeof(why_text));
	if (err == SMQ_OK)
		err = smq_pin_read(uri, m->o->passphrase_file, SMQ_PIN_CREDENTIAL_KEYSERVER, &pin, why_text,
				   sizeof(why_text));
	if (err == SMQ_OK)
		err = smq_token_open(uri, smq_span_of(pin.p, pin.len), &token, why_text, sizeof(why_text));
	if (err == SMQ_OK && m->create && !said.object)
		err = new_secret(token, m->source);
	else if (err == SMQ_OK)
		err = smq_token_use_secret(token, m->create ? uri : m->source, m->source, why_text, sizeof(why_text));
	if (err == SMQ_OK)
		err = smq_token_mac(token, salt, ret_key, why_text, sizeof(why_text));
	smq_token_close(token);
	smq_file_bytes_free(&pin);
	return err == SMQ_ERR_NOT_FOUND ? SMQ_ERR_NO_KEY : err; /* it is not the database that is missing */
}

static smq_err derive(void *self, const uint8_t salt[SMQ_KS_SALT_LEN], uint8_t ret_key[SMQ_KS_MASTER_KEY_LEN])
{
	struct master *m = self;
	smq_span s = smq_span_of(salt, SMQ_KS_SALT_LEN);
	bool token = m->create ? m->o->master_pkcs11 != NULL : m->source[0] != 0;
	why_text[0] = 0;
	smq_err err =
	    token ? of_token(m, s, ret_key) : of_passphrase(m, s, smq_mspan_of(ret_key, SMQ_KS_MASTER_KEY_LEN));
	m->said = err != SMQ_OK && why_text[0];
	return err;
}

static int64_t unix_ms(void) { return smq_line_clock.now().unix_ms; }

static smq_err say_store(smq_err err, const char *path)
{
	switch (err) {
	case SMQ_OK:
		return err;
	case SMQ_ERR_OPEN:
		return because(err, "%s: another passphrase than the one it was made with", path);
	case SMQ_ERR_LOCKED:
		return because(err, "%s: a key server is running on it", path);
	case SMQ_ERR_NOT_FOUND:
		return because(err, "%s: not there; `sealmq keyserver init` makes it", path);
	case SMQ_ERR_EXISTS:
		return because(err, "%s: there already, and not replaced", path);
	case SMQ_ERR_LIBRARY:
		return because(err, "%s: %s", path, smq_library_text(err));
	case SMQ_ERR_CORRUPT:
		return because(err, "%s: no key server's database, or damaged", path);
	case SMQ_ERR_UNSAFE_FILE:
		return because(err, "%s: others may read it, or it is a symlink: chmod 600, owned by the key server",
			       path);
	default:
		return because(err, "%s: %s", path, smq_err_text(err));
	}
}

/* Of a copy: which of the two files is meant. */
static smq_err say_copy(smq_err err, const char *from, const char *to)
{
	char directory[SMQ_PATH_MAX];
	if (err == SMQ_ERR_NOT_FOUND)
		return because(err, "%s: not there: nothing to copy", from);
	if (err == SMQ_ERR_EXISTS || err == SMQ_ERR_DISK_FULL)
		return say_store(err, to);
	if (err == SMQ_ERR_IO && snprintf(directory, sizeof(directory), "%s", to) < (int)sizeof(directory) &&
	    access(dirname(directory), W_OK | X_OK) != 0)
		return because(err, "%s: its directory is not there, or cannot be written to", to);
	return say_store(err, from);
}

smq_err smq_keyserver_check_role(const struct smq_keyserver_options *o)
{
	const struct smq_credential *own = smq_realm_own_certificate(o->realm);
	if (own->roles & SMQ_ROLE_KEYSERVER)
		return SMQ_OK;
	return because(SMQ_ERR_CERT_USAGE,
		       "%s is no key server by its certificate: `sealmq ca issue NAME --role keyserver` makes one",
		       own->name);
}

static smq_err open_as(const struct smq_keyserver_options *o, const struct smq_own_credential *own, bool create,
		       bool only_read, struct smq_ks_store *ret_store)
{
	struct master master = { .o = o, .create = create };
	struct smq_keyserver_sqlite_config c = { .path = o->database,
						 .create = create,
						 .only_read = only_read,
						 .crypto = smq_crypto_best(),
						 .random = smq_random_system(),
						 .own = own,
						 .self = &master,
						 .derive = derive,
						 .source = master.source,
						 .unix_ms = unix_ms };
	if (!o->database)
		return because(SMQ_ERR_USAGE, "no database: --db FILE");
	smq_err err = smq_keyserver_sqlite_open(&c, ret_store);
	if (create && master.said)
		unlink(o->database); /* just made, and without its master key it is none */
	if (err == SMQ_ERR_OPEN && !master.said && master.source[0])
		return because(err, "%s: the token's key is not the one it was made with", o->database);
	return master.said ? err : say_store(err, o->database);
}

smq_err smq_keyserver_open_database(const struct smq_keyserver_options *o, const struct smq_own_credential *own,
				    struct smq_ks_store *ret_store)
{
	return open_as(o, own, false, false, ret_store);
}

static smq_err open_database(const struct smq_keyserver_options *o, bool create, bool only_read,
			     struct smq_ks_store *ret_store)
{
	smq_err err = smq_keyserver_check_role(o);
	return err == SMQ_OK ? open_as(o, smq_realm_own(o->realm), create, only_read, ret_store) : err;
}

smq_err smq_keyserver_init(const struct smq_keyserver_options *o, const char **ret_why)
{
	struct smq_ks_store store;
	smq_err err = open_database(o, true, false, &store);
	if (err == SMQ_OK)
		err = say_store(store.begin(store.self), o->database);
	if (err == SMQ_OK) {
		err = store.audit(store.self, "init", smq_realm_member(o->realm), NULL, NULL, SMQ_OK);
		err = say_store(err == SMQ_OK ? store.commit(store.self) : err, o->database);
		store.free(store.self);
	}
	return answer(err, ret_why);
}

/* ---- backup, restore, check ---- */

smq_err smq_keyserver_backup(const char *database, const char *to, const char **ret_why)
{
	smq_err err = smq_keyserver_sqlite_backup(database, to);
	return answer(say_copy(err, database, to), ret_why);
}

static void undo_copy(const char *database)
{
	static const char *const beside[] = { "", "-wal", "-shm", ".lock" };
	char path[SMQ_PATH_MAX];
	for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++) {
		if (snprintf(path, sizeof(path), "%s%s", database, beside[i]) < (int)sizeof(path))
			unlink(path);
	}
}

smq_err smq_keyserver_restore(const struct smq_keyserver_options *o, const char *backup, const char **ret_why)
{
	struct smq_ks_store store;
	uint8_t mark[1] = { 1 };
	smq_err err = smq_keyserver_sqlite_backup(backup, o->database);
	if (err != SMQ_OK)
		return answer(say_copy(err, backup, o->database), ret_why);
	err = open_database(o, false, false, &store);
	if (err == SMQ_ERR_OPEN || err == SMQ_ERR_CORRUPT)
		err = say_store(err, backup);
	if (err == SMQ_OK) {
		err = store.begin(store.self);
		if (err == SMQ_OK)
			err = store.put(store.self, SMQ_KS_ITEM_SERVER, "", 1, 0, smq_span_of(mark, sizeof(mark)));
		if (err == SMQ_OK)
			err = store.audit(store.self, "restore", smq_realm_member(o->realm), NULL, NULL, SMQ_OK);
		err = say_store(err == SMQ_OK ? store.commit(store.self) : err, o->database);
		store.free(store.self);
	}
	if (err != SMQ_OK)
		undo_copy(o->database); /* unmarked it would issue things twice */
	return answer(err, ret_why);
}

static smq_err count_item(void *context, const char *group, uint64_t a, uint64_t b, smq_span value)
{
	uint64_t *count = context;
	(void)group;
	(void)a;
	(void)b;
	(void)value;
	++*count;
	return SMQ_OK;
}

smq_err smq_keyserver_check(const struct smq_keyserver_options *o, struct smq_keyserver_contents *ret_contents,
			    const char **ret_why)
{
	struct smq_ks_store store;
	struct smq_keyserver_contents c = { 0 };
	uint64_t others = 0;
	smq_err err = say_store(smq_keyserver_sqlite_check(o->database ? o->database : ""), o->database);
	if (err == SMQ_OK)
		err = open_database(o, false, true, &store);
	if (err != SMQ_OK)
		return answer(err, ret_why);
	for (int kind = SMQ_KS_ITEM_SERVER; err == SMQ_OK && kind <= SMQ_KS_ITEM_KEY; kind++) {
		uint64_t *count = kind == SMQ_KS_ITEM_GROUP    ? &c.groups
				  : kind == SMQ_KS_ITEM_MEMBER ? &c.members
				  : kind == SMQ_KS_ITEM_NODE   ? &c.nodes
				  : kind == SMQ_KS_ITEM_EPOCH  ? &c.epochs
				  : kind == SMQ_KS_ITEM_OUT    ? &c.waiting
				  : kind == SMQ_KS_ITEM_KEY    ? &c.keys
							       : &others;
		err = store.each(store.self, (enum smq_ks_item)kind, NULL, count, count_item);
	}
	store.free(store.self);
	if (err == SMQ_OK)
		*ret_contents = c;
	return answer(say_store(err, o->database), ret_why);
}

/* ---- the audit log ---- */

struct audit_reader {
	void *self;
	void (*take)(void *self, const struct smq_audit_line *line);
};

static void take_line(void *self, const struct smq_ks_audit_line *l)
{
	const struct audit_reader *r = self;
	struct smq_audit_line line = { l->number, l->time_ms, l->what, l->who, l->group, l->whom, l->outcome };
	r->take(r->self, &line);
}

smq_err smq_keyserver_audit(const smq_realm *realm, const char *database, void *self,
			    void (*take)(void *self, const struct smq_audit_line *line), struct smq_audit_end *ret_end,
			    const char **ret_why)
{
	struct smq_ks_audit_end end = { .lines = 0 };
	struct audit_reader reader = { self, take };
	smq_err err = access(database, F_OK) == 0 ? SMQ_OK : SMQ_ERR_NOT_FOUND;
	if (err == SMQ_OK)
		err = smq_keyserver_sqlite_audit(database, smq_crypto_best(), smq_realm_credentials(realm), unix_ms(),
						 &reader, take ? take_line : NULL, &end);
	ret_end->lines = end.lines;
	ret_end->signed_ms = end.time_ms;
	snprintf(ret_end->signer, sizeof(ret_end->signer), "%s", end.signer);
	if (smq_hex_encode(smq_span_of(end.hash, sizeof(end.hash)), ret_end->hash, sizeof(ret_end->hash)) != SMQ_OK)
		return SMQ_ERR_BUG;
	unsigned long long lines = end.lines;
	if (err == SMQ_ERR_CORRUPT)
		because(err, "%s: the log was altered after line %llu", database, lines);
	else if (err == SMQ_ERR_TRUNCATED)
		because(err, "%s: the log was cut off after line %llu", database, lines);
	else if (err == SMQ_ERR_NOT_FOUND)
		because(err, "%s: not there", database);
	else if (err == SMQ_ERR_LIBRARY)
		because(err, "%s: %s", database, smq_library_text(err));
	else if (err != SMQ_OK)
		because(err, "%s: the end of the log is not a key server's of this realm: %s", database,
			smq_err_text(err));
	return answer(err, ret_why);
}

/* ---- the service ---- */

struct smq_keyserver_service {
	struct smq_keyserver_again again;
	struct smq_keyserver_options options;
	struct smq_line line;
	struct smq_keyserver *server;
	struct smq_http *page;
	struct smq_keyserver_lists lists;
	bool rival;
	bool over; /* for smq_line_run */
};

static void tell(const struct smq_keyserver_service *s, const struct smq_keyserver_happening *what)
{
	if (s->options.on_event)
		s->options.on_event(s->options.self, what);
}

struct smq_keyserver_happening smq_keyserver_told(const struct smq_keyserver_event *e)
{
	static const int kinds[] = { SMQ_HAPPENED_ASKED, SMQ_HAPPENED_EPOCH, SMQ_HAPPENED_DROPPED, SMQ_HAPPENED_RIVAL,
				     SMQ_HAPPENED_JUMPED };
	struct smq_keyserver_happening h = { .who = e->who ? e->who : "",
					     .what = e->what ? e->what : "",
					     .group = e->group ? e->group : "",
					     .whom = e->whom ? e->whom : "",
					     .epoch = e->epoch,
					     .members = e->members,
					     .messages = e->messages,
					     .bytes = e->bytes,
					     .err = e->err };
	memcpy(&h.kind, &kinds[e->kind], sizeof(h.kind));
	return h;
}

void smq_keyserver_tell(const struct smq_keyserver_options *o, int kind, smq_err err)
{
	struct smq_keyserver_happening h = { .who = "", .what = "", .group = "", .whom = "", .err = err };
	memcpy(&h.kind, &kind, sizeof(h.kind));
	if (o->on_event)
		o->on_event(o->self, &h);
}

static void on_server_event(void *self, const struct smq_keyserver_event *e)
{
	struct smq_keyserver_service *s = self;
	struct smq_keyserver_happening h = smq_keyserver_told(e);
	if (e->kind == SMQ_KEYSERVER_RIVAL)
		s->rival = s->over = true;
	tell(s, &h);
}

static smq_err publish(void *self, const char *topic, smq_span payload, bool retain, uint64_t *ret_id)
{
	struct smq_keyserver_service *s = self;
	struct smq_mqtt_message m = { .topic = topic, .payload = payload, .qos = 1, .retain = retain };
	int id = 0;
	smq_err err = s->line.transport->ops->publish(s->line.transport, &m, &id);
	if (err == SMQ_OK)
		*ret_id = (uint64_t)id;
	return err;
}

enum { AGAIN_FIRST_MS = 1000, AGAIN_MOST_MS = 60000 };

static void subscribe_all(struct smq_keyserver_service *s)
{
	int id;
	for (size_t i = 0; smq_keyserver_filter(s->server, i); i++)
		(void)!s->line.transport->ops->subscribe(s->line.transport, smq_keyserver_filter(s->server, i),
							 SMQ_SUB_CONTROL, NULL, 0, &id);
	smq_crl_line_subscribe(&s->lists.line, s->line.transport);
}

void smq_keyserver_again_later(struct smq_keyserver_again *a)
{
	if (a->at_ms)
		return;
	a->pause_ms = a->pause_ms ? a->pause_ms * 2 : AGAIN_FIRST_MS;
	a->pause_ms = a->pause_ms < AGAIN_MOST_MS ? a->pause_ms : AGAIN_MOST_MS;
	a->at_ms = smq_line_clock.now().mono_ms + a->pause_ms;
}

bool smq_keyserver_again_now(struct smq_keyserver_again *a)
{
	bool due = a->at_ms && smq_line_clock.now().mono_ms >= a->at_ms;
	if (due)
		a->at_ms = 0;
	return due;
}

int64_t smq_keyserver_again_at(const struct smq_keyserver_again *a, int64_t due_ms)
{
	return a->at_ms && a->at_ms < due_ms ? a->at_ms : due_ms;
}

static void on_connected(void *self, int reason, bool session_present)
{
	struct smq_keyserver_service *s = self;
	(void)session_present;
	if (reason != 0)
		return; /* `disconnected` follows */
	s->again = (struct smq_keyserver_again){ 0, 0 };
	subscribe_all(s);
	smq_keyserver_tell(&s->options, SMQ_HAPPENED_CONNECTED, SMQ_OK);
	smq_keyserver_online(s->server);
}

static void on_disconnected(void *self, smq_err err, int reason)
{
	struct smq_keyserver_service *s = self;
	(void)reason;
	smq_keyserver_offline(s->server);
	smq_keyserver_tell(&s->options, SMQ_HAPPENED_DISCONNECTED, err);
}

static void on_message(void *self, const struct smq_mqtt_message *m)
{
	struct smq_keyserver_service *s = self;
	if (!smq_keyserver_lists_take(&s->lists, m->topic, m->payload))
		smq_keyserver_input(s->server, m->topic, m->payload, m->retain);
}

static void on_published(void *self, int id, int reason)
{
	struct smq_keyserver_service *s = self;
	smq_err err = reason == SMQ_PUBLISHED_NEVER ? SMQ_ERR_CONNECTION_LOST
		      : reason >= 128               ? SMQ_ERR_NOT_AUTHORIZED
						    : SMQ_OK;
	smq_keyserver_published(s->server, (uint64_t)id, err);
}

static void on_subscribed(void *self, int id, const int *reasons, size_t count)
{
	struct smq_keyserver_service *s = self;
	struct smq_keyserver_happening h = { .kind = SMQ_HAPPENED_DROPPED,
					     .who = "broker",
					     .what = "subscription",
					     .group = "",
					     .whom = "",
					     .err = SMQ_ERR_NOT_AUTHORIZED };
	if (count == 0 || reasons[0] < 128 || smq_crl_line_subscribed(&s->lists.line, id))
		return;
	tell(s, &h);
	smq_keyserver_again_later(&s->again);
}

static void tick(void *self)
{
	struct smq_keyserver_service *s = self;
	unsigned identity = s->lists.watch.identity;
	smq_keyserver_lists_look(&s->lists);
	if (s->lists.watch.identity != identity)
		smq_line_identity(&s->line);
	if (smq_keyserver_again_now(&s->again) && s->line.transport->ops->connected(s->line.transport))
		subscribe_all(s);
	smq_keyserver_tick(s->server);
}

static int64_t wake_at(void *self)
{
	const struct smq_keyserver_service *s = self;
	int64_t at = smq_keyserver_again_at(&s->again, smq_keyserver_wake_at(s->server));
	return at < s->lists.watch.due_ms ? at : s->lists.watch.due_ms;
}

smq_err smq_keyserver_make(const struct smq_keyserver_options *o, const struct smq_ks_store *store, void *self,
			   smq_err (*publish_by)(void *self, const char *topic, smq_span payload, bool retain,
						 uint64_t *ret_id),
			   void (*on_event)(void *self, const struct smq_keyserver_event *event),
			   struct smq_keyserver **ret_server)
{
	struct smq_keyserver_config c = { .crypto = smq_crypto_best(),
					  .random = smq_random_system(),
					  .credentials = smq_realm_credentials(o->realm),
					  .own = smq_realm_own(o->realm),
					  .realm = smq_realm_name(o->realm),
					  .name = smq_realm_member(o->realm),
					  .prefix = smq_realm_control_prefix(o->realm),
					  .clock = smq_line_clock,
					  .store = *store,
					  .self = self,
					  .publish = publish_by,
					  .on_event = on_event,
					  .requests_per_min = o->requests_per_min,
					  .announce_again = o->announce_again,
					  .out_max = SMQ_KEYSERVER_INFLIGHT };
	const char *why = "";
	smq_err err = smq_keyserver_new(&c, ret_server, &why);
	return err == SMQ_OK ? err : because(err, "%s: %s", o->database, why && *why ? why : smq_err_text(err));
}

static smq_err page_metrics(void *self, smq_mspan room, size_t *ret_len)
{
	const struct smq_keyserver_service *s = self;
	return smq_keyserver_status(&s->options, s->server, room, ret_len);
}

static bool page_healthy(void *self, char *ret_why, size_t room)
{
	const struct smq_keyserver_service *s = self;
	return smq_keyserver_healthy(s->server, ret_why, room);
}

smq_err smq_keyserver_status(const struct smq_keyserver_options *o, const struct smq_keyserver *server, smq_mspan room,
			     size_t *ret_len)
{
	size_t len = 0;
	struct smq_crl_stretch crl = smq_realm_crl_stretch(o->realm);
	smq_err err = smq_keyserver_metrics(server, room, &len);
	if (err != SMQ_OK)
		return err;
	int more =
	    snprintf((char *)room.p + len, room.len - len,
		     "# HELP sealmq_keyserver_certificate_end_seconds When our certificate ends, Unix time.\n"
		     "# TYPE sealmq_keyserver_certificate_end_seconds gauge\n"
		     "sealmq_keyserver_certificate_end_seconds %lld\n"
		     "# HELP sealmq_keyserver_crl_end_seconds When the revocation list ends, Unix time; 0: none.\n"
		     "# TYPE sealmq_keyserver_crl_end_seconds gauge\nsealmq_keyserver_crl_end_seconds %lld\n",
		     (long long)(smq_realm_expires_ms(o->realm) / 1000),
		     (long long)(crl.until_ms == INT64_MAX ? 0 : crl.until_ms / 1000));
	if (more < 0 || (size_t)more >= room.len - len)
		return SMQ_ERR_NO_ROOM;
	*ret_len = len + (size_t)more;
	return SMQ_OK;
}

smq_err smq_keyserver_serve_page(int port, const struct smq_status_source *source, struct smq_http **ret_page)
{
	if (port == 0)
		return SMQ_OK;
	smq_err err = smq_http_new(source, (uint16_t)port, ret_page);
	if (err == SMQ_ERR_LIBRARY)
		return because(err, "/metrics: %s", smq_library_text(err));
	return err == SMQ_OK ? err
			     : because(err, "/metrics on port %d: the port is taken, or there is no memory", port);
}

static smq_err make_server(struct smq_keyserver_service *s)
{
	struct smq_ks_store store;
	smq_err err = open_database(&s->options, false, false, &store);
	return err == SMQ_OK ? smq_keyserver_make(&s->options, &store, s, publish, on_server_event, &s->server) : err;
}

static smq_err connect_line(struct smq_keyserver_service *s)
{
	const struct smq_transport_events events = { .self = s,
						     .connected = on_connected,
						     .disconnected = on_disconnected,
						     .message = on_message,
						     .published = on_published,
						     .subscribed = on_subscribed };
	const char *why = "";
	struct smq_client_options broker = *s->options.broker;
	broker.inflight_max = SMQ_KEYSERVER_INFLIGHT;
	s->line.self = s;
	s->line.tick = tick;
	s->line.wake_at = wake_at;
	smq_err err = smq_line_open(&s->line, &broker, &events, &why);
	return err == SMQ_OK ? err : because(err, "%s", why && *why ? why : smq_err_text(err));
}

smq_err smq_keyserver_service_new(const struct smq_keyserver_options *options, smq_keyserver_service **ret_service,
				  const char **ret_why)
{
	struct smq_keyserver_service *s = calloc(1, sizeof(*s));
	if (!s)
		return answer(because(SMQ_ERR_NO_MEMORY, "out of memory"), ret_why);
	s->options = *options;
	smq_keyserver_lists_init(&s->lists, &s->options);
	smq_err err = make_server(s);
	if (err == SMQ_OK)
		err = smq_keyserver_serve_page(s->options.http_port,
					       &(struct smq_status_source){ s, page_metrics, page_healthy }, &s->page);
	s->line.page = s->page;
	if (err == SMQ_OK)
		err = connect_line(s);
	if (err != SMQ_OK) {
		smq_keyserver_service_free(s);
		return answer(err, ret_why);
	}
	*ret_service = s;
	return SMQ_OK;
}

smq_err smq_keyserver_service_run(smq_keyserver_service *s, int timeout_ms)
{
	if (!s->over)
		smq_line_run(&s->line, &s->over, timeout_ms);
	return s->rival ? SMQ_ERR_EXISTS : SMQ_OK;
}

void smq_keyserver_service_stop(smq_keyserver_service *s) { smq_line_stop(&s->line); }

void smq_keyserver_service_free(smq_keyserver_service *s)
{
	if (!s)
		return;
	if (s->line.transport && s->line.transport->ops->connected(s->line.transport) &&
	    s->line.transport->ops->disconnect(s->line.transport, 0, NULL, 0) == SMQ_OK) {
		bool gone = false;
		smq_line_run(&s->line, &gone, 50);
	}
	smq_line_close(&s->line);
	smq_http_free(s->page);
	if (s->server)
		smq_keyserver_free(s->server);
	free(s);
}
