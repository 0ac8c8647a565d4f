/* sealmq record: subscribes, and stores what opens and is as declared. */
#ifndef SMQ_CLI_CMD_RECORD_H
#define SMQ_CLI_CMD_RECORD_H

int cmd_record(int argc, char **argv);

#endif
