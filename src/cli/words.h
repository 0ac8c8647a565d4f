/* What the shells complete for commands without a table of options: the words and options in their own help. */
#ifndef SMQ_CLI_WORDS_H
#define SMQ_CLI_WORDS_H

#include <stdio.h>

/* help: the text of `sealmq COMMAND --help`. A word a line, in the order of the text, perhaps twice: options, and what
 * stands after the command's name or begins a line of a list. */
void words_print(const char *command, const char *help, FILE *out);

#endif
