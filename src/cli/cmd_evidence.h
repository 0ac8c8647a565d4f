/* sealmq evidence: stored messages as a file that a third party verifies. */
#ifndef SMQ_CLI_CMD_EVIDENCE_H
#define SMQ_CLI_CMD_EVIDENCE_H

int cmd_evidence(int argc, char **argv);

#endif
