/* sealmq rights: what each process may do; and what came of giving up the rest, in words. */
#ifndef SMQ_CLI_CMD_RIGHTS_H
#define SMQ_CLI_CMD_RIGHTS_H

#include <sealmq/confine.h>

/* NULL: all of it could be given up. how NULL: nothing could. */
const char *confined_words(const struct smq_confined *how);

/* sealmq rights: the processes that the tool consists of, and what each may do. */
int cmd_rights(int argc, char **argv);

#endif
