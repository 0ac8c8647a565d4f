/* The inside of smq_config, for what reads files and for what makes options of it. */
#ifndef SMQ_APP_SETTINGS_H
#define SMQ_APP_SETTINGS_H

#include <sealmq/config.h>

/*
 * Gives the key with that index its value; scalars have one item. Keeps copies. A weaker origin than the present one
 * only checks. On failure ret_problem (room bytes) says what is wrong and what would be right, printable.
 */
SMQ_MUST_USE smq_err smq_config_take(smq_config *config, size_t row, const char *const *items, size_t count,
				     enum smq_origin origin, const char *from, char *ret_problem, size_t room);
/* The value with lists joined by commas; NULL where not set. Not masked. */
const char *smq_config_raw(const smq_config *config, size_t row);
void smq_config_note_file(smq_config *config, char *path); /* takes the path over */
/* Whether a value marked as secret came from the file. */
bool smq_config_file_holds_secret(const smq_config *config);
/* Places for what options point to, released with the config. */
struct smq_config_lent {
	const char **peers;
	int *suites;
	char *password, *psk;
};
struct smq_config_lent *smq_config_lent(smq_config *config);

/* Text that *ret_why may point to until the next call in this thread. */
enum { SMQ_CONFIG_WHY_MAX = 1024 };
char *smq_config_why(void);

#endif
