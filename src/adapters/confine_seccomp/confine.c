/* Confinement: a process gives up for good what its duty does not need. */
#include "confine_internal.h"

#include <sys/prctl.h>

smq_err smq_confine(const struct smq_rights *rights, struct smq_confined *ret_how)
{
	struct smq_confined how = { .landlock = smq_landlock_version() };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return SMQ_ERR_UNSUPPORTED;
	smq_err err = how.landlock > 0 ? smq_landlock_apply(rights, how.landlock) : SMQ_OK;
	if (err == SMQ_ERR_UNSUPPORTED) { /* switched off since */
		how.landlock = 0;
		err = SMQ_OK;
	}
	if (err == SMQ_OK)
		err = smq_calls_apply(rights);
	how.calls = err == SMQ_OK;
	if (err == SMQ_ERR_UNSUPPORTED && how.landlock > 0)
		err = SMQ_OK; /* half of it is better than none, and told */
	if (err == SMQ_OK)
		*ret_how = how;
	return err;
}
