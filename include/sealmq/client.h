/*
 * The client: open a realm, connect to any MQTT broker, publish sealed, receive opened.
 *
 *     struct smq_client_options o;
 *     smq_client_options_init(&o);
 *     o.host = "broker.example";  o.realm = realm;  o.on_message = print_it;
 *     smq_client_new(&o, &client);
 *     smq_client_subscribe(client, "plant/#", 1, NULL, 0, NULL);
 *     smq_client_connect(client);
 *     while (smq_client_run(client, 1000) == SMQ_OK) ...
 *
 * One thread. Nothing blocks but smq_client_run, and the lookup of a broker that
 * is named and not numbered, at each connect: as long as the system's resolver
 * takes. Whoever has a loop of his own polls smq_client_fd for reading and calls
 * smq_client_service when it is ready. Callbacks come from inside these two
 * calls only, and may call publish, subscribe, unsubscribe, disconnect and stop,
 * but not free. Strings and spans handed in are copied before the call returns;
 * those handed to a callback are valid until it returns.
 */
#ifndef SEALMQ_CLIENT_H
#define SEALMQ_CLIENT_H

#include <stdbool.h>

#include <sealmq/confine.h>
#include <sealmq/crypto.h>
#include <sealmq/err.h>
#include <sealmq/proof.h>
#include <sealmq/realm.h>
#include <sealmq/span.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- MQTT 5 properties, by the words of mosquitto_pub -D ---- */

/* command: "connect", "publish", "subscribe", "unsubscribe", "disconnect", "auth", "will";
 * name: as in the MQTT 5 standard, lower case with dashes, "user-property" for pairs. */
struct smq_property {
	const char *command;
	const char *name;
	const char *value; /* numbers in decimal, binary values as they are */
	size_t value_len;
	const char *pair_value; /* the second half of a user-property, NULL for the others */
};

/* ---- messages ---- */

struct smq_mqtt_message {
	int id;
	const char *topic; /* zero-terminated */
	smq_span payload;
	int qos; /* 0, 1, 2 */
	bool retain;
	bool dup;
	const struct smq_property *properties; /* MQTT 5: those of PUBLISH */
	size_t property_count;
};

enum smq_proof {
	SMQ_PROOF_PLAIN,       /* not sealed at all (only with options.plain) */
	SMQ_PROOF_MEMBER,      /* any holder of the group's key could have sent it */
	SMQ_PROOF_PEER,        /* a pairwise session: nobody but this peer or ourselves */
	SMQ_PROOF_PROVISIONAL, /* checkpoint signing: not covered yet */
	SMQ_PROOF_PROVEN       /* covered by the sender's signature */
};
const char *smq_proof_name(enum smq_proof proof); /* "plain", "member", "peer", "provisional", "proven" */

/* An opened message. */
struct smq_message {
	struct smq_mqtt_message mqtt; /* payload: the plaintext */
	enum smq_proof proof;
	const char *sender; /* certified name; "" for plain ones */
	const char *group;  /* NULL for a pairwise session */
	const char *algorithm;
	uint64_t epoch;   /* group epoch, or the running number of the session with this peer (from 1) */
	uint64_t slot;    /* SMQ_NO_SLOT where there are none */
	uint64_t counter; /* the sender's number for this message under this boot id and key */
	uint8_t boot_id[16];
	size_t overhead;       /* sealed length minus plaintext length, bytes */
	int64_t age_ms;        /* since the sender sealed it, by both clocks; SMQ_NO_AGE if it carries no time stamp */
	uint64_t open_ns;      /* time taken to open it */
	uint64_t missing;      /* messages of this sender that should have come between the last one and this */
	unsigned signer_roles; /* enum smq_role bits of whose signature this very message carries; else 0 */
	bool repeated;         /* delivered before in this process's life (only with options.repeats) */
	/* Of a message that is signed or covered, with options.evidence; on_proof: of one that was signed, the
	 * signature and whose it is. Else NULL. */
	const struct smq_evidence *evidence;
};
#define SMQ_NO_SLOT UINT64_MAX
#define SMQ_NO_AGE INT64_MIN

/* A payload that was not opened. Nothing of its content is here. */
struct smq_refusal {
	smq_err reason;
	const char *topic;
	size_t payload_len;
	const char *sender;     /* "" while unknown; claimed, not proven */
	const char *moved_from; /* the topic it was sealed for, where that is known, else NULL */
	uint64_t epoch;
	uint64_t counter;
};

