/* `sealmq broker`: finds its part; `sealmq broker init`: makes a deployment from the realm. */
#include "cli/cmd_broker.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sealmq/broker.h>
#include <sealmq/json.h>
#include <sealmq/text.h>

#include "cli/cmd_broker_check.h"
#include "cli/cmd_broker_run.h"
#include "cli/cmd_broker_say.h"

enum { SHOWN_LEN = 4096, JSON_LEN = 16384 };

static const char help_broker[] = "sealmq broker - a hardened broker for the realm\n\n"
				  "  sealmq broker init DIR --realm CA    make a deployment: Mosquitto behind NGINX, "
				  "for systemd, Docker, or `run`\n"
				  "  sealmq broker run DIR                run it, without systemd or Docker\n"
				  "  sealmq broker check TARGET           find what would hurt, in a directory or at "
				  "HOST:PORT\n\n"
				  "Each of them has --help and --json.\n";

static const char help_init[] =
    "sealmq broker init DIR --realm CA [options]\n\n"
    "Makes DIR with everything that a broker of the realm needs: mosquitto.conf, ACL, nginx.conf, certificates, "
    "systemd\n"
    "units, firewall rules, log rotation, docker-compose.yml, and a README that says why. Run again, it replaces\n"
    "DIR/conf and DIR/certs and leaves the rest: lines of your own belong into mosquitto.local, acl.local, "
    "nginx.local.\n\n"
    "  --realm DIR           the realm's authority, as `sealmq ca init` made it (default: $SEALMQ_CA)\n"
    "  --identity DIR        server.crt, server.key and root.crt of the broker (default: issued by the realm)\n"
    "  --name NAME           the broker's name in the realm (default: broker)\n"
    "  --dns NAME            what it is reached under, for its certificate; may be repeated (default: localhost)\n"
    "  --ip ADDRESS          the same for addresses (default: 127.0.0.1, ::1)\n"
    "  --place DIR           where DIR will lie on the machine that runs it (default: where it is made)\n"
    "  --topics TOPIC        members publish below TOPIC/NAME and read all of TOPIC (default: the realm's name)\n"
    "  --port N              for members with certificates (default: 8883)\n"
    "  --address ADDRESS     listen there only (default: everywhere)\n"
    "  --password-port N     also let clients in that have a password and no certificate (default: no)\n"
    "  --backend-port N      Mosquitto's own port behind NGINX, on loopback (default: port + 10000)\n"
    "  --profile PROFILE     what is behind the port: nginx (NGINX and one Mosquitto; the default), single (one\n"
    "                        Mosquitto), mosquittos (NGINX and three, linked to each other), nats or rabbitmq (NGINX\n"
    "                        and a cluster of three)\n"
    "  --no-nginx            the same as --profile single\n"
    "  --balance HOW         NGINX sends who comes to the broker with the fewest clients (least), or always to the\n"
    "                        same one for an address (hash); default: least\n"
    "  --sni NAME=HOST:PORT  connections that ask for that name go there instead; may be repeated\n"
    "  --alpn-http HOST:PORT connections that ask for HTTP go there: one port for MQTT and a web server\n"
    "  --end-tls             TLS ends at NGINX, which writes the certificate's name into CONNECT\n"
    "  --wss-port N          secure WebSockets for browsers, names and passwords: wss://HOST:N/mqtt (default: no)\n"
    "  --connections N       at most so many clients (default: 10000)\n"
    "  --per-address N       at most so many from one address (default: 1024)\n"
    "  --message-max BYTES   largest payload (default: 1048576)\n"
    "  --keepalive-max S     longest keepalive in seconds (default: 600)\n"
    "  --log-denials         log what the ACL refuses, and with it every packet\n"
    "  --json                say what was made as JSON\n";

enum {
	O_HELP = 1,
	O_JSON,
	O_REALM,
	O_IDENTITY,
	O_NAME,
	O_DNS,
	O_IP,
	O_PLACE,
	O_TOPICS,
	O_PORT,
	O_ADDRESS,
	O_PASSWORD_PORT,
	O_BACKEND_PORT,
	O_NO_NGINX,
	O_CONNECTIONS,
	O_PER_ADDRESS,
	O_MESSAGE_MAX,
	O_KEEPALIVE_MAX,
	O_LOG_DENIALS,
	O_PROFILE,
	O_BALANCE,
	O_SNI,
	O_ALPN_HTTP,
	O_END_TLS,
	O_WSS_PORT
};

