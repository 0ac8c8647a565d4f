/* MQTT 5 properties between our words and libmosquitto's lists. */
#include "properties.h"

#include <mqtt_protocol.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hot.h"
#include "base/table.h"

static const struct {
	const char *name;
	int command;
} commands[] = {
	{ "connect", CMD_CONNECT },
	{ "publish", CMD_PUBLISH },
	{ "subscribe", CMD_SUBSCRIBE },
	{ "unsubscribe", CMD_UNSUBSCRIBE },
	{ "disconnect", CMD_DISCONNECT },
	{ "auth", CMD_AUTH },
	{ "will", CMD_WILL },
};

static int command_of(const char *name)
{
	for (size_t i = 0; i < SMQ_COUNT(commands); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].command;
	}
	return -1;
}

static bool parse_number(const struct smq_property *p, uint32_t max, uint32_t *ret_number)
{
	uint64_t n = 0;
	if (p->value_len == 0 || p->value_len > 10)
		return false;
	for (size_t i = 0; i < p->value_len; i++) {
		if (p->value[i] < '0' || p->value[i] > '9')
			return false;
		n = n * 10 + (uint64_t)(p->value[i] - '0');
	}
	if (n > max)
		return false;
	*ret_number = (uint32_t)n;
	return true;
}

/* The largest value of a numeric type, 0 for the others. */
static uint32_t number_max(int type)
{
	switch (type) {
	case MQTT_PROP_TYPE_BYTE:
		return UINT8_MAX;
	case MQTT_PROP_TYPE_INT16:
		return UINT16_MAX;
	case MQTT_PROP_TYPE_INT32:
		return UINT32_MAX;
	case MQTT_PROP_TYPE_VARINT:
		return 268435455; /* MQTT 5, 1.5.5 */
	default:
		return 0;
	}
}

static int add_number(mosquitto_property **list, int id, int type, uint32_t n)
{
	switch (type) {
	case MQTT_PROP_TYPE_BYTE:
		return mosquitto_property_add_byte(list, id, (uint8_t)n);
	case MQTT_PROP_TYPE_INT16:
		return mosquitto_property_add_int16(list, id, (uint16_t)n);
	case MQTT_PROP_TYPE_INT32:
		return mosquitto_property_add_int32(list, id, n);
	default:
		return mosquitto_property_add_varint(list, id, n);
	}
}

static int add_text(mosquitto_property **list, int id, int type, const struct smq_property *p)
{
	char *text = malloc(p->value_len + 1);
	if (!text)
		return MOSQ_ERR_NOMEM;
	if (p->value_len)
		memcpy(text, p->value, p->value_len);
	text[p->value_len] = '\0';
	int rc = MOSQ_ERR_INVAL;
	if (type == MQTT_PROP_TYPE_STRING_PAIR && p->pair_value)
		rc = mosquitto_property_add_string_pair(list, id, text, p->pair_value);
	else if (type == MQTT_PROP_TYPE_STRING && !p->pair_value)
		rc = mosquitto_property_add_string(list, id, text);
	free(text);
	return rc;
}

static smq_err add_one(mosquitto_property **list, int command, const struct smq_property *p, const char **ret_why)
{
	int id, type;
	uint32_t number;
	int rc;
	if (!p->name || (!p->value && p->value_len) ||
	    mosquitto_string_to_property_info(p->name, &id, &type) != MOSQ_ERR_SUCCESS) {
		*ret_why = "unknown MQTT 5 property";
		return SMQ_ERR_USAGE;
	}
	if (mosquitto_property_check_command(command, id) != MOSQ_ERR_SUCCESS) {
		*ret_why = "this MQTT 5 property does not go with this command";
		return SMQ_ERR_USAGE;
	}
	if (number_max(type) > 0) {
		if (!parse_number(p, number_max(type), &number)) {
			*ret_why = "this MQTT 5 property wants a decimal number in its range";
			return SMQ_ERR_USAGE;
		}
		rc = add_number(list, id, type, number);
	} else if (p->value_len > UINT16_MAX || (p->pair_value && strlen(p->pair_value) > UINT16_MAX)) {
		rc = MOSQ_ERR_INVAL;
	} else if (type == MQTT_PROP_TYPE_BINARY) {
		rc = mosquitto_property_add_binary(list, id, p->value, (uint16_t)p->value_len);
	} else if (memchr(p->value ? p->value : "", '\0', p->value_len)) {
		rc = MOSQ_ERR_INVAL;
	} else {
		rc = add_text(list, id, type, p);
	}
	if (rc == MOSQ_ERR_NOMEM)
		return SMQ_ERR_NO_MEMORY;
	if (rc != MOSQ_ERR_SUCCESS) {
		*ret_why = "the value of this MQTT 5 property is not valid UTF-8, too long, or has a second half too "
			   "much or too little";
		return SMQ_ERR_USAGE;
	}
	return SMQ_OK;
}

