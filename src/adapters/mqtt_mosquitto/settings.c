/* From the client's options to a libmosquitto handle: everything that is checked before the first connect. */
#include "settings.h"

#include <errno.h>
#include <fcntl.h>
#include <mqtt_protocol.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/wipe.h"
#include "properties.h"

#define OS_CERTS "/etc/ssl/certs"
/* A length in CONNECT has 16 bits; the library would cut what is longer and send a broken packet. */
#define FIELD_MAX UINT16_MAX

static smq_err refuse(const char **ret_why, const char *why, smq_err err)
{
	*ret_why = why;
	return err;
}

/* The library's answer to a setting, in our words. */
static smq_err setting_err(int rc)
{
	switch (rc) {
	case MOSQ_ERR_SUCCESS:
		return SMQ_OK;
	case MOSQ_ERR_NOMEM:
		return SMQ_ERR_NO_MEMORY;
	case MOSQ_ERR_NOT_SUPPORTED:
		return SMQ_ERR_UNSUPPORTED;
	default:
		return SMQ_ERR_USAGE;
	}
}

static bool file_readable(const char *path) { return access(path, R_OK) == 0; }

/* ---- numbers and the broker's address ---- */

static smq_err apply_times(const struct smq_client_options *o, struct settings *s, const char **ret_why)
{
	s->keepalive_s = o->keepalive_s ? o->keepalive_s : 60;
	s->backoff_min_ms = o->backoff_min_ms ? o->backoff_min_ms : 250;
	s->backoff_max_ms = o->backoff_max_ms ? o->backoff_max_ms : 30000;
	s->connect_timeout_ms = o->connect_timeout_ms ? o->connect_timeout_ms : 10000;
	s->inflight_max = o->inflight_max ? (size_t)o->inflight_max : 20;
	s->control_at_qos0 = o->control_at_qos0;
	s->protocol = o->protocol ? o->protocol : MQTT_PROTOCOL_V5;
	if (s->keepalive_s < 5 || s->keepalive_s > UINT16_MAX)
		return refuse(ret_why, "keepalive must be 5 to 65535 seconds", SMQ_ERR_USAGE);
	if (s->backoff_min_ms < 1 || s->backoff_max_ms < s->backoff_min_ms || s->backoff_max_ms > 86400000)
		return refuse(ret_why, "back-off must be 1 ms to 1 day, the first no longer than the last",
			      SMQ_ERR_USAGE);
	if (s->connect_timeout_ms < 1 || s->connect_timeout_ms > 3600000)
		return refuse(ret_why, "connect timeout must be 1 ms to 1 hour", SMQ_ERR_USAGE);
	if (o->inflight_max < 0 || o->inflight_max > UINT16_MAX)
		return refuse(ret_why, "inflight_max must be 1 to 65535", SMQ_ERR_USAGE);
	if (s->protocol != MQTT_PROTOCOL_V5 && s->protocol != MQTT_PROTOCOL_V311 && s->protocol != MQTT_PROTOCOL_V31)
		return refuse(ret_why, "protocol must be 5, 4 (MQTT 3.1.1) or 3 (MQTT 3.1)", SMQ_ERR_USAGE);
	return SMQ_OK;
}

static smq_err apply_address(const struct smq_client_options *o, struct settings *s, const char **ret_why)
{
	const char *host = o->host ? o->host : "localhost";
	if (o->srv_lookup)
		return refuse(ret_why, "SRV look-ups are not in this build's MQTT library", SMQ_ERR_UNSUPPORTED);
	if (host[0] == '\0' || o->port < 0 || o->port > UINT16_MAX)
		return refuse(ret_why, "the broker's host must not be empty, its port must be 1 to 65535",
			      SMQ_ERR_USAGE);
	if (host[0] == '/') {
		if (strlen(host) >= sizeof(((struct sockaddr_un *)0)->sun_path))
			return refuse(ret_why, "the path of the unix socket is too long", SMQ_ERR_USAGE);
		s->port = 0;
	} else {
		s->port = o->port ? o->port : s->tls ? 8883 : 1883;
	}
	s->host = strdup(host);
	if (o->bind_address)
		s->bind_address = strdup(o->bind_address);
	return s->host && (s->bind_address || !o->bind_address) ? SMQ_OK : SMQ_ERR_NO_MEMORY;
}