static const struct option options_init[] = {
	{ "help", no_argument, NULL, O_HELP },
	{ "json", no_argument, NULL, O_JSON },
	{ "realm", required_argument, NULL, O_REALM },
	{ "ca", required_argument, NULL, O_REALM },
	{ "identity", required_argument, NULL, O_IDENTITY },
	{ "name", required_argument, NULL, O_NAME },
	{ "dns", required_argument, NULL, O_DNS },
	{ "ip", required_argument, NULL, O_IP },
	{ "place", required_argument, NULL, O_PLACE },
	{ "topics", required_argument, NULL, O_TOPICS },
	{ "port", required_argument, NULL, O_PORT },
	{ "address", required_argument, NULL, O_ADDRESS },
	{ "password-port", required_argument, NULL, O_PASSWORD_PORT },
	{ "backend-port", required_argument, NULL, O_BACKEND_PORT },
	{ "no-nginx", no_argument, NULL, O_NO_NGINX },
	{ "connections", required_argument, NULL, O_CONNECTIONS },
	{ "per-address", required_argument, NULL, O_PER_ADDRESS },
	{ "message-max", required_argument, NULL, O_MESSAGE_MAX },
	{ "keepalive-max", required_argument, NULL, O_KEEPALIVE_MAX },
	{ "log-denials", no_argument, NULL, O_LOG_DENIALS },
	{ "profile", required_argument, NULL, O_PROFILE },
	{ "balance", required_argument, NULL, O_BALANCE },
	{ "sni", required_argument, NULL, O_SNI },
	{ "alpn-http", required_argument, NULL, O_ALPN_HTTP },
	{ "end-tls", no_argument, NULL, O_END_TLS },
	{ "wss-port", required_argument, NULL, O_WSS_PORT },
	{ NULL, 0, NULL, 0 },
};

struct args {
	const char *dir;
	const char *dns[SMQ_CA_HOSTS_MAX], *ip[SMQ_CA_HOSTS_MAX];
	struct smq_broker_options o;
	struct smq_broker_route routes[SMQ_BROKER_ROUTES_MAX];
	char route_names[SMQ_BROKER_ROUTES_MAX][256];
	bool json;
};

/* Options that are a number: where it goes, and its limits. */
static int *number_of(struct args *a, int option, int *ret_min, int *ret_max)
{
	*ret_min = 1;
	*ret_max = 65535;
	switch (option) {
	case O_PORT:
		return &a->o.port;
	case O_PASSWORD_PORT:
		return &a->o.password_port;
	case O_WSS_PORT:
		return &a->o.wss_port;
	case O_BACKEND_PORT:
		return &a->o.backend_port;
	case O_KEEPALIVE_MAX:
		*ret_min = 10;
		return &a->o.keepalive_max_s;
	case O_CONNECTIONS:
		*ret_max = 1000000;
		return &a->o.connections;
	case O_PER_ADDRESS:
		*ret_max = 1000000;
		return &a->o.per_address;
	case O_MESSAGE_MAX:
		*ret_min = 1024;
		*ret_max = 268369919;
		return &a->o.message_max;
	default:
		return NULL;
	}
}

static const char **text_of(struct args *a, int option)
{
	switch (option) {
	case O_REALM:
		return &a->o.ca;
	case O_IDENTITY:
		return &a->o.identity;
	case O_NAME:
		return &a->o.name;
	case O_PLACE:
		return &a->o.place;
	case O_TOPICS:
		return &a->o.topics;
	case O_ADDRESS:
		return &a->o.address;
	default:
		return NULL;
	}
}

static int add_host(const char **list, size_t *count, const char *host)
{
	if (*count >= SMQ_CA_HOSTS_MAX)
		return broker_misuse("at most 15 of --dns and of --ip, not one more:", host);
	list[(*count)++] = host;
	return 0;
}

static int take_profile(struct args *a, const char *text)
{
	static const char *const names[] = { [SMQ_BROKER_NGINX] = "nginx",
					     [SMQ_BROKER_SINGLE] = "single",
					     [SMQ_BROKER_MOSQUITTOS] = "mosquittos",
					     [SMQ_BROKER_NATS] = "nats",
					     [SMQ_BROKER_RABBITMQ] = "rabbitmq" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], text) == 0) {
			a->o.profile = (enum smq_broker_profile)i;
			return 0;
		}
	}
	return broker_misuse("nginx, single, mosquittos, nats or rabbitmq is wanted, not", text);
}

static int take_balance(struct args *a, const char *text)
{
	a->o.balance = strcmp(text, "hash") == 0 ? SMQ_BROKER_HASH : SMQ_BROKER_LEAST;
	return strcmp(text, "hash") == 0 || strcmp(text, "least") == 0
		   ? 0
		   : broker_misuse("least or hash is wanted, not", text);
}

/* NAME=HOST:PORT, or HOST:PORT for those who ask for HTTP. */
static int take_route(struct args *a, const char *text, bool named)
{
	const char *to = named ? strchr(text, '=') : text;
	size_t n = a->o.route_count;
	if (n == SMQ_BROKER_ROUTES_MAX)
		return broker_misuse("one route too many:", text);
	if (!to || (named && (to == text || (size_t)(to - text) >= sizeof(a->route_names[n]))))
		return broker_misuse("NAME=HOST:PORT is wanted, not", text);
	if (named)
		memcpy(a->route_names[n], text, (size_t)(to - text));
	a->routes[n] = (struct smq_broker_route){ .name = named ? a->route_names[n] : NULL, .to = named ? to + 1 : to };
	a->o.route_count = n + 1;
	return 0;
}

