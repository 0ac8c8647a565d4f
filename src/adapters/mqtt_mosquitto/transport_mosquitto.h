/*
 * The transport port over libmosquitto 2.0.11 (Debian 12), on a loop of our own.
 *
 * None of the library's loops is used: they select() (descriptors up to 1,023), die for good when a TLS peer
 * vanishes, and spin on a refused TLS connect. service() polls nothing either; it is told what poll said.
 *
 * Worth knowing:
 * - Resolving a host name blocks (getaddrinfo); everything else does not. Give an address where that matters.
 * - A host that begins with '/' is a unix socket. SRV look-ups are refused (SMQ_ERR_UNSUPPORTED).
 * - With SOCKS5 the library sends no CONNECT properties, so a session expiry or any other is refused there.
 * - The library ignores SIGPIPE for the whole process.
 * - events.log may come from inside publish, subscribe and the like; every other event from service() alone.
 *   Its level is the library's (MOSQ_LOG_*); its text may hold topics, not escaped.
 * - Subscriptions of a connection that ended are never answered: subscribe again after `connected`.
 */
#ifndef SMQ_ADAPTERS_TRANSPORT_MOSQUITTO_H
#define SMQ_ADAPTERS_TRANSPORT_MOSQUITTO_H

#include "app/transport.h"

/*
 * Checks and copies the options (those of the broker; the end-to-end ones are not looked at); connects to nothing.
 * will, if there is one, goes out as it is. Zeroes mean the defaults of smq_client_options_init.
 * On failure *ret_why (may be NULL) points to static text that says what is wrong.
 */
SMQ_MUST_USE smq_err smq_transport_mosquitto_new(const struct smq_client_options *options,
						 const struct smq_transport_events *events,
						 struct smq_transport **ret_transport, const char **ret_why);

#endif