/* ---- who we are ---- */

/* 23 characters at most are all that MQTT 3.1 allows. */
#define MADE_ID_ROOM 24

static smq_err choose_client_id(const struct smq_client_options *o, char room[MADE_ID_ROOM], const char **ret_id,
				const char **ret_why)
{
	uint64_t random;
	*ret_id = o->client_id;
	if (o->client_id && strlen(o->client_id) > FIELD_MAX)
		return refuse(ret_why, "the client id is too long", SMQ_ERR_USAGE);
	if (o->client_id)
		return SMQ_OK;
	if (!o->clean_start)
		return refuse(ret_why, "a session that outlives the connection needs a client id", SMQ_ERR_USAGE);
	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return SMQ_ERR_IO;
	snprintf(room, MADE_ID_ROOM, "sealmq-%016llx", (unsigned long long)random);
	*ret_id = room;
	return SMQ_OK;
}

static smq_err apply_login(struct mosquitto *m, const struct smq_client_options *o, const struct settings *s,
			   const char **ret_why)
{
	if (!o->username && !o->password)
		return SMQ_OK;
	if (!o->username && s->protocol != MQTT_PROTOCOL_V5)
		return refuse(ret_why, "before MQTT 5 a password needs a username", SMQ_ERR_USAGE);
	if ((o->username && strlen(o->username) > FIELD_MAX) || (o->password && strlen(o->password) > FIELD_MAX))
		return refuse(ret_why, "username or password is too long", SMQ_ERR_USAGE);
	if (mosquitto_username_pw_set(m, o->username, o->password) != MOSQ_ERR_SUCCESS)
		return refuse(ret_why, "the username is not valid UTF-8", SMQ_ERR_USAGE);
	return SMQ_OK;
}

smq_err settings_set_will(struct mosquitto *m, const struct settings *s, const struct smq_mqtt_message *w,
			  const char **ret_why)
{
	mosquitto_property *list = NULL;
	if (s->will && mosquitto_property_copy_all(&list, s->will) != MOSQ_ERR_SUCCESS)
		return SMQ_ERR_NO_MEMORY;
	/* Takes the list, but only when it succeeds. */
	if (w->payload.len > FIELD_MAX || !w->topic || w->qos < 0 || w->qos > 2 ||
	    mosquitto_pub_topic_check(w->topic) != MOSQ_ERR_SUCCESS ||
	    mosquitto_will_set_v5(m, w->topic, (int)w->payload.len, w->payload.p, w->qos, w->retain, list) !=
		MOSQ_ERR_SUCCESS) {
		mosquitto_property_free_all(&list);
		return refuse(ret_why, "the will needs a topic without wildcards, QoS 0 to 2, and at most 65535 bytes",
			      SMQ_ERR_USAGE);
	}
	return SMQ_OK;
}

static smq_err apply_will(struct mosquitto *m, const struct smq_client_options *o, struct settings *s,
			  const char **ret_why)
{
	smq_err err = properties_make("will", o->properties, o->property_count, &s->will, ret_why);
	if (err)
		return err;
	if (o->will && s->will && s->protocol != MQTT_PROTOCOL_V5)
		return refuse(ret_why, "properties need MQTT 5", SMQ_ERR_USAGE);
	return o->will ? settings_set_will(m, s, o->will, ret_why) : SMQ_OK;
}

/* ---- properties of CONNECT and DISCONNECT ---- */

