/*
 * Which SealMQ this is: the headers compiled against, and the library found at run time.
 *
 * Versions follow semver. While the major number is 0, a new minor number may
 * change the API; the shared library's soname changes with it then.
 */
#ifndef SEALMQ_VERSION_H
#define SEALMQ_VERSION_H

#ifdef __cplusplus
extern "C" {
#endif

/* Of these headers, "0.1.0". */
#define SMQ_VERSION "0.1.0"

/* Of the library that runs, static text; differs from SMQ_VERSION where the two do not belong together. */
const char *smq_version(void);

#ifdef __cplusplus
}
#endif
#endif