enum smq_event_kind {
	SMQ_EVENT_SESSION_NEW,      /* first session with a peer */
	SMQ_EVENT_SESSION_ROTATED,  /* keys with a peer replaced */
	SMQ_EVENT_SESSION_WIPED,    /* an old session's keys are gone */
	SMQ_EVENT_SESSION_FAILED,   /* a key exchange ended with err */
	SMQ_EVENT_PEER_SILENT,      /* no answer to our key exchange so far; still trying */
	SMQ_EVENT_QUEUED,           /* a message waits for a connection or a session */
	SMQ_EVENT_DROPPED,          /* a QoS 0 message was dropped: no connection or no session */
	SMQ_EVENT_SESSION_ENDED,    /* the peer's certificate does not hold any more, err says why: its keys are gone */
	SMQ_EVENT_CRL_NEW,          /* crl.pem of the realm was exchanged, and the new one is in force */
	SMQ_EVENT_CRL_REFUSED,      /* crl.pem, or what came over MQTT, is of no use (err); the list before stays */
	SMQ_EVENT_CRL_ENDING,       /* the revocation list ends in took_ms, and no newer one is there */
	SMQ_EVENT_ROOT_NEW,         /* the realm's root.crt was exchanged, and is in force */
	SMQ_EVENT_IDENTITY_NEW,     /* our certificate was renewed in the realm directory, and is in use */
	SMQ_EVENT_IDENTITY_REFUSED, /* it was exchanged by one that is of no use (err); the one before stays */
	SMQ_EVENT_CRL_STALE,        /* it has ended: err is SMQ_OK where the realm's settings accept that */
	/* of groups at a key server; `group` says which */
	SMQ_EVENT_GROUP_JOINED,   /* granted, after took_ms; epoch: the newest, in use in waits_ms (PROTOCOL.md 7.6) */
	SMQ_EVENT_GROUP_REFUSED,  /* the key server says no: err, text */
	SMQ_EVENT_GROUP_EPOCH,    /* an epoch came into use */
	SMQ_EVENT_GROUP_EXPELLED, /* we are not a member any more: err, text */
	SMQ_EVENT_GROUP_WAITING,  /* the key server does not answer; we go on with what we have, and trying */
	SMQ_EVENT_GROUP_EXPIRED,  /* nobody renewed the epoch: nothing is sealed until somebody does */
	SMQ_EVENT_GROUP_LEFT,     /* we are let go, or our interval has ended */
	SMQ_EVENT_GROUP_GAP,      /* an epoch was missed; nothing is lost by that */
	SMQ_EVENT_GROUP_STALE,    /* the broker played back an old epoch or policy: refused */
	SMQ_EVENT_GROUP_FORK,     /* the key server tells two stories: the other one was refused */
	SMQ_EVENT_GROUP_TWO_SERVERS, /* two key servers keep this group: the other one was refused */
	SMQ_EVENT_GROUP_FORGED,      /* something on the control topics was not signed as it must be: err */
	SMQ_EVENT_GROUP_WILL,        /* the broker has a will sealed under this epoch; err: none could be sealed */
	SMQ_EVENT_GROUP_STAYS        /* we were to leave, but another process of this realm directory is in it */
};

struct smq_event {
	enum smq_event_kind kind;
	const char *peer; /* "" where there is none */
	uint64_t epoch;
	smq_err err;
	size_t wire_bytes; /* of the key exchange, both directions, where it ended */
	uint64_t took_ms;
	uint64_t waits_ms;
	const char *group; /* NULL where there is none */
	const char *text;  /* of the key server, escaped; NULL where there is none */
};

/* Counted since smq_client_new. */
struct smq_counts {
	uint64_t sealed, opened, plain_in, plain_out;
	uint64_t bytes_plain, bytes_sealed; /* of all sealed and opened payloads */
	uint64_t seal_ns, open_ns;          /* sums */
	uint64_t refused;                   /* all refusals, the ones below included */
	uint64_t refused_replay, refused_open, refused_no_key, refused_moved, refused_malformed, refused_sender,
	    refused_stale, refused_not_sealed;
	uint64_t missing;  /* gaps in senders' counters that were never filled */
	uint64_t sessions; /* key exchanges completed */
	uint64_t failed_exchanges;
	uint64_t reconnects;
	uint64_t published, acknowledged, queued, dropped;
};

