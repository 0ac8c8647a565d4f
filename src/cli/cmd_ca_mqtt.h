/* `sealmq ca serve --mqtt` and `enrol --mqtt`: enrolment for devices that have nothing but MQTT. */
#ifndef SMQ_CLI_CMD_CA_MQTT_H
#define SMQ_CLI_CMD_CA_MQTT_H

#include <stdbool.h>

/* Whether --mqtt is among the words. */
bool ca_wants_mqtt(int argc, char **argv);
/* argv[0] is the command's name. Options that say where the broker is and how to get in are those of sub. */
int ca_run_serve_mqtt(int argc, char **argv);
int ca_run_enrol_mqtt(int argc, char **argv);

#endif
