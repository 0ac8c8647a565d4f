/* Seals one message as a member of a static group and prints it in hex: what the tests of `sealmq inspect` feed it.
 * With SIGNER, a member's realm directory, it is signed with that member's key, whoever MEMBER is.
 * usage: seal_group KEYFILE MEMBER TOPIC PLAINTEXT COUNTER STAMP|- compact|cose [SIGNER] */
#include <stdio.h>
#include <stdlib.h>

#include <sealmq/client.h>

#include "core/group.h"
#include "lib/group_files.h"

int main(int argc, char **argv)
{
	static struct smq_group_file file;
	static uint8_t room[70000];
	struct smq_group_life life = { 0 };
	struct smq_group group;
	char why[512] = "";
	size_t len = 0;
	if (argc != 8 && argc != 9)
		return 2;
	if (smq_group_files_load(argv[1], NULL, &file, why, sizeof(why)) != SMQ_OK ||
	    smq_group_init(&group, smq_crypto_openssl(), smq_random_system(), &file, argv[2], NULL, &life, 1) !=
		SMQ_OK) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	group.sealer.next_counter = strtoull(argv[5], NULL, 10);
	group.sealer.cose = strcmp(argv[7], "cose") == 0;
	int64_t stamp_ms = strcmp(argv[6], "-") == 0 ? -1 : strtoll(argv[6], NULL, 10);
	smq_realm *realm = NULL;
	const char *why_not = NULL;
	struct smq_seal_proof proof = { 0 };
	smq_err err = argc == 9 ? smq_realm_open(argv[8], &realm, &why_not) : SMQ_OK;
	if (realm)
		proof.signer = &smq_realm_own(realm)->signer;
	if (err == SMQ_OK)
		err = smq_group_seal_proven(&group, smq_span_str(argv[3]), stamp_ms, smq_span_str(argv[4]), &proof,
					    smq_mspan_of(room, sizeof(room)), &len);
	for (size_t i = 0; err == SMQ_OK && i < len; i++)
		printf("%02x", room[i]);
	puts("");
	smq_group_done(&group);
	smq_realm_free(realm);
	return err == SMQ_OK ? 0 : 1;
}
