/* Being ended by a signal, for loops that poll descriptors. */
#ifndef SMQ_CLI_STOP_H
#define SMQ_CLI_STOP_H

/* Makes SIGTERM, SIGINT and SIGHUP readable. Returns the descriptor to poll, for the life of the process; -1: errno. */
int stop_descriptor(void);

#endif
