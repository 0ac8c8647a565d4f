/* sealmq query: asks a store of records. */
#ifndef SMQ_CLI_CMD_QUERY_H
#define SMQ_CLI_CMD_QUERY_H

int cmd_query(int argc, char **argv);

#endif