/* ---- options ---- */

struct smq_tls_options {
	const char *ca_file, *ca_dir; /* either one turns TLS on */
	const char *cert_file, *key_file, *key_passphrase_file;
	const char *ciphers; /* OpenSSL list for TLS up to 1.2 */
	const char *version; /* "tlsv1.3" (default), "tlsv1.2" */
	const char *alpn;
	const char *psk, *psk_identity; /* hex; instead of certificates */
	const char *key_form, *engine, *engine_pin_sha1;
	bool os_certs;
	bool by_realm; /* the realm's root, this member's certificate and key; a file named above goes before it */
	bool insecure_no_hostname; /* dangerous: the broker's name is not checked */
};

struct smq_client_options {
	/* broker */
	const char *host; /* default "localhost"; a path begins with '/' : unix socket */
	int port;         /* 0: 1883, or 8883 with TLS */
	const char *bind_address;
	bool srv_lookup;
	const char *socks5;    /* "socks5h://user:pass@host:port" */
	int keepalive_s;       /* default 60 */
	int protocol;          /* 5 (default), 4 (3.1.1), 3 (3.1) */
	const char *client_id; /* NULL: random */
	const char *username, *password;
	struct smq_tls_options tls;
	bool clean_start;                    /* default true */
	uint32_t session_expiry_s;           /* MQTT 5, for clean_start false */
	int inflight_max;                    /* default 20 */
	bool control_at_qos0;                /* subscribe at QoS 0 to what is asked for again where it is lost: key
						exchange, key server, revocation lists */
	int backoff_min_ms, backoff_max_ms;  /* default 250 and 30,000; jittered */
	int connect_timeout_ms;              /* default 10,000 */
	const struct smq_mqtt_message *will; /* sealed for will_group, or as it is where plain is set; NULL: none */
	/* a session's keys do not exist yet when the broker takes the will, a group's may. Of a group at a key server
	 * the will is sealed at the first join and at every epoch, for which the client connects anew by itself */
	const char *will_group;
	const struct smq_property *properties; /* for connect, will and disconnect */
	size_t property_count;

	/* end to end */
	smq_realm *realm;              /* NULL only with plain; not owned, must outlive the client */
	bool plain;                    /* publish unsealed, deliver unsealed payloads too */
	const char *algorithm;         /* for what we seal; NULL: A128GCM */
	const char *accept_algorithms; /* comma-separated; NULL: all three */
	const char *const *peers;      /* members whose sessions are kept up from the start (pub --to, sub --from) */
	size_t peer_count;
	bool only_publishes;  /* never opens anything: another process of this name may subscribe */
	bool only_subscribes; /* never seals for a member: another process of this name may publish */
	bool any_peer;        /* accept sessions from every member of the realm, not from `peers` alone */
	/* groups to read, and to join at the key server where the realm holds no key file of them (groups/NAME.key);
	 * NULL with count 0: all that the realm holds */
	const char *const *groups;
	size_t group_count;
	bool find_groups;         /* joins those, too, whose policies cover something of what is subscribed to and admit
				     this member to read it, as they come by; 64 at most */
	bool only_groups;         /* no sessions: nothing is said or heard on the key-exchange topic */
	const char *keyserver;    /* its name; NULL: the realm's, else whoever has the role */
	int64_t group_lease_ms;   /* how long to belong to groups of the key server, from now; 0: as long as may be */
	bool leave_on_exit;       /* smq_client_disconnect leaves those groups first */
	const char *keyex_topic;  /* NULL: the realm's; may hold "{to}" */
	uint32_t rotate_every_ms; /* default 300,000; at least 1,000 */
	uint64_t rotate_messages; /* default 2^24; a new key exchange after so many seals */
	uint32_t grace_ms;        /* how long old keys still open; default 10,000 */
	int method;               /* EDHOC method, 0 (signatures, default) or 3 (static DH) */
	const int *suites;        /* EDHOC suites in order of preference; NULL: 2, 6, 0 as the own key allows */
	size_t suite_count;
	bool stamp; /* carry the time of sealing in each message (4 bytes): gives ages and latency */
	bool cose;  /* send the expanded COSE_Encrypt0 form */
	/* a topic that names its sender must agree with it: a pattern such as "plant/{sender}/#". What others publish
	 * under another's name is refused (SMQ_ERR_UNKNOWN_SENDER), what we would is (SMQ_ERR_TOPIC); NULL: none does
	 */
	const char *sender_topic;
	enum smq_sign sign;           /* with the key of our certificate; wills and retained ones each on its own */
	size_t checkpoint_messages;   /* one signature for so many, 1 to 256; 0: 32, or up to 256 of 20 ms */
	uint32_t checkpoint_every_ms; /* ... and at the latest after so long, 10 to 60,000; 0: 2,000 */
	bool sign_commands;           /* commands and their acknowledgements (sealmq/command.h) are signed each on its
				       * own, whatever `sign` is */
	enum smq_check check;         /* of the signatures of others */
	uint32_t proof_wait_ms;       /* how long a message waits for its checkpoint; 0: 15,000 */
	size_t verify_threads;        /* with before_ack: signatures of messages are verified by so many threads
					 besides the caller's, in which all callbacks are; what came in one go is then
					 told of at its end, signed messages after the others; 0: none */
	bool evidence;                /* hand out what a third party needs to verify a message: keys among it */
	bool keep_boot_id; /* groups: go on under the boot id in the state directory, with counters reserved there
			      before use. For devices without a trustworthy random source alone: a state
			      directory that is copied or restored repeats nonces */

