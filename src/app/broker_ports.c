/* Ports in a deployment's configuration, line by line. */
#include "app/broker_ports.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"

static bool begins_with(const char *line, const char *word)
{
	line += strspn(line, " \t");
	size_t len = strlen(word);
	return strncmp(line, word, len) == 0 && isspace((unsigned char)line[len]) && line[len] != '\n';
}

/* The port in such a line: digits behind a blank or a colon, with nothing of an address after them. */
static const char *port_in(const char *line, size_t len, int *ret_port)
{
	for (size_t i = 1; i < len; i++) {
		size_t digits = strspn(line + i, "0123456789");
		if (digits == 0 || digits > 5 || !strchr(" \t:=", line[i - 1]))
			continue;
		if (i + digits >= len || strchr(" \t;\r\"", line[i + digits])) {
			*ret_port = atoi(line + i);
			return line + i;
		}
		i += digits;
	}
	return NULL;
}

/* The address in such a line: "listen ADDRESS:PORT" or "listener PORT ADDRESS". */
static void host_in(const char *line, size_t len, char ret_host[SMQ_BROKER_HOST_LEN])
{
	char text[160];
	char *save = NULL;
	(void)snprintf(text, sizeof(text), "%.*s", (int)len, line);
	(void)snprintf(ret_host, SMQ_BROKER_HOST_LEN, "127.0.0.1");
	for (char *word = strtok_r(text, " \t;", &save); word; word = strtok_r(NULL, " \t;", &save)) {
		char *colon = strrchr(word, ':');
		bool bracket = word[0] == '[' && strchr(word, ']');
		if (strspn(word, "0123456789abcdefABCDEF.:[]") != strlen(word) || !strpbrk(word, ".:"))
			continue;
		if (bracket)
			*strchr(word++, ']') = 0;
		else if (colon && strchr(word, ':') == colon)
			*colon = 0;
		if (strcmp(word, "0.0.0.0") != 0 && strcmp(word, "::") != 0)
			(void)snprintf(ret_host, SMQ_BROKER_HOST_LEN, "%s", word);
		return;
	}
}

static void note(struct smq_broker_ports *p, int port, const char *line, size_t len)
{
	for (size_t i = 0; i < p->count; i++) {
		if (p->rows[i].was == port)
			return;
	}
	if (p->count == SMQ_BROKER_PORTS_MAX || port == 0)
		return;
	bool plain = line[len] && begins_with(line + len + 1, "protocol") && strstr(line + len, "websockets") &&
		     strstr(line + len, "websockets") < line + len + 32;
	bool web = begins_with(line, "listen") && len > 5 && memcmp(line + len - 5, " ssl;", 5) == 0;
	p->rows[p->count] = (struct smq_broker_port){ .was = port, .is = port, .web = web, .plain = plain };
	host_in(line, len, p->rows[p->count++].host);
}

static bool has_port(const char *line)
{
	static const char *const words[] = {
		"listener", "listen", "server", "address", "listen:", "port:", "mqtt.listeners.ssl.1"
	};
	static const char *const starts[] = { "nats-route://",
					      "RABBITMQ_DIST_PORT=", "ERL_EPMD_PORT=", "proxy_pass http://" };
	for (size_t i = 0; i < SMQ_COUNT(words); i++) {
		if (begins_with(line, words[i]))
			return true;
	}
	line += strspn(line, " \t");
	for (size_t i = 0; i < SMQ_COUNT(starts); i++) {
		if (strncmp(line, starts[i], strlen(starts[i])) == 0)
			return true;
	}
	return false;
}

void smq_broker_ports_find(const char *conf, const char *word, struct smq_broker_ports *ret_ports)
{
	struct smq_broker_ports found = { .count = 0 };
	while (*conf) {
		size_t len = strcspn(conf, "\n");
		int port = 0;
		if (begins_with(conf, word) && port_in(conf, len, &port))
			note(&found, port, conf, len);
		conf += len + (conf[len] == '\n');
	}
	*ret_ports = found;
}

void smq_broker_ports_add(const char *conf, struct smq_broker_ports *ports)
{
	while (*conf) {
		size_t len = strcspn(conf, "\n");
		int port = 0;
		if (has_port(conf) && port_in(conf, len, &port))
			note(ports, port, conf, len);
		conf += len + (conf[len] == '\n');
	}
}

static int exchanged(const struct smq_broker_ports *ports, int port)
{
	for (size_t i = 0; i < ports->count; i++) {
		if (ports->rows[i].was == port)
			return ports->rows[i].is;
	}
	return port;
}

smq_err smq_broker_ports_exchange(const char *conf, const struct smq_broker_ports *ports, const char *more,
				  char **ret_conf)
{
	size_t lines = 1;
	for (const char *c = conf; *c; c++)
		lines += *c == '\n';
	size_t room = strlen(conf) + strlen(more) + lines * 6 + 2; /* a port grows by four digits at most */
	char *out = malloc(room);
	if (!out)
		return SMQ_ERR_NO_MEMORY;
	size_t at = (size_t)snprintf(out, room, "%s", more);
	while (*conf) {
		size_t len = strcspn(conf, "\n");
		int port = 0;
		const char *digits = has_port(conf) ? port_in(conf, len, &port) : NULL;
		size_t before = digits ? (size_t)(digits - conf) : len;
		memcpy(out + at, conf, before);
		at += before;
		if (digits) {
			at += (size_t)snprintf(out + at, room - at, "%d", exchanged(ports, port));
			size_t skip = before + strspn(digits, "0123456789");
			memcpy(out + at, conf + skip, len - skip);
			at += len - skip;
		}
		out[at++] = '\n';
		conf += len + (conf[len] == '\n');
	}
	out[at] = 0;
	*ret_conf = out;
	return SMQ_OK;
}
