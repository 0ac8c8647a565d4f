/* What sealmq.yaml and the environment say, put into the settings of pub and sub. */
#ifndef SMQ_CLI_CONFIG_H
#define SMQ_CLI_CONFIG_H

#include <sealmq/config.h>

#include "cli/settings.h"

/* Sets what has its value from this origin. The config must outlive the settings. */
void config_apply(const smq_config *config, enum smq_origin origin, bool publishing, struct settings *s);

/* What only the configuration can say (back-off, accepted algorithms, suites, ...), put into the client's options. */
void config_complete(smq_config *config, bool publishing, struct smq_client_options *o);

#endif