static smq_err add_session_expiry(const struct smq_client_options *o, const struct settings *s,
				  mosquitto_property **list)
{
	uint32_t given;
	if (s->protocol != MQTT_PROTOCOL_V5 || o->session_expiry_s == 0 ||
	    mosquitto_property_read_int32(*list, MQTT_PROP_SESSION_EXPIRY_INTERVAL, &given, false))
		return SMQ_OK;
	return setting_err(mosquitto_property_add_int32(list, MQTT_PROP_SESSION_EXPIRY_INTERVAL, o->session_expiry_s));
}

static smq_err apply_properties(struct mosquitto *m, const struct smq_client_options *o, struct settings *s,
				const char **ret_why)
{
	mosquitto_property *list = NULL;
	smq_err err = properties_make("connect", o->properties, o->property_count, &list, ret_why);
	if (!err)
		err = properties_make("disconnect", o->properties, o->property_count, &s->goodbye, ret_why);
	if (!err)
		err = add_session_expiry(o, s, &list);
	if (!err && (list || s->goodbye) && s->protocol != MQTT_PROTOCOL_V5)
		err = refuse(ret_why, "properties need MQTT 5", SMQ_ERR_USAGE);
	if (!err && list && o->socks5)
		err = refuse(ret_why, "through SOCKS5 the MQTT library sends no CONNECT properties (session expiry)",
			     SMQ_ERR_UNSUPPORTED);
	/* The library has no call that stores CONNECT properties and does not block. This one stores them, then
	 * refuses to connect for want of a host; connect_bind_async uses what was stored. */
	if (!err && list && mosquitto_connect_bind_v5(m, NULL, s->port, s->keepalive_s, NULL, list) != MOSQ_ERR_INVAL)
		err = SMQ_ERR_BUG;
	mosquitto_property_free_all(&list);
	return err;
}

/* ---- TLS ---- */

static smq_err read_passphrase(const char *path, struct settings *s, const char **ret_why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, s->passphrase, sizeof(s->passphrase) - 1);
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return refuse(ret_why, "cannot read the passphrase file", SMQ_ERR_NOT_FOUND);
	s->passphrase_len = strcspn(s->passphrase, "\r\n");
	return SMQ_OK;
}

static smq_err check_tls(const struct smq_tls_options *t, const char **ret_why)
{
	if (t->psk && (t->ca_file || t->ca_dir || t->cert_file || t->os_certs))
		return refuse(ret_why, "a pre-shared key and certificates exclude each other", SMQ_ERR_USAGE);
	if ((t->psk && !t->psk_identity) || (!t->psk && t->psk_identity))
		return refuse(ret_why, "a pre-shared key and its identity go together", SMQ_ERR_USAGE);
	if ((t->cert_file && !t->key_file) || (!t->cert_file && t->key_file))
		return refuse(ret_why, "a client certificate and its key go together", SMQ_ERR_USAGE);
	if (t->version && strcmp(t->version, "tlsv1.3") != 0 && strcmp(t->version, "tlsv1.2") != 0)
		return refuse(ret_why, "TLS version must be tlsv1.3 or tlsv1.2 (the least that is accepted)",
			      SMQ_ERR_USAGE);
	if (t->alpn && (t->alpn[0] == '\0' || strlen(t->alpn) > 254))
		return refuse(ret_why, "ALPN must be 1 to 254 characters", SMQ_ERR_USAGE);
	if (t->ca_file && !file_readable(t->ca_file))
		return refuse(ret_why, "cannot read the CA file", SMQ_ERR_NOT_FOUND);
	if (t->ca_dir && !file_readable(t->ca_dir))
		return refuse(ret_why, "cannot read the CA directory", SMQ_ERR_NOT_FOUND);
	if (t->cert_file && !file_readable(t->cert_file))
		return refuse(ret_why, "cannot read the client certificate", SMQ_ERR_NOT_FOUND);
	if (t->key_file && !t->engine && !file_readable(t->key_file))
		return refuse(ret_why, "cannot read the client key", SMQ_ERR_NOT_FOUND);
	return SMQ_OK;
}

