/* One table of everything that can go wrong. */
#include <sealmq/err.h>

#include "base/table.h"

struct row {
	smq_err err;
	enum smq_err_kind kind;
	int exit_status;
	const char *name;
	const char *text;
};

/* Statuses below 30 are those of mosquitto_pub and mosquitto_sub for the same mishap. */
static const struct row rows[] = {
	{ SMQ_OK, SMQ_KIND_NONE, 0, "ok", "no error" },

	{ SMQ_ERR_MALFORMED, SMQ_KIND_INPUT, 84, "malformed", "not a well-formed message" },
	{ SMQ_ERR_TRUNCATED, SMQ_KIND_INPUT, 84, "truncated", "ends too early" },
	{ SMQ_ERR_TRAILING, SMQ_KIND_INPUT, 84, "trailing", "has bytes after its end" },
	{ SMQ_ERR_VERSION, SMQ_KIND_INPUT, 84, "version", "a version that this build does not speak" },
	{ SMQ_ERR_ALGORITHM, SMQ_KIND_INPUT, 84, "algorithm", "an algorithm that is unknown or not allowed here" },
	{ SMQ_ERR_NOT_SEALED, SMQ_KIND_INPUT, 84, "not-sealed", "a plain payload where a sealed one is wanted" },
	{ SMQ_ERR_TOPIC, SMQ_KIND_INPUT, 3, "topic", "not a usable MQTT topic" },
	{ SMQ_ERR_NAME, SMQ_KIND_INPUT, 3, "name", "not a usable name (letters, digits, '-' and '_', at most 64)" },
	{ SMQ_ERR_TOO_LARGE, SMQ_KIND_INPUT, 9, "too-large", "too large" },
	{ SMQ_ERR_DATA, SMQ_KIND_INPUT, 85, "data", "a record that cannot be read" },

	{ SMQ_ERR_OPEN, SMQ_KIND_AUTH, 80, "open", "does not open: altered, or sealed under another key" },
	{ SMQ_ERR_NO_KEY, SMQ_KIND_AUTH, 81, "no-key", "no key for this message" },
	{ SMQ_ERR_REPLAY, SMQ_KIND_AUTH, 82, "replay", "seen before, or older than the replay window" },
	{ SMQ_ERR_MOVED, SMQ_KIND_AUTH, 80, "moved", "sealed for another topic and moved here" },
	{ SMQ_ERR_UNKNOWN_SENDER, SMQ_KIND_AUTH, 81, "unknown-sender", "a sender that is not admitted here" },
	{ SMQ_ERR_STALE_EPOCH, SMQ_KIND_AUTH, 81, "stale-epoch", "an epoch that has passed" },
	{ SMQ_ERR_NOT_PROVEN, SMQ_KIND_AUTH, 83, "not-proven", "the sender is not proven" },
	{ SMQ_ERR_SIGNATURE, SMQ_KIND_AUTH, 83, "signature", "a signature that does not verify" },
	{ SMQ_ERR_CREDENTIAL, SMQ_KIND_AUTH, 83, "credential", "a credential that is not known here" },
	{ SMQ_ERR_CERT_CHAIN, SMQ_KIND_AUTH, 83, "cert-chain",
	  "a certificate that was not issued under this realm's root" },
	{ SMQ_ERR_CERT_EXPIRED, SMQ_KIND_AUTH, 83, "cert-expired", "an expired certificate" },
	{ SMQ_ERR_CERT_NOT_YET, SMQ_KIND_AUTH, 83, "cert-not-yet-valid", "a certificate that is not valid yet" },
	{ SMQ_ERR_CERT_NAME, SMQ_KIND_AUTH, 83, "cert-name", "a certificate with the wrong name" },
	{ SMQ_ERR_CERT_USAGE, SMQ_KIND_AUTH, 83, "cert-usage", "a certificate that is not for this use" },
	{ SMQ_ERR_CERT_REVOKED, SMQ_KIND_AUTH, 83, "cert-revoked", "a revoked certificate" },
	{ SMQ_ERR_CERT_INVALID, SMQ_KIND_AUTH, 83, "cert-invalid", "an invalid certificate" },
	{ SMQ_ERR_CERT_PATH, SMQ_KIND_AUTH, 83, "cert-path",
	  "a certificate with more authorities above it than they allow" },
	{ SMQ_ERR_CERT_LIMITS, SMQ_KIND_AUTH, 83, "cert-limits",
	  "a certificate with a name that its authority may not give" },
	{ SMQ_ERR_CERT_CRL, SMQ_KIND_AUTH, 83, "cert-crl", "no current revocation list for a certificate's issuer" },

	{ SMQ_ERR_STATE, SMQ_KIND_STATE, 86, "state", "not expected at this moment" },
	{ SMQ_ERR_NO_SESSION, SMQ_KIND_STATE, 81, "no-session", "no session with that peer yet" },
	{ SMQ_ERR_CLOSED, SMQ_KIND_STATE, 86, "closed", "already closed" },
	{ SMQ_ERR_PEER_REFUSED, SMQ_KIND_STATE, 83, "peer-refused", "the peer refused the key exchange" },
	{ SMQ_ERR_LOCKED, SMQ_KIND_STATE, 86, "locked", "in use by another process" },
	{ SMQ_ERR_EXISTS, SMQ_KIND_STATE, 86, "exists", "already exists" },

	{ SMQ_ERR_KEY_SPENT, SMQ_KIND_LIMIT, 87, "key-spent", "this key has sealed all the messages it may" },
	{ SMQ_ERR_RATE, SMQ_KIND_LIMIT, 87, "rate", "too many for now" },
	{ SMQ_ERR_FULL, SMQ_KIND_LIMIT, 87, "full", "a bounded queue or table is full" },

	{ SMQ_ERR_NO_MEMORY, SMQ_KIND_RESOURCE, 1, "no-memory", "out of memory" },
	{ SMQ_ERR_NO_ROOM, SMQ_KIND_RESOURCE, 1, "no-room", "the buffer is too small" },

	{ SMQ_ERR_IO, SMQ_KIND_IO, 14, "io", "reading or writing failed" },
	{ SMQ_ERR_DISK_FULL, SMQ_KIND_IO, 14, "disk-full", "no space left on the disk" },
	{ SMQ_ERR_NOT_FOUND, SMQ_KIND_IO, 14, "not-found", "not found" },
	{ SMQ_ERR_PERMISSION, SMQ_KIND_IO, 14, "permission", "permission denied" },
	{ SMQ_ERR_UNSAFE_FILE, SMQ_KIND_IO, 88, "unsafe-file", "a secret file that others could read or replace" },
	{ SMQ_ERR_CORRUPT, SMQ_KIND_IO, 88, "corrupt", "a state file that does not read back" },
	{ SMQ_ERR_HOST, SMQ_KIND_IO, 15, "host", "host name not found" },
	{ SMQ_ERR_NO_CONNECTION, SMQ_KIND_IO, 4, "no-connection", "not connected to a broker" },
	{ SMQ_ERR_CONNECTION_REFUSED, SMQ_KIND_IO, 5, "connection-refused", "connection refused" },
	{ SMQ_ERR_CONNECTION_LOST, SMQ_KIND_IO, 7, "connection-lost", "connection lost" },
	{ SMQ_ERR_TLS, SMQ_KIND_IO, 8, "tls", "TLS failed" },
	{ SMQ_ERR_NOT_AUTHORIZED, SMQ_KIND_IO, 135, "not-authorized", "not authorized" },
	{ SMQ_ERR_TIMEOUT, SMQ_KIND_IO, 27, "timeout", "timed out" },
	{ SMQ_ERR_PROTOCOL, SMQ_KIND_IO, 2, "protocol", "the broker broke the MQTT protocol" },
	{ SMQ_ERR_STORE, SMQ_KIND_IO, 14, "store", "the database refused" },

	{ SMQ_ERR_USAGE, SMQ_KIND_USAGE, 1, "usage", "wrong usage" },
	{ SMQ_ERR_CONFIG, SMQ_KIND_USAGE, 3, "config", "wrong configuration" },
	{ SMQ_ERR_UNSUPPORTED, SMQ_KIND_USAGE, 10, "unsupported", "not supported" },
	{ SMQ_ERR_LIBRARY, SMQ_KIND_USAGE, 10, "library", "a library that this needs is not installed" },
	{ SMQ_ERR_REALM, SMQ_KIND_USAGE, 89, "realm", "not a usable realm directory" },

	{ SMQ_ERR_CRYPTO, SMQ_KIND_BUG, 70, "crypto", "the crypto library failed" },
	{ SMQ_ERR_BUG, SMQ_KIND_BUG, 70, "bug", "internal error" },
};

static const struct row *find(smq_err err)
{
	for (size_t i = 0; i < SMQ_COUNT(rows); i++) {
		if (rows[i].err == err)
			return &rows[i];
	}
	return &rows[SMQ_COUNT(rows) - 1];
}

enum smq_err_kind smq_err_kind_of(smq_err err) { return find(err)->kind; }

const char *smq_err_name(smq_err err) { return find(err)->name; }

const char *smq_err_text(smq_err err) { return find(err)->text; }

int smq_err_exit(smq_err err) { return find(err)->exit_status; }
