/* Which of our error codes an errno is. */
#ifndef SMQ_APP_ERR_ERRNO_H
#define SMQ_APP_ERR_ERRNO_H

#include <sealmq/err.h>

/* Of open, read, write, rename, flock and the like; SMQ_ERR_IO for what has no code of its own. */
smq_err smq_err_of_errno(int code);

#endif