static int set_text(struct mosquitto *m, enum mosq_opt_t option, const char *value)
{
	return value ? mosquitto_string_option(m, option, value) : MOSQ_ERR_SUCCESS;
}

static smq_err apply_tls(struct mosquitto *m, const struct smq_client_options *o, struct settings *s,
			 int (*passphrase_cb)(char *, int, int, void *), const char **ret_why)
{
	const struct smq_tls_options *t = &o->tls;
	smq_err err = check_tls(t, ret_why);
	if (err || !s->tls)
		return err;
	if (t->key_passphrase_file && (err = read_passphrase(t->key_passphrase_file, s, ret_why)) != SMQ_OK)
		return err;
	int rc;
	if (t->psk)
		rc = mosquitto_tls_psk_set(m, t->psk, t->psk_identity, NULL);
	else
		rc = mosquitto_tls_set(m, t->ca_file, t->ca_file || t->ca_dir ? t->ca_dir : OS_CERTS, t->cert_file,
				       t->key_file, passphrase_cb);
	if (!rc && t->os_certs)
		rc = mosquitto_int_option(m, MOSQ_OPT_TLS_USE_OS_CERTS, 1);
	if (!rc)
		rc = mosquitto_tls_opts_set(m, 1, t->version ? t->version : "tlsv1.3", t->ciphers);
	/* No SSL_CTX of our own: with one the library would skip the check of the broker's name. */
	if (!rc)
		rc = mosquitto_tls_insecure_set(m, t->insecure_no_hostname);
	if (!rc)
		rc = set_text(m, MOSQ_OPT_TLS_ALPN, t->alpn);
	if (!rc)
		rc = set_text(m, MOSQ_OPT_TLS_ENGINE, t->engine);
	if (!rc)
		rc = set_text(m, MOSQ_OPT_TLS_KEYFORM, t->key_form);
	if (!rc)
		rc = set_text(m, MOSQ_OPT_TLS_ENGINE_KPASS_SHA1, t->engine_pin_sha1);
	if (rc)
		*ret_why = "a TLS option is wrong: the PSK (hex), the engine, its PIN (hex SHA-1), or the key form "
			   "(pem or engine)";
	return setting_err(rc);
}

smq_err settings_set_tls(struct mosquitto *m, const struct settings *s, const struct smq_tls_options *t,
			 int (*passphrase_cb)(char *, int, int, void *))
{
	if (!s->tls || t->psk)
		return SMQ_ERR_USAGE;
	return setting_err(mosquitto_tls_set(m, t->ca_file, t->ca_file || t->ca_dir ? t->ca_dir : OS_CERTS,
					     t->cert_file, t->key_file, passphrase_cb));
}

/* ---- SOCKS5 ---- */

/* Cuts "socks5h://[user[:password]@]host[:port]" in place. */
static bool cut_socks5(char *text, char **ret_host, int *ret_port, char **ret_user, char **ret_password)
{
	static const char scheme[] = "socks5h://";
	char *at, *colon, *end, *password = NULL, *user = NULL;
	long port = 1080;
	if (strncmp(text, scheme, sizeof(scheme) - 1) != 0)
		return false;
	text += sizeof(scheme) - 1;
	at = strrchr(text, '@');
	if (at) {
		*at = '\0';
		user = text;
		text = at + 1;
		colon = strchr(user, ':');
		if (colon) {
			*colon = '\0';
			password = colon + 1;
		}
	}
	colon = strrchr(text, ':');
	if (colon) {
		*colon = '\0';
		port = strtol(colon + 1, &end, 10);
		if (*end != '\0' || colon[1] == '\0' || port < 1 || port > UINT16_MAX)
			return false;
	}
	*ret_host = text;
	*ret_port = (int)port;
	*ret_user = user;
	*ret_password = password;
	return text[0] != '\0';
}

