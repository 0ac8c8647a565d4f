/* `sealmq watch`: finds the abnormal in a broker's logs. */
#ifndef SMQ_CLI_CMD_WATCH_H
#define SMQ_CLI_CMD_WATCH_H

int cmd_watch(int argc, char **argv);

#endif