	/* local */
	const char *outbox_file; /* SQLite; NULL: the queue lives in memory */
	size_t queue_max;        /* messages waiting for a connection or a session; default 10,000 */

	/*
	 * For whoever stores what he receives. before_ack: acknowledgements to the broker are held back until it has
	 * returned SMQ_OK; it is called once for all messages that came in one go (up to some hundred), after
	 * on_message. On any other answer nothing is acknowledged, the connection ends, and after the usual back-off
	 * the broker sends it all again: with clean_start false, a client_id of one's own, and QoS 1.
	 * repeats: what was delivered before is delivered again, rather than refused as a replay, and no replay floors
	 * are kept; the caller keeps (sender, group, epoch, slot, boot_id, counter) unique, durably. Groups only:
	 * the keys of sessions do not outlive the process, and their messages cannot come again.
	 */
	bool repeats;

	/* callbacks; NULL where not wanted */
	void *self;
	void (*on_connect)(void *self, int reason, bool session_present);
	void (*on_disconnect)(void *self, smq_err err, int reason, bool will_retry);
	void (*on_message)(void *self, const struct smq_message *message);
	void (*on_refused)(void *self, const struct smq_refusal *refusal);
	/* A message that was delivered as provisional (with SMQ_CHECK_PROOF) is proven (SMQ_OK), was forged by another
	 * member (SMQ_ERR_SIGNATURE), or stays unproven (SMQ_ERR_NOT_PROVEN). Its payload is empty here. */
	void (*on_proof)(void *self, const struct smq_message *message, smq_err err);
	/* With evidence: a certificate or a checkpoint was heard, and holds. */
	void (*on_witness)(void *self, const struct smq_witness *witness);
	smq_err (*before_ack)(void *self); /* see above */
	/* reason: MQTT 5 reason code, >= 128 refused; 0 for MQTT 3.1.1 and QoS 0 */
	void (*on_published)(void *self, uint64_t ticket, smq_err err, int reason);
	void (*on_subscribed)(void *self, int id, const int *reasons, size_t count);
	void (*on_unsubscribed)(void *self, int id);
	void (*on_event)(void *self, const struct smq_event *event);
	void (*on_log)(void *self, int level, const char *line);
};

/* Fills in the defaults named above; everything else is zero. */
void smq_client_options_init(struct smq_client_options *o);

/* ---- the client ---- */

typedef struct smq_client smq_client;

/* Checks the options and reads what they name; connects to nothing. On failure *ret_why (may be NULL) points to
 * static or thread-local text that says what is wrong and what would be right. */
SMQ_MUST_USE smq_err smq_client_new(const struct smq_client_options *options, smq_client **ret_client,
				    const char **ret_why);
/* Writes what must be kept (replay windows, outbox), wipes the keys, closes. NULL is fine. */
void smq_client_free(smq_client *client);

/* What a client that was made with these options needs from then on (sealmq/confine.h). */
void smq_client_needs(const struct smq_client_options *options, smq_needs *needs);

/* Starts connecting; subscriptions and publishes may come before or after it. */
SMQ_MUST_USE smq_err smq_client_connect(smq_client *client);