static smq_err apply_socks5(struct mosquitto *m, const struct smq_client_options *o, const struct settings *s,
			    const char **ret_why)
{
	char *host, *user, *password;
	int port;
	if (!o->socks5)
		return SMQ_OK;
	char *text = strdup(o->socks5);
	if (!text)
		return SMQ_ERR_NO_MEMORY;
	size_t len = strlen(text);
	smq_err err = SMQ_OK;
	if (s->port == 0 || !cut_socks5(text, &host, &port, &user, &password))
		err = refuse(ret_why, "the proxy must be socks5h://[user[:password]@]host[:port]", SMQ_ERR_USAGE);
	else
		err = setting_err(mosquitto_socks5_set(m, host, port, user, password));
	smq_wipe(text, len);
	free(text);
	return err;
}

/* ---- all of it ---- */

static smq_err apply_numbers(struct mosquitto *m, const struct settings *s)
{
	int rc = mosquitto_int_option(m, MOSQ_OPT_PROTOCOL_VERSION, s->protocol);
	if (!rc)
		rc = mosquitto_int_option(m, MOSQ_OPT_SEND_MAXIMUM, (int)s->inflight_max);
	/* Brokers of the same version send more QoS 2 messages ahead than a client allows (on an acknowledgement they
	 * count from its place in their list, not the list), and the library then breaks the connection. */
	if (!rc)
		rc = mosquitto_int_option(m, MOSQ_OPT_RECEIVE_MAXIMUM, UINT16_MAX);
	/* Without it a small packet waits up to 40 ms for the acknowledgement of the one before. */
	if (!rc)
		rc = mosquitto_int_option(m, MOSQ_OPT_TCP_NODELAY, s->port != 0);
	/* "Somebody else writes": packets are queued by publish and written by loop_write alone, so that no
	 * callback and no lost connection ever comes out of publish. */
	if (!rc)
		rc = mosquitto_threaded_set(m, true);
	return setting_err(rc);
}

smq_err settings_apply(const struct smq_client_options *o, void *self, int (*passphrase_cb)(char *, int, int, void *),
		       struct mosquitto **ret_mosquitto, struct settings *ret, const char **ret_why)
{
	struct settings s = { 0 };
	struct mosquitto *m = NULL;
	char made_id[MADE_ID_ROOM];
	const char *id = NULL;
	const struct smq_tls_options *t = &o->tls;
	s.tls = t->ca_file || t->ca_dir || t->psk || t->os_certs;
	smq_err err = SMQ_OK;
	if (!s.tls && (t->cert_file || t->key_file))
		err = refuse(ret_why, "a client certificate needs a CA (file, directory, or the system's)",
			     SMQ_ERR_USAGE);
	if (!err)
		err = apply_times(o, &s, ret_why);
	if (!err)
		err = apply_address(o, &s, ret_why);
	if (!err)
		err = choose_client_id(o, made_id, &id, ret_why);
	if (!err && !(m = mosquitto_new(id, o->clean_start, self)))
		err = errno == ENOMEM ? SMQ_ERR_NO_MEMORY
				      : refuse(ret_why, "the client id is empty or not valid UTF-8", SMQ_ERR_USAGE);
	if (!err)
		err = apply_numbers(m, &s);
	if (!err)
		err = apply_login(m, o, &s, ret_why);
	if (!err)
		err = apply_tls(m, o, &s, passphrase_cb, ret_why);
	if (!err)
		err = apply_will(m, o, &s, ret_why);
	if (!err)
		err = apply_properties(m, o, &s, ret_why);
	if (!err)
		err = apply_socks5(m, o, &s, ret_why);
	if (err) {
		mosquitto_destroy(m);
		settings_done(&s);
		return err;
	}
	*ret_mosquitto = m;
	*ret = s;
	smq_wipe(s.passphrase, sizeof(s.passphrase));
	return SMQ_OK;
}

void settings_done(struct settings *s)
{
	free(s->host);
	free(s->bind_address);
	mosquitto_property_free_all(&s->goodbye);
	mosquitto_property_free_all(&s->will);
	smq_wipe(s, sizeof(*s));
}
