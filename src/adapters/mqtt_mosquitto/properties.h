/* MQTT 5 properties between our words and libmosquitto's lists. */
#ifndef SMQ_ADAPTERS_MQTT_PROPERTIES_H
#define SMQ_ADAPTERS_MQTT_PROPERTIES_H

#include <mosquitto.h>

#include <sealmq/client.h>

/* The most properties of one incoming message that are handed on; a broker could send millions. */
#define PROPERTIES_IN_MAX 128

/* Those for `command` (an entry without a command counts for every one), checked against the standard.
 * *ret_list is NULL where there are none; the caller frees it. On failure *ret_why says what is wrong. */
SMQ_MUST_USE smq_err properties_make(const char *command, const struct smq_property *properties, size_t count,
				     mosquitto_property **ret_list, const char **ret_why);

/* Those of an incoming PUBLISH; properties_free frees what it allocates. */
SMQ_MUST_USE smq_err properties_read(const mosquitto_property *list, struct smq_property **ret_properties,
				     size_t *ret_count);
void properties_free(struct smq_property *properties, size_t count);

#endif
