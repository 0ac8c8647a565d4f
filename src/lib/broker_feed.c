/* The realm's revocation lists over MQTT, for the broker itself: a member of it that only listens (PROTOCOL.md 7.9). */
#include "lib/broker_feed.h"

#include <stdlib.h>

#include <sealmq/client.h>
#include <sealmq/realm.h>

#include "lib/files.h"

struct smq_broker_feed {
	smq_realm *realm;
	smq_client *client;
};

smq_err smq_broker_feed_start(const char *dir, int port, struct smq_broker_feed **ret_feed, char *ret_why, size_t room)
{
	const char *why = NULL;
	struct smq_client_options o;
	struct smq_broker_feed *feed = calloc(1, sizeof(*feed));
	if (!feed)
		return SMQ_ERR_NO_MEMORY;
	smq_client_options_init(&o);
	smq_err err = smq_realm_open(dir, &feed->realm, &why);
	o.host = "127.0.0.1";
	o.port = port;
	o.protocol = 4; /* which every engine speaks */
	o.control_at_qos0 = true;
	o.tls.by_realm = true;
	o.tls.insecure_no_hostname = true;
	o.realm = feed->realm;
	o.only_subscribes = true;
	o.only_groups = true;
	if (err == SMQ_OK)
		err = smq_client_new(&o, &feed->client, &why);
	if (err == SMQ_OK)
		err = smq_client_connect(feed->client);
	if (err != SMQ_OK) {
		smq_broker_feed_free(feed);
		return smq_because(err, ret_why, room, "%s: %s", dir, why ? why : smq_err_text(err));
	}
	*ret_feed = feed;
	return SMQ_OK;
}

smq_err smq_broker_feed_service(struct smq_broker_feed *feed) { return smq_client_service(feed->client); }

void smq_broker_feed_free(struct smq_broker_feed *feed)
{
	if (!feed)
		return;
	smq_client_free(feed->client);
	smq_realm_free(feed->realm);
	free(feed);
}