/* 0, or the exit status of what was wrong with the option. */
static int take(struct args *a, int option, const char *text)
{
	int min = 0;
	int max = 0;
	int *number = number_of(a, option, &min, &max);
	const char **string = text_of(a, option);
	if (string)
		*string = text;
	else if (option == O_DNS)
		return add_host(a->dns, &a->o.dns_count, text);
	else if (option == O_IP)
		return add_host(a->ip, &a->o.ip_count, text);
	else if (option == O_PROFILE)
		return take_profile(a, text);
	else if (option == O_BALANCE)
		return take_balance(a, text);
	else if (option == O_SNI || option == O_ALPN_HTTP)
		return take_route(a, text, option == O_SNI);
	else if (option == O_END_TLS)
		a->o.terminate = true;
	else if (option == O_JSON)
		a->json = true;
	else if (option == O_NO_NGINX)
		a->o.no_nginx = true;
	else if (option == O_LOG_DENIALS)
		a->o.log_denials = true;
	else if (number && !broker_number(text, min, max, number)) {
		char words[80];
		(void)snprintf(words, sizeof(words), "a number from %d to %d is wanted, not", min, max);
		return broker_misuse(words, text);
	}
	return 0;
}

/* -1: go on; otherwise the exit status. */
static int parse(int argc, char **argv, struct args *a)
{
	int option;
	opterr = 0;
	optind = 0; /* glibc: begin anew, and permute */
	while ((option = getopt_long(argc, argv, "", options_init, NULL)) != -1) {
		if (option == O_HELP) {
			fputs(help_init, stdout);
			return broker_flushed();
		}
		if (option == '?')
			return broker_misuse("unknown option, or its value is missing:", argv[optind - 1]);
		int status = take(a, option, optarg);
		if (status != 0)
			return status;
	}
	a->dir = optind < argc ? argv[optind++] : NULL;
	if (optind < argc)
		return broker_misuse("one name too many:", argv[optind]);
	if (!a->dir)
		return broker_misuse("init needs a directory to make", NULL);
	return -1;
}

static int say_made(const struct args *a, const struct smq_broker_made *made)
{
	char until[BROKER_TIME_LEN];
	char shown[SHOWN_LEN];
	broker_time(made->server_not_after_ms, until);
	if (a->json) {
		char text[JSON_LEN];
		struct smq_json j = smq_json_on(smq_mspan_of(text, sizeof(text)));
		smq_json_object(&j);
		smq_json_key(&j, "dir");
		smq_json_str(&j, a->dir);
		smq_json_key(&j, "replaced");
		smq_json_bool(&j, made->replaced);
		smq_json_key(&j, "issued");
		smq_json_bool(&j, made->issued);
		smq_json_key(&j, "members");
		smq_json_uint(&j, made->members);
		smq_json_key(&j, "certificate_not_after");
		smq_json_str(&j, until);
		smq_json_end(&j);
		return broker_print_json(&j, text);
	}
	smq_escape(smq_span_str(a->dir), shown, sizeof(shown));
	printf("%s %s: %zu member%s in the ACL, the broker's certificate is valid until %s\n",
	       made->replaced ? "renewed" : "made", shown, made->members, made->members == 1 ? "" : "s", until);
	printf("conf/README.md says what was decided and how to start it\n");
	return broker_flushed();
}

static int broker_init(int argc, char **argv)
{
	struct args a = { .dir = NULL };
	struct smq_broker_made made;
	const char *why = NULL;
	sigset_t all;
	sigset_t before;
	int status = parse(argc, argv, &a);

	if (status >= 0)
		return status;
	const char *usual = getenv("SEALMQ_CA");
	if (!a.o.ca && usual && *usual)
		a.o.ca = usual;
	a.o.dns = a.dns;
	a.o.ip = a.ip;
	a.o.routes = a.routes;
	/* It takes a moment; an interrupt waits until it is whole. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	smq_err err = smq_broker_init(a.dir, &a.o, &made, &why);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return err == SMQ_OK ? say_made(&a, &made) : broker_fail(err, why);
}

int cmd_broker(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} rows[] = { { "init", broker_init }, { "run", broker_run }, { "check", broker_check } };

	if (argc < 2 || strcmp(argv[1], "--help") == 0) {
		fputs(help_broker, argc < 2 ? stderr : stdout);
		return argc < 2 ? smq_err_exit(SMQ_ERR_USAGE) : broker_flushed();
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(argv[1], rows[i].name) == 0)
			return rows[i].run(argc - 1, argv + 1);
	}
	return broker_misuse("there is no such part of it:", argv[1]);
}
