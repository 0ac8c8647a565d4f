/* `sealmq broker run`: a deployment as children of this process. */
#ifndef SMQ_CLI_CMD_BROKER_RUN_H
#define SMQ_CLI_CMD_BROKER_RUN_H

int broker_run(int argc, char **argv);

#endif
