/*
 * Errors: one closed list for the whole of SealMQ.
 *
 * Every function that can fail returns smq_err and leaves its ret_ outputs
 * untouched on failure. Each code has a kind, a name, one line of text and the
 * exit status with which the sealmq tool ends when the error ends it; the table
 * is in src/base/err.c, and a test walks it.
 *
 * Exit statuses follow mosquitto_pub and mosquitto_sub where they have one
 * (5 or 135 refused, 7 lost, 27 timed out, ...); ours lie from 80 on, free of
 * both mosquitto's and the shell's.
 */
#ifndef SEALMQ_ERR_H
#define SEALMQ_ERR_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SMQ_MUST_USE __attribute__((warn_unused_result))
#else
#define SMQ_MUST_USE
#endif

enum smq_err_kind {
	SMQ_KIND_NONE,
	SMQ_KIND_INPUT,    /* bytes or text that are not what they should be */
	SMQ_KIND_AUTH,     /* well formed, but not proven to be what it says */
	SMQ_KIND_STATE,    /* right in itself, at the wrong moment */
	SMQ_KIND_LIMIT,    /* a bound that protects somebody was reached */
	SMQ_KIND_RESOURCE, /* memory, room, descriptors */
	SMQ_KIND_IO,       /* disk and network */
	SMQ_KIND_USAGE,    /* the caller or the configuration is wrong */
	SMQ_KIND_BUG       /* should not happen; ours to mend */
};

/* Numbers are stable within a major version: add at the end of a block, never renumber. */
typedef enum smq_err {
	SMQ_OK = 0,

	/* input */
	SMQ_ERR_MALFORMED = 1,  /* not in the format at all, or not in its canonical form */
	SMQ_ERR_TRUNCATED = 2,  /* ends too early */
	SMQ_ERR_TRAILING = 3,   /* bytes after the end */
	SMQ_ERR_VERSION = 4,    /* a version this build does not speak */
	SMQ_ERR_ALGORITHM = 5,  /* unknown, or not allowed here */
	SMQ_ERR_NOT_SEALED = 6, /* a plain payload where a sealed one is wanted */
	SMQ_ERR_TOPIC = 7,      /* not a valid MQTT topic, or not one that may be used here */
	SMQ_ERR_NAME = 8,       /* not a valid member, group or realm name */
	SMQ_ERR_TOO_LARGE = 9,  /* longer than the format or the limit allows */
	SMQ_ERR_DATA = 10,      /* a row or record of telemetry that cannot be read */

	/* auth */
	SMQ_ERR_OPEN = 20,           /* the tag does not verify: altered, or sealed under another key */
	SMQ_ERR_NO_KEY = 21,         /* no key for this message: not a session or group of ours */
	SMQ_ERR_REPLAY = 22,         /* seen before, or older than the window reaches */
	SMQ_ERR_MOVED = 23,          /* sealed for another topic */
	SMQ_ERR_UNKNOWN_SENDER = 24, /* sender not admitted here */
	SMQ_ERR_STALE_EPOCH = 25,    /* an epoch or slot that has passed */
	SMQ_ERR_NOT_PROVEN = 26,     /* proof of the sender is asked for and missing or wrong */
	SMQ_ERR_SIGNATURE = 27,      /* a signature does not verify */
	SMQ_ERR_CREDENTIAL = 28,     /* a credential that cannot be resolved */
	SMQ_ERR_CERT_CHAIN = 29,     /* not issued under this realm's root */
	SMQ_ERR_CERT_EXPIRED = 30,
	SMQ_ERR_CERT_NOT_YET = 31,
	SMQ_ERR_CERT_NAME = 32,  /* name missing, malformed, or not the one expected */
	SMQ_ERR_CERT_USAGE = 33, /* key usage or extended key usage forbids this use */
	SMQ_ERR_CERT_REVOKED = 34,
	SMQ_ERR_CERT_INVALID = 35, /* any other violation of RFC 5280 */
	SMQ_ERR_CERT_PATH = 37,    /* more authorities in the chain than one of them allows */
	SMQ_ERR_CERT_LIMITS =
	    38,                /* a name outside of those that an authority in the chain may give (name constraints) */
	SMQ_ERR_CERT_CRL = 36, /* no current revocation list for an issuer, though lists are in use */

	/* state */
	SMQ_ERR_STATE = 40,      /* a message or call that this state does not take */
	SMQ_ERR_NO_SESSION = 41, /* no session with that peer yet */
	SMQ_ERR_CLOSED = 42,
	SMQ_ERR_PEER_REFUSED = 43, /* the peer answered with an EDHOC error message */
	SMQ_ERR_LOCKED = 44,       /* another process holds this state */
	SMQ_ERR_EXISTS = 45,       /* would overwrite */

	/* limit */
	SMQ_ERR_KEY_SPENT = 50, /* the message budget of this key is used up */
	SMQ_ERR_RATE = 51,      /* too many of these for now */
	SMQ_ERR_FULL = 52,      /* a bounded table or queue is full */

	/* resource */
	SMQ_ERR_NO_MEMORY = 60,
	SMQ_ERR_NO_ROOM = 61, /* the buffer handed in is too small */

	/* io */
	SMQ_ERR_IO = 70,
	SMQ_ERR_DISK_FULL = 71,
	SMQ_ERR_NOT_FOUND = 72,
	SMQ_ERR_PERMISSION = 73,
	SMQ_ERR_UNSAFE_FILE = 74, /* a secret that others can read, a symlink, or somebody else's */
	SMQ_ERR_CORRUPT = 75,     /* our own file does not read back */
	SMQ_ERR_HOST = 76,        /* host name not found */
	SMQ_ERR_NO_CONNECTION = 77,
	SMQ_ERR_CONNECTION_REFUSED = 78, /* the broker or its host said no */
	SMQ_ERR_CONNECTION_LOST = 79,
	SMQ_ERR_TLS = 80,
	SMQ_ERR_NOT_AUTHORIZED = 81, /* the broker refused this client, topic or message */
	SMQ_ERR_TIMEOUT = 82,
	SMQ_ERR_PROTOCOL = 83, /* the broker broke MQTT */
	SMQ_ERR_STORE = 84,    /* the database refused */

	/* usage */
	SMQ_ERR_USAGE = 90,
	SMQ_ERR_CONFIG = 91,
	SMQ_ERR_UNSUPPORTED = 92, /* valid, but not in this build or not at this broker */
	SMQ_ERR_REALM = 93,       /* not a realm directory, or not a usable one */
	SMQ_ERR_LIBRARY = 94,     /* a library that this needs cannot be loaded */

	/* bug */
	SMQ_ERR_CRYPTO = 100, /* the crypto library failed where it must not */
	SMQ_ERR_BUG = 101
} smq_err;

/* The table's row for a code; unknown codes answer as SMQ_ERR_BUG. Never NULL, static text. */
enum smq_err_kind smq_err_kind_of(smq_err err);
const char *smq_err_name(smq_err err); /* "replay" */
const char *smq_err_text(smq_err err); /* "seen before, or older than the replay window" */
int smq_err_exit(smq_err err);         /* exit status of the tool */

#ifdef __cplusplus
}
#endif
#endif
