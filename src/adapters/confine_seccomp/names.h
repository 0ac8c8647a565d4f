/* How this machine looks up the names of hosts. */
#ifndef SMQ_ADAPTERS_CONFINE_SECCOMP_NAMES_H
#define SMQ_ADAPTERS_CONFINE_SECCOMP_NAMES_H

#include <stdbool.h>

/* Loads the modules that nsswitch.conf names for hosts, so that libc finds them loaded later. *ret_local: one of them
 * may ask a service of this machine by its socket (systemd-resolved, Avahi). */
void smq_names_load(bool *ret_local);

#endif