SMQ_HOT smq_err properties_make(const char *command, const struct smq_property *properties, size_t count,
				mosquitto_property **ret_list, const char **ret_why)
{
	mosquitto_property *list = NULL;
	for (size_t i = 0; i < count; i++) {
		const struct smq_property *p = &properties[i];
		if (p->command && command_of(p->command) < 0) {
			*ret_why = "unknown command before an MQTT 5 property";
			mosquitto_property_free_all(&list);
			return SMQ_ERR_USAGE;
		}
		if (p->command && strcmp(p->command, command) != 0)
			continue;
		smq_err err = add_one(&list, command_of(command), p, ret_why);
		if (err) {
			mosquitto_property_free_all(&list);
			return err;
		}
	}
	if (list && mosquitto_property_check_all(command_of(command), list) != MOSQ_ERR_SUCCESS) {
		*ret_why = "an MQTT 5 property given twice, or with a value that the standard forbids";
		mosquitto_property_free_all(&list);
		return SMQ_ERR_USAGE;
	}
	*ret_list = list;
	return SMQ_OK;
}

static char *number_text(uint32_t n)
{
	char text[16];
	snprintf(text, sizeof(text), "%u", n);
	return strdup(text);
}

/* Reads the list's first entry. */
static bool read_one(const mosquitto_property *list, struct smq_property *ret)
{
	int id = mosquitto_property_identifier(list), type;
	uint8_t u8 = 0;
	uint16_t u16 = 0;
	uint32_t u32 = 0;
	char *text = NULL, *pair = NULL;
	void *binary = NULL;
	const char *name = mosquitto_property_identifier_to_string(id);
	if (!name || mosquitto_string_to_property_info(name, &id, &type) != MOSQ_ERR_SUCCESS)
		return false;
	switch (type) {
	case MQTT_PROP_TYPE_BYTE:
		mosquitto_property_read_byte(list, id, &u8, false);
		text = number_text(u8);
		break;
	case MQTT_PROP_TYPE_INT16:
		mosquitto_property_read_int16(list, id, &u16, false);
		text = number_text(u16);
		break;
	case MQTT_PROP_TYPE_INT32:
		mosquitto_property_read_int32(list, id, &u32, false);
		text = number_text(u32);
		break;
	case MQTT_PROP_TYPE_VARINT:
		mosquitto_property_read_varint(list, id, &u32, false);
		text = number_text(u32);
		break;
	case MQTT_PROP_TYPE_STRING:
		mosquitto_property_read_string(list, id, &text, false);
		break;
	case MQTT_PROP_TYPE_STRING_PAIR:
		mosquitto_property_read_string_pair(list, id, &text, &pair, false);
		break;
	case MQTT_PROP_TYPE_BINARY:
		mosquitto_property_read_binary(list, id, &binary, &u16, false);
		text = binary ? binary : strdup("");
		break;
	}
	if (!text || (type == MQTT_PROP_TYPE_STRING_PAIR && !pair)) {
		free(text);
		free(pair);
		return false;
	}
	*ret = (struct smq_property){ .command = "publish",
				      .name = name,
				      .value = text,
				      .value_len = type == MQTT_PROP_TYPE_BINARY ? u16 : strlen(text),
				      .pair_value = pair };
	return true;
}

smq_err properties_read(const mosquitto_property *list, struct smq_property **ret_properties, size_t *ret_count)
{
	size_t count = 0, done = 0;
	for (const mosquitto_property *p = list; p && count < PROPERTIES_IN_MAX; p = mosquitto_property_next(p))
		count++;
	if (count == 0) {
		*ret_properties = NULL;
		*ret_count = 0;
		return SMQ_OK;
	}
	struct smq_property *properties = calloc(count, sizeof(*properties));
	if (!properties)
		return SMQ_ERR_NO_MEMORY;
	for (const mosquitto_property *p = list; p && count-- > 0; p = mosquitto_property_next(p)) {
		if (read_one(p, &properties[done]))
			done++;
	}
	*ret_properties = properties;
	*ret_count = done;
	return SMQ_OK;
}

SMQ_HOT void properties_free(struct smq_property *properties, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free((void *)(uintptr_t)properties[i].value);
		free((void *)(uintptr_t)properties[i].pair_value);
	}
	free(properties);
}