/* options: QoS 0..2, plus SMQ_SUB_ bits (MQTT 5). Kept and repeated after every connect, each time under an id of its
 * own: *ret_id is the one that on_subscribed will name for this call, and 0 while there is no connection. */
enum {
	SMQ_SUB_NO_LOCAL = 0x04,
	SMQ_SUB_RETAIN_AS_PUBLISHED = 0x08,
	SMQ_SUB_SEND_RETAIN_NEW = 0x10,
	SMQ_SUB_SEND_RETAIN_NEVER = 0x20
};
SMQ_MUST_USE smq_err smq_client_subscribe(smq_client *client, const char *filter, int options,
					  const struct smq_property *properties, size_t property_count, int *ret_id);
SMQ_MUST_USE smq_err smq_client_unsubscribe(smq_client *client, const char *filter,
					    const struct smq_property *properties, size_t property_count, int *ret_id);

struct smq_publish {
	const char *topic;
	smq_span payload;
	int qos;
	bool retain;
	const struct smq_property *properties;
	size_t property_count;
	const char *to; /* seal for this member's session */
	/* seal for this group; with neither, for the group whose topic filters match most narrowly, unless
	 * options.plain is set */
	const char *group;
	bool plain; /* send this one unsealed although a realm is open (e.g. an empty retained message) */
};

/*
 * Seals and sends, or keeps the message until there is a connection and a session: QoS 1 and 2 go out once, in
 * order; QoS 0 waits for the first session with its peer and is dropped only while disconnected. The ticket comes
 * back in on_published. SMQ_ERR_FULL: queue_max messages wait already.
 */
SMQ_MUST_USE smq_err smq_client_publish(smq_client *client, const struct smq_publish *message, uint64_t *ret_ticket);

/* One descriptor, readable whenever service has something to do. Stays the same for the client's life. */
int smq_client_fd(const smq_client *client);
/* Does what is due now, without blocking. */
SMQ_MUST_USE smq_err smq_client_service(smq_client *client);
/* Waits and services for at most timeout_ms (-1: for ever), or until smq_client_stop. SMQ_OK, or what ended it. */
SMQ_MUST_USE smq_err smq_client_run(smq_client *client, int timeout_ms);
/* Ends a running smq_client_run; safe in a signal handler. */
void smq_client_stop(smq_client *client);
/* Whether messages for this group can be sealed now, or never: then publishing says why. */
bool smq_client_group_ready(const smq_client *client, const char *group);
/* Asks the key server to let us go from all its groups; SMQ_EVENT_GROUP_LEFT follows for each; or
 * _STAYS, where another process of the realm directory is in the group: leaving would end it for that one too. */
void smq_client_leave_groups(smq_client *client);
/* Says goodbye to the broker; on_disconnect follows. With leave_on_exit, after the key server has let us go, or two
 * seconds. */
SMQ_MUST_USE smq_err smq_client_disconnect(smq_client *client, int reason);

/* Whether the broker has accepted us and the connection stands. */
bool smq_client_connected(const smq_client *client);
/* Messages that wait for a connection, a session or an acknowledgement. */
size_t smq_client_pending(const smq_client *client);
struct smq_counts smq_client_counts(const smq_client *client);
/* Whether keys to seal for this member are there. */
bool smq_client_has_session(const smq_client *client, const char *peer);
/* Begins a new key exchange with the peer now. */
SMQ_MUST_USE smq_err smq_client_rotate(smq_client *client, const char *peer);

/*
 * The process-wide OpenSSL 3 implementation of the crypto port, and the operating system's randomness. AEADs go to
 * the provider's own functions where those were found, at first use, to do what EVP does; that halves their cost.
 * smq_crypto_openssl_evp never does so: the same results by EVP alone.
 *
 * smq_crypto_multibuffer adds AEADs by Intel's multi-buffer library; NULL where that, or a processor that it is good
 * for, is not there, or does not do what EVP does. smq_crypto_best is what clients and key servers use: the first of
 * multi-buffer and provider that is there, or what the environment's SEALMQ_LANE says: multibuffer, provider, or evp.
 */
const struct smq_crypto *smq_crypto_openssl(void);
const struct smq_crypto *smq_crypto_openssl_evp(void);
const struct smq_crypto *smq_crypto_multibuffer(void);
const struct smq_crypto *smq_crypto_best(void);
const struct smq_random *smq_random_system(void);

/* "0.1.0" */
const char *smq_version(void);

#ifdef __cplusplus
}
#endif
#endif
