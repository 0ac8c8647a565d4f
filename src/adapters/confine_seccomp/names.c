/* How this machine looks up the names of hosts: the modules are loaded while that may still be done. */
#include "adapters/confine_seccomp/names.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* These are in libc itself. */
static bool is_built_in(const char *module) { return strcmp(module, "files") == 0 || strcmp(module, "dns") == 0; }

/* It stays: whoever looks a name up asks for it by this name again. */
static bool load(const char *module)
{
	char name[64];
	int len = snprintf(name, sizeof(name), "libnss_%s.so.2", module);
	return len > 0 && (size_t)len < sizeof(name) && !strchr(module, '/') && dlopen(name, RTLD_NOW) != NULL;
}

/* "hosts: files mdns4_minimal [NOTFOUND=return] dns" */
static bool load_all(char *line)
{
	bool any = false;
	char *rest = NULL;
	line[strcspn(line, "#\n")] = 0;
	for (char *word = strtok_r(line, " \t", &rest); word; word = strtok_r(NULL, " \t", &rest)) {
		if (*word != '[' && !is_built_in(word))
			any = load(word) || any;
	}
	return any;
}

void smq_names_load(bool *ret_local)
{
	char line[512];
	FILE *file = fopen("/etc/nsswitch.conf", "re");
	*ret_local = false;
	while (file && fgets(line, sizeof(line), file)) {
		if (strncmp(line, "hosts:", 6) == 0)
			*ret_local = load_all(line + 6) || *ret_local;
	}
	if (file)
		fclose(file);
}
