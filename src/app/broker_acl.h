/* Who may do what at a realm's broker, rule by rule; each engine has its own way of writing them down. */
#ifndef SMQ_APP_BROKER_ACL_H
#define SMQ_APP_BROKER_ACL_H

#include "app/broker_files.h"

enum { SMQ_ACL_READ = 1, SMQ_ACL_WRITE = 2 };

struct smq_acl_sink {
	void *self;
	void (*rule)(void *self, unsigned access, const char *filter);
};

/* All rules of one member; those of the user's own (acl.local) only for engines that have no file for them: `local`. */
void smq_broker_acl_walk(const struct smq_broker_plan *plan, const struct smq_broker_member *member, bool local,
			 const struct smq_acl_sink *sink);

/* The ACL as Mosquitto reads it, as NATS' accounts, as RabbitMQ's definitions. Allocated. */
SMQ_MUST_USE smq_err smq_broker_acl_text(const struct smq_broker_plan *plan, char **ret_text);
SMQ_MUST_USE smq_err smq_broker_acl_nats(const struct smq_broker_plan *plan, char **ret_text);
SMQ_MUST_USE smq_err smq_broker_acl_rabbitmq(const struct smq_broker_plan *plan, char **ret_text);

/* A text that is counted first and written then. */
struct smq_acl_text {
	char *p;
	size_t room, len;
};
__attribute__((format(printf, 2, 3))) void smq_acl_add(struct smq_acl_text *t, const char *format, ...);
SMQ_MUST_USE smq_err smq_acl_build(void (*add_all)(struct smq_acl_text *, const struct smq_broker_plan *),
				   const struct smq_broker_plan *plan, char **ret_text);

#endif
