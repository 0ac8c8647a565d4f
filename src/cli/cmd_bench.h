/* sealmq bench: what it costs, on this machine. */
#ifndef SMQ_CLI_CMD_BENCH_H
#define SMQ_CLI_CMD_BENCH_H

int cmd_bench(int argc, char **argv);

#endif
