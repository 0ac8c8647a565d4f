/* The keys of sealmq.yaml with their places in struct smq_settings. */
#ifndef SMQ_APP_SETTINGS_TABLE_H
#define SMQ_APP_SETTINGS_TABLE_H

#include <sealmq/config.h>

struct smq_settings_row {
	struct smq_config_key key;
	size_t offset;
};

extern const struct smq_settings_row smq_settings_rows[];
extern const size_t smq_settings_row_count;

/* SIZE_MAX where there is none. */
size_t smq_settings_find(const char *name);
bool smq_settings_is_list(enum smq_config_type type);
/* Whether some key lies below `name` ("broker", "broker.tls"). */
bool smq_settings_is_section(const char *name);
/* What was probably meant by an unknown key: "did you mean 'broker.port'?", or what its section holds. */
void smq_settings_suggest(const char *name, char *ret_hint, size_t room);

#endif
