/* From the client's options to a libmosquitto handle: everything that is checked before the first connect. */
#ifndef SMQ_ADAPTERS_MQTT_SETTINGS_H
#define SMQ_ADAPTERS_MQTT_SETTINGS_H

#include <mosquitto.h>

#include <sealmq/client.h>

#define SETTINGS_PASSPHRASE_MAX 1024

/* What connecting needs beyond the handle. */
struct settings {
	char *host;
	char *bind_address;
	int port; /* 0: host is a unix socket's path */
	int keepalive_s;
	int backoff_min_ms, backoff_max_ms, connect_timeout_ms;
	int protocol;
	size_t inflight_max;
	bool control_at_qos0;
	bool tls;
	mosquitto_property *goodbye; /* for DISCONNECT */
	mosquitto_property *will;    /* the will's */
	char passphrase[SETTINGS_PASSPHRASE_MAX];
	size_t passphrase_len;
};

/* Makes the handle with `self` as its user data, and fills *ret. settings_done undoes the latter. */
SMQ_MUST_USE smq_err settings_apply(const struct smq_client_options *o, void *self,
				    int (*passphrase_cb)(char *, int, int, void *), struct mosquitto **ret_mosquitto,
				    struct settings *ret, const char **ret_why);
void settings_done(struct settings *s);
/* For the next connection: other files. */
SMQ_MUST_USE smq_err settings_set_tls(struct mosquitto *m, const struct settings *s, const struct smq_tls_options *t,
				      int (*passphrase_cb)(char *, int, int, void *));
/* For the next CONNECT. */
SMQ_MUST_USE smq_err settings_set_will(struct mosquitto *m, const struct settings *s, const struct smq_mqtt_message *w,
				       const char **ret_why);

#endif
